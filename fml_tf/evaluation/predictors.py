"""Methods: from a case's frames to a `Prediction`, by our model."""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from fml_tf.evaluation.predictions import FaceFit, Frame, Prediction, Shape
from fml_tf.files.images import to_bytes
from fml_tf.losses.photometric import photometric_error_rgb, photometric_weights
from fml_tf.models.encoders.image_set import ImageSetEncoder, by_sum, most_confident
from fml_tf.models.reconstructor import EditIdentity, FaceReconstructor, hold_at_mean
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.prepare import (
    CropSettings,
    FaceError,
    PreparedFrame,
    certain_faces,
    prepare_face,
)
from fml_tf.refinement.refiner import Refiner
from fml_tf.rendering.pictures import render_frame_pictures
from fml_tf.rendering.sampling import sample_bilinear
from fml_tf.structures import FaceParameters
from fml_tf.template.makehuman import load_makehuman
from fml_tf.viewer.glb import face_glb
from fml_tf.viewer.page import viewer_page
from fml_tf.xla import without_xla

TRAINING_MEAN = "training mean"
"""Method that answers the mean of the people that a model learned from, whoever it sees."""
_OTHER_WEIGHTINGS = {"summed confidence": by_sum, "most confident": most_confident}
_MOST_CROPS = 500  # kept at once

