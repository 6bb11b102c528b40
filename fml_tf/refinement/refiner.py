"""Maximum a posteriori faces: the network's answer, moved to fit this person's pictures."""

import dataclasses

import numpy as np
import scipy.linalg
import tensorflow as tf

from fml_tf.losses.landmark import slide_contour
from fml_tf.models.prior import AnswerPrior
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.refinement.energy import FrameState, cauchy, motion_jacobian, position_jacobian
from fml_tf.refinement.evidence import Evidence
from fml_tf.refinement.linear_face import LinearFace
from fml_tf.rendering.illumination import spherical_harmonics
from fml_tf.rendering.image_formation import merge_frames
from fml_tf.rendering.pose import rotation_matrix, rotation_vector
from fml_tf.rendering.sampling import sample_bilinear
from fml_tf.structures import NUM_SH_BANDS, DecodedFaces, FaceParameters
from fml_tf.template.dense_landmarks import load_dense_landmarks
from fml_tf.xla import without_xla

METHODS = ("landmarks", "photometric")
"""What an answer is refined by: landmarks, or landmarks and colours."""

# About how many vertices of the face are compared with the picture.
_FACE_VERTICES = 600
_LANDMARK_REACH, _COLOUR_REACH = 3.0, 2.0


@dataclasses.dataclass(frozen=True)
class RefinementSettings:
    """How much each kind of evidence counts; chosen on validation people.

    Attributes:
      method: of `METHODS`.
      landmark_scale: factor on the landmarks' standard deviations, since their errors go together.
      dense_share: weight of a dense point beside the errors that all of them have together, since
        what is left of neighbours' goes together too.
      colour_deviation: of a vertex's colour about the model's, in [0, 1].
      colour_share: weight of a vertex, since neighbours' errors go together.
      rotation_deviation: of the network's head poses, radian.
      translation_deviation: of its translations, length units: across, down, in depth.
      light_deviation: of its coefficients of light.
      most_steps: Gauss-Newton steps.
      tolerance: it ends where a step lowers the energy by less than this share.
    """

    method: str = "photometric"
    landmark_scale: float = 2.0
    dense_share: float = 0.1
    colour_deviation: float = 0.08
    colour_share: float = 0.02
    rotation_deviation: float = 0.15
    translation_deviation: tuple[float, float, float] = (0.2, 0.2, 2.0)
    light_deviation: float = 0.3
    most_steps: int = 12
    tolerance: float = 3e-3


@dataclasses.dataclass(frozen=True, eq=False)
class Refinement:
    """A refined answer.

    Attributes:
      parameters: B = 1 person.
      energy: before, and after each step that was taken: it never rises.
    """

    parameters: FaceParameters
    energy: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class _Point:
    """Where the minimisation stands, with what its energy and derivatives are made of.

    Beside the parameters it has [M, K] factors of the ways in which dense points err together.
    """

    parameters: FaceParameters
    errors: np.ndarray
    faces: DecodedFaces
    contour: np.ndarray
    energy: float


