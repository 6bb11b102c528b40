import math
import sys

import cv2
import numpy as np
import pytest
import skimage.data

from datasets.video_faces.dummy_videos import portrait_frames
from fml_tf.geometry.landmark_order import MIRROR_66
from fml_tf.preprocessing.blaze_face import BlazeFaceDetector, anchor_centres, decode, merge_boxes
from fml_tf.preprocessing.face_mesh import (
    DenseLandmarkDetector,
    combine,
    cut_region,
    landmark_weights,
    mesh_topology,
    region_about,
)
from fml_tf.preprocessing.faces import FaceBox
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.landmarks import DlibLandmarkDetector
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from fml_tf.template.dense_landmarks import load_dense_landmarks
from fml_tf.template.makehuman import load_makehuman


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    return DenseLandmarkDetector()


@pytest.fixture(scope="module")
def portrait():
    return portrait_frames(3)[1]


@pytest.fixture(scope="module")
def face(detector, portrait):
    (face,) = detector.detect(portrait)
    return face


@pytest.fixture(scope="module")
def clip():
    """A rendered face at -55, 0 and 55 degrees of yaw, and its true landmarks."""
    return FaceGenerator(FrameSettings(seed=5)).turning_clip(3, 3, 400, yaw=55.0)


def test_anchors_lie_in_the_middle_of_their_cells():
    anchors = anchor_centres(128, ((8, 2), (16, 6)))
    assert anchors.shape == (896, 2)  # what the short-range network gives
    np.testing.assert_array_equal(anchors[:3], [[4, 4], [4, 4], [12, 4]])
    np.testing.assert_array_equal(anchors[512], [8, 8])
    np.testing.assert_array_equal(anchors[-1], [120, 120])
    assert anchor_centres(192, ((4, 1),)).shape == (2304, 2)


def test_boxes_are_decoded_about_their_anchors():
    anchors = np.array([[4.0, 4.0], [12.0, 20.0]])
    regressed = np.arange(32, dtype=np.float32).reshape(2, 16)
    boxes, scores = decode(regressed, np.float32([[-3], [1]]), anchors)
    assert boxes.shape == (1, 8, 2) and scores == pytest.approx([1 / (1 + math.exp(-1))])
    np.testing.assert_array_equal(boxes[0, 0], [16 + 12, 17 + 20])  # the centre
    np.testing.assert_array_equal(boxes[0, 1], [18, 19])  # the size
    np.testing.assert_array_equal(boxes[0, 7], [30 + 12, 31 + 20])  # the last point
    _, extreme = decode(regressed, np.float32([[-1e9], [1e9]]), anchors)
    assert extreme == pytest.approx([1.0])


def test_boxes_of_one_face_become_one():
    boxes = [
        FaceBox(0, 0, 100, 0.6),
        FaceBox(300, 0, 100, 0.7, 0.2),
        FaceBox(10, 0, 100, 0.9, 0.1),
    ]
    first, second = merge_boxes(boxes, min_overlap=0.3)
    assert (first.score, first.roll) == (0.9, 0.1) and second == boxes[1]
    assert first.left == pytest.approx((0.9 * 10) / 1.5) and first.width == pytest.approx(100)
    assert merge_boxes([], 0.3) == []


@pytest.mark.parametrize("roll", [0.0, 0.6, -2.5])
@pytest.mark.parametrize("width", [40.0, 900.0])
def test_a_region_is_cut_where_its_map_says(roll, width):
    v, u = np.mgrid[:600, :600] + 0.5  # each pixel says where its centre is
    image = np.stack([255 * u / 600, 255 * v / 600, 0 * u], axis=-1).astype(np.uint8)
    region = FaceBox(300 - width / 2, 280 - width / 2, width, 0.0, roll)
    patch, to_image = cut_region(image, region, 64)
    rows, columns = np.mgrid[:64, :64] + 0.5
    places = np.stack([columns, rows], axis=-1) @ to_image[:, :2].T + to_image[:, 2]
    inside = ((places > 20) & (places < 580)).all(axis=-1)
    assert inside.sum() > 500
    error = patch[..., :2] * (600 / 255) - places
    assert np.abs(error[inside].mean(axis=0) + 1.2).max() < 0.4  # rounded down to whole grey levels
    assert np.abs(error[inside] + 1.2).max() < 5
    np.testing.assert_allclose(to_image @ (32, 32, 1), region.centre)