Predict = Callable[[str, Sequence[Frame]], Prediction]
"""A case's name and M of its frames → the prediction."""


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to predict, with a name for tables.

    Attributes:
      name: such as "pooled 4"; a file name too.
      num_frames: M, frames that one prediction is made from; None for all of a case.
      predict: see `Predict`.
      note: what readers of the figures need to know of it.
    """

    name: str
    num_frames: int | None
    predict: Predict
    note: str = ""


class ModelPredictor:
    """Predicts with a trained model (`model`).

    Args:
      model: the model.
      landmark_detector: of `LANDMARK_DETECTORS`, for pictures that are no crops.
      min_face_size: least width of a face's crop in a picture, px.
      min_confidence: least mean confidence of its landmarks, where the face had to be searched
        for: a face box that a data set gives is trusted.
    """

    def __init__(
        self,
        model: FaceReconstructor,
        landmark_detector: str = "auto",
        min_face_size: int = 60,
        min_confidence: float = 0.3,
    ):
        self.model = model
        self._landmark_detector = landmark_detector
        self._settings = CropSettings.of_model(model.config, min_face_size, min_confidence)
        template = model.template
        self._face = tf.constant(template.regions["face"])
        self._encode = tf.function(model.encode, reduce_retracing=True)
        self._refiner = None if model.prior is None else Refiner(model, model.prior)
        # By frame: the methods see the same ones, and finding faces takes longest.
        self._faces: dict[str, PreparedFrame | FaceError] = {}

    def methods(self, num_frames: Sequence[int | None]) -> list[Method]:
        """Mean faces, of the first M; for each M single frames averaged, pooled features, refined.

        The template's "mean face" has poses and lights; the "training mean", of the people that the
        model learned from and where that is known, is a shape and nothing else. Answers are refined
        where the model says how far to trust them.

        Of a model of two levels, "coarse" is the base level. Of one that weighs frames by
        confidence, "summed confidence" and "most confident" are other ways to (Deep3D, Table 4: S2
        and S3).

        An M of None takes all frames of a case that show a usable face, so that those of a video
        which do not are no failure.
        """
        methods = [self._method("mean face", num_frames[0], self._predict_mean)]
        if self.model.training_mean is not None:
            mean = self._method(TRAINING_MEAN, num_frames[0], self._predict_training_mean)
            methods.append(mean)
        for count in num_frames:
            label = "all" if count is None else str(count)
            # What sees single frames averages them by itself.
            if count != 1 and not self.model.encoder.monocular:
                methods.append(self._method(f"averaged {label}", count, self._predict_averaged))
            methods.append(self._method(f"pooled {label}", count, self.predict_pooled))
            if self.model.face_model.base_level is not None:
                methods.append(self._method(f"coarse {label}", count, self._predict_coarse))
            if count != 1 and isinstance(self.model.encoder, ImageSetEncoder):
                for name, weighting in _OTHER_WEIGHTINGS.items():
                    predict = functools.partial(self._predict_weighted, weighting)
                    methods.append(self._method(f"{name} {label}", count, predict))
            if self._refiner is not None:
                methods.append(self._method(f"refined {label}", count, self._predict_refined))
        return methods

    def _method(self, name, count, predict):
        if count is not None:
            return Method(name, count, predict)

        def predict_usable(case, frames):
            usable, left_out = [], []
            for frame in frames:
                try:
                    self.crops([frame])
                    usable.append(frame)
                except FaceError as error:
                    left_out.append((frame.name, error))
            if not usable:
                raise left_out[0][1]
            return dataclasses.replace(
                predict(case, usable), left_out=tuple(name for name, _ in left_out)
            )

        return Method(name, None, predict_usable)

    def crops(self, frames: Sequence[Frame]) -> np.ndarray:
        """Crops [M, S, S, 3] uint8 RGB of the frames' faces.

        Raises:
          FaceError: no usable face in a frame.
          ValueError: a crop of another size than the model's.
        """
        size = self.model.config.crop_size
        crops = [frame.image if frame.is_crop else self._find_face(frame).crop for frame in frames]
        for frame, crop in zip(frames, crops):
            if crop.shape != (size, size, 3):
                raise ValueError(f"{frame.name}: a crop of {crop.shape[:2]} px, not of {size}")
        return np.stack(crops)

    def _evidence(self, frames):
        """Landmarks [M, 66, 2] in the crops, confidence [M, 66], dense points or None."""
        found = []
        for frame in frames:
            if frame.landmarks is not None:
                found.append((*frame.landmarks, None))
            elif frame.is_crop:
                raise ValueError(f"{frame.name}: a crop without landmarks to refine by")
            else:
                face = self._find_face(frame)
                found.append((face.landmarks, face.confidence, face.dense))
        landmarks, confidence, dense = zip(*found)
        whole = None if any(points is None for points in dense) else np.stack(dense)
        return np.stack(landmarks), np.stack(confidence), whole

    def _find_face(self, frame) -> PreparedFrame:
        if frame.name not in self._faces:
            if len(self._faces) >= _MOST_CROPS:
                self._faces.clear()
            try:
                self._faces[frame.name] = self._prepare(frame)
            except FaceError as error:
                self._faces[frame.name] = error
        face = self._faces[frame.name]
        if isinstance(face, FaceError):
            raise face
        return face

    def _prepare(self, frame):
        template = self.model.template
        detector = self._detector
        faces = detector.detect(frame.image)
        least = self._settings.min_confidence
        if frame.box is not None:
            # Landmarks depend on how the detector draws its boxes, and a data set's are drawn by
            # another: a face that it finds there is better.
            inside = [face for face in faces if _lies_in(face.box, frame.box)]
            faces = inside or [detector.read(frame.image, _square(frame.box))]
            least = 0.0
        face = certain_faces(faces, least)[0]
        points = template.mean_shape[template.landmark_vertices]
        return prepare_face(frame.image, face, points, self._settings)

    @functools.cached_property
    def _detector(self):
        return make_landmark_detector(self._landmark_detector)

    def _predict_mean(self, _, frames):
        batch = self._batch(frames)
        mask = tf.ones(batch.shape[:2], tf.bool)
        return self._decode(batch, self._encode(batch, mask, edit_identity=hold_at_mean))

    def _predict_training_mean(self, _, frames):
        self.crops(frames)  # or an error: no face is predicted where none is seen
        template = load_makehuman("4k")
        vertices = self.model.training_mean.astype(np.float64)
        landmarks = vertices[template.landmark_vertices]
        return Prediction(Shape(vertices, template.triangles, landmarks))

    def predict_pooled(
        self, _: str, frames: Sequence[Frame], edit_identity: EditIdentity | None = None
    ) -> Prediction:
        """Predicts from pooled features: a `Predict`, edited as in `FaceReconstructor.encode`."""
        batch = self._batch(frames)
        mask = tf.ones(batch.shape[:2], tf.bool)
        parameters = self._encode(batch, mask, edit_identity=edit_identity)
        return self._decode(batch, parameters)

    def _predict_coarse(self, case, frames):
        return self.predict_pooled(case, frames, self.model.face_model.base_level)

    def _predict_weighted(self, weighting, _, frames):
        batch, model = self._batch(frames), self.model
        mask = tf.ones(batch.shape[:2], tf.bool)
        features = model.encoder.features(batch[0], training=False)
        vectors = model.encoder.weighted_identity(features, mask, weighting)
        outputs = model.encoder.frame_parameters(features, vectors, training=False)
        parameters = FaceParameters(
            identity=model.identity_layout.split(vectors),
            frame=model.frame_layout.split(outputs[None]),
        )
        return self._decode(batch, parameters)

    def _predict_refined(self, _, frames):
        batch = self._batch(frames)
        answer = self._encode(batch, tf.ones(batch.shape[:2], tf.bool))
        landmarks, confidence, dense = self._evidence(frames)
        refinement = self._refiner.refine(batch[0].numpy(), landmarks, confidence, answer, dense)
        return self._decode(batch, refinement.parameters)

    def identity(self, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
        """A person's parameters, [size] by name; raises as `crops`."""
        batch = self._batch(frames)
        identity = self._encode(batch, tf.ones(batch.shape[:2], tf.bool)).identity
        return {name: values[0].numpy() for name, values in identity.items()}

    def _predict_averaged(self, _, frames):
        batch = self._batch(frames)
        singles = tf.transpose(batch, (1, 0, 2, 3, 4))
        fits = self._encode(singles, tf.ones(singles.shape[:2], tf.bool))
        # Face models are linear in the identity's parameters: their mean is the mean of the faces.
        parameters = fits.map_identity(lambda values: tf.reduce_mean(values, axis=0, keepdims=True))
        parameters = parameters.map_frames(lambda values: values[:, 0][None])
        return self._decode(batch, parameters)

    def _batch(self, frames):
        return tf.constant(self.crops(frames)[None], tf.float32) / 255.0

    def _decode(self, batch, parameters):
        """Raises ValueError where a frame shows nothing of the predicted face."""
        model, template = self.model, self.model.template
        with without_xla():  # which would compile again for each M
            faces = model.decode(parameters)
        observed = sample_bilinear(batch[0], faces.positions)
        everywhere = tf.ones(tf.shape(faces.visible)[1:], tf.bool)
        weights = photometric_weights(faces.visible, everywhere, self._face)
        unseen = np.flatnonzero(~np.any(weights, axis=0))
        if len(unseen):
            raise ValueError(f"no vertex of the predicted face is seen in crop {unseen[0]}")
        error = photometric_error_rgb(faces.colours, observed, weights)
        distance = _photometric_distance(faces.colours, observed, weights)
        vertices = faces.identity.neutral_vertices[..., 0].numpy().astype(np.float64)
        return Prediction(
            Shape(vertices, template.triangles, vertices[template.landmark_vertices]),
            FaceFit(
                landmark_vertices=template.landmark_vertices,
                albedo=faces.identity.albedo[..., 0].numpy(),
                expressions=_frames_first(faces.displacements),
                rotation=parameters.rotation[0].numpy(),
                positions=_frames_first(faces.positions),
                illumination=parameters.illumination[0].numpy(),
                photometric_error=error.numpy(),
                photometric_distance=distance.numpy(),
            ),
            draw=lambda m: render_frame_pictures(
                batch[0, m].numpy(), faces, m, 0, template, model.camera, model.backend
            ),
            view=lambda names: viewer_page(
                model,
                parameters,
                names,
                to_bytes(batch[0].numpy()),
                face_glb(faces.identity, template),
            ),
        )


def hash_files(paths: Sequence[pathlib.Path]) -> str:
    """SHA-256 over the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _photometric_distance(colours, observed, weights):
    """[N] mean Euclidean distance in RGB, [0, 255], over the weighted vertices [V, N]."""
    difference = tf.where(weights[:, None] > 0, colours - observed, 0.0)
    total = tf.reduce_sum(weights * tf.norm(difference, axis=1), axis=0)
    return 255.0 * total / tf.reduce_sum(weights, axis=0)


def _frames_first(values):
    """[V, C, N] tensor → [N, V, C] array."""
    return np.moveaxis(values.numpy(), -1, 0)


def _lies_in(face: FaceBox, box: tuple[float, float, float, float]) -> bool:
    left, top, right, bottom = box
    u, v = face.centre
    return left < u < right and top < v < bottom


def _square(box: tuple[float, float, float, float]) -> FaceBox:
    left, top, right, bottom = box
    width = max(right - left, bottom - top)
    return FaceBox((left + right - width) / 2, (top + bottom - width) / 2, width, score=0.0)
