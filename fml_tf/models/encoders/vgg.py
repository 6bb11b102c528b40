"""VGG-16 (Simonyan and Zisserman 2015), the network of VGG-Face: MoFA's other one."""

from keras import layers

from fml_tf.models.encoders.parts import FrameNetwork, conv, dense, scaled

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class Vgg16(FrameNetwork):
    """Thirteen convolutions and two dense layers, without dropout.

    Args:
      width: factor on the number of channels.
    """

    def __init__(self, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.body = []
        for stage, (channels, count) in enumerate(_STAGES, start=1):
            self.body += [
                conv(f"conv{stage}_{i}", scaled(channels, width), 3, dtype)
                for i in range(1, count + 1)
            ]
            self.body.append(layers.MaxPool2D(2, 2, dtype=dtype))
        self.body += [
            layers.Flatten(dtype=dtype),
            dense("dense1", scaled(4096, width), dtype),
            dense("dense2", scaled(4096, width), dtype),
        ]
