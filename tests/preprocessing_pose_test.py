import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fml_tf.preprocessing.frame_choice import choose_frames, sharpness, usable_frames
from fml_tf.preprocessing.head_pose import head_pose, rotation_angles
from fml_tf.synthesis.generator import FaceGenerator, FrameSettings
from fml_tf.template.makehuman import load_makehuman


def _face(rng):
    return rng.uniform([-70, -100, -40], [70, 40, 100], (66, 3))


def _project(points, rotation, translation, focal_length, width):
    # docs/conventions.md, written out.
    x, y, z = (points @ Rotation.from_rotvec(rotation).as_matrix().T + translation).T
    f = focal_length * width
    return np.stack([width / 2 + f * x / -z, width / 2 - f * y / -z], axis=1)


@pytest.mark.parametrize(
    "rotation", [[0, 0, 0], [0.3, 0, 0], [0, -0.9, 0], [0, 0, 0.5], [0.2, 0.7, -0.3]]
)
def test_head_pose_recovers_a_projection_in_our_camera(rotation):
    points = _face(np.random.default_rng(3))
    translation = np.array([12.0, -7.0, -900.0])
    landmarks = _project(points, rotation, translation, focal_length=4.5, width=240)
    pose = head_pose(landmarks, points, focal_length=4.5, width=240)
    np.testing.assert_allclose(pose.rotation, rotation, atol=1e-4)
    np.testing.assert_allclose(pose.translation, translation, atol=0.05)


def test_head_pose_does_not_hear_the_sliding_contour():
    points = _face(np.random.default_rng(4))
    landmarks = _project(points, [0.1, 0.4, 0], [0, 0, -800.0], focal_length=3, width=100)
    moved = landmarks.copy()
    moved[:17] += 30
    a, b = (head_pose(x, points, focal_length=3, width=100) for x in (landmarks, moved))
    np.testing.assert_array_equal(a.rotation, b.rotation)


def test_head_pose_refuses_landmarks_that_are_not_finite():
    with pytest.raises(ValueError, match="landmarks"):
        head_pose(np.full((66, 2), np.nan), _face(np.random.default_rng(0)), 4.5, 240)


def test_rotation_angles_are_the_geodesic_distance():
    rng = np.random.default_rng(5)
    rotations = Rotation.random(6, random_state=rng)
    angles = rotation_angles(rotations.as_rotvec())
    for i in range(6):
        for j in range(6):
            expected = (rotations[i].inv() * rotations[j]).magnitude()
            assert angles[i, j] == pytest.approx(expected, abs=1e-6)


def _yaws(*degrees):
    return np.stack([[0, np.radians(d), 0] for d in degrees])


def test_chosen_frames_are_the_extremes_and_then_what_lies_between():
    rotations = _yaws(0, 1, 2, -30, 3, 40, 41, 4, 20)
    chosen, distance = choose_frames(rotations, 4)
    # -30 and 41 first; then the pose that is furthest from both, 4; then 20.
    np.testing.assert_array_equal(chosen, [3, 6, 7, 8])
    assert np.degrees(distance) == pytest.approx(16, abs=1e-3)


def test_choice_of_one_is_the_central_pose_and_of_all_is_all():
    rotations = _yaws(-50, 5, 0, 50, 9)
    assert choose_frames(rotations, 1)[0].tolist() == [1]
    assert choose_frames(rotations, 5)[0].tolist() == [0, 1, 2, 3, 4]


def test_choice_among_equal_poses_takes_different_frames():
    chosen, distance = choose_frames(_yaws(7, 7, 7, 7), 3)
    assert len(set(chosen.tolist())) == 3 and distance < 1e-6


def test_more_frames_than_there_are_is_refused():
    with pytest.raises(ValueError, match="cannot choose 4 of 3"):
        choose_frames(_yaws(1, 2, 3), 4)


def test_blurred_frames_are_not_usable():
    rng = np.random.default_rng(6)
    sharp = rng.integers(0, 255, (40, 40, 3), np.uint8)
    blurred = np.full_like(sharp, 100)
    blurred[:20] = 140
    assert sharpness(sharp) > 100 * sharpness(blurred)
    assert usable_frames([10.0, 11.0, 2.0, 9.0, 4.4]).tolist() == [0, 1, 3]
    assert usable_frames([10.0, 11.0, 2.0, 9.0, 4.4], 0.4).tolist() == [0, 1, 3, 4]


@pytest.mark.parametrize("seed", range(5))
def test_the_greedy_choice_is_at_least_half_as_diverse_as_the_best(seed):
    # Known of the farthest-point rule; often it is the best itself.
    rotations = 0.4 * np.random.default_rng(seed).standard_normal((9, 3))
    angles = rotation_angles(rotations)
    best = max(
        min(angles[i, j] for i, j in itertools.combinations(frames, 2))
        for frames in itertools.combinations(range(9), 4)
    )
    chosen, distance = choose_frames(rotations, 4)
    assert distance == min(angles[i, j] for i, j in itertools.combinations(chosen, 2))
    assert best / 2 <= distance <= best


def test_pose_follows_a_rendered_head_that_turns():
    _, landmarks = FaceGenerator(FrameSettings(seed=5)).turning_clip(0, 7, 320)
    template = load_makehuman("4k")
    points = template.mean_shape[template.landmark_vertices]
    poses = [head_pose(frame, points, focal_length=2.25, width=320) for frame in landmarks]
    pitch, yaw, roll = np.degrees([pose.rotation for pose in poses]).T
    # A stranger's shape, flatter or deeper than the mean, costs a constant pitch and some yaw.
    np.testing.assert_allclose(yaw, np.linspace(-25, 25, 7), atol=8)
    assert np.ptp(pitch) < 4 and np.abs(roll).max() < 4