def test_a_region_leans_with_the_eyes():
    points = np.random.default_rng(0).uniform(0, 50, (468, 2))
    points[33], points[263] = (10, 20), (40, 20)
    upright = region_about(points)
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    leaning = region_about(points @ turn.T)
    assert upright.roll == pytest.approx(0) and leaning.roll == pytest.approx(angle)
    assert leaning.width == pytest.approx(upright.width)
    np.testing.assert_allclose(leaning.centre, turn @ upright.centre)


def test_both_kinds_of_points_lie_on_the_face(face):
    assert face.dense.shape == (468, 3) and face.landmarks.shape == (66, 2)
    for values in (face.dense, face.landmarks, face.confidence, face.dense_confidence):
        assert values.dtype == np.float32 and np.isfinite(values).all()
    points = face.landmarks
    right_eye, left_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    nose_tip, outer_lips, inner_lips = points[30], points[48:60], points[60:66]
    assert right_eye[0] < nose_tip[0] < left_eye[0]  # the person's right is at the image's left
    assert right_eye[1] < nose_tip[1] < outer_lips[:, 1].min() and points[0, 0] < points[16, 0]
    low, high = outer_lips.min(axis=0), outer_lips.max(axis=0)
    assert ((inner_lips > low) & (inner_lips < high)).all()
    assert points[8, 1] == points[:, 1].max() and points[17:27, 1].max() < right_eye[1]
    nose, ears = face.dense[1, 2], face.dense[[127, 356], 2]
    assert nose < -0.2 * face.box.width and (ears > 0).all()  # the nose is nearest to the camera
    assert face.confidence.min() > 0 and face.confidence.max() <= 1


def test_upper_and_lower_lip_are_told_apart():
    # 13 and 14 are the middles of the inner lips, which meet where the mouth is closed.
    corners, weights = landmark_weights(np.random.default_rng(0).uniform(0, 90, (468, 2)))
    opened = np.zeros((468, 1))
    opened[[14, 15, 16, 17, 317, 402, 87, 178, 316, 86, 315, 85]] = 1
    assert combine(opened, corners, weights)[60:63].max() < 0.3
    assert combine(opened, corners, weights)[63:66].min() > 0.7


def test_it_agrees_with_dlib_on_a_portrait(face, portrait):
    (other,) = DlibLandmarkDetector().detect(portrait)
    error = np.linalg.norm(face.landmarks - other.landmarks, axis=1)[17:]
    assert error.mean() < 0.03 * face.box.width


def test_the_mirrored_image_has_mirrored_landmarks(detector, portrait, face):
    (other,) = detector.detect(np.ascontiguousarray(portrait[:, ::-1]))
    width = portrait.shape[1]
    expected = (width, 0) + face.landmarks[MIRROR_66] * (-1, 1)
    assert np.abs(other.landmarks - expected).mean() < 0.005 * face.box.width
    expected = (width, 0, 0) + face.dense[mesh_topology()["mirror"]] * (-1, 1, 1)
    assert np.abs(other.dense - expected).mean() < 0.005 * face.box.width


