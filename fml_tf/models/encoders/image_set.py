"""Deep3D's C-Net: a person from several pictures, each coefficient from those that show it best."""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

from fml_tf.config import ModelConfig
from fml_tf.models.encoders.base import Encoder
from fml_tf.models.encoders.monocular import Deep3dEncoder
from fml_tf.models.encoders.parts import conv, dense, scaled, zero_head


def by_coefficient(confidences):
    """Each coefficient from each picture as it is trusted there (S4 in the paper's Table 4)."""
    return confidences


def by_sum(confidences):
    """Each picture as all of its coefficients are trusted together (S2)."""
    return tf.reduce_sum(confidences, axis=2, keepdims=True)


def most_confident(confidences):
    """The picture that is trusted most, and no other (S3)."""
    total = tf.reduce_sum(confidences, axis=2)
    return tf.one_hot(tf.argmax(total, axis=1), tf.shape(total)[1])[..., None]


class ConfidenceNetwork(keras.layers.Layer):
    """R-Net's features → how far each of a picture's shape coefficients is to be trusted.

    (Deep3D, section 4.) The last layer starts at zero, so that pictures start out alike.

    Args:
      size: coefficients; 1 for one confidence a picture (S1 in Table 4).
      width: factor on the number of channels.
    """

    def __init__(self, size: int, width: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        channels = scaled(256, width)
        self.low = [
            *(conv(f"conv{i}", channels, 3, dtype, strides=2) for i in (1, 2, 3)),
            layers.GlobalAveragePooling2D(dtype=dtype),
        ]
        self.body = [dense("dense1", scaled(512, width), dtype), zero_head(size)]

    def build(self, input_shape):
        """Creates the weights for features of stage 1 [N, h, w, c] and of the end [N, k]."""
        shape, top_shape = input_shape
        for layer in self.low:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        shape = (None, shape[-1] + top_shape[-1])
        for layer in self.body:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)

    def call(self, inputs):
        """(Low features [N, h, w, c], features [N, k]) → confidences [N, size] in (0, 1)."""
        low, top = inputs
        for layer in self.low:
            low = layer(low)
        outputs = keras.ops.concatenate([low, keras.ops.cast(top, low.dtype)], axis=1)
        for layer in self.body:
            outputs = layer(outputs)
        return keras.ops.sigmoid(outputs)


class ImageSetEncoder(Encoder):
    """See `Encoder`: R-Net, which is held, and `ConfidenceNetwork`; arguments as its.

    Of a person's pictures the shape coefficients are weighted by their confidences; the albedo's
    are averaged.

    Raises:
      ValueError: the config's backbone is no residual network.
    """

    inner = ("deep3d", "rnet")

    def __init__(self, config: ModelConfig, identity_size: int, frame_size: int, **kwargs):
        super().__init__(config, identity_size, frame_size, **kwargs)
        if config.backbone and not config.backbone.startswith("resnet"):
            raise ValueError(f"--backbone={config.backbone}: C-Net reads features of a ResNet")
        self.rnet = Deep3dEncoder(config, identity_size, frame_size, name="rnet")
        self.rnet.trainable = False
        self.confidence_network = ConfidenceNetwork(
            1 if config.confidence == "picture" else config.prior_size,
            config.network_width,
            name="confidence_network",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        self.rnet.build(input_shape)
        backbone = self.rnet.backbone
        self.confidence_network.build((backbone.low_shape, (None, backbone.size)))

    def features(self, frames, training):
        """Codes [N, identity_size + frame_size] and confidences [N, k]."""
        del training  # R-Net keeps its statistics
        low, top = self.rnet.backbone.features(frames, training=False)
        return self.rnet.head(top), self.confidence_network((low, top))

    def identity(self, features, frame_mask, training):
        """Each coefficient as it is trusted in each frame."""
        del training
        return self.weighted_identity(features, frame_mask, by_coefficient)

    def weighted_identity(self, features, frame_mask, weighting: Callable) -> tf.Tensor:
        """A person's vector, its frames weighted by a function of confidences [B, M, k]."""
        shape = (*tf.unstack(tf.shape(frame_mask)), -1)
        codes, confidences = (tf.reshape(values, shape) for values in features)
        mask = tf.cast(frame_mask, codes.dtype)[..., None]
        sizes = [self.config.prior_size, self.identity_size - self.config.prior_size]
        coefficients, albedo, _ = tf.split(codes, [*sizes, self.frame_size], axis=2)

        def mean(values, weights):
            # Shares first: those of one frame are 1 to the bit.
            shares = weights / tf.reduce_sum(weights, axis=1, keepdims=True)
            return tf.reduce_sum(shares * values, axis=1)

        coefficients = mean(coefficients, weighting(mask * confidences))
        return tf.concat([coefficients, mean(albedo, mask)], axis=1)

    def frame_parameters(self, features, identity, training):
        """R-Net's, whatever the identity."""
        del identity, training
        return features[0][:, self.identity_size :]

    def parts(self):
        """Both networks."""
        return {"rnet": self.rnet, "confidence_network": self.confidence_network}
