"""The functions of the exported model, each a signature with named inputs and outputs."""

import dataclasses

import numpy as np
import tensorflow as tf

from fml_tf.models.fml_model import FmlModel
from fml_tf.rendering.image_formation import form_faces
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
from fml_tf.structures import NUM_SH_BANDS, PARAMETERS, FaceParameters
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

_BLOCK = 2048  # rows of a 16-bit basis that are converted at a time


@dataclasses.dataclass(frozen=True, eq=False)
class FoldedBases:
    """What coefficients are multiplied with at serving.

    Attributes:
      shape: [3G, g] float32, OCL(Θs) in mm.
      albedo: [3V, |β|] float32, Θa.
      expression: [3V, b] float32 mm, B.
    """

    shape: np.ndarray
    albedo: np.ndarray
    expression: np.ndarray


def folded_bases(model: FmlModel) -> FoldedBases:
    """Projects Θs for good, and gives it its unit."""
    face_model = model.face_model
    shape = face_model.orthogonal_complement(face_model.shape_basis.numpy().astype(np.float64))
    expression = model.expression_basis.basis
    return FoldedBases(
        shape=np.float32(shape * face_model.length_unit_mm),
        albedo=face_model.albedo_basis.numpy(),
        expression=expression.reshape(len(expression), -1).T,
    )


