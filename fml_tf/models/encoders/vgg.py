"""VGG-16 (Simonyan and Zisserman 2015), the network of VGG-Face: MoFA's other one."""

import keras
from keras import layers

from fml_tf.models.encoders.parts import conv, dense, scaled

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class Vgg16(keras.layers.Layer):
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

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        for layer in self.body:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.size = input_shape[-1]

    def call(self, frames, training=False):
        """Frames [N, H, W, 3] in [0, 1] → features [N, 4096]."""
        del training
        features = 2.0 * frames - 1.0
        for layer in self.body:
            features = layer(features)
        return features
