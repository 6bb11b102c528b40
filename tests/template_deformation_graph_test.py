import dataclasses
import functools

import numpy as np
import pytest
import trimesh
from full_disk import full_disk
from scipy.sparse.csgraph import dijkstra

from fml_tf.geometry import topology
from fml_tf.template.deformation_graph import build_deformation_graph, load_or_build_graph
from fml_tf.template.face_template import REGIONS, FaceTemplate
from fml_tf.template.makehuman import load_makehuman

CORNERS = [36, 39, 42, 45, 48, 54]
# Region, its two corners, landmarks along the upper and along the lower side.
GAPS = {
    "mouth": ("lips", [48, 54], [60, 61, 62], [65, 64, 63]),
    "right eye": ("eyelids", [36, 39], [37, 38], [41, 40]),
    "left eye": ("eyelids", [42, 45], [43, 44], [47, 46]),
}


@functools.cache
def load(resolution):
    template = load_makehuman(resolution)
    return template, build_deformation_graph(template)


@pytest.fixture
def template():
    return load("4k")[0]


@pytest.fixture
def graph():
    return load("4k")[1]


def make_sphere(face=None):
    """A template of an icosphere of 100 mm, of which everything is face unless told."""
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=100)
    count = len(sphere.vertices)
    regions = {name: np.zeros(count, bool) for name in REGIONS}
    regions["face"] = np.ones(count, bool) if face is None else face(sphere.vertices)
    return FaceTemplate(
        name="sphere",
        mean_shape=sphere.vertices.astype(np.float32),
        triangles=sphere.faces.astype(np.int32),
        uv=None,
        blendshapes=np.zeros((0, count, 3), np.float32),
        blendshape_names=(),
        blendshape_sigma=np.zeros(0, np.float32),
        landmark_vertices=np.arange(66, dtype=np.int32),
        contour_candidates=np.zeros((17, 1), np.int32),
        regions=regions,
        mouth_opening=np.zeros((count, 3), np.float32),
    )


def split_sides(template, gap):
    """Returns [V] masks of upper and lower side, and the distance to the nearer corner, mm."""
    region, corners, upper, lower = GAPS[gap]
    shape = template.mean_shape + template.mouth_opening
    points = shape[template.landmark_vertices]
    first, last = corners
    rims = [points[[first, *rim, last]] for rim in (upper, lower)]
    middle = np.mean([np.interp(shape[:, 0], rim[:, 0], rim[:, 1]) for rim in rims], axis=0)
    to_corner = np.linalg.norm(shape[:, None] - points[corners], axis=2).min(axis=1)
    centre, width = points[corners, 0].mean(), np.ptp(points[corners, 0])
    inside = template.regions[region] & (np.abs(shape[:, 0] - centre) < width / 2 + 3)
    return inside & (shape[:, 1] > middle), inside & (shape[:, 1] <= middle), to_corner


