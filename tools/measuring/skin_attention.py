"""Whether skin attention finds the skin of every tone, on renderings that know where it is.

    python -m tools.measuring.skin_attention --output=skin_attention.png

Printed are the mean attention on the face's bare skin and the share of its pixels that have
attention 1, by skin tone and by the pixel's colour, and the mean attention on everything that is no
skin. The picture shows crops above their attention, two people of each tone, and last the
public-domain portrait of scikit-image.
"""

import pathlib

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import skimage.data
import tqdm
from absl import app, flags

from fml_tf.command_line import one_line_errors
from fml_tf.files.atomic import write_image
from fml_tf.geometry.crop import crop_image
from fml_tf.preprocessing.landmark_detectors import make_landmark_detector
from fml_tf.preprocessing.prepare import CropSettings, find_face
from fml_tf.preprocessing.skin_attention import skin_attention, to_ycbcr
from tools.skin_renderings import FRAMES_PER_PERSON, TONES, SkinRendering, render_skin

_OUTPUT = flags.DEFINE_string("output", None, "Picture to write (PNG).", required=True)
_PEOPLE = flags.DEFINE_integer("people", 100, "Rendered people.", lower_bound=2 * TONES)
_SEED = flags.DEFINE_integer("seed", 7, "Of the people.")
# Y of ITU-R BT.601, of which black is 16 and white 235; and how far Cb and Cr of grey are from 128.
_DARK, _BRIGHT, _GREY = 50, 200, 4
# A picture's skin is left out where its mean attention is less.
_LEFT_OUT = 0.9


def attention_of(crop: np.ndarray) -> np.ndarray:
    """Attention [H, W] of a crop [H, W, 3] uint8."""
    return skin_attention(crop.astype(np.float32) / 255).numpy()


def report(pictures: list[SkinRendering]) -> None:
    """Prints a row for each tone, for all, and for dark, bright and grey pixels."""
    maps = [attention_of(picture.crop) for picture in pictures]

    print("| melanin | skin, mean | skin, share of 1 | pictures left out | all else, mean |")
    print("| --- | --- | --- | --- | --- |")
    for name, tones in [
        *((f"{tone / TONES:.1f} to {(tone + 1) / TONES:.1f}", [tone]) for tone in range(TONES)),
        ("all", range(TONES)),
    ]:
        chosen = [pair for pair in zip(pictures, maps) if pair[0].tone in tones]
        skins = [attention[picture.skin] for picture, attention in chosen if picture.skin.any()]
        left_out = np.mean([skin.mean() < _LEFT_OUT for skin in skins])
        skin = np.concatenate(skins)
        other = np.concatenate([attention[picture.other] for picture, attention in chosen])
        print(
            f"| {name} | {skin.mean():.3f} | {np.mean(skin == 1):.3f} | {left_out:.0%} "
            f"| {other.mean():.3f} |"
        )

    attention = np.stack(maps)
    skin, other = (np.stack([getattr(p, kind) for p in pictures]) for kind in ("skin", "other"))
    luma, *chroma = np.moveaxis(to_ycbcr(np.stack([p.crop for p in pictures]) / 255), -1, 0)
    grey = np.abs(np.subtract(chroma, 128)).max(axis=0) < _GREY
    print("\n| pixels | of the skin | skin, mean | all else, mean |")
    print("| --- | --- | --- | --- |")
    for name, chosen in [
        (f"luma under {_DARK}", luma < _DARK),
        (f"luma over {_BRIGHT}", luma > _BRIGHT),
        ("grey", grey),
        ("all others", (luma >= _DARK) & (luma <= _BRIGHT) & ~grey),
    ]:
        print(
            f"| {name} | {chosen[skin].mean():.3f} | {attention[chosen & skin].mean():.3f} "
            f"| {attention[chosen & other].mean():.3f} |"
        )


def sheet(crops: list[np.ndarray]) -> np.ndarray:
    """Crops, each above its attention, in rows of six."""
    columns = 6
    tiles = [
        np.concatenate([crop, np.repeat(np.rint(255 * attention_of(crop))[..., None], 3, axis=-1)])
        for crop in crops
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[k : k + columns], 1) for k in range(0, len(tiles), columns)]
    return np.concatenate(rows).astype(np.uint8)


def portrait() -> np.ndarray:
    """The crop [240, 240, 3] uint8 of the face of NASA's portrait of Eileen Collins."""
    image = skimage.data.astronaut()
    settings = CropSettings(min_width=100)  # the face is smaller than what we train on
    return crop_image(image, find_face(image, make_landmark_detector(), settings)[1])


def main(argv):
    """Prints the tables and draws the sheet."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    total = FRAMES_PER_PERSON * _PEOPLE.value
    pictures = render_skin(_PEOPLE.value, _SEED.value)
    pictures = list(tqdm.tqdm(pictures, total=total, mininterval=5))
    report(pictures)
    shown = [picture.crop for picture in pictures[: 2 * TONES * FRAMES_PER_PERSON]]
    with one_line_errors("skin_attention"):
        pathlib.Path(_OUTPUT.value).parent.mkdir(parents=True, exist_ok=True)
        write_image(_OUTPUT.value, sheet([*shown[::FRAMES_PER_PERSON], portrait()]))


if __name__ == "__main__":
    app.run(main)
