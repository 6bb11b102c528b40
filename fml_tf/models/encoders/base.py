"""What an encoder is."""

import abc

import keras
import tensorflow as tf

from fml_tf.config import COMPUTE_DTYPES, ModelConfig


class Encoder(keras.layers.Layer, abc.ABC):
    """Frames → a vector for each person, and one for each frame under that person's identity.

    What the numbers of these vectors mean is the business of a `ParameterLayout`; heads start at
    zero, so that the first prediction is what the layout's offsets say: the mean face.

    Args:
      config: sizes.
      identity_size: length of a person's vector.
      frame_size: length of a frame's vector.

    Attributes:
      monocular: it learns from each frame as from a person of its own.
      inner: the system on whose trained encoder this one builds, and the name of the part that is
        one; None if it does not.
    """

    monocular = False
    inner: tuple[str, str] | None = None

    def __init__(self, config: ModelConfig, identity_size: int, frame_size: int, **kwargs):
        super().__init__(dtype=COMPUTE_DTYPES[config.compute_dtype], **kwargs)
        self.config = config
        self.identity_size = identity_size
        self.frame_size = frame_size

    @abc.abstractmethod
    def features(self, frames, training: bool):
        """Siamese towers: frames [N, H, W, 3] in [0, 1] → tensors [N, ...], in any nest."""

    @abc.abstractmethod
    def identity(self, features, frame_mask, training: bool) -> tf.Tensor:
        """A person's vector from the features of its frames.

        Args:
          features: of the N = B·M frames.
          frame_mask: [B, M] bool; a frame that is False does not touch the identity. Each person
            has one that is True.
          training: as in Keras.

        Returns:
          [B, identity_size].
        """

    @abc.abstractmethod
    def frame_parameters(self, features, identity, training: bool) -> tf.Tensor:
        """The vectors of all frames [B·M, frame_size], given identities [B, identity_size]."""

    def parts(self) -> dict[str, keras.layers.Layer]:
        """Its sub-networks by name, which share all of its weights out among them."""
        return {self.name: self}

    def weight_groups(self) -> dict[str, list[tf.Variable]]:
        """All trainable weights by the name of the group that gets one learning rate."""
        return {"network": [weight.value for weight in self.trainable_weights]}
