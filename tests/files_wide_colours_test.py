"""Videos of high dynamic range and wide gamut, as phones film them, come out in sRGB."""

import av
import numpy as np
import pytest
from video_files import encode

from fml_tf.files.video import read_frames

BT709, BT2020, P3, PQ, HLG = 1, 9, 12, 16, 18
# CIE xy of red, green and blue (ITU-T H.273); white is D65.
PRIMARIES = {
    BT709: [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)],
    BT2020: [(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)],
    P3: [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)],
}
# Skin in the light and in the shade, a lip, leaves, the sky; none too bright to be shown as it is.
COLOURS = np.array([(224, 184, 160), (96, 62, 50), (170, 70, 80), (60, 120, 50), (90, 140, 210)])


def to_xyz(primaries):
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in PRIMARIES[primaries]]).T
    white = np.array([0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329])
    return columns * np.linalg.solve(columns, white)


def signal_of(srgb, primaries, transfer):
    """How a camera codes colours: [N, 3] of 255, of diffuse white at 203 cd/m²."""
    signal = srgb / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    linear = linear @ (np.linalg.inv(to_xyz(primaries)) @ to_xyz(BT709)).T
    assert linear.min() > 0
    if transfer == PQ:
        power = (203 * linear / 1e4) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    elif transfer == HLG:
        light = 0.203 * linear
        light *= (light @ (0.2627, 0.678, 0.0593))[:, None] ** (1 / 1.2 - 1)
        logarithm = 0.17883277 * np.log(np.maximum(12 * light, 1) - 0.28466892) + 0.55991073
        signal = np.where(light <= 1 / 12, np.sqrt(3 * light), logarithm)
    else:
        signal = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return 255 * signal


def shown(tmp_path, signals, primaries, transfer):
    """What is read of patches of these signals [N, 3]."""
    frame = np.repeat(np.repeat(np.uint8(np.round(signals))[None], 32, axis=0), 32, axis=1)
    tags = {"color_primaries": primaries, "color_trc": transfer, "colorspace": BT2020}
    path = encode(tmp_path / "a.mkv", [frame] * 2, "ffv1", pixels="yuv444p10le", colours=tags)
    with av.open(path) as container:
        tagged = next(container.decode(video=0))
        assert (tagged.color_primaries, tagged.color_trc) == (primaries, transfer)
    return next(read_frames(path)).image[16, 16::32].astype(int)


@pytest.mark.parametrize(
    ("primaries", "transfer"), [(BT2020, HLG), (BT2020, PQ), (BT2020, BT709), (P3, BT709), (P3, PQ)]
)
def test_colours_are_shown_as_they_are_meant(tmp_path, primaries, transfer):
    signals = signal_of(COLOURS, primaries, transfer)
    assert np.abs(signals - COLOURS).max() > 5  # taken for sRGB they would be wrong
    # A step of the 8 bits that the signals are rounded to is up to 3 of these.
    assert np.abs(shown(tmp_path, signals, primaries, transfer) - COLOURS).max() <= 5


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_what_is_brighter_than_white_keeps_its_order_and_its_hue(tmp_path, transfer):
    light = np.linspace(0.6, 1, 6) * 255
    signals = np.stack([light, light, 0.8 * light], axis=1)
    found = shown(tmp_path, signals, BT2020, transfer)
    assert (np.diff(found[:, 0]) >= 0).all() and found[-1, 0] >= 254
    assert (found[:, 2] < found[:, 0]).all()
