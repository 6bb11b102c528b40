"""LiteRT models that ship with this package."""

import os
import pathlib

import numpy as np

from fml_tf.command_line import held_back_stderr

ASSETS = pathlib.Path(__file__).parent / "assets"


class LiteRtModel:
    """A model file of `assets/`, run on one core: the same input gives the same bits."""

    def __init__(self, name: str):
        """Loads `assets/NAME.tflite`.

        Raises:
          ImportError: LiteRT is not installed.
          FileNotFoundError: no such file.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise ImportError(
                "the landmark detector `mediapipe` needs LiteRT: pip install ai-edge-litert"
            ) from None
        path = ASSETS / f"{name}.tflite"
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such model")
        self._interpreter = Interpreter(os.fspath(path), num_threads=1)
        with held_back_stderr():  # it tells that it found the processor
            self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    @property
    def size(self) -> int:
        """Side of the square picture that it takes, px."""
        return int(self._input["shape"][1])

    def __call__(self, picture: np.ndarray) -> list[np.ndarray]:
        """Its outputs for a picture [size, size, 3], without the axis of the batch."""
        self._interpreter.set_tensor(self._input["index"], picture[None].astype(np.float32))
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]
