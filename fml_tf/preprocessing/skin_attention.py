"""Which pixels of a crop are skin, by their colour alone: what a photometric loss may look at.

The skin attention of Deep3D (Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised
Learning", CVPRW 2019, section 3.1): naive Bayes between two mixtures of Gaussians, so that hair,
beards, glasses and things in front of a face count for little. Theirs were trained on photos
(Jones and Rehg 2002) that cannot be had; ours are fitted on renderings of people of all skin tones
by `tools/assets/fit_skin_colours.py`.
"""

import functools
import pathlib

import numpy as np
import tensorflow as tf

ASSET = pathlib.Path(__file__).parent / "assets" / "skin_colours.npz"
# P(skin) before the colour is seen; as in the authors' code.
_PRIOR = 0.8
# sRGB in [0, 1] to Y, Cb, Cr of ITU-R BT.601 with head-room (Y from 16 to 235), as in that code.
_TO_YCBCR = np.array(
    [[65.481, -37.797, 112.0], [128.553, -74.203, -93.786], [24.966, 112.0, -18.214]]
)
_YCBCR_OF_BLACK = np.array([16.0, 128.0, 128.0])


def to_ycbcr(colours: np.ndarray) -> np.ndarray:
    """Y, Cb and Cr [..., 3] of sRGB colours [..., 3] in [0, 1], as the asset's mixtures have it."""
    return colours @ _TO_YCBCR + _YCBCR_OF_BLACK


@functools.cache
def _gaussians() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Skin's and everything else's Gaussians, four each, as functions of sRGB in [0, 1].

    Returns:
      Slope [3, 2, 4, 3] and offset [2, 4, 3]: a colour times slope, plus offset, is its deviation
      from the mean in standard deviations; and the logarithm of weight and peak, [2, 4].
    """
    with np.load(ASSET) as archive:
        weights, means, covariances = (
            archive[name].astype(np.float64) for name in ("weights", "means", "covariances")
        )
    whitening = np.linalg.inv(np.linalg.cholesky(covariances))
    slope = np.einsum("rc,mkdc->rmkd", _TO_YCBCR, whitening)
    offset = np.einsum("mkdc,mkc->mkd", whitening, _YCBCR_OF_BLACK - means)
    peak = np.log(weights) + np.linalg.slogdet(whitening)[1]
    return tuple(values.astype(np.float32) for values in (slope, offset, peak))


def skin_probability(crops: tf.Tensor) -> tf.Tensor:
    """P(skin | colour) of each pixel, without gradient.

    Args:
      crops: [..., 3] float32 sRGB in [0, 1].

    Returns:
      [...] float32 in [0, 1].
    """
    slope, offset, peak = _gaussians()
    deviations = tf.tensordot(tf.stop_gradient(crops), slope, 1) + offset
    logs = peak - 0.5 * tf.reduce_sum(tf.square(deviations), axis=-1)
    skin, other = tf.unstack(tf.reduce_logsumexp(logs, axis=-1), axis=-1)
    return tf.sigmoid(skin - other + np.float32(np.log(_PRIOR / (1 - _PRIOR))))


def skin_attention(crops: tf.Tensor) -> tf.Tensor:
    """How much each pixel counts: 1 where skin is likelier than not, else `skin_probability`.

    Args:
      crops: [..., H, W, 3] float32 sRGB in [0, 1].

    Returns:
      [..., H, W] float32 in [0, 1], without gradient.
    """
    probability = skin_probability(crops)
    return tf.where(probability > 0.5, 1.0, probability)
