"""Random people: who they are (shape), how they look (albedo), what they wear."""

import dataclasses

import numpy as np

from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.population import Population, sample_descent
from fml_tf.synthesis.skin import SkinPainter, sample_skin_style

MELANIN = {"caucasian": (0.2, 0.12), "asian": (0.38, 0.14), "african": (0.74, 0.14)}
"""Melanin by population: mean and standard deviation."""
MOUTH = np.array([0.36, 0.13, 0.12])
"""The usual colour of what is inside of a mouth, sRGB."""
_SCLERA = np.array([0.86, 0.83, 0.81])
_IRISES = np.array(
    [
        [0.22, 0.13, 0.08],
        [0.14, 0.085, 0.06],
        [0.36, 0.24, 0.12],
        [0.35, 0.38, 0.22],
        [0.30, 0.42, 0.52],
        [0.45, 0.52, 0.56],
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class Person:
    """One synthetic person.

    Attributes:
      neutral: [V'', 3] float32 mm, of `HeadModel.neutral`.
      hair_volume: [V, 3] float32 mm.
      texture: [H, W, 3] float32 sRGB albedo on the canvas.
      seen_texture: the same, with the hair that hangs over the forehead, if any: what is drawn.
      colours: by name, [3] sRGB: iris, sclera, mouth, teeth, cloth, frame.
      gloss: strength of the skin's highlights.
      gloss_exponent: their sharpness.
      glasses: vertices of glasses that fit, of `HeadModel.glasses`.
      wears_glasses: whether they are drawn.
    """

    neutral: np.ndarray
    hair_volume: np.ndarray
    texture: np.ndarray
    seen_texture: np.ndarray
    colours: dict[str, np.ndarray]
    gloss: float
    gloss_exponent: float
    glasses: np.ndarray
    wears_glasses: bool


class PersonSampler:
    """Draws people over a `HeadModel`."""

    def __init__(self, head: HeadModel):
        self._head = head
        self._painter = SkinPainter(head.canvas)
        self._population = Population()

    def sample(self, rng: np.random.Generator) -> Person:
        """Draws a person."""
        head = self._head
        shares, masculinity, age = sample_descent(rng)
        neutral = head.neutral(self._population.sample(rng, shares, masculinity, age))

        # Any skin on any shape now and then: the two are related in people, but not bound.
        melanin = sum(share * rng.normal(*MELANIN[name]) for name, share in shares.items())
        if rng.random() < 0.15:
            melanin = rng.uniform()
        melanin = float(np.clip(melanin, 0, 1))
        style = sample_skin_style(rng, melanin, masculinity, age)
        texture = self._painter.paint(style, rng)
        thickness = rng.uniform(2, 16) * (1 - 0.9 * style.baldness)
        template = head.template
        scalp = head.canvas.blur(self._painter.scalp(style, rng), 6)[..., None]
        coverage = head.canvas.sample(scalp, head.canvas_points[: template.num_vertices])
        outwards = neutral[: template.num_vertices] - (0, 10, -20)
        outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
        volume = (thickness * np.clip(1.6 * coverage - 0.6, 0, 1) * outwards).astype(np.float32)

        iris_odds = np.array([3, 3 * melanin + 1, 2, 1, 1.5, 1]) * np.exp(
            -melanin * np.array([0, 0, 2, 6, 8, 8])
        )
        iris = _IRISES[rng.choice(len(_IRISES), p=iris_odds / iris_odds.sum())]
        colours = {
            "iris": iris * rng.uniform(0.75, 1.2),
            "sclera": _SCLERA * rng.uniform(0.85, 1.05),
            "mouth": MOUTH * rng.uniform(0.6, 1.1),
            "teeth": np.array([0.84, 0.80, 0.71]) * rng.uniform(0.8, 1.1),
            "cloth": rng.uniform(0.04, 0.85, 3) * rng.uniform(0.4, 1),
            "frame": rng.uniform(0.02, 0.5, 3) * rng.uniform(0.1, 1),
        }
        gloss = float(rng.beta(1.5, 3) * 0.5)
        gloss_exponent = float(np.exp(rng.uniform(np.log(6), np.log(40))))
        wears_glasses = bool(rng.random() < 0.1)
        fringed = style.baldness == 0 and rng.random() < (0.12 if masculinity > 0.5 else 0.3)
        return Person(
            neutral=neutral,
            hair_volume=volume,
            texture=texture,
            seen_texture=self._painter.with_fringe(texture, style, rng) if fringed else texture,
            colours=colours,
            gloss=gloss,
            gloss_exponent=gloss_exponent,
            glasses=head.glasses(neutral),
            wears_glasses=wears_glasses,
        )
