"""FML's networks, the supplemental's Tables 1-3: encoder, identity and parameter estimation.

The tables leave out one pooling layer and misprint one input; `docs/method.md` says how we read
them.
"""

import keras
from keras import layers

from fml_tf.config import ModelConfig
from fml_tf.models.encoders.aggregation import AGGREGATIONS
from fml_tf.models.encoders.base import Encoder
from fml_tf.models.encoders.parts import conv, dense, scaled, zero_head


def feature_size(crop_size: int) -> int:
    """Height and width of the low-level feature map for a crop (14 for 240 pixels)."""
    size = -(-crop_size // 4)
    for _ in range(2):
        size = (size - 3) // 2 + 1
    return size


@keras.saving.register_keras_serializable("fml_tf")
class FrameEncoder(keras.layers.Layer):
    """Table 1: low and medium features of each frame; one network on all frames (Siamese towers).

    Args:
      width: factor on the number of channels.
    """

    def __init__(self, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        dtype = self.dtype_policy
        self.low = [
            conv("low1", scaled(96, width), 11, dtype, strides=4),
            layers.MaxPool2D(3, 2, dtype=dtype),
            conv("low2", scaled(256, width), 5, dtype),
            layers.MaxPool2D(3, 2, dtype=dtype),
            conv("low3", scaled(384, width), 3, dtype),
        ]
        self.medium = [
            conv("medium1", scaled(256, width), 3, dtype, strides=2),
            conv("medium2", scaled(256, width), 3, dtype, strides=2),
        ]

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        for layer in self.low + self.medium:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, frames):
        """Frames [N, H, W, 3] in [0, 1] → low [N, h, h, 384] and medium [N, ⌈h/4⌉, ⌈h/4⌉, 256]."""
        low = 2.0 * frames - 1.0
        for layer in self.low:
            low = layer(low)
        medium = low
        for layer in self.medium:
            medium = layer(medium)
        return low, medium

    def get_config(self):
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("fml_tf")
class IdentityNetwork(keras.layers.Layer):
    """Table 2 after the pooling over frames: pooled medium features → shape and albedo parameters.

    Args:
      identity_size: g + |β|.
      width: factor on the number of channels.
    """

    def __init__(self, identity_size: int, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.identity_size = identity_size
        self.width = width
        dtype = self.dtype_policy
        self.body = [
            conv("conv1", scaled(384, width), 3, dtype),
            conv("conv2", scaled(256, width), 3, dtype),
            layers.Flatten(dtype=dtype),
            dense("dense1", scaled(1000, width), dtype),
            dense("dense2", scaled(1000, width), dtype),
            zero_head(identity_size),
        ]

    def build(self, input_shape):
        """Creates the weights for pooled features [B, h, h, c]."""
        for layer in self.body:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, pooled):
        """Pooled medium features [B, h, h, c] → (α, β) [B, g + |β|]."""
        for layer in self.body:
            pooled = layer(pooled)
        return pooled

    def get_config(self):
        """Constructor arguments, for serialisation."""
        sizes = {"identity_size": self.identity_size, "width": self.width}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable("fml_tf")
class ParameterNetwork(keras.layers.Layer):
    """Table 3: identity and the low features of one frame → that frame's pose, expression, light.

    The convolution after the concatenation of the identity's map and the frame's features is kept
    as the sum of two, one for each input: the same function and the same weights as one convolution
    over 768 channels, but the identity's half runs once per person, not per frame.

    Args:
      frame_size: 6 + b + 27.
      width: factor on the number of channels.
    """

    def __init__(self, frame_size: int, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.frame_size = frame_size
        self.width = width
        channels = scaled(384, width)
        dtype = self.dtype_policy
        self.identity_map = conv("identity_map", channels, 3, dtype)
        # Two halves of one convolution: He's variance is that of twice the inputs of each.
        half = keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")
        self.merge_identity = layers.Conv2D(
            channels,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=half,
            name="merge_identity",
            dtype=dtype,
        )
        self.merge_frame = layers.Conv2D(
            channels,
            3,
            padding="same",
            kernel_initializer=half.clone(),
            name="merge_frame",
            dtype=dtype,
        )
        self.body = [
            conv("conv1", channels, 3, dtype),
            conv("conv2", scaled(256, width), 3, dtype),
            layers.MaxPool2D(3, 2, dtype=dtype),
            layers.Flatten(dtype=dtype),
            dense("dense1", scaled(2048, width), dtype),
            zero_head(frame_size),
        ]

    def build(self, input_shape):
        """Creates the weights for identity [B, g + |β|] and low features [N, h, h, c]."""
        identity_shape, low_shape = input_shape
        size = low_shape[1]
        self.identity_dense = dense("identity_dense", size * size, self.dtype_policy)
        self.identity_dense.build(identity_shape)
        self.identity_map.build((None, size, size, 1))
        map_shape = (None, size, size, self.identity_map.filters)
        self.merge_identity.build(map_shape)
        self.merge_frame.build(low_shape)
        shape = map_shape
        for layer in self.body:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs):
        """(Identity [B, g + |β|], low [B·M, h, h, c]) → [B·M, frame_size]."""
        identity, low = inputs
        size, channels = low.shape[1], self.identity_map.filters
        identity_map = keras.ops.reshape(self.identity_dense(identity), (-1, size, size, 1))
        of_person = self.merge_identity(self.identity_map(identity_map))
        of_frame = keras.ops.reshape(
            self.merge_frame(low), (keras.ops.shape(identity)[0], -1, size, size, channels)
        )
        features = keras.ops.relu(of_frame + of_person[:, None])
        features = keras.ops.reshape(features, (-1, size, size, channels))
        for layer in self.body:
            features = layer(features)
        return features

    def get_config(self):
        """Constructor arguments, for serialisation."""
        return {**super().get_config(), "frame_size": self.frame_size, "width": self.width}


class FmlEncoder(Encoder):
    """See `Encoder`: Tables 1 to 3 in a row. Arguments as those of `Encoder`."""

    def __init__(self, config: ModelConfig, identity_size: int, frame_size: int, **kwargs):
        super().__init__(config, identity_size, frame_size, **kwargs)
        width, dtype = config.network_width, self.dtype_policy
        self.frame_encoder = FrameEncoder(width, name="frame_encoder", dtype=dtype)
        self.identity_network = IdentityNetwork(
            identity_size, width, name="identity_network", dtype=dtype
        )
        self.parameter_network = ParameterNetwork(
            frame_size, width, name="parameter_network", dtype=dtype
        )

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        self.frame_encoder.build(input_shape)
        low_size = feature_size(input_shape[1])
        medium_size = -(-low_size // 4)
        low_channels, medium_channels = (
            layers[-1].filters for layers in (self.frame_encoder.low, self.frame_encoder.medium)
        )
        self.identity_network.build((None, medium_size, medium_size, medium_channels))
        self.parameter_network.build(
            ((None, self.identity_size), (None, low_size, low_size, low_channels))
        )

    def features(self, frames, training):
        """Low and medium features."""
        del training
        return self.frame_encoder(frames)

    def identity(self, features, frame_mask, training):
        """From the medium features, pooled over the frames."""
        del training
        _, medium = features
        pooled = AGGREGATIONS[self.config.frame_pooling](medium, frame_mask)
        return self.identity_network(pooled)

    def frame_parameters(self, features, identity, training):
        """From identity and low features."""
        del training
        low, _ = features
        return self.parameter_network((identity, low))

    def parts(self):
        """The three networks."""
        networks = (self.frame_encoder, self.identity_network, self.parameter_network)
        return {network.name: network for network in networks}