class FaceService:
    """A model's signatures, on weights and bases that are ready for use.

    OCL(Θs) is folded into one matrix in mm. It acts on the graph's nodes, and the few skinning
    weights of each vertex follow: multiplied out, S·OCL(Θs) would be as large as Θa, to be read for
    each request.

    Args:
      model: the model.
      dtype: of the three stored bases, "float32", "bfloat16" or "float16". All is computed in
        float32.

    Raises:
      ValueError: a basis that overflows in dtype, or is not finite.
    """

    def __init__(self, model: FmlModel, dtype: str = "float32"):
        self._model = model
        face_model, bases = model.face_model, folded_bases(model)
        self._shape_basis = _stored(bases.shape, dtype)
        self._albedo_basis = _stored(bases.albedo, dtype)
        self._expression_basis = _stored(bases.expression, dtype)
        self._mean_albedo = _stored(face_model.mean_albedo, "float32")
        self._mean_shape = _stored(model.template.mean_shape, "float32")
        self._skinning_weights = _stored(model.graph.skinning_weights, "float32")
        size = model.config.crop_size
        self._frames = tf.TensorSpec((None, None, size, size, 3), tf.float32, "frames")
        self._files = tf.TensorSpec((None, None), tf.string, "image_bytes")
        self._mask = tf.TensorSpec((None, None), tf.bool, "frame_mask")
        self._parameters = [
            tf.TensorSpec(shape, tf.float32, name)
            for name, shape in zip(
                PARAMETERS,
                (
                    (None, model.config.shape_size),
                    (None, model.config.albedo_size),
                    (None, None, 3),
                    (None, None, 3),
                    (None, None, bases.expression.shape[1]),
                    (None, None, NUM_SH_BANDS, 3),
                ),
            )
        ]
        # Graphs of their own, so that the signatures share them in the file.
        self._encode = _graph(self._encode_frames, [self._frames, self._mask])
        self._neutral = _graph(self._neutral_faces, self._parameters[:2])
        self._decode = _graph(self._decode_faces, self._parameters)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that the signatures read, each once."""
        networks = (
            self._model.encoder,
            self._model.identity_network,
            self._model.parameter_network,
        )
        return [weight.value for network in networks for weight in network.weights] + [
            self._shape_basis,
            self._albedo_basis,
            self._expression_basis,
            self._mean_albedo,
            self._mean_shape,
            self._skinning_weights,
        ]

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
        parameters = self._encode(frames, mask)
        return {name: getattr(parameters, name) for name in PARAMETERS}

    def _identify(self, frames, mask):
        parameters = self._encode(frames, mask)
        neutral, albedo = self._neutral(parameters.shape, parameters.albedo)
        return {
            "shape": parameters.shape,
            "albedo": parameters.albedo,
            "neutral_vertices": tf.transpose(neutral, (2, 0, 1)),
            "vertex_albedo": tf.transpose(albedo, (2, 0, 1)),
        }

    def _reconstruct(self, frames, mask):
        parameters = self._regress(frames, mask)
        return parameters | self._decode(**parameters)

    def _geometry(self, shape, albedo, rotation, translation, expression, illumination):
        values = (shape, albedo, rotation, translation, expression, illumination)
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
        return self._decode(**check_same_sizes(checked))

    def _encode_frames(self, frames, mask):
        return self._model.encode(frames, mask)

    def _neutral_faces(self, shape, albedo):
        """α, β → neutral vertices and albedo, [V, 3, B] each."""
        num_vertices, num_nodes = self._model.template.num_vertices, self._model.graph.num_nodes
        nodes = tf.reshape(_combine(self._shape_basis, shape), (num_nodes, -1))
        neutral = tf.add_n(
            [
                weights[:, None] * tf.gather(nodes, indices)
                for weights, indices in zip(
                    tf.unstack(self._skinning_weights, axis=1),
                    self._model.graph.skinning_indices.T,
                )
            ]
        )
        neutral = tf.reshape(neutral, (num_vertices, 3, -1)) + self._mean_shape[..., None]
        vertex_albedo = self._mean_albedo[:, None] + _combine(self._albedo_basis, albedo)
        return neutral, tf.reshape(vertex_albedo, (num_vertices, 3, -1))

    def _decode_faces(self, shape, albedo, rotation, translation, expression, illumination):
        num_people, num_frames = tf.unstack(tf.shape(expression)[:2])
        template = self._model.template
        num_vertices = template.num_vertices
        neutral, vertex_albedo = self._neutral(shape, albedo)
        displacements = _combine(
            self._expression_basis, tf.reshape(expression, (-1, expression.shape[-1]))
        )
        # LiteRT's converter breaks on -1 in the place of the last size.
        displacements = tf.reshape(displacements, (num_vertices, 3, num_people * num_frames))
        vertices, _, positions, colours, visible = form_faces(
            neutral,
            vertex_albedo,
            displacements,
            FaceParameters(
                shape=shape,
                albedo=albedo,
                rotation=rotation,
                translation=translation,
                expression=expression,
                illumination=illumination,
            ),
            self._model.one_ring,
            self._model.camera,
        )

        def by_frame(values):
            """[V, ..., N] → [B, M, V, ...]."""
            values = tf.transpose(values, (values.shape.rank - 1, *range(values.shape.rank - 1)))
            return tf.reshape(values, (num_people, num_frames, num_vertices, *values.shape[2:]))

        neutral = tf.transpose(neutral, (2, 0, 1))
        positions, vertices = by_frame(positions), by_frame(vertices)
        return {
            "neutral_vertices": neutral,
            "vertex_albedo": tf.transpose(vertex_albedo, (2, 0, 1)),
            "model_vertices": neutral[:, None] + by_frame(displacements),
            "camera_vertices": vertices,
            "colours": by_frame(colours),
            "positions": positions,
            "visible": by_frame(visible),
            "landmarks": tf.gather(positions, template.landmark_vertices, axis=2),
            "camera_landmarks": tf.gather(vertices, template.landmark_vertices, axis=2),
            "triangles": tf.tile(template.triangles[None], (num_people, 1, 1)),
        }


def _stored(values, dtype):
    values = tf.cast(values, dtype)
    if not np.isfinite(tf.cast(values, tf.float32)).all():
        raise ValueError(f"the model holds numbers that {dtype} cannot store; take another dtype")
    return tf.Variable(values, trainable=False)


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


def _combine(basis, coefficients):
    """Basis [rows, k] · coefficients [N, k] → [rows, N], in float32."""

    def product(rows):
        return tf.matmul(tf.cast(rows, tf.float32), coefficients, transpose_b=True)

    if basis.dtype == tf.float32:
        return product(basis)
    # In blocks that stay in the cache: a float32 copy of all would go through memory twice.
    starts = range(0, basis.shape[0], _BLOCK)
    return tf.concat([product(basis[i : i + _BLOCK]) for i in starts], axis=0)
