"""AlexNet (Krizhevsky et al. 2012) as MoFA and the multi-level model take it, up to its code."""

import keras
from keras import layers

from fml_tf.models.encoders.parts import FrameNetwork, conv, dense, scaled

_SMALLEST = 67  # px, of which the last pooling leaves one


class _GroupedConv(keras.layers.Layer):
    """A convolution in two groups: each half of the filters sees half of the channels.

    As two convolutions: TensorFlow has no gradient of grouped ones on CPUs.
    """

    def __init__(self, filters: int, kernel: int, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.halves = [conv(f"group{i}", filters // 2, kernel, dtype) for i in (1, 2)]

    def build(self, input_shape):
        """Creates the weights for [N, H, W, C] of an even C."""
        for half in self.halves:
            half.build((*input_shape[:-1], input_shape[-1] // 2))

    def compute_output_shape(self, input_shape):
        """As convolutions have it."""
        return (*input_shape[:-1], 2 * self.halves[0].filters)

    def call(self, inputs):
        """[N, H, W, C] → [N, H, W, filters]."""
        parts = keras.ops.split(inputs, 2, axis=-1)
        return keras.ops.concatenate([half(part) for half, part in zip(self.halves, parts)], -1)


class AlexNet(FrameNetwork):
    """Five convolutions and two dense layers, without response normalisation and dropout.

    At 240 px the last pooling gives the original's 6×6×256.

    Args:
      width: factor on the number of channels.
    """

    def __init__(self, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        channels = [2 * scaled(half, width) for half in (48, 128, 192, 128)]

        def pool():
            return layers.MaxPool2D(3, 2, dtype=dtype)

        self.body = [
            conv("conv1", channels[0], 11, dtype, strides=4, padding="valid"),
            pool(),
            _GroupedConv(channels[1], 5, name="conv2", dtype=dtype),
            pool(),
            conv("conv3", channels[2], 3, dtype),
            _GroupedConv(channels[2], 3, name="conv4", dtype=dtype),
            _GroupedConv(channels[3], 3, name="conv5", dtype=dtype),
            pool(),
            layers.Flatten(dtype=dtype),
            dense("dense1", scaled(4096, width), dtype),
            dense("dense2", scaled(4096, width), dtype),
        ]

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3].

        Raises:
          ValueError: frames that are too small.
        """
        if input_shape[1] < _SMALLEST:
            raise ValueError(
                f"AlexNet needs crops of {_SMALLEST} pixels or more, not {input_shape[1]}"
            )
        super().build(input_shape)
