"""Colours of high dynamic range and wide gamut, as phones film them, to sRGB."""

import functools

import av
import numpy as np

# Numbers of ITU-T H.273, as libav's AVColorTransferCharacteristic and AVColorPrimaries.
_PQ, _HLG = 16, 18
_UNSPECIFIED, _BT2020, _DISPLAY_P3 = 2, 9, 12
# From linear RGB of these primaries to those of sRGB; white is D65 in all.
_TO_SRGB = {
    _BT2020: (
        (1.66049, -0.58764, -0.07285),
        (-0.12455, 1.1329, -0.00835),
        (-0.01815, -0.10058, 1.11873),
    ),
    _DISPLAY_P3: (
        (1.22494, -0.22494, 0.0),
        (-0.04206, 1.04206, 0.0),
        (-0.01964, -0.07864, 1.09827),
    ),
}
# Luminance of diffuse white, cd/m² (ITU-R BT.2408), which becomes the white of sRGB; of HLG's
# nominal display; and HLG's system gamma on that one (BT.2100).
_WHITE, _HLG_PEAK, _HLG_GAMMA = 203.0, 1000.0, 1.2
_HLG_LUMA = np.float32([0.2627, 0.678, 0.0593])
# What is brighter than this share of white is compressed towards it.
_KNEE = 0.8
_CODES = 4096


def is_wide(frame: av.VideoFrame) -> bool:
    """Whether a frame's tags say that its colours are not those of standard video."""
    return frame.color_trc in (_PQ, _HLG) or frame.color_primaries in _TO_SRGB


def to_srgb(picture: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Converts a picture whose tags `is_wide` knows.

    Colours up to four fifths of diffuse white are shown as they are meant; brighter ones are
    compressed with their hue, and those outside of sRGB's gamut clipped.

    Args:
      picture: [H, W, 3] uint16, full range.
      transfer, primaries: its tags, of H.273.

    Returns:
      [H, W, 3] uint8 sRGB.
    """
    linear = _linear_light(transfer)[picture >> 4]
    if transfer == _HLG:  # scene light so far; the display's gamma goes by luminance
        luminance = linear @ _HLG_LUMA
        linear *= (_HLG_PEAK / _WHITE * luminance ** (_HLG_GAMMA - 1))[..., None]
    if primaries == _UNSPECIFIED:  # none but BT.2020 goes with these transfers
        primaries = _BT2020
    if primaries in _TO_SRGB:
        linear = np.maximum(linear @ np.float32(_TO_SRGB[primaries]).T, 0)
    brightest = np.maximum(linear.max(axis=-1, keepdims=True), 1e-6)
    compressed = 1 - (1 - _KNEE) * np.exp((_KNEE - brightest) / (1 - _KNEE))
    linear *= np.where(brightest > _KNEE, compressed / brightest, 1)
    codes = np.uint16(np.minimum(linear, 1) ** 0.5 * (_CODES - 1) + 0.5)
    return _srgb_of_root()[codes]


@functools.cache
def _linear_light(transfer: int) -> np.ndarray:
    """[4096] float32 of a signal; 1 is diffuse white, and of HLG its peak of scene light."""
    signal = np.linspace(0, 1, _CODES)
    if transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    elif transfer == _PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = signal ** (1 / m2)
        light = 1e4 / _WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    else:
        light = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@functools.cache
def _srgb_of_root() -> np.ndarray:
    """[4096] uint8 sRGB of the square root of linear light, in even steps."""
    light = np.linspace(0, 1, _CODES) ** 2
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.uint8(np.round(255 * signal))
