"""Layers that networks are made of. All are named: checkpoints find weights by their names."""

import keras
from keras import layers


def scaled(channels: int, width: float) -> int:
    """The number of channels at a width factor, at least 8."""
    return max(8, round(channels * width))


def conv(
    name: str, filters: int, kernel: int, dtype, strides: int = 1, padding: str = "same"
) -> layers.Conv2D:
    """A convolution with ReLU and He's start."""
    return layers.Conv2D(
        filters,
        kernel,
        strides,
        padding=padding,
        activation="relu",
        kernel_initializer="he_normal",
        name=name,
        dtype=dtype,
    )


def dense(name: str, units: int, dtype) -> layers.Dense:
    """A dense layer with ReLU and He's start."""
    return layers.Dense(
        units, activation="relu", kernel_initializer="he_normal", name=name, dtype=dtype
    )


def zero_head(units: int, name: str = "head") -> layers.Dense:
    """The last layer, at zero, so that the first prediction is what a layout's offsets say."""
    # Positions and lengths need all digits.
    return layers.Dense(units, kernel_initializer="zeros", name=name, dtype="float32")


class FrameNetwork(keras.layers.Layer):
    """Layers in a row (`body`), from frames to features of `size` numbers."""

    body: list[layers.Layer]

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        for layer in self.body:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.size = input_shape[-1]

    def call(self, frames, training=False):
        """Frames [N, H, W, 3] in [0, 1] → features [N, size]."""
        del training
        features = 2.0 * frames - 1.0
        for layer in self.body:
            features = layer(features)
        return features
