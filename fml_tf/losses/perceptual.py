"""Whether a network for face recognition takes the rendered face for the person (Deep3D).

The perception-level loss of Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised
Learning" (CVPRW 2019). Their network was trained on photos of their own. Ours is dlib's, and its
cosine is centred (`fml_tf/perception/recognition.py`).
"""

import tensorflow as tf

from fml_tf.losses.base import Loss, LossValue
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.perception.recognition import FaceRecognition, centred_cosine, mean_descriptor
from fml_tf.rendering.image_formation import merge_frames
from fml_tf.rendering.pixel_image import render_faces


class PerceptualLoss(Loss):
    """1 − centred cosine of the frame and the rendered face, mean over people.

    The face region is drawn on black, where the rest of the head does not hide it; the frame is
    left as it is. Both are aligned by the detected landmarks, so that a face that is drawn in the
    wrong place costs, too. Frames get no gradient. Of a batch every `config.perceptual_every`-th
    frame is looked at. Measures `identity_cosine` of each frame.
    """

    def __init__(self, model: FaceReconstructor):
        self._every = model.config.perceptual_every
        self._backend = model.backend
        self._camera = model.camera
        self._recognition = FaceRecognition()
        with tf.init_scope():
            self._mean = tf.constant(mean_descriptor())
            self._region = tf.constant(model.template.regions["face"])
            self._triangles = tf.constant(model.template.triangles)

    def __call__(self, batch, parameters, faces):
        """See `Loss`."""
        del parameters
        some = slice(None, None, self._every)
        pictures, _ = render_faces(
            faces.vertices[..., some],
            faces.colours[..., some],
            self._region,
            self._triangles,
            self._camera,
            self._backend,
        )
        landmarks = merge_frames(batch.landmarks)[some]
        seen = self._recognition.describe(merge_frames(batch.frames)[some], landmarks)
        drawn = self._recognition.describe(pictures, landmarks)
        cosine = centred_cosine(tf.stop_gradient(seen), drawn, self._mean)
        # The frames that nobody looked at are taken to be like the one before them.
        count = tf.size(batch.frame_mask)
        cosine = tf.repeat(cosine, self._every)[:count]
        cosine = tf.reshape(cosine, tf.shape(batch.frame_mask))
        loss = tf.reduce_sum(tf.where(batch.frame_mask, 1.0 - cosine, 0.0))
        num_people = tf.cast(tf.shape(batch.frame_mask)[0], loss.dtype)
        return LossValue(loss / num_people, {"identity_cosine": cosine})
