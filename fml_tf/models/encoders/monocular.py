"""Encoders that regress all of a face from one frame: MoFA's, the multi-level model's, R-Net."""

import keras
import tensorflow as tf

from fml_tf.config import ModelConfig
from fml_tf.models.encoders.alexnet import AlexNet
from fml_tf.models.encoders.base import Encoder
from fml_tf.models.encoders.parts import zero_head
from fml_tf.models.encoders.resnet import ResNet
from fml_tf.models.encoders.vgg import Vgg16


def make_backbone(kind: str, width: float, **kwargs) -> keras.layers.Layer:
    """The network of a name of `BACKBONES`: frames → features [N, `size`]."""
    if kind == "alexnet":
        return AlexNet(width, **kwargs)
    if kind == "vgg16":
        return Vgg16(width, **kwargs)
    return ResNet(kind, width, **kwargs)


class MonocularEncoder(Encoder):
    """See `Encoder`: a network and one linear layer, from a frame to its whole code.

    The identity of several frames is the mean of theirs. Arguments as those of `Encoder`.
    """

    monocular = True
    default_backbone: str

    def __init__(self, config: ModelConfig, identity_size: int, frame_size: int, **kwargs):
        super().__init__(config, identity_size, frame_size, **kwargs)
        self.backbone = make_backbone(
            config.backbone or self.default_backbone,
            config.network_width,
            name="backbone",
            dtype=self.dtype_policy,
        )
        self.head = zero_head(identity_size + frame_size)

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        self.backbone.build(input_shape)
        self.head.build((None, self.backbone.size))

    def features(self, frames, training):
        """The code [N, identity_size + frame_size], identity first."""
        return self.head(self.backbone(frames, training=training))

    def identity(self, features, frame_mask, training):
        """The mean of the identities of a person's frames."""
        del training
        num_people, num_frames = tf.unstack(tf.shape(frame_mask))
        codes = features[:, : self.identity_size]
        codes = tf.reshape(codes, (num_people, num_frames, self.identity_size))
        weights = tf.cast(frame_mask, codes.dtype)[..., None]
        # In training a frame that only fills up is a person with none.
        return tf.math.divide_no_nan(
            tf.reduce_sum(weights * codes, axis=1), tf.reduce_sum(weights, axis=1)
        )

    def frame_parameters(self, features, identity, training):
        """The rest of the code, whatever the identity."""
        del identity, training
        return features[:, self.identity_size :]


class MofaEncoder(MonocularEncoder):
    """AlexNet (MoFA, section 4)."""

    default_backbone = "alexnet"


class MultilevelEncoder(MonocularEncoder):
    """The same with a head of its own for each kind of corrective, which learns at its own rate.

    The identity ends with the correctives of the shape and those of the albedo.
    """

    default_backbone = "alexnet"

    def __init__(self, config: ModelConfig, identity_size: int, frame_size: int, **kwargs):
        size = config.corrective_size
        super().__init__(config, identity_size, frame_size, **kwargs)
        self.head = zero_head(identity_size - 2 * size + frame_size)
        self.shape_head = zero_head(size, "shape_head")
        self.albedo_head = zero_head(size, "albedo_head")

    def build(self, input_shape):
        """Creates the weights for frames [N, H, W, 3]."""
        super().build(input_shape)
        self.shape_head.build((None, self.backbone.size))
        self.albedo_head.build((None, self.backbone.size))

    def features(self, frames, training):
        """As `MonocularEncoder.features`."""
        features = self.backbone(frames, training=training)
        base_size = self.identity_size - 2 * self.config.corrective_size
        identity, frame = tf.split(self.head(features), [base_size, self.frame_size], axis=1)
        correctives = [self.shape_head(features), self.albedo_head(features)]
        return tf.concat([identity, *correctives, frame], axis=1)

    def weight_groups(self):
        """`shape` and `albedo` are the heads of the correctives, `network` all else."""
        groups = {
            "shape": [weight.value for weight in self.shape_head.trainable_weights],
            "albedo": [weight.value for weight in self.albedo_head.trainable_weights],
        }
        others = self.backbone.trainable_weights + self.head.trainable_weights
        return {"network": [weight.value for weight in others], **groups}


class Deep3dEncoder(MonocularEncoder):
    """ResNet-50: R-Net (Deep3D, section 3)."""

    default_backbone = "resnet50"
