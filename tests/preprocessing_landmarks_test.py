import cv2
import numpy as np
import pytest
import skimage.data

from datasets.video_faces.dummy_videos import portrait_frames
from fml_tf.geometry.landmark_order import MIRROR_66
from fml_tf.preprocessing.faces import FaceBox, HogFaceDetector
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.preprocessing.prepare import (
    CropSettings,
    NoFaceError,
    SmallFaceError,
    UncertainFaceError,
    prepare_image,
)

# A rough face, mm: enough for a head pose. Here only its presence matters.
TEMPLATE = np.random.default_rng(0).normal(scale=40, size=(66, 3))


@pytest.fixture(scope="module")
def detector():
    return DlibLandmarkDetector()


@pytest.fixture(scope="module")
def portrait():
    return portrait_frames(3)[1]


@pytest.fixture(scope="module")
def face(detector, portrait):
    (face,) = detector.detect(portrait)
    return face


def test_landmarks_are_in_the_order_of_the_conventions(face):
    points = face.landmarks
    assert points.shape == (66, 2) and points.dtype == np.float32
    right_eye, left_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    nose_tip, outer_lips, inner_lips = points[30], points[48:60], points[60:66]
    assert right_eye[0] < nose_tip[0] < left_eye[0]  # the person's right is at the image's left
    assert right_eye[1] < nose_tip[1] < outer_lips[:, 1].min() and points[0, 0] < points[16, 0]
    low, high = outer_lips.min(axis=0), outer_lips.max(axis=0)
    assert ((inner_lips > low) & (inner_lips < high)).all()
    assert points[8, 1] == points[:, 1].max() and points[17:27, 1].max() < right_eye[1]


def test_the_mirrored_image_has_mirrored_landmarks(detector, portrait, face):
    mirrored = np.ascontiguousarray(portrait[:, ::-1])
    (other,) = detector.detect(mirrored)
    expected = (portrait.shape[1], 0) + face.landmarks[MIRROR_66] * (-1, 1)
    # The detector's box is not exactly symmetric; half a percent of the face's width is.
    assert np.abs(other.landmarks - expected).mean() < 0.01 * face.box.width


def test_landmarks_follow_the_resolution(detector, portrait, face):
    # Outer-corner pixels: doubling the resolution doubles positions, without an offset.
    doubled = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    (other,) = detector.detect(doubled)
    offset = (other.landmarks / 2 - face.landmarks).mean(axis=0)
    assert np.abs(offset).max() < 0.003 * face.box.width


def test_confidence_is_less_where_the_face_is_covered(detector, portrait, face):
    covered = portrait.copy()
    (left, top), (right, bottom) = (
        f(face.landmarks[48:], axis=0).astype(int) for f in (np.min, np.max)
    )
    covered[top - 10 : bottom + 10, left - 20 : right + 20] = (90, 60, 40)
    (other,) = detector.detect(covered)
    mouth, eyes = slice(48, 66), slice(36, 48)
    assert face.confidence.min() > 0.3 and face.confidence.max() <= 1
    assert other.confidence[mouth].mean() < 0.7 * face.confidence[mouth].mean()
    assert other.confidence[eyes].mean() > 0.85 * face.confidence[eyes].mean()


def test_faces_come_with_the_largest_first(detector, portrait):
    small = cv2.resize(portrait, (240, 240), interpolation=cv2.INTER_AREA)
    both = np.zeros((480, 720, 3), np.uint8)
    both[:240, :240], both[:, 240:] = small, portrait
    faces = detector.detect(both)
    assert len(faces) == 2 and faces[0].box.width > 1.5 * faces[1].box.width
    assert faces[0].landmarks[30, 0] > 240


def test_a_small_face_of_a_large_image_is_found():
    large = np.full((1500, 3000, 3), 128, np.uint8)
    large[200:712, 300:812] = skimage.data.astronaut()
    box = max(HogFaceDetector().detect(large), key=lambda box: box.score)
    assert 400 < box.left < 600 and 60 < box.width < 130


def test_another_face_detector_can_be_put_in(portrait, face):
    class FixedBox:
        def detect(self, image, near=None):
            return [FaceBox(face.box.left, face.box.top, face.box.width, 1.0)]

    (other,) = DlibLandmarkDetector(FixedBox()).detect(portrait)
    np.testing.assert_array_equal(other.landmarks, face.landmarks)


def test_prepare_image_agrees_with_its_parts(detector, portrait, face):
    frame = prepare_image(portrait, detector, TEMPLATE)
    assert frame.crop.shape == (240, 240, 3) and frame.crop.dtype == np.uint8
    np.testing.assert_allclose(frame.transform.invert(frame.landmarks), face.landmarks, atol=1e-3)
    assert frame.transform.source_width >= 200
    assert frame.landmarks.min() > 0 and frame.landmarks.max() < 240


def test_what_cannot_be_prepared_is_told_in_one_line(detector, portrait):
    with pytest.raises(NoFaceError, match="no face"):
        prepare_image(np.full((300, 400, 3), 127, np.uint8), detector, TEMPLATE)
    with pytest.raises(SmallFaceError, match=r"crop has 1\d\d px, fewer than 200"):
        prepare_image(skimage.data.astronaut(), detector, TEMPLATE)
    strict = CropSettings(min_confidence=0.99)
    with pytest.raises(UncertainFaceError, match=r"mean confidence 0\.\d\d, less than 0.99"):
        prepare_image(portrait, detector, TEMPLATE, strict)


def test_a_smaller_limit_lets_a_small_face_through(detector):
    frame = prepare_image(
        skimage.data.astronaut(), detector, TEMPLATE, CropSettings(min_width=100, size=64)
    )
    assert frame.crop.shape == (64, 64, 3) and frame.transform.source_width < 200


def test_a_missing_model_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no_model\.dat"):
        DlibLandmarkDetector(model_path=tmp_path / "no_model.dat")


def test_a_large_thing_that_is_no_face_does_not_hide_a_small_face(portrait, face):
    class FaceAndWall:
        def detect(self, image, near=None):
            return [FaceBox(0.0, 300.0, 1.2 * face.box.width, 1.0), face.box]

    frame = prepare_image(portrait, DlibLandmarkDetector(FaceAndWall()), TEMPLATE)
    np.testing.assert_allclose(frame.transform.invert(frame.landmarks), face.landmarks, atol=1e-3)
