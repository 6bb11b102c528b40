"""Random facial expressions as sparse mixtures of the ARKit face units."""

import numpy as np

# At most one action of each group is drawn, so that opposites (smile and frown) never mix. An
# action is a list of (face unit, share of its activation); "@" stands for Left and Right.
_ACTION_GROUPS = (
    (
        0.5,
        [
            [("browDown@", 1.0)],
            [("browInnerUp", 1.0)],
            [("browOuterUp@", 0.9), ("browInnerUp", 0.7)],
            [("browInnerUp", 0.8), ("browDown@", 0.4)],
        ],
    ),
    (
        0.5,
        [
            [("eyeBlink@", 1.0)],
            [("eyeSquint@", 1.0)],
            [("eyeWide@", 0.9)],
            [("eyeBlink@", 0.4)],
            [("cheekSquint@", 0.9), ("eyeSquint@", 0.5)],
        ],
    ),
    (
        0.6,
        [
            [("mouthSmile@", 1.0)],
            [("mouthSmile@", 0.8), ("cheekSquint@", 0.7)],
            [("mouthFrown@", 0.9)],
            [("mouthStretch@", 0.8)],
            [("mouthDimple@", 0.9)],
            [("mouthPress@", 0.9)],
        ],
    ),
    (
        0.35,
        [
            [("mouthPucker", 0.9)],
            [("mouthFunnel", 0.9)],
            [("mouthUpperUp@", 0.8), ("noseSneer@", 0.5)],
            [("mouthLowerDown@", 0.8)],
            [("mouthRollLower", 0.7), ("mouthRollUpper", 0.7)],
            [("mouthShrugLower", 0.8), ("mouthShrugUpper", 0.5)],
            [("mouthLeft", 0.7)],
            [("mouthRight", 0.7)],
        ],
    ),
    (
        0.45,
        [
            [("jawOpen", 0.75)],
            [("jawOpen", 0.35)],
            [("jawForward", 0.7)],
            [("jawLeft", 0.6)],
            [("jawRight", 0.6)],
        ],
    ),
    (0.15, [[("cheekPuff", 0.8)], [("noseSneer@", 0.8)]]),
)
_NEUTRAL_SHARE = 0.2


def sample_expression(rng: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """Draws activations of the face units.

    A fifth of the draws is close to neutral. Left and right differ by some percent. Gaze moves both
    eyes together.

    Args:
      names: K ARKit names; actions on units that are not among them are left out.

    Returns:
      [K] float32 in [0, 1].
    """
    activations = dict.fromkeys(names, 0.0)

    def add(unit, amount):
        sides = ("Left", "Right") if unit.endswith("@") else ("",)
        for side in sides:
            name = unit.rstrip("@") + side
            if name in activations:
                value = activations[name] + amount * (1 + 0.12 * rng.standard_normal())
                activations[name] = float(np.clip(value, 0.0, 1.0))

    strength = 0.15 if rng.random() < _NEUTRAL_SHARE else 1.0
    for probability, actions in _ACTION_GROUPS:
        if rng.random() < probability:
            action = actions[rng.integers(len(actions))]
            amount = strength * rng.beta(1.6, 1.4)
            for unit, share in action:
                add(unit, amount * share)
    aside, up = np.clip(0.3 * rng.standard_normal(2), -0.8, 0.8)
    add("eyeLookOutLeft" if aside > 0 else "eyeLookInLeft", abs(aside))
    add("eyeLookInRight" if aside > 0 else "eyeLookOutRight", abs(aside))
    add("eyeLookUp@" if up > 0 else "eyeLookDown@", abs(up))
    return np.array([activations[name] for name in names], np.float32)
