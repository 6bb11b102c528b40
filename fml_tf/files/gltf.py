"""A face with its blendshapes as a binary glTF 2.0 file (GLB).

glTF's unit is the metre and its colours are linear: positions are written in metres and sRGB
albedo is converted. Its axes are those of our model space (y up, z out of the face).
"""

from collections.abc import Sequence

import numpy as np
import pygltflib

METRES_PER_MM = 1e-3


def srgb_to_linear(colours: np.ndarray) -> np.ndarray:
    """sRGB to linear colours, both in [0, 1]; clips first (IEC 61966-2-1)."""
    colours = np.clip(colours, 0.0, 1.0)
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def glb_bytes(
    vertices: np.ndarray,
    triangles: np.ndarray,
    albedo: np.ndarray,
    normals: np.ndarray,
    uv: np.ndarray | None = None,
    blendshapes: np.ndarray | None = None,
    blendshape_normals: np.ndarray | None = None,
    blendshape_names: Sequence[str] = (),
) -> bytes:
    """One mesh with vertex colours and morph targets.

    Morph targets are sparse accessors: a face unit moves few of the vertices. Their names go to
    `mesh.extras.targetNames`, where every importer looks for them.

    Args:
      vertices: [V, 3] mm, model space.
      triangles: [F, 3], counter-clockwise seen from outside.
      albedo: [V, 3] sRGB in [0, 1]; clipped. Written as linear `COLOR_0`.
      normals: [V, 3] unit length.
      uv: [V, 2], v up as in OBJ files (glTF's own v points down).
      blendshapes: [K, V, 3] mm, displacements at activation 1.
      blendshape_normals: [K, V, 3] change of the normals at activation 1.
      blendshape_names: K names.

    Returns:
      The content of a .glb file.
    """
    blob = _Blob()
    vertices = np.float32(vertices * METRES_PER_MM)
    attributes = pygltflib.Attributes(
        POSITION=blob.add_vertices(vertices, with_range=True),
        NORMAL=blob.add_vertices(np.float32(normals)),
        COLOR_0=blob.add_vertices(np.float32(srgb_to_linear(albedo))),
    )
    if uv is not None:
        attributes.TEXCOORD_0 = blob.add_vertices(np.float32([0.0, 1.0] + uv * [1.0, -1.0]))

    targets = []
    if blendshapes is not None:
        for displacement, normal_change in zip(blendshapes, blendshape_normals, strict=True):
            position = np.float32(displacement * METRES_PER_MM)
            targets.append(
                {
                    "POSITION": blob.add_sparse(position, position.any(axis=1), with_range=True),
                    "NORMAL": blob.add_sparse(
                        np.float32(normal_change), (np.abs(normal_change) > 1e-4).any(axis=1)
                    ),
                }
            )
    primitive = pygltflib.Primitive(
        attributes=attributes, indices=blob.add_indices(triangles), material=0, targets=targets
    )
    mesh = pygltflib.Mesh(primitives=[primitive], name="face")
    if targets:
        mesh.weights = [0.0] * len(targets)
        mesh.extras = {"targetNames": list(blendshape_names)}

    skin = pygltflib.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=0.6)
    gltf = pygltflib.GLTF2(
        asset=pygltflib.Asset(version="2.0", generator="fml-tf"),
        scene=0,
        scenes=[pygltflib.Scene(nodes=[0])],
        nodes=[pygltflib.Node(mesh=0, name="face")],
        meshes=[mesh],
        materials=[pygltflib.Material(name="skin", pbrMetallicRoughness=skin)],
        accessors=blob.accessors,
        bufferViews=blob.views,
        buffers=[pygltflib.Buffer(byteLength=len(blob.data))],
    )
    gltf.set_binary_blob(bytes(blob.data))
    return b"".join(gltf.save_to_bytes())


class _Blob:
    """The binary buffer as it grows, with the accessors and views that lead into it."""

    def __init__(self):
        self.data = bytearray()
        self.views: list[pygltflib.BufferView] = []
        self.accessors: list[pygltflib.Accessor] = []

    def add_vertices(self, values: np.ndarray, with_range: bool = False) -> int:
        """Adds a float32 attribute [V, C]; returns its accessor."""
        view = self._add_view(values, pygltflib.ARRAY_BUFFER)
        return self._add_accessor(values, with_range, bufferView=view)

    def add_sparse(self, values: np.ndarray, used: np.ndarray, with_range: bool = False) -> int:
        """Adds a float32 attribute [V, 3] of which only the rows in `used` [V] are stored."""
        values = values * used[:, None]
        if not used.any():  # no buffer at all stands for zeros
            return self._add_accessor(values, with_range)
        rows = np.flatnonzero(used).astype(np.uint32)
        sparse = pygltflib.Sparse(
            count=len(rows),
            indices=pygltflib.AccessorSparseIndices(
                bufferView=self._add_view(rows), componentType=pygltflib.UNSIGNED_INT
            ),
            values=pygltflib.AccessorSparseValues(bufferView=self._add_view(values[rows])),
        )
        return self._add_accessor(values, with_range, sparse=sparse)

    def add_indices(self, triangles: np.ndarray) -> int:
        """Adds triangles [F, 3]; returns their accessor."""
        indices = np.asarray(triangles, np.uint32).ravel()
        self.accessors.append(
            pygltflib.Accessor(
                bufferView=self._add_view(indices, pygltflib.ELEMENT_ARRAY_BUFFER),
                componentType=pygltflib.UNSIGNED_INT,
                count=len(indices),
                type=pygltflib.SCALAR,
            )
        )
        return len(self.accessors) - 1

    def _add_accessor(self, values: np.ndarray, with_range: bool, **source) -> int:
        accessor = pygltflib.Accessor(
            componentType=pygltflib.FLOAT,
            count=len(values),
            type=f"VEC{values.shape[1]}",
            byteOffset=None,  # pygltflib's 0 is an error where there is no view
            **source,
        )
        if with_range:
            accessor.min = values.min(axis=0).tolist()
            accessor.max = values.max(axis=0).tolist()
        self.accessors.append(accessor)
        return len(self.accessors) - 1

    def _add_view(self, values: np.ndarray, target: int | None = None) -> int:
        data = np.ascontiguousarray(values).tobytes()  # four byte items: views stay aligned
        self.views.append(
            pygltflib.BufferView(
                buffer=0, byteOffset=len(self.data), byteLength=len(data), target=target
            )
        )
        self.data += data
        return len(self.views) - 1
