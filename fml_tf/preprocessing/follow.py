"""One face through the frames of a video."""

import numpy as np

from fml_tf.geometry.crop import crop_box, crop_image
from fml_tf.preprocessing.cuts import colour_change, colour_shares
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.landmarks import DetectedFace, LandmarkDetector
from fml_tf.preprocessing.prepare import FaceError, NoFaceError, certain_faces

# From one look to the next a face's centre stays in a square this many times as wide as its box.
_REACH = 1.5
# Looks in a row in which a face may be missing (a hand before it, blur) and still be the same.
_LONGEST_ABSENCE = 1
# Most that the colours of a crop change (`cuts.colour_change`) while it shows the same person. In
# the clips at hand it was 0.21 at most, 0.24 or more between two people in one place and light.
_LARGEST_CHANGE = 0.23
_THUMBNAIL = 32


class FaceFollower:
    """Finds the same person in frame after frame.

    A face that was found is then looked for only about its last place, which keeps several people
    apart and takes a fraction of the time of a search through the whole frame. Where it is missing
    twice in a row, or after a cut, the largest certain face is followed from then on, as another
    person. So is a face in the same place whose crop has other colours.

    Attributes:
      person: number of the person that `find` returned last.
    """

    def __init__(self, detector: LandmarkDetector, min_confidence: float):
        """Starts a video.

        Args:
          detector: finds faces and landmarks.
          min_confidence: least mean confidence of a face's landmarks.
        """
        self.person = 0
        self._detector = detector
        self._min_confidence = min_confidence
        self._reach: FaceBox | None = None
        self._absence = 0
        self._colours: np.ndarray | None = None

    def cut(self) -> None:
        """Says that another shot begins: nobody in it counts as the same person."""
        self.person += 1
        self._reach = None

    def find(self, image: np.ndarray, tracked: FaceBox | None = None) -> DetectedFace:
        """Finds the followed person's face in the next frame.

        Args:
          image: [H, W, 3] uint8 RGB.
          tracked: a square in which the centre of the face is known to lie; nobody else is taken.

        Raises:
          FaceError: there is no certain face.
        """
        try:
            face = self._find(image, tracked or self._reach, tracked is not None)
        except FaceError:
            self._absence += 1
            if self._absence > _LONGEST_ABSENCE:
                self._reach = None
            raise
        self._absence = 0
        thumbnail = crop_image(image, crop_box(face.landmarks, size=_THUMBNAIL))
        colours = colour_shares(thumbnail)
        if self._colours is not None and colour_change(self._colours, colours) > _LARGEST_CHANGE:
            self.person += 1
        self._colours = colours
        self._reach = face.box.scaled(_REACH)
        return face

    def _find(self, image: np.ndarray, square: FaceBox | None, only_there: bool) -> DetectedFace:
        if square is None:
            self.person += 1
            return self._search(image)[0]
        faces = self._detector.detect(image, near=square)
        if faces:
            self._absence = 0  # it is there, even if a hand before it makes it uncertain
            faces = certain_faces(faces, self._min_confidence)
        else:
            # Perhaps too small or too large for its neighbourhood.
            everywhere = self._search(image)
            faces = [face for face in everywhere if square.holds(face.box.centre)]
            if not faces and (only_there or self._absence < _LONGEST_ABSENCE):
                raise NoFaceError("no face was found in the place of the followed one")
            if not faces:
                self.person += 1
                return everywhere[0]
        return min(faces, key=lambda face: np.linalg.norm(face.box.centre - square.centre))

    def _search(self, image: np.ndarray) -> list[DetectedFace]:
        return certain_faces(self._detector.detect(image), self._min_confidence)
