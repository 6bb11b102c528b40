"""VRML 2.0 files as scanners write them."""

import numpy as np
import pytest

from fml_tf.files.vrml import read_vrml

SQUARE = """#VRML V2.0 utf8
# a comment with { and [ that does not close
DEF FACE Shape {
  appearance Appearance { texture ImageTexture { url "F0001 #1.bmp" } }
  geometry IndexedFaceSet {
    coord DEF POINTS Coordinate { point [ 0 0 0, 1 0 0,
      1 1.5e0 -2, 0 1 0 ] } # the last has no comma
    coordIndex [ 0, 1, 2, 3, -1 0 2 3 ]
    texCoord TextureCoordinate { point [ 0 0, 1 0, 1 1, 0 1, .5 .5 ] }
    texCoordIndex [ 0 1 2 4 -1, 0, 2, 4, -1, ]
  }
}
"""


def write(tmp_path, text):
    path = tmp_path / "scan.wrl"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_polygons_and_textures_are_read(tmp_path, line_end):
    mesh = read_vrml(write(tmp_path, SQUARE.replace("\n", line_end)))
    np.testing.assert_array_equal(mesh.vertices, [[0, 0, 0], [1, 0, 0], [1, 1.5, -2], [0, 1, 0]])
    np.testing.assert_array_equal(mesh.triangles, [[0, 1, 2], [0, 2, 3], [0, 2, 3]])
    np.testing.assert_array_equal(mesh.uv[1], [[0, 0], [1, 1], [0.5, 0.5]])


def test_texture_indices_default_to_those_of_the_points(tmp_path):
    text = SQUARE.replace("texCoordIndex [ 0 1 2 4 -1, 0, 2, 4, -1, ]", "")
    mesh = read_vrml(write(tmp_path, text))
    np.testing.assert_array_equal(mesh.uv[0], [[0, 0], [1, 0], [1, 1]])


def test_texture_coordinates_may_be_missing(tmp_path):
    text = SQUARE[: SQUARE.index("    texCoord ")] + "}}"
    assert read_vrml(write(tmp_path, text)).uv is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("#VRML V1.0 ascii\n", "does not begin"),
        (SQUARE[: SQUARE.index("texCoordIndex")], "cut off"),
        (SQUARE.replace("[ 0, 1, 2, 3,", "[ 0, 1, 2, 4,"), r"outside of 0\.\.3"),
        (SQUARE.replace("texCoordIndex [ 0 1 2 4 -1,", "texCoordIndex ["), "different faces"),
        (SQUARE.replace("1.5e0", "1.5e"), "could not convert"),
        (SQUARE.replace("1.5e0", ""), "reshape"),
        (SQUARE + SQUARE[SQUARE.index("DEF") :], "2 face sets"),
        ("#VRML V2.0 utf8\n", "no IndexedFaceSet"),
    ],
)
def test_what_cannot_be_read_is_said_with_the_file(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(ValueError, match=message) as error:
        read_vrml(path)
    assert str(path) in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_vrml(tmp_path / "none.wrl")
