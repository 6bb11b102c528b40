r"""Makes fml_tf/preprocessing/assets/skin_colours.npz: the colours of skin and of everything else.

    python -m tools.assets.fit_skin_colours

Two mixtures of four Gaussians in YCbCr, for `fml_tf/preprocessing/skin_attention.py`, fitted by
expectation-maximisation to the pixels of renderings: the face's bare skin, and what is no skin. All
skin tones are equally frequent, and each picture counts the same. It takes some minutes. The people
are of a seed of their own, which no data set has.

The asset holds, for skin and everything else in this order, weights [2, 4], means [2, 4, 3] and
covariances [2, 4, 3, 3]; 80 numbers, those apart that symmetry or a sum of 1 give.
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
import tqdm
from absl import app, flags
from scipy.cluster.vq import kmeans2
from scipy.special import logsumexp

from fml_tf.files.atomic import atomic_path
from fml_tf.preprocessing.skin_attention import ASSET, to_ycbcr
from tools.skin_renderings import FRAMES_PER_PERSON, render_skin

_PEOPLE = flags.DEFINE_integer("people", 400, "Rendered people.", lower_bound=10)
_SEED = flags.DEFINE_integer("seed", 20190616, "Of the people.")
_COMPONENTS = 4
_PIXELS = 150  # of each picture and kind
_STEPS, _LEAST_GAIN = 500, 1e-6
# Added to variances: the width of a step of 8 bits and more, so that clipped colours are no line.
_LEAST_VARIANCE = 4.0


def gather(people: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """YCbCr colours of skin and of everything else, each [n, 3]; the same number of a picture."""
    rng = np.random.default_rng(seed)
    colours = ([], [])
    pictures = render_skin(people, seed)
    for picture in tqdm.tqdm(pictures, total=FRAMES_PER_PERSON * people, mininterval=5):
        for kind, mask in zip(colours, (picture.skin, picture.other)):
            pixels = picture.crop[mask]
            if len(pixels):
                kind.append(pixels[rng.integers(len(pixels), size=_PIXELS)])
    return tuple(to_ycbcr(np.concatenate(kind) / 255) for kind in colours)


def fit_mixture(
    points: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Expectation-maximisation from the clusters of k-means.

    Args:
      points: [n, 3].
      rng: of the clusters' first centres.

    Returns:
      Weights [4], means [4, 3], covariances [4, 3, 3] and the mean log-likelihood of a point.
    """
    _, label = kmeans2(points, _COMPONENTS, minit="++", seed=rng)
    shares = np.eye(_COMPONENTS)[label]
    earlier = -np.inf
    for _ in range(_STEPS):
        counts = shares.sum(axis=0)
        means = shares.T @ points / counts[:, None]
        covariances = np.empty((_COMPONENTS, 3, 3))
        logs = np.empty_like(shares)
        for k in range(_COMPONENTS):
            offsets = points - means[k]
            covariances[k] = (shares[:, k, None] * offsets).T @ offsets / counts[k]
            covariances[k] += _LEAST_VARIANCE * np.eye(3)
            whitening = np.linalg.inv(np.linalg.cholesky(covariances[k]))
            distances = np.square(offsets @ whitening.T).sum(axis=1)
            peak = np.linalg.slogdet(whitening)[1] - 1.5 * np.log(2 * np.pi)
            logs[:, k] = np.log(counts[k] / len(points)) + peak - distances / 2
        total = logsumexp(logs, axis=1)
        if total.mean() - earlier < _LEAST_GAIN:
            break
        earlier = total.mean()
        shares = np.exp(logs - total[:, None])
    return counts / len(points), means, covariances, float(total.mean())


def main(argv):
    """Renders, fits, prints and writes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    rng = np.random.default_rng(_SEED.value)
    mixtures = []
    for name, points in zip(("skin", "everything else"), gather(_PEOPLE.value, _SEED.value)):
        *mixture, likelihood = fit_mixture(points, rng)
        mixtures.append(mixture)
        print(f"{name}: {len(points)} pixels, log-likelihood {likelihood:.3f} a pixel")
        for weight, mean, covariance in zip(*mixture):
            deviations = np.sqrt(np.diag(covariance)).round(1)
            print(f"  {weight:.3f} at {mean.round(1)}, standard deviations {deviations}")
    names = ("weights", "means", "covariances")
    arrays = {name: np.float32(values) for name, values in zip(names, zip(*mixtures))}
    with atomic_path(ASSET) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    app.run(main)