def test_every_vertex_follows_a_convex_mix_of_its_nodes(template, graph):
    assert graph.num_nodes == 521
    assert len(np.unique(graph.node_vertices)) == 521
    assert graph.skinning_indices.shape == graph.skinning_weights.shape == (4069, 4)
    assert graph.skinning_weights.min() >= 0
    np.testing.assert_allclose(graph.skinning_weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(graph.node_positions, template.mean_shape[graph.node_vertices])


def test_one_displacement_of_all_nodes_translates_every_vertex(graph):
    moved = graph.skinning_matrix() @ np.tile([1.0, -2.0, 3.0], (521, 1))
    np.testing.assert_allclose(moved, np.tile([1.0, -2.0, 3.0], (4069, 1)), atol=1e-5)


def test_the_skinning_matrix_has_full_column_rank(graph):
    matrix = graph.skinning_matrix().astype(np.float64)
    assert np.linalg.eigvalsh((matrix.T @ matrix).toarray()).min() > 1e-3


def test_a_nodes_own_vertex_follows_it_most(graph):
    own = graph.skinning_indices[graph.node_vertices]
    np.testing.assert_array_equal(own[:, 0], np.arange(521))


def test_vertices_follow_the_nearest_nodes_along_the_surface():
    sphere = make_sphere()
    graph = build_deformation_graph(sphere, num_nodes=70)
    lengths = topology.edge_lengths(sphere.mean_shape, sphere.triangles)
    ways = dijkstra(lengths, indices=graph.node_vertices).T  # [V, G], a little too long: edges only
    chosen = np.take_along_axis(ways, graph.skinning_indices, axis=1).max(axis=1)
    fourth = np.sort(ways, axis=1)[:, 3]
    assert (chosen <= 1.2 * fourth + 1e-3).all()
    nearest = ways[np.arange(len(ways)), graph.skinning_indices[:, 0]]
    assert (nearest <= 1.2 * ways.min(axis=1) + 1e-3).all()


def test_edges_are_the_pairs_that_share_a_vertex(graph):
    follows = (graph.skinning_matrix() > 0).astype(int)
    first, second = np.nonzero(np.triu((follows.T @ follows).toarray(), k=1))
    np.testing.assert_array_equal(graph.edges, np.stack([first, second], axis=1))


@pytest.mark.parametrize("resolution", ["4k", "16k"])
@pytest.mark.parametrize("gap", GAPS)
def test_no_node_joins_two_lips_or_two_lids(resolution, gap):
    template, graph = load(resolution)
    upper, lower, to_corner = split_sides(template, gap)
    follows = graph.skinning_matrix().tocsc()
    corners = template.landmark_vertices[CORNERS]
    nodes = np.flatnonzero(~np.isin(graph.node_vertices, corners))
    vertex = graph.node_vertices
    assert upper.sum() > 50 and lower.sum() > 50  # the split found both sides
    num_checked = 0
    for here, there in [(upper, lower), (lower, upper)]:
        for node in nodes[here[vertex[nodes]]]:
            moved = follows[:, [node]].indices
            # Where the two really meet, a node may reach around the corner, as far as its spacing.
            assert to_corner[moved[there[moved]]].max(initial=0) < 8.5
            num_checked += 1
    assert num_checked > 10
    # Nor does the smoothness term couple the two sides, but next to the corner.
    i, j = graph.edges[~np.isin(vertex[graph.edges], corners).any(axis=1)].T
    across = (upper[vertex[i]] & lower[vertex[j]]) | (lower[vertex[i]] & upper[vertex[j]])
    assert to_corner[vertex[np.stack([i, j])[:, across]]].max(initial=0) < 12.5


def test_the_shut_mouth_is_as_apart_as_the_open_one(template, graph):
    # The inner lips touch in the mean shape; still they follow different nodes.
    upper, lower = template.landmark_vertices[[61, 64]]
    gap = np.linalg.norm(template.mean_shape[upper] - template.mean_shape[lower])
    assert gap < 4
    assert not np.intersect1d(graph.skinning_indices[upper], graph.skinning_indices[lower]).size


def test_nodes_are_denser_in_the_face(template, graph):
    face = template.regions["face"]
    triangles = template.mean_shape[template.triangles]
    areas = np.linalg.norm(
        np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1
    )
    in_face = face[template.triangles].all(axis=1)
    lips = template.regions["lips"][template.triangles].all(axis=1)
    share_of_area = areas[in_face].sum() / areas.sum()
    share_of_nodes = face[graph.node_vertices].mean()
    assert share_of_nodes > 2 * share_of_area
    share_on_lips = template.regions["lips"][graph.node_vertices].mean()
    assert share_on_lips > 4 * areas[lips].sum() / areas.sum()


def test_pockets_carry_no_node_and_follow_their_rim():
    # A small cap that the face closes in.
    sphere = make_sphere(face=lambda v: v[:, 2] < 70)
    pocket = ~sphere.regions["face"]
    graph = build_deformation_graph(sphere, num_nodes=60)
    assert not pocket[graph.node_vertices].any()
    adjacency = topology.vertex_adjacency(sphere.triangles, sphere.num_vertices)
    rim = (adjacency[pocket].sum(axis=0) > 0) & ~pocket
    rows = {tuple(row) for row in graph.skinning_weights[rim]}
    assert all(tuple(row) in rows for row in graph.skinning_weights[pocket])


def test_the_same_template_gives_the_same_graph(template, graph):
    again = build_deformation_graph(template)
    np.testing.assert_array_equal(graph.node_vertices, again.node_vertices)
    np.testing.assert_array_equal(graph.skinning_weights, again.skinning_weights)


@pytest.mark.parametrize("num_nodes", [3, 4069])
def test_too_few_or_too_many_nodes_are_refused(template, num_nodes):
    with pytest.raises(ValueError, match="num_nodes must be from 6 to"):
        build_deformation_graph(template, num_nodes)


def test_cache_round_trip_and_damage(template, graph, tmp_path):
    built = load_or_build_graph(template, cache_dir=tmp_path)
    (path,) = tmp_path.iterdir()
    written = path.stat().st_mtime_ns
    loaded = load_or_build_graph(template, cache_dir=tmp_path)
    assert path.stat().st_mtime_ns == written
    for field in dataclasses.fields(graph):
        expected = getattr(graph, field.name)
        np.testing.assert_array_equal(getattr(built, field.name), expected)
        np.testing.assert_array_equal(getattr(loaded, field.name), expected)
        assert getattr(loaded, field.name).dtype == expected.dtype

    path.write_bytes(path.read_bytes()[:1000])
    rebuilt = load_or_build_graph(template, cache_dir=tmp_path)
    np.testing.assert_array_equal(rebuilt.skinning_weights, graph.skinning_weights)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]

    arrays = dict(np.load(path))
    arrays["skinning_indices"][0, 0] = 521
    np.savez(path, **arrays)
    np.testing.assert_array_equal(
        load_or_build_graph(template, cache_dir=tmp_path).skinning_indices, graph.skinning_indices
    )


def test_a_cache_that_cannot_be_written_is_done_without(template, graph, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    built = load_or_build_graph(template, cache_dir=tmp_path / "file")
    np.testing.assert_array_equal(built.skinning_weights, graph.skinning_weights)
    assert "could not be cached" in caplog.text
    with full_disk(1000):
        load_or_build_graph(template, 50, cache_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_cache_tells_templates_and_settings_apart(template, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_or_build_graph(template, 50)
    load_or_build_graph(template, 60)
    load_or_build_graph(template, 50, detail=1.0)
    other = dataclasses.replace(template, mean_shape=template.mean_shape * np.float32(1.1))
    graph = load_or_build_graph(other, 50)
    np.testing.assert_array_equal(graph.node_positions, other.mean_shape[graph.node_vertices])
    assert len(list((tmp_path / "fml_tf").iterdir())) == 4
