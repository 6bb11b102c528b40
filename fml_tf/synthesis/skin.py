"""Albedo of synthetic people: skin tones over the whole human range, lips, brows, hair, marks."""

import dataclasses

import numpy as np

from fml_tf.synthesis.canvas import Canvas

# Skin by melanin in five equal steps (sRGB, before light), from the lightest to the darkest.
_MELANIN_RAMP = np.array(
    [
        [0.93, 0.78, 0.70],
        [0.86, 0.68, 0.56],
        [0.73, 0.53, 0.40],
        [0.54, 0.37, 0.27],
        [0.36, 0.235, 0.175],
        [0.23, 0.145, 0.11],
    ]
)
# Factor on the skin's colour per unit of blood above (or below) the usual.
_BLOOD = np.array([-0.01, -0.16, -0.13], np.float32)
_HAIR_COLOURS = {
    "black": (0.09, 0.075, 0.07),
    "dark brown": (0.18, 0.12, 0.09),
    "brown": (0.31, 0.20, 0.13),
    "auburn": (0.40, 0.20, 0.11),
    "red": (0.55, 0.28, 0.13),
    "blond": (0.66, 0.51, 0.32),
    "light blond": (0.78, 0.67, 0.48),
}
_LIPSTICKS = np.array(
    [
        [0.72, 0.10, 0.16],
        [0.80, 0.32, 0.38],
        [0.50, 0.10, 0.18],
        [0.62, 0.30, 0.26],
        [0.86, 0.45, 0.5],
    ]
)
_EYE_SHADOWS = np.array(
    [[0.3, 0.22, 0.2], [0.35, 0.3, 0.42], [0.5, 0.36, 0.26], [0.25, 0.32, 0.36]]
)


@dataclasses.dataclass(frozen=True)
class SkinStyle:
    """How a person's skin and hair look; amounts are in [0, 1] where nothing else is said.

    Attributes:
      melanin: 0 is the lightest human skin, 1 the darkest.
      blood: haemoglobin against the usual, about -1 to 1.
      hair_colour, brow_colour: [3] sRGB.
      hairline: mm from the brows up to the hair at the middle of the forehead.
      receding: how far the hairline recedes at the temples.
      baldness: share of the scalp's hair that is missing.
      brow_density, brow_width: opacity; mm.
      beard, moustache, stubble: density of each.
      freckles: density.
      num_moles: count.
      lid_shade: darkness about the eyes.
      lip_redness: of the bare lips.
      lipstick, lipstick_colour: opacity; [3] sRGB.
      eye_shadow, eye_shadow_colour: opacity; [3] sRGB.
      eye_liner, blush: opacity.
    """

    melanin: float
    blood: float
    hair_colour: np.ndarray
    brow_colour: np.ndarray
    hairline: float
    receding: float
    baldness: float
    brow_density: float
    brow_width: float
    beard: float
    moustache: float
    stubble: float
    freckles: float
    num_moles: int
    lid_shade: float
    lip_redness: float
    lipstick: float
    lipstick_colour: np.ndarray
    eye_shadow: float
    eye_shadow_colour: np.ndarray
    eye_liner: float
    blush: float


def sample_skin_style(
    rng: np.random.Generator, melanin: float, masculinity: float, age: float
) -> SkinStyle:
    """Draws a style.

    Args:
      melanin: in [0, 1].
      masculinity, age: in [0, 1], as the shape has them; beards, baldness, grey hair and makeup
        become more or less likely with them.
    """
    names = list(_HAIR_COLOURS)
    likely = np.exp(-np.arange(len(names)) * (0.1 + 4 * melanin))
    hair = np.array(_HAIR_COLOURS[names[rng.choice(len(names), p=likely / likely.sum())]])
    grey = rng.beta(2, 2) if rng.random() < 0.15 + 0.7 * age**2 else 0.0
    hair = hair + grey * (np.array([0.66, 0.65, 0.64]) - hair)
    hair = np.clip(hair * np.exp(0.12 * rng.standard_normal()), 0.03, 0.9)
    male = masculinity > 0.5

    def sometimes(probability, low=0.2, high=1.0):
        return rng.uniform(low, high) if rng.random() < probability else 0.0

    bearded = male and rng.random() < 0.3
    painted = not male and rng.random() < 0.5
    return SkinStyle(
        melanin=melanin,
        blood=0.45 * rng.standard_normal(),
        hair_colour=hair,
        brow_colour=np.clip(0.85 * hair * rng.uniform(0.7, 1.0), 0.05, 0.6),
        hairline=rng.uniform(42, 62) + 8 * male * age,
        receding=rng.beta(1.5, 3) * (0.4 + 0.6 * male),
        baldness=sometimes(0.08 + 0.25 * age if male else 0.0, 0.6, 1.0),
        brow_density=rng.uniform(0.35, 0.95),
        brow_width=rng.uniform(2.6, 4.6) + 1.6 * masculinity,
        beard=rng.uniform(0.4, 1.0) if bearded else 0.0,
        moustache=rng.uniform(0.3, 1.0) if bearded or (male and rng.random() < 0.06) else 0.0,
        stubble=sometimes(0.6, 0.1, 0.8) if male else 0.0,
        freckles=sometimes(0.3) if melanin < 0.4 else sometimes(0.05, 0.1, 0.4),
        num_moles=int(rng.poisson(2)),
        lid_shade=rng.beta(1.5, 2.5),
        lip_redness=rng.uniform(0.1, 1.0),
        lipstick=rng.uniform(0.3, 0.95) if painted else 0.0,
        lipstick_colour=_LIPSTICKS[rng.integers(len(_LIPSTICKS))],
        eye_shadow=rng.uniform(0.1, 0.6) if painted and rng.random() < 0.6 else 0.0,
        eye_shadow_colour=_EYE_SHADOWS[rng.integers(len(_EYE_SHADOWS))],
        eye_liner=rng.uniform(0.3, 0.9) if painted and rng.random() < 0.6 else 0.0,
        blush=rng.uniform(0.2, 1.0) if painted else 0.0,
    )