class Refiner:
    """Refines answers of one model.

    The energy is that of a Gaussian about the network's answer (`prior`), robust distances to the
    landmarks (to dense points, beside what a detector errs in all of them together), and robust
    differences of colours on the face as far as it is visible in the network's answer; one identity
    for all frames. Minimised by Levenberg-Marquardt, normals held within a step, of which one is
    taken only where the energy falls.

    Args:
      model: answers.
      prior: of that model.
      settings: see `RefinementSettings`.
    """

    def __init__(
        self,
        model: FaceReconstructor,
        prior: AnswerPrior,
        settings: RefinementSettings = RefinementSettings(),
    ):
        self._model, self._prior, self._settings = model, prior, settings
        template = model.template
        face = np.flatnonzero(template.regions["face"])
        face = face[:: max(1, round(len(face) / _FACE_VERTICES))]
        landmarks = np.concatenate(
            [template.landmark_vertices, template.contour_candidates.ravel()]
        )
        self._dense, corners = None, []
        if model.config.template == "makehuman":  # no places on other templates
            dense = self._dense = load_dense_landmarks()
            corners = dense.corners[dense.anchored].ravel()
            scale = dense.deviation[:, [0, 0, 1]]
            self._error_modes = np.moveaxis(dense.modes / scale, 0, -1).astype(np.float64)
        vertices = np.unique(np.concatenate([face, landmarks, corners]).astype(int))
        self._linear = LinearFace.of(model, vertices)
        self._row = np.full(template.num_vertices, -1)
        self._row[vertices] = np.arange(len(vertices))
        self._face = face
        self._linear_face = self._linear.at(self._row[face])
        self._expression_precision = _inverse(prior.expression)
        self._deviation = settings.landmark_scale * prior.landmark_px

    def refine(
        self,
        frames: np.ndarray,
        landmarks: np.ndarray,
        confidence: np.ndarray,
        parameters: FaceParameters,
        dense: np.ndarray | None = None,
    ) -> Refinement:
        """Refines one person's answer.

        Args:
          frames: [M, S, S, 3] crops, sRGB in [0, 1].
          landmarks: [M, 66, 2] crop px; anything where the confidence is 0.
          confidence: [M, 66] in [0, 1].
          parameters: of `FaceReconstructor.encode`, B = 1.
          dense: [M, 468, 4] of a detector that has them, see `PreparedFrame`.

        Raises:
          ValueError: pictures, or landmarks that are to be believed, are not finite.
        """
        prior = self._prior
        evidence = self._gather(frames, landmarks, confidence, parameters, dense)
        precision = _inverse(prior.identity_pooled if len(frames) > 1 else prior.identity_single)
        return self._minimise([parameters], parameters, evidence, precision)

    def follow(
        self,
        frames: np.ndarray,
        landmarks: np.ndarray,
        confidence: np.ndarray,
        parameters: FaceParameters,
        dense: np.ndarray | None = None,
        before: FaceParameters | None = None,
    ) -> FaceParameters:
        """Refines consecutive frames, one after the other, with the identity held.

        Each starts from the refined frame before it where that fits better than the network's
        answer.

        Args:
          frames, landmarks, confidence, parameters, dense: as of `refine`.
          before: the refined frame before the first, M = 1.
        """
        refined = []
        for m in range(len(frames)):
            one = slice(m, m + 1)
            answer = parameters.map_frames(lambda values, one=one: values[:, one])
            points = None if dense is None else dense[one]
            evidence = self._gather(frames[one], landmarks[one], confidence[one], answer, points)
            starts = [answer]
            if before is not None:
                starts.append(FaceParameters(identity=answer.identity, frame=before.frame))
            before = self._minimise(starts, answer, evidence).parameters
            refined.append(before.frame)
        joined = {name: tf.concat([f[name] for f in refined], axis=1) for name in refined[0]}
        return FaceParameters(identity=parameters.identity, frame=joined)

    def _gather(self, frames, landmarks, confidence, answer, dense):
        if self._dense is None:
            dense = None
        elif dense is not None:
            dense = dense[:, self._dense.anchored]
        visible = self._decode(answer).visible
        return Evidence(frames, landmarks, confidence, visible, dense)

    def _decode(self, parameters):
        with without_xla():  # which would compile again for each M
            return self._model.decode(parameters)

    def _minimise(self, starts, answer, evidence, precision=None) -> Refinement:
        """The least energy that is reached from the best of some starts.

        Without a precision of the identity it is held.
        """
        settings, size = self._settings, self._model.identity_layout.size
        free = slice(size if precision is None else 0, None)
        precision = np.zeros((size, size)) if precision is None else precision
        modes = 0 if evidence.dense is None else self._error_modes.shape[2]
        none = np.zeros((len(evidence.frames), modes))
        points = [self._evaluate(start, none, answer, evidence, precision) for start in starts]
        point = min(points, key=lambda point: point.energy)
        energies, damping = [point.energy], 1e-3
        for _ in range(settings.most_steps):
            matrix, gradient = self._system(point, answer, evidence, precision)
            step, taken = np.zeros_like(gradient), None
            while damping < 1e6 and taken is None:
                damped = matrix + damping * np.diag(np.diag(matrix))
                step[free] = -scipy.linalg.solve(damped[free, free], gradient[free], assume_a="pos")
                moved = self._move(point, step)
                trial = self._evaluate(*moved, answer, evidence, precision)
                if trial.energy < point.energy:
                    taken, damping = trial, max(damping / 5, 1e-6)
                else:
                    damping *= 5
            if taken is None:
                break
            point = taken
            energies.append(point.energy)
            if energies[-2] - energies[-1] < settings.tolerance * energies[-2]:
                break
        return Refinement(point.parameters, tuple(energies))

    def _split(self, parameters):
        """Vectors in the network's units: identity [Z], and frames [M, F]."""
        model = self._model
        identity = model.identity_layout.join(parameters.identity)[0].numpy()
        frames = model.frame_layout.join(parameters.frame)[0].numpy()
        return identity.astype(np.float64), frames.astype(np.float64)

    def _differences(self, parameters, answer):
        """Of the identity [Z] and the frames [M, F] from the answer; rotations as vectors."""
        (identity, frames), (identity_0, frames_0) = self._split(parameters), self._split(answer)
        frame = frames - frames_0
        turns = tf.matmul(_rotations(parameters), _rotations(answer), transpose_b=True)
        frame[:, :3] = rotation_vector(turns).numpy()
        return identity - identity_0, frame

    def _frame_precision(self, modes):
        """[F + K, F + K] about the network's answer for a frame, and of a detector's K errors."""
        settings = self._settings
        pose = (settings.rotation_deviation,) * 3 + settings.translation_deviation
        return scipy.linalg.block_diag(
            np.diag(np.square(1.0 / np.array(pose))),
            self._expression_precision,
            np.eye(3 * NUM_SH_BANDS) / settings.light_deviation**2,
            np.eye(modes),
        )

    def _evaluate(self, parameters, errors, answer, evidence, precision) -> _Point:
        faces = self._decode(parameters)
        identity, frame = self._differences(parameters, answer)
        frame = np.concatenate([frame, errors], axis=1)
        of_frame = self._frame_precision(errors.shape[1])
        energy = 0.5 * identity @ precision @ identity
        energy += 0.5 * np.einsum("mi,ij,mj", frame, of_frame, frame)
        template = self._model.template
        contour = slide_contour(
            faces.vertices,
            template.landmark_vertices,
            template.contour_candidates,
            tf.constant(evidence.landmarks, tf.float32),
            self._model.camera,
        ).numpy()
        point = _Point(parameters, errors, faces, contour, 0.0)
        for m in range(len(evidence.frames)):
            energy += self._landmarks(point, evidence, m)[0].sum()
            if evidence.dense is not None:
                energy += self._dense_points(point, evidence, m)[0].sum()
            if self._settings.method == "photometric":
                energy += self._colours(point, evidence, m)[0].sum()
        return dataclasses.replace(point, energy=float(energy))

    def _landmarks(self, point, evidence, m):
        """Energies [66], weights [66] and residuals [66, 2] px of a frame."""
        positions = point.faces.positions[..., m].numpy()[point.contour[m]]
        residual = positions - evidence.landmarks[m]
        variance = self._deviation**2
        energy, weight = cauchy(np.sum(residual**2, axis=1) / variance, _LANDMARK_REACH)
        share = evidence.confidence[m]
        return share * energy, share * weight / variance, residual

    def _dense_points(self, point, evidence, m):
        """Energies [A], weights [A] and residuals [A, 3] of a frame's anchored dense points.

        Residuals are in deviations of a point: in the picture's plane, and of the depth behind the
        points' mean, where the detector's are as long as in the picture's plane.
        """
        anchored, camera = self._dense.anchored, self._model.camera
        positions = self._dense.of(point.faces.positions[..., m].numpy())[anchored]
        depth = -self._dense.of(point.faces.vertices[..., m].numpy())[anchored, 2]
        observed, px_a_mm = evidence.dense[m], camera.focal_length_px / depth
        in_plane = (positions - observed[:, :2]) / px_a_mm[:, None]
        mean = depth.mean()
        behind = depth - mean - evidence.depths[m] * mean / camera.focal_length_px
        residual = np.column_stack([in_plane, behind]) / self._dense.deviation[:, [0, 0, 1]]
        residual += self._error_modes @ point.errors[m]
        energy, weight = cauchy(np.sum(residual**2, axis=1), _LANDMARK_REACH)
        share = self._settings.dense_share * observed[:, 3]
        return share * energy, share * weight, residual

    def _colours(self, point, evidence, m):
        """Energies [P], weights [P] and residuals [P, 3] of a frame's visible face."""
        settings = self._settings
        faces = point.faces
        positions = tf.gather(faces.positions[..., m], self._face)
        observed = sample_bilinear(evidence.frames[m][None], positions[..., None])[..., 0].numpy()
        residual = tf.gather(faces.colours[..., m], self._face).numpy() - observed
        visible = evidence.visible[self._face, m]
        variance = settings.colour_deviation**2
        energy, weight = cauchy(np.sum(residual**2, axis=1) / variance, _COLOUR_REACH)
        share = settings.colour_share * visible
        return share * energy, share * weight / variance, residual

    def _system(self, point, answer, evidence, precision):
        """Gauss-Newton's matrix and gradient, by identity and then frame by frame."""
        identity, frame = self._differences(point.parameters, answer)
        frame = np.concatenate([frame, point.errors], axis=1)
        size, (count, length) = len(identity), frame.shape
        matrix = np.zeros((size + count * length,) * 2)
        gradient = np.zeros(size + count * length)
        matrix[:size, :size] = precision
        gradient[:size] = precision @ identity
        of_frame = self._frame_precision(point.errors.shape[1])
        rotations = _rotations(point.parameters).numpy()
        for m in range(count):
            block, vector = self._frame_system(point, evidence, m, rotations[m])
            own = slice(size + m * length, size + (m + 1) * length)
            matrix[:size, :size] += block[:size, :size]
            matrix[:size, own] = block[:size, size:]
            matrix[own, :size] = block[size:, :size]
            matrix[own, own] = block[size:, size:] + of_frame
            gradient[:size] += vector[:size]
            gradient[own] = vector[size:] + of_frame @ frame[m]
        return matrix, gradient

    def _frame_system(self, point, evidence, m, rotation):
        """JᵀWJ and JᵀWr of one frame's evidence, by identity and this frame's parameters."""
        faces, model = point.faces, self._model
        translation = point.parameters.translation[0, m].numpy()
        size, light = self._linear.shape.shape[2], 3 * NUM_SH_BANDS

        def jacobians(linear):
            """Of the vertices, and of their positions."""
            vertices = tf.gather(faces.vertices[..., m], linear.vertices).numpy()
            state = FrameState(rotation, vertices, translation)
            motion = motion_jacobian(state, linear, model.config.length_unit_mm)
            return motion, position_jacobian(state, motion, model.camera)

        _, weight, residual = self._landmarks(point, evidence, m)
        _, rows = jacobians(self._linear.at(self._row[point.contour[m]]))
        total = rows.shape[2] + light + point.errors.shape[1]
        matrix, vector = np.zeros((total, total)), np.zeros(total)
        _accumulate(matrix, vector, rows, weight, residual)
        if evidence.dense is not None:
            corners, weights = (
                a[self._dense.anchored] for a in (self._dense.corners, self._dense.weights)
            )
            motion, rows = (
                np.einsum(
                    "pc,pcdk->pdk", weights, values.reshape(*corners.shape, *values.shape[1:])
                )
                for values in jacobians(self._linear.at(self._row[corners.ravel()]))
            )
            depth = -self._dense.of(faces.vertices[..., m].numpy())[self._dense.anchored, 2]
            in_plane = rows * (depth / model.camera.focal_length_px)[:, None, None]
            behind = -motion[:, 2:]
            mean = behind.mean(axis=0)
            of_mean = evidence.depths[m][:, None, None] / model.camera.focal_length_px
            rows = np.concatenate([in_plane, behind - mean - of_mean * mean], axis=1)
            rows /= self._dense.deviation[:, [0, 0, 1], None]
            unlit = np.zeros((*rows.shape[:2], light))
            rows = np.concatenate([rows, unlit, self._error_modes], axis=2)
            _, weight, residual = self._dense_points(point, evidence, m)
            _accumulate(matrix, vector, rows, weight, residual)
        if self._settings.method == "photometric":
            _, weight, residual = self._colours(point, evidence, m)
            seen = weight > 0
            linear = self._linear_face.at(seen)
            positions = tf.gather(faces.positions[..., m], linear.vertices)[..., None]
            slope = sample_bilinear(evidence.slopes[m][None], positions)[..., 0].numpy()
            slope = slope.reshape(-1, 2, 3)
            _, rows = jacobians(linear)
            rows = -np.einsum("pdc,pdk->pck", slope, rows)
            normals = tf.gather(faces.normals[..., m : m + 1], linear.vertices)
            bands = spherical_harmonics(normals)[..., 0].numpy()
            shading = bands @ point.parameters.illumination[0, m].numpy()
            rows[..., :size] += shading[..., None] * linear.albedo
            albedo = tf.gather(faces.identity.albedo[..., 0], linear.vertices).numpy()
            of_light = np.einsum("pc,pb,cd->pcbd", albedo, bands, np.eye(3))
            rows = np.concatenate([rows, of_light.reshape(*albedo.shape, light)], axis=2)
            _accumulate(matrix, vector, rows, weight[seen], residual[seen])
        return matrix, vector

    def _move(self, point, step):
        """Parameters and errors of the points after a step in the unknowns of `_system`."""
        model, parameters = self._model, point.parameters
        identity, frames = self._split(parameters)
        size, (count, length) = len(identity), frames.shape
        change, of_errors = np.split(step[size:].reshape(count, -1), [length], axis=1)
        turns = rotation_matrix(tf.constant(change[:, :3], tf.float32))
        rotation = rotation_vector(tf.matmul(turns, _rotations(parameters))).numpy()
        frames = frames + change
        frames[:, :3] = rotation
        identity = tf.constant((identity + step[:size])[None], tf.float32)
        moved = FaceParameters(
            identity=model.identity_layout.split(identity),
            frame=model.frame_layout.split(tf.constant(frames[None], tf.float32)),
        )
        return moved, point.errors + of_errors


def _rotations(parameters):
    return rotation_matrix(merge_frames(parameters.rotation))


def _accumulate(matrix, vector, rows, weight, residual):
    """Adds JᵀWJ and JᵀWr of rows [P, C, K] to the first K unknowns."""
    size = rows.shape[2]
    # In single precision, which the damping makes good: this product takes the most time.
    root = np.sqrt(weight)[:, None]
    flat = np.float32(root[..., None] * rows).reshape(-1, size)
    matrix[:size, :size] += flat.T @ flat
    vector[:size] += flat.T @ np.float32(root * residual).ravel()


def _inverse(moments: np.ndarray) -> np.ndarray:
    """Inverse of a matrix of second moments, whose smallest may be unmeasurably small."""
    values, vectors = np.linalg.eigh(moments)
    values = np.maximum(values, 1e-4 * values[-1])
    return (vectors / values) @ vectors.T
