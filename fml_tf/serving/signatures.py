"""The functions of the exported model, each a signature with named inputs and outputs."""

import tensorflow as tf

from fml_tf.models.parameters import ParameterLayout
from fml_tf.models.reconstructor import FaceReconstructor
from fml_tf.serving.checks import (
    check_bounded,
    check_frame_count,
    check_frames,
    check_mask,
    check_same_sizes,
    check_shape,
    require,
)
from fml_tf.serving.image_files import decode_frames
from fml_tf.structures import FaceParameters
from fml_tf.xla import without_xla

MASKED = "_masked"
"""Ending of the twin of a signature that also takes `frame_mask`: signatures have no optional
inputs, and TensorFlow Serving refuses a request that leaves one out."""

INPUTS = {
    "frames": ("[B, M, S, S, 3]", "crops, sRGB in [0, 1]"),
    "image_bytes": (
        "[B, M]",
        "crops as JPEG or PNG files of S × S px; an empty string is a missing frame, whose mask "
        "must be false",
    ),
    "frame_mask": (
        "[B, M]",
        "false: the frame does not touch the identity. Its own parameters are regressed all the "
        "same, under the identity of the person's other frames",
    ),
    "shape": ("[B, g]", "α, as an output of another signature"),
    "albedo": ("[B, |β|]", "β, likewise"),
    "rotation": ("[B, M, 3]", "rotation vector, radian: camera = R · model + t"),
    "translation": ("[B, M, 3]", "t, mm, camera space"),
    "expression": ("[B, M, b]", "δ, coefficients of the expression basis"),
    "illumination": ("[B, M, 9, 3]", "γ, spherical harmonics by colour channel"),
}
"""All inputs: shape and meaning. S is the crop's size, g, |β| and b the sizes of the bases."""

OUTPUTS = {
    **{name: INPUTS[name] for name in ("rotation", "translation", "expression", "illumination")},
    "shape": ("[B, g]", "α, the person's shape parameters"),
    "albedo": ("[B, |β|]", "β, the person's albedo parameters"),
    "neutral_vertices": ("[B, V, 3]", "the person's face without expression, mm, model space"),
    "vertex_albedo": ("[B, V, 3]", "sRGB, not clipped to [0, 1]"),
    "model_vertices": ("[B, M, V, 3]", "with expression, mm, model space"),
    "camera_vertices": ("[B, M, V, 3]", "posed, mm, camera space"),
    "colours": ("[B, M, V, 3]", "albedo × shading, sRGB, not clipped to [0, 1]"),
    "positions": ("[B, M, V, 2]", "projections, crop px: u right, v down, outer corner origin"),
    "visible": ("[B, M, V]", "faces the camera and projects inside the crop"),
    "landmarks": ("[B, M, 66, 2]", "projections of the 66 landmarks, crop px"),
    "camera_landmarks": ("[B, M, 66, 3]", "the same points, mm, camera space"),
    "triangles": (
        "[B, F, 3]",
        "vertex indices, counter-clockwise from outside; the same for each person, repeated since "
        "TensorFlow Serving's batching and row form want a batch axis on every output",
    ),
}
"""All outputs: shape and meaning."""


