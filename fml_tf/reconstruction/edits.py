"""Faces that no picture shows: driven by another clip, under another light, frontal and neutral."""

import tensorflow as tf

from fml_tf.structures import FaceParameters


def drive(person: FaceParameters, driver: FaceParameters) -> FaceParameters:
    """The person with another's expressions and head poses, under the person's mean light.

    Args:
      person: B = 1, any number of frames.
      driver: B = 1, M frames.

    Returns:
      B = 1, M frames.
    """
    light = tf.reduce_mean(person.illumination, axis=1, keepdims=True)
    driven = FaceParameters(identity=person.identity, frame=driver.frame)
    return relight(driven, light)


def relight(parameters: FaceParameters, illumination) -> FaceParameters:
    """The same faces under another light.

    Args:
      parameters: of B people with M frames each.
      illumination: what broadcasts to [B, M, 9, 3]; in camera space, so that the light comes from
        the same side of the picture as in the picture that it was found in.
    """
    light = tf.broadcast_to(illumination, tf.shape(parameters.illumination))
    return FaceParameters(
        identity=parameters.identity, frame={**parameters.frame, "illumination": light}
    )


def frontal_neutral(parameters: FaceParameters, translation) -> FaceParameters:
    """Each person once, looking straight ahead without expression, under their mean light.

    Args:
      parameters: of B people with M frames each.
      translation: [3] mm, where the head is to stand; the model's `initial_translation` puts it
        in the middle of the crop.

    Returns:
      B people, M = 1.
    """
    mean = parameters.map_frames(lambda values: tf.reduce_mean(values, axis=1, keepdims=True))
    frame = {
        **mean.frame,
        "rotation": tf.zeros_like(mean.rotation),
        "translation": tf.broadcast_to(translation, tf.shape(mean.translation)),
        "expression": tf.zeros_like(mean.expression),
    }
    return FaceParameters(identity=parameters.identity, frame=frame)
