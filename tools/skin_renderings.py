"""Renderings that know which pixels are skin, for the scripts and tests about skin colours."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
from scipy.spatial import KDTree

from fml_tf.rendering.camera import PerspectiveCamera
from fml_tf.rendering.illumination import ambient_illumination
from fml_tf.synthesis.expression import sample_expression
from fml_tf.synthesis.generator import CROP_SIZE, person_rng
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import Person, PersonSampler
from fml_tf.synthesis.picture import (
    degrade,
    sample_background,
    sample_development,
    sample_occluder,
)
from fml_tf.synthesis.renderer import Renderer
from fml_tf.synthesis.scene import HeadPose, Light, sample_lights, sample_poses
from fml_tf.synthesis.skin import SkinPainter, sample_skin_style

TONES = 5
# Two pictures of a person, since people take longer than pictures.
FRAMES_PER_PERSON = 2
_CROP_WIDTH_MM = 225.0
# As in the data set.
_OCCLUDED_SHARE = 0.12
# Where less of the canvas's colour is that of hair it is skin, where more it is hair.
_NO_HAIR, _HAIR = 0.05, 0.6
# Blur and low resolution mix colours over about so many pixels, which belong to neither side.
_MIXED = np.ones((7, 7), np.uint8)


@dataclasses.dataclass(frozen=True, eq=False)
class SkinRendering:
    """A picture of a face.

    Attributes:
      crop: [240, 240, 3] uint8 sRGB.
      skin: [240, 240] bool, the face's bare skin: the template's region "skin" without hair.
      other: [240, 240] bool, no skin at all: background, hair of head and beard, eyes, the mouth's
        inside, clothes, glasses, things in front. Lips, brows, lids, ears, neck, stubble and the
        mixed pixels of edges are neither.
      tone: of 0 to 4, light to dark: fifths of the range of melanin.
    """

    crop: np.ndarray
    skin: np.ndarray
    other: np.ndarray
    tone: int


class SkinRenderer:
    """Draws people and where they show skin."""

    def __init__(self):
        self._head = HeadModel("4k")
        self._people = PersonSampler(self._head)
        self._painter = SkinPainter(self._head.canvas)
        self._renderer = Renderer(self._head)
        template, canvas = self._head.template, self._head.canvas
        # The inside of mouth and nostrils lies behind the skin on the canvas.
        outside = self._head.material.skin[: template.num_vertices] > 0.5
        grid = np.stack([canvas.grid_s, canvas.grid_y], axis=-1)
        _, nearest = KDTree(canvas.vertex_points[outside]).query(grid)
        self._skin_region = template.regions["skin"][outside][nearest]

    def person(self, melanin: float, rng: np.random.Generator) -> tuple[Person, Person]:
        """A random person with skin of the given melanin.

        Returns:
          The person, and its twin in the colours of a map: (1, 1, 0) is bare skin of the face,
          (0, 1, 1) no skin, (0, 1, 0) neither.
        """
        sampled = self._people.sample(rng)
        style = sample_skin_style(rng, melanin, masculinity=rng.uniform(), age=rng.uniform())
        seed, fringed = rng.integers(2**32), rng.random() < 0.2

        def painted(**changes):
            own = np.random.default_rng(seed)
            changed = dataclasses.replace(style, **changes)
            texture = self._painter.paint(changed, own)
            return self._painter.with_fringe(texture, changed, own) if fringed else texture

        texture = painted()
        white, black = (painted(hair_colour=np.full(3, grey)) for grey in (1.0, 0.0))
        hair = (white - black).mean(axis=-1)
        kinds = [self._skin_region & (hair < _NO_HAIR), np.ones_like(hair), hair > _HAIR]
        person = dataclasses.replace(
            sampled,
            texture=texture,
            seen_texture=texture,
            # The sampled hair lies elsewhere.
            hair_volume=np.zeros_like(sampled.hair_volume),
        )
        twin = dataclasses.replace(
            person,
            seen_texture=np.stack(kinds, axis=-1).astype(np.float32),
            colours={name: np.array([0.0, 1, 1]) for name in person.colours},
            gloss=0.0,
        )
        return person, twin

    def draw(
        self,
        people: tuple[Person, Person],
        activations: np.ndarray,
        pose: HeadPose,
        light: Light,
        camera: PerspectiveCamera,
        background: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws a pair of `person` with an expression [K] before a background [H, W, 3].

        Returns:
          Picture [H, W, 3] float32, not clipped, and `skin` and `other` of `SkinRendering`, [H, W].
        """
        person, twin = people
        vertices = self._head.deform(
            person.neutral, activations, person.hair_volume, person.glasses
        )
        picture, _ = self._renderer.draw(person, vertices, pose, light, camera, background)
        even = Light(ambient_illumination(), light.key_direction, np.zeros(3, np.float32))
        nothing = np.broadcast_to(np.float32([0, 1, 1]), background.shape)
        kinds, _ = self._renderer.draw(twin, vertices, pose, even, camera, nothing)
        # Hollows are darker, in all channels alike.
        shares = kinds / kinds[..., 1:2]
        skin, other = (_shrunk(shares[..., channel] > 0.99) for channel in (0, 2))
        return picture, skin, other

    def rendering(self, people: tuple[Person, Person], tone: int, rng: np.random.Generator):
        """A random picture of a pair of `person`: a `SkinRendering`."""
        template = self._head.template
        focal_length = np.exp(rng.uniform(np.log(1.8), np.log(7.0)))
        camera = PerspectiveCamera(focal_length * CROP_SIZE, CROP_SIZE, CROP_SIZE)
        centre = people[0].neutral[template.landmark_vertices].mean(axis=0)
        (pose,) = sample_poses(rng, 1, focal_length * _CROP_WIDTH_MM, centre, spread=6.0)
        (light,) = sample_lights(rng, 1)
        # The data set's backgrounds keep their colour in any light, and most are nearly grey: too
        # easy to tell from pale skin.
        tint = light.illumination[0] / light.illumination[0].mean()
        background = np.clip(sample_background(rng, CROP_SIZE) * tint, 0, 1)
        activations = sample_expression(rng, template.blendshape_names)
        picture, skin, other = self.draw(people, activations, pose, light, camera, background)
        if rng.random() < _OCCLUDED_SHARE:
            middle = np.full(2, CROP_SIZE / 2)
            opacity, colours = sample_occluder(rng, CROP_SIZE, middle, CROP_SIZE)
            picture += opacity[..., None] * (colours - picture)
            skin &= _shrunk(opacity < 0.01)
            other = (other & _shrunk(opacity < 0.01)) | _shrunk(opacity > 0.99)
        crop = degrade(sample_development(rng).apply(picture), rng)
        return SkinRendering(crop, skin, other, tone)


def render_skin(people: int, seed: int) -> Iterator[SkinRendering]:
    """Pictures of so many people, as many of each tone, in all lights of the data set."""
    renderer = SkinRenderer()
    for index in range(people):
        rng = person_rng(seed, index)
        tone = index % TONES
        pair = renderer.person((tone + rng.uniform()) / TONES, rng)
        for _ in range(FRAMES_PER_PERSON):
            yield renderer.rendering(pair, tone, rng)


def _shrunk(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), _MIXED) > 0