class FaceService:
    """A model's signatures, on weights and bases that are ready for use.

    Args:
      model: the model.
      dtype: of the stored bases, see `FaceModel.folded`.

    Raises:
      ValueError: a basis that overflows in dtype, or is not finite; or a model whose rendering
        backend no exported graph can hold.
    """

    def __init__(self, model: FaceReconstructor, dtype: str = "float32"):
        if model.config.rendering_backend != "fast":
            raise ValueError("exports render with the backend 'fast': load the model with it")
        self._model = model
        self._face_model = model.face_model.folded(dtype)
        size = model.config.crop_size
        self._frames = tf.TensorSpec((None, None, size, size, 3), tf.float32, "frames")
        self._files = tf.TensorSpec((None, None), tf.string, "image_bytes")
        self._mask = tf.TensorSpec((None, None), tf.bool, "frame_mask")
        self._identity_parameters = _specs(model.identity_layout, (None,))
        self._parameters = self._identity_parameters + _specs(model.frame_layout, (None, None))
        # Graphs of their own, so that the signatures share them in the file.
        self._encode = _graph(model.encode, [self._frames, self._mask])
        self._decode = _graph(self._decode_faces, self._parameters)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that the signatures read, each once."""
        return [weight.value for weight in self._model.encoder.weights] + self._face_model.stored

    def signatures(self) -> dict:
        """Traces all signatures; concrete functions by name."""
        takes_frames = {
            "serving_default": (self._frames, self._read_frames, self._regress),
            "reconstruct": (self._frames, self._read_frames, self._reconstruct),
            "identity": (self._frames, self._read_frames, self._identify),
            "image_bytes": (self._files, self._read_files, self._regress),
        }
        signatures = {}
        with without_xla():
            for name, (spec, read, respond) in takes_frames.items():
                unmasked = _unmasked(read, respond)
                signatures[name] = _graph(unmasked, [spec]).get_concrete_function()
                masked = _masked(read, respond)
                signatures[name + MASKED] = _graph(
                    masked, [spec, self._mask]
                ).get_concrete_function()
            geometry = _graph(self._geometry, self._parameters)
            signatures["geometry"] = geometry.get_concrete_function()
        return signatures

    def without_checks(
        self, num_people: int | None = None
    ) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Traces two functions for runtimes that know no assertions; bad input is not noticed.

        Args:
          num_people: B, or None for any.

        Returns:
          `regress`, which answers as the signature `serving_default_masked`, and `geometry`.
        """

        def fixed(spec):
            return tf.TensorSpec((num_people, *spec.shape[1:]), spec.dtype, spec.name)

        def regress(frames, frame_mask):
            return self._regress(frames, frame_mask)

        functions = {
            "regress": _graph(regress, [fixed(self._frames), fixed(self._mask)]),
            "geometry": _graph(self._decode_faces, [fixed(spec) for spec in self._parameters]),
        }
        with without_xla():
            for function in functions.values():
                function.get_concrete_function()
        return functions

    def _read_frames(self, frames, mask):
        frames = check_frames(frames, self._model.config.crop_size)
        return frames, _mask_or_all(mask, frames, "frames")

    def _read_files(self, files, mask):
        files = check_shape(files, "image_bytes", "[B, M] with B and M at least 1", (None, None))
        files = check_frame_count(files, "image_bytes")
        mask = _mask_or_all(mask, files, "image_bytes")
        missing = tf.equal(tf.strings.length(files), 0) & mask
        message = "image_bytes: expected a file for each frame whose frame_mask is true, missing:"
        present = require(tf.logical_not(tf.reduce_any(missing)), message, tf.where(missing))
        with tf.control_dependencies([present]):
            return decode_frames(tf.identity(files), self._model.config.crop_size), mask

    def _regress(self, frames, mask):
        return self._encode(frames, mask).by_name()

    def _identify(self, frames, mask):
        parameters = self._encode(frames, mask).identity
        identity = self._face_model.identity(parameters)
        return {
            **parameters,
            "neutral_vertices": tf.transpose(identity.neutral_vertices, (2, 0, 1)),
            "vertex_albedo": tf.transpose(identity.albedo, (2, 0, 1)),
        }

    def _reconstruct(self, frames, mask):
        parameters = self._regress(frames, mask)
        ordered = [parameters[spec.name] for spec in self._parameters]
        return parameters | self._decode(*ordered)

    def _geometry(self, *values):
        checked = {}
        for spec, value in zip(self._parameters, values):
            sizes = spec.shape.as_list()
            axes = ["B", "M"][: sizes.count(None)]
            expected = f"[{', '.join([*axes, *map(str, sizes[len(axes) :])])}]"
            expected += f" with {' and '.join(axes)} at least 1"
            value = check_shape(value, spec.name, expected, sizes)
            if "M" in axes:
                value = check_frame_count(value, spec.name)
            checked[spec.name] = check_bounded(value, spec.name)
        return self._decode(*check_same_sizes(checked).values())

    def _decode_faces(self, *values):
        named = {spec.name: value for spec, value in zip(self._parameters, values)}
        of_identity = [spec.name for spec in self._identity_parameters]
        parameters = FaceParameters(
            identity={name: named.pop(name) for name in of_identity}, frame=named
        )
        num_people, num_frames = tf.unstack(tf.shape(parameters.expression)[:2])
        template = self._model.template
        faces = self._model.decode(parameters, self._face_model)

        def by_frame(values):
            """[V, ..., N] → [B, M, V, ...]."""
            values = tf.transpose(values, (values.shape.rank - 1, *range(values.shape.rank - 1)))
            shape = (num_people, num_frames, template.num_vertices, *values.shape[2:])
            return tf.reshape(values, shape)

        neutral = tf.transpose(faces.identity.neutral_vertices, (2, 0, 1))
        positions, vertices = by_frame(faces.positions), by_frame(faces.vertices)
        return {
            "neutral_vertices": neutral,
            "vertex_albedo": tf.transpose(faces.identity.albedo, (2, 0, 1)),
            "model_vertices": neutral[:, None] + by_frame(faces.displacements),
            "camera_vertices": vertices,
            "colours": by_frame(faces.colours),
            "positions": positions,
            "visible": by_frame(faces.visible),
            "landmarks": tf.gather(positions, template.landmark_vertices, axis=2),
            "camera_landmarks": tf.gather(vertices, template.landmark_vertices, axis=2),
            "triangles": tf.tile(template.triangles[None], (num_people, 1, 1)),
        }


def _specs(layout: ParameterLayout, batch_shape: tuple) -> list[tf.TensorSpec]:
    return [
        tf.TensorSpec((*batch_shape, *parameter.shape), tf.float32, parameter.name)
        for parameter in layout.parameters
    ]


def _graph(function, specs):
    return tf.function(function, specs, autograph=False)


def _unmasked(read, respond):
    return lambda frames: respond(*read(frames, None))


def _masked(read, respond):
    return lambda frames, frame_mask: respond(*read(frames, frame_mask))


def _mask_or_all(mask, frames, of):
    if mask is None:
        return tf.ones(tf.shape(frames)[:2], tf.bool)
    return check_mask(mask, frames, of)