def test_landmarks_follow_the_resolution(detector, portrait, face):
    doubled = cv2.resize(portrait, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    (other,) = detector.detect(doubled)
    assert np.abs((other.landmarks / 2 - face.landmarks).mean(axis=0)).max() < (
        0.005 * face.box.width
    )
    assert np.ptp(other.dense[:, 2]) == pytest.approx(2 * np.ptp(face.dense[:, 2]), rel=0.05)


@pytest.mark.parametrize("degrees", [-35, 35])
def test_landmarks_follow_a_leaning_head(detector, portrait, face, degrees):
    height, width = portrait.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), degrees, 1)
    turned = cv2.warpAffine(portrait, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    (other,) = detector.detect(turned)
    expected = (face.landmarks - 0.5) @ turn[:, :2].T + turn[:, 2] + 0.5
    inner = np.linalg.norm(other.landmarks - expected, axis=1)[17:]
    assert inner.mean() < 0.03 * face.box.width


def test_a_rendered_head_is_found_in_every_pose(detector, clip):
    for image, truth in zip(*clip, strict=True):
        (found,) = detector.detect(image)
        assert found.box.holds(truth[27:36].mean(axis=0))
        error = np.linalg.norm(found.landmarks - truth, axis=1)
        # 3 mm or so inside, where brows and chin are some 120 mm apart; the contour slides.
        assert error[17:].mean() < 0.04 * np.ptp(truth[:, 1])
        assert error[:17].mean() < 0.16 * np.ptp(truth[:, 1])


def test_the_same_image_gives_the_same_bits(detector, portrait, face):
    (other,) = DenseLandmarkDetector().detect(portrait)
    np.testing.assert_array_equal(other.dense, face.dense)
    np.testing.assert_array_equal(other.confidence, face.confidence)


def test_a_partly_covered_face_is_found_with_less_confidence(detector, portrait, face):
    covered = portrait.copy()
    low, high = face.landmarks[48:].min(axis=0), face.landmarks[48:].max(axis=0)
    (left, top), (right, bottom) = (low - 15).astype(int), (high + 15).astype(int)
    covered[top:bottom, left:right] = (90, 60, 40)
    (other,) = detector.detect(covered)
    mouth = slice(48, 66)
    assert other.confidence[mouth].mean() < 0.95 * face.confidence[mouth].mean()
    eyes = np.linalg.norm(other.landmarks - face.landmarks, axis=1)[36:48]
    assert eyes.mean() < 0.02 * face.box.width


@pytest.mark.parametrize("shape", [(300, 400), (1, 1), (5, 2000)])
def test_an_image_without_a_face_has_none(detector, shape):
    assert detector.detect(np.full((*shape, 3), 127, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    assert detector.detect(noise) == []


def test_near_faces_and_far_ones_are_found(detector, portrait, face):
    small = cv2.resize(portrait, (240, 240), interpolation=cv2.INTER_AREA)
    both = np.zeros((480, 720, 3), np.uint8)
    both[:240, :240], both[:, 240:] = small, portrait
    faces = detector.detect(both)
    assert len(faces) == 2 and faces[0].box.width > 1.5 * faces[1].box.width
    assert faces[0].landmarks[30, 0] > 240
    large = np.full((1500, 3000, 3), 128, np.uint8)
    large[200:712, 300:812] = skimage.data.astronaut()
    (box,) = BlazeFaceDetector().detect(large)
    assert 400 < box.left < 600 and 60 < box.width < 130


def test_only_the_face_in_the_square_is_found(detector, portrait):
    small = cv2.resize(portrait, (240, 240), interpolation=cv2.INTER_AREA)
    twins = np.concatenate([small, small], axis=1)
    left, right = sorted(detector.detect(twins), key=lambda face: face.box.left)
    (found,) = detector.detect(twins, near=right.box.scaled(1.2))
    assert np.abs(found.landmarks - right.landmarks).mean() < 0.01 * right.box.width
    assert detector.detect(twins, near=FaceBox(-900.0, -900.0, 50.0, 0.0)) == []
    assert left.box.left + 240 == pytest.approx(right.box.left, abs=8)


def test_auto_takes_dlib_without_litert(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    assert isinstance(make_landmark_detector("auto"), DlibLandmarkDetector)
    with pytest.raises(ImportError, match="pip install ai-edge-litert"):
        make_landmark_detector("mediapipe")
    with pytest.raises(ValueError, match="one of auto, dlib, mediapipe"):
        make_landmark_detector("hog")


def test_auto_takes_mediapipe_with_litert(detector):
    assert isinstance(make_landmark_detector("auto"), DenseLandmarkDetector)
    assert isinstance(make_landmark_detector("dlib"), DlibLandmarkDetector)


def test_dense_points_have_their_places_on_the_template():
    template, dense = load_makehuman(), load_dense_landmarks()
    assert dense.corners.shape == dense.weights.shape == (468, 3)
    np.testing.assert_allclose(dense.weights.sum(axis=1), 1, atol=1e-6)
    assert dense.weights.min() >= 0 and dense.anchored.sum() > 400
    assert template.regions["face"][dense.corners[dense.anchored]].all()
    points = dense.of(template.mean_shape)
    mirrored = points[mesh_topology()["mirror"]] * (-1, 1, 1)
    assert np.abs(points - mirrored).max() < 1.0
    # On another mean and another level of subdivision, too, they are points of the skin.
    fine = dense.of(load_makehuman("16k", "asian-female-young").mean_shape)
    coarse = dense.of(load_makehuman("4k", "asian-female-young").mean_shape)
    assert np.abs(fine - coarse).max() < 1.5


def test_the_landmarks_on_the_mesh_are_those_of_the_template():
    # Both were calibrated apart: a template that was built anew and not calibrated shows here.
    template, dense = load_makehuman(), load_dense_landmarks()
    points = dense.of(template.mean_shape)
    seen_from_the_front = points * (1, -1, 1)  # v grows downwards
    found = combine(points, *landmark_weights(seen_from_the_front))
    expected = template.mean_shape[template.landmark_vertices]
    # As seen from the front: the upper lip's inner landmarks lie deep between the lips, the mesh's
    # points on the rim that is seen.
    error = np.linalg.norm((found - expected)[17:, :2], axis=1)
    assert error.mean() < 0.8 and error.max() < 3
