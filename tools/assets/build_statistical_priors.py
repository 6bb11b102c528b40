"""Makes the statistical face models that ship: principal components of generated people.

    python -m tools.assets.build_statistical_priors

writes `fml_tf/template/assets/synthetic_prior.npz` and `synthetic_all_prior.npz`, in some minutes.
Which people these are: see `fml_tf/template/statistical_prior.py`. None is in a data set: the seed
is their own. Bases are stored in 16 bits.
"""

import dataclasses
import io
from collections.abc import Iterable

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app
from tqdm import tqdm

from fml_tf.evaluation.principal_components import principal_components
from fml_tf.files.atomic import write_bytes
from fml_tf.geometry.alignment import procrustes
from fml_tf.synthesis.generator import person_rng
from fml_tf.synthesis.head import HeadModel
from fml_tf.synthesis.person import MELANIN, MOUTH
from fml_tf.synthesis.population import AGE_BETA, POPULATIONS, Population, sample_descent
from fml_tf.synthesis.skin import SkinPainter, sample_skin_style
from fml_tf.template.statistical_prior import asset_path

_SEED = 20180618  # of no data set
_SIZE = 80
_CLEAN = {
    "beard": 0.0,
    "moustache": 0.0,
    "stubble": 0.0,
    "freckles": 0.0,
    "num_moles": 0,
    "lipstick": 0.0,
    "eye_shadow": 0.0,
    "eye_liner": 0.0,
    "blush": 0.0,
}


class _People:
    """Shapes and albedos of people of a seed."""

    def __init__(self, seed: int):
        self._seed = seed
        self._head = HeadModel("4k")
        self._population = Population()
        self._painter = SkinPainter(self._head.canvas)

    def scanned(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A person as a scan data base has them: European, woman or man, with clean skin."""
        rng = person_rng(self._seed, index)
        shares = {name: float(name == "caucasian") for name in POPULATIONS}
        melanin = np.clip(rng.normal(*MELANIN["caucasian"]), 0, 1)
        return self._make(rng, shares, float(index % 2), rng.beta(*AGE_BETA), melanin, _CLEAN)

    def anybody(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """A person as the data sets have them."""
        rng = person_rng(self._seed, index)
        shares, masculinity, age = sample_descent(rng)
        melanin = sum(share * rng.normal(*MELANIN[name]) for name, share in shares.items())
        return self._make(rng, shares, masculinity, age, np.clip(melanin, 0, 1), {})

    def _make(self, rng, shares, masculinity, age, melanin, changes):
        head = self._head
        neutral = head.neutral(self._population.sample(rng, shares, masculinity, age))
        style = sample_skin_style(rng, float(melanin), masculinity, age)
        texture = self._painter.paint(dataclasses.replace(style, **changes), rng)
        shape = neutral[: head.template.num_vertices]
        face, mean = head.template.regions["face"], head.template.mean_shape
        aligned = procrustes(shape[face], mean[face], with_scale=False)
        # Nobody's mouth differs inside: scans do not show it.
        return aligned.apply(shape), head.albedo(texture, MOUTH)


def build(people: Iterable[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of a `FacePrior`, bases in 16 bits."""
    arrays = {}
    for name, samples in zip(("shape", "albedo"), map(np.stack, zip(*people))):
        found = principal_components(samples.reshape(len(samples), -1), _SIZE)
        basis = (found.basis * np.sqrt(found.variance)).T
        arrays[f"mean_{name}"] = found.mean.reshape(-1, 3).astype(np.float32)
        arrays[f"{name}_basis"] = basis.reshape(len(basis), -1, 3).astype(np.float16)
        kept = found.variance.sum() / samples.var(axis=0, ddof=1).sum()
        print(f"{name}: {len(samples)} people, {len(basis)} vectors keep {100 * kept:.2f} %")
    return arrays


def main(_):
    """Makes both."""
    people = _People(_SEED)
    for name, make, count in (
        ("synthetic", people.scanned, 200),
        ("synthetic_all", people.anybody, 2000),
    ):
        arrays = build([make(i) for i in tqdm(range(count), name)])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_bytes(asset_path(name), buffer.getvalue())


if __name__ == "__main__":
    app.run(main)