# The ramp in fine steps, to look up.
_SKIN_BY_MELANIN = np.stack(
    [
        np.interp(np.linspace(0, 1, 1024), np.linspace(0, 1, len(_MELANIN_RAMP)), channel)
        for channel in _MELANIN_RAMP.T
    ],
    axis=1,
).astype(np.float32)


def skin_colour(melanin: np.ndarray, blood: np.ndarray) -> np.ndarray:
    """sRGB albedo of skin.

    Args:
      melanin: [...] in [0, 1].
      blood: [...], about -1 to 1.

    Returns:
      [..., 3] float32.
    """
    melanin = np.clip(melanin, 0, 1).astype(np.float32)
    base = _SKIN_BY_MELANIN[np.rint(1023 * melanin).astype(int)]
    # Under much melanin blood shows less.
    shown = np.clip(blood, -1.2, 1.5).astype(np.float32) * (1 - np.float32(0.6) * melanin)
    return np.clip(base * (1 + _BLOOD * shown[..., None]), 0.02, 0.98)


class SkinPainter:
    """Paints a `SkinStyle` on a canvas; what does not depend on the person is made once."""

    def __init__(self, canvas: Canvas):
        self._canvas = canvas
        points = canvas.landmarks
        self._eyes = [points[36:42], points[42:48]]
        self._eye_holes = sum(canvas.polygon(eye, 0.8) for eye in self._eyes)
        self._lids = sum(canvas.polygon(_grown(eye, 2.2, 4.5), 2.5) for eye in self._eyes)
        self._lips = canvas.polygon(points[48:60], 0.6)
        self._brow_line = points[17:27, 1].mean()
        cheeks = [points[[36, 48]].mean(axis=0), points[[45, 54]].mean(axis=0)]
        cheeks = [cheek + (np.sign(cheek[0]) * 8, -2) for cheek in cheeks]
        self._cheeks = sum(canvas.bump(cheek, (16, 13)) for cheek in cheeks)
        self._nose = canvas.bump(points[30], (13, 11))
        self._chin = canvas.bump(points[8] + (0, 14), (16, 10))
        self._beard_area, self._moustache_area = self._paint_beard_areas()

    def paint(self, style: SkinStyle, rng: np.random.Generator) -> np.ndarray:
        """Returns the albedo, [H, W, 3] float32 sRGB in [0, 1]."""
        canvas = self._canvas
        melanin = (
            style.melanin + 0.02 * canvas.noise(rng, (30, 30)) + 0.012 * canvas.noise(rng, (3, 3))
        )
        melanin += (0.05 + 0.05 * style.lid_shade) * style.lid_shade * self._lids
        blood = style.blood + 0.25 * canvas.noise(rng, (22, 22)) + 0.12 * canvas.noise(rng, (4, 4))
        blood += rng.uniform(0.1, 0.8) * self._cheeks + rng.uniform(0.1, 0.9) * self._nose
        blood += rng.uniform(0, 0.4) * self._chin + 0.6 * style.lid_shade * self._lids
        if style.freckles:
            melanin += self._freckles(style, rng)
        albedo = skin_colour(melanin, blood)
        if style.num_moles:
            albedo = _blend(albedo, (0.16, 0.10, 0.08), 0.75 * self._moles(style, rng))
        albedo = self._paint_makeup(albedo, style)
        albedo = self._paint_lips(albedo, style, rng)
        return self._paint_hair(albedo, style, rng)

    def _paint_beard_areas(self):
        canvas, points = self._canvas, self._canvas.landmarks
        jaw, mouth = points[0:17], points[48:60]
        # Down the sideburns, along the lower cheeks to the corners of the mouth, and back below.
        right = [jaw[0] + (-6, 0), jaw[0] + (8, -4), jaw[3] + (14, 6), mouth[0] + (-9, 6)]
        left = [(-s, y) for s, y in reversed(right)]
        below = [jaw[16] + (6, 0), jaw[12] + (14, -26), jaw[8] + (0, -34), jaw[4] + (-14, -26)]
        area = canvas.polygon([*right, mouth[0], mouth[6], *left, *below], 4)
        lip_top = mouth[3]
        moustache = [mouth[0] + (-5, -2), points[31] + (-2, -4), points[35] + (2, -4)]
        moustache += [mouth[6] + (5, -2), lip_top]
        upper = canvas.polygon(moustache, 1.5)
        off_lips = 1 - np.clip(1.3 * self._lips, 0, 1)
        return area * off_lips, upper * off_lips

    def _freckles(self, style, rng):
        canvas, points = self._canvas, self._canvas.landmarks
        count = int(style.freckles * 350)
        centre = points[28] - (0, 8)
        dots = canvas.dots(
            centre + rng.standard_normal((count, 2)) * (34, 16), rng.uniform(0.3, 1.0, count)
        )
        return canvas.blur(dots, 0.5) * rng.uniform(0.08, 0.2)

    def _moles(self, style, rng):
        low, high = self._canvas.landmarks.min(axis=0), self._canvas.landmarks.max(axis=0)
        centres = rng.uniform(low, high + (0, 30), (style.num_moles, 2))
        radii = rng.uniform(0.5, 1.8, style.num_moles)
        return self._canvas.blur(self._canvas.dots(centres, radii), 0.4)

    def _paint_makeup(self, albedo, style):
        if style.blush:
            albedo = _blend(albedo, (0.85, 0.35, 0.36), 0.2 * style.blush * self._cheeks)
        if style.eye_shadow:
            albedo = _blend(albedo, style.eye_shadow_colour, style.eye_shadow * self._lids)
        # The rims of the lids are dark by their lashes, more so with a liner.
        rims = 0.0
        for eye in self._eyes:
            closed = np.concatenate([eye, eye[:1]])
            rims = rims + self._canvas.strokes(closed[:-1], closed[1:], 1.2)
        rims = np.clip(self._canvas.blur(rims, 0.7), 0, 1)
        return _blend(albedo, 0.12 * np.ones(3), (0.35 + 0.6 * style.eye_liner) * rims)

    def _paint_lips(self, albedo, style, rng):
        redness = style.lip_redness
        darker = skin_colour(np.array(style.melanin + 0.1), np.array(style.blood))
        bare = darker * (1.0 - 0.02 * redness, 0.98 - 0.28 * redness, 1 - 0.21 * redness)
        albedo = _blend(albedo, bare, (0.55 + 0.4 * redness) * self._lips)
        if style.lipstick:
            albedo = _blend(albedo, style.lipstick_colour, style.lipstick * self._lips)
        grain = self._canvas.noise(rng, (1.5, 6))
        return albedo * (1 - 0.03 * grain * self._lips)[..., None]

    def _paint_hair(self, albedo, style, rng):
        canvas = self._canvas
        if style.stubble:
            skin = skin_colour(np.array(style.melanin), np.array(style.blood))
            fuzz = np.clip(0.5 + 0.4 * canvas.noise(rng, (1.2, 1.8)), 0, 1)
            area = np.clip(self._beard_area + self._moustache_area, 0, 1)
            roots = 0.3 * skin + 0.5 * style.hair_colour
            albedo = _blend(albedo, roots, 0.5 * style.stubble * fuzz * area)
        if style.beard or style.moustache:
            fuzz = np.clip(0.75 + 0.3 * canvas.noise(rng, (1.2, 3.5)), 0, 1)
            ragged = np.clip(1.6 * self._beard_area + 0.2 * canvas.noise(rng, (4, 6)) - 0.2, 0, 1)
            area = style.beard * ragged * self._beard_area**0.3
            area = np.maximum(area, style.moustache * self._moustache_area)
            albedo = _blend(albedo, style.hair_colour, fuzz * area)
        albedo = _blend(albedo, style.brow_colour, self._brows(style, rng))
        streaks = 1 + 0.12 * canvas.noise(rng, (2, 22)) + 0.08 * canvas.noise(rng, (12, 30))
        hair = np.clip(style.hair_colour * streaks[..., None], 0.02, 0.95)
        return _blend(albedo, hair, self.scalp(style, rng)).astype(np.float32)

    def _brows(self, style, rng):
        canvas = self._canvas
        mask = np.zeros(canvas.shape, np.float32)
        for line, outwards in ((canvas.landmarks[17:22][::-1], -1), (canvas.landmarks[22:27], 1)):
            count = 90
            along = rng.uniform(0, 1, count)
            knots = np.linspace(0, 1, 5)
            roots = np.stack([np.interp(along, knots, line[:, axis]) for axis in (0, 1)], axis=1)
            # Thin at the tail; the landmarks run along the brow's upper half.
            width = style.brow_width * np.interp(along, (0, 0.15, 0.6, 1), (0.7, 1, 0.8, 0.25))
            roots[:, 1] += width * rng.uniform(-0.8, 0.25, count)
            lean = np.stack([outwards * np.interp(along, (0, 1), (0.6, 1)), 0.9 - 1.2 * along], 1)
            strokes = canvas.strokes(roots, roots + rng.uniform(2.5, 4.5, (count, 1)) * lean, 0.6)
            upper, lower = line + (0, 0.3), line[::-1] - (0, 0.75 * style.brow_width)
            soft = canvas.polygon(np.concatenate([upper, lower]), 1.2)
            mask = np.maximum(mask, np.clip(0.55 * soft + 0.6 * canvas.blur(strokes, 0.35), 0, 1))
        return style.brow_density * mask

    def scalp(self, style: SkinStyle, rng: np.random.Generator) -> np.ndarray:
        """Where hair covers the head, [H, W] in [0, 1], with a soft hairline."""
        canvas = self._canvas
        jaw_right, jaw_left = canvas.landmarks[0], canvas.landmarks[16]
        ear = 0.5 * (jaw_left[0] - jaw_right[0])
        ear_height = 0.5 * (jaw_left[1] + jaw_right[1])
        top = self._brow_line + style.hairline
        # Height of the hairline from the middle of the forehead, over the temples, down to the
        # sideburns and behind the ears.
        steps = np.array([0.0, 0.35, 0.6, 0.85, 0.97, 1.08, 1.35, 1.7])
        heights = np.array(
            [
                top,
                top + 14 * style.receding,
                top - 10 + 16 * style.receding,
                self._brow_line + 14,
                ear_height + 8,
                ear_height + 22,
                ear_height + 12,
                ear_height - 50,
            ]
        )
        line = np.interp(np.abs(canvas.grid_s[0]) / ear, steps, heights)
        line = canvas.blur(np.broadcast_to(line, canvas.shape).astype(np.float32), 4)
        ragged = 2.5 * canvas.noise(rng, (3, 8))
        covered = np.clip((canvas.grid_y - line + ragged) / 7 + 0.5, 0, 1)
        return covered * (
            1 - style.baldness * np.clip((canvas.grid_y - self._brow_line - 20) / 30, 0, 1)
        )

    def with_fringe(
        self, albedo: np.ndarray, style: SkinStyle, rng: np.random.Generator
    ) -> np.ndarray:
        """Hangs hair over the forehead of an albedo [H, W, 3]: straight, to a side or parted."""
        canvas = self._canvas
        across = canvas.grid_s[0] / 45
        slope, parting = rng.normal(0, 6), rng.choice([0.0, 0.0, 20.0])
        edge = self._brow_line + rng.uniform(0, 28) + slope * across
        edge = edge + parting * np.exp(-((across - rng.uniform(-0.5, 0.5)) ** 2) / 0.15)
        ragged = rng.uniform(2, 8) * canvas.noise(rng, (3, 40))
        below = np.clip((canvas.grid_y - edge + ragged) / 3 + 0.5, 0, 1)
        # It springs from the hairline, and ends where the temples do.
        crown = np.clip((self._brow_line + style.hairline + 10 - canvas.grid_y) / 8, 0, 1)
        sides = np.clip((1.45 - np.abs(across)) / 0.15, 0, 1)
        strands = np.clip(rng.uniform(0.7, 1.3) + 0.35 * canvas.noise(rng, (2, 40)), 0, 1)
        streaks = 1 + 0.15 * canvas.noise(rng, (2, 30))
        hair = np.clip(style.hair_colour * streaks[..., None], 0.02, 0.95)
        return _blend(albedo, hair, below * crown * sides * strands).astype(np.float32)


def _blend(albedo: np.ndarray, colour, opacity: np.ndarray) -> np.ndarray:
    opacity = np.clip(np.asarray(opacity, np.float32), 0, 1)[..., None]
    return albedo + opacity * (np.asarray(colour, np.float32) - albedo)


def _grown(polygon: np.ndarray, across: float, down: float) -> np.ndarray:
    """Moves a polygon's points [P, 2] away from its centre by (across, down) mm at most."""
    centre = polygon.mean(axis=0)
    offset = polygon - centre
    return polygon + offset / np.abs(offset).max(axis=0) * (across, down)
