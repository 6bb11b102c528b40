import numpy as np
import pytest

from fml_tf.files.meshes import read_mesh, write_obj, write_ply

TRIANGLES = np.array([[0, 1, 2], [0, 2, 4], [4, 3, 0]])


@pytest.fixture
def vertices():
    # Two equal vertices and one that no triangle uses: neither may be merged or dropped.
    vertices = np.random.default_rng(0).normal(0.0, 100.0, (6, 3))
    vertices[4] = vertices[1]
    return vertices


@pytest.mark.parametrize(("writer", "name"), [(write_obj, "a.obj"), (write_ply, "a.ply")])
def test_round_trip_keeps_order_positions_and_colours(tmp_path, vertices, writer, name):
    colours = np.random.default_rng(1).uniform(0.0, 1.0, (6, 3))
    writer(tmp_path / name, vertices, TRIANGLES, colours)
    mesh = read_mesh(tmp_path / name)
    np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-5 * np.abs(vertices).max())
    np.testing.assert_array_equal(mesh.faces, TRIANGLES)
    np.testing.assert_allclose(mesh.visual.vertex_colors[:, :3] / 255.0, colours, atol=0.51 / 255)
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("writer", "name"), [(write_obj, "a.obj"), (write_ply, "a.ply")])
def test_without_colours_the_file_has_none(tmp_path, vertices, writer, name):
    writer(tmp_path / name, vertices, TRIANGLES)
    assert read_mesh(tmp_path / name).visual.kind is None


def test_colours_outside_the_range_are_clipped_and_bytes_stay(tmp_path, vertices):
    colours = np.tile([[-0.5, 0.5, 1.5]], (6, 1))
    write_obj(tmp_path / "a.obj", vertices, TRIANGLES, colours)
    assert read_mesh(tmp_path / "a.obj").visual.vertex_colors[0, :3].tolist() == [0, 128, 255]
    write_obj(tmp_path / "b.obj", vertices, TRIANGLES, np.full((6, 3), 7, np.uint8))
    assert read_mesh(tmp_path / "b.obj").visual.vertex_colors[3, :3].tolist() == [7, 7, 7]


def test_polygons_are_triangulated(tmp_path):
    (tmp_path / "quad.obj").write_text("v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n")
    mesh = read_mesh(tmp_path / "quad.obj")
    assert mesh.faces.shape == (2, 3)
    assert mesh.area == pytest.approx(1.0)


def test_texture_and_materials_do_not_split_the_vertices(tmp_path, vertices):
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + ["vt 0 0", "vt 1 0", "vt 0 1", "vn 0 0 1"]
    for number, triangle in enumerate(TRIANGLES):
        lines += [
            f"usemtl skin{number}",
            "f " + " ".join(f"{v + 1}/{number + 1}/1" for v in triangle),
        ]
    (tmp_path / "a.obj").write_text("\n".join(["mtllib a.mtl", *lines]) + "\n")
    mesh = read_mesh(tmp_path / "a.obj")
    np.testing.assert_allclose(mesh.vertices, vertices, rtol=1e-6)
    np.testing.assert_array_equal(mesh.faces, TRIANGLES)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"vertices": np.zeros((6, 2))}, "vertices must be"),
        ({"vertices": np.full((6, 3), np.nan)}, "finite"),
        ({"triangles": np.array([[0, 1, 6]])}, "outside of 0..5"),
        ({"triangles": np.array([[-1, 1, 2]])}, "outside of 0..5"),
        ({"triangles": np.array([[0, 1, 2, 3]])}, "triangles must be"),
        ({"colours": np.zeros((5, 3))}, "colours must be"),
        ({"colours": np.full((6, 3), np.inf)}, "colours must be finite"),
    ],
)
def test_a_mesh_that_is_wrong_is_refused_and_nothing_written(tmp_path, vertices, broken, message):
    mesh = {"vertices": vertices, "triangles": TRIANGLES} | broken
    with pytest.raises(ValueError, match=message):
        write_obj(tmp_path / "a.obj", **mesh)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.obj", "a.ply", "a.txt"])
def test_an_unreadable_file_is_named(tmp_path, name):
    (tmp_path / name).write_text("garbage")
    with pytest.raises(ValueError, match=name):
        read_mesh(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"missing\.obj"):
        read_mesh(tmp_path / "missing.obj")
