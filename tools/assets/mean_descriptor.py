r"""Makes fml_tf/perception/assets/mean_descriptor.npz: the mean descriptor of rendered people.

    python -m tools.assets.mean_descriptor

What `centred_cosine` subtracts, 128 numbers: the mean over the pictures of people of a seed of
their own, which no data set has. It takes some minutes.
"""

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags

from fml_tf.files.atomic import atomic_path
from fml_tf.perception.recognition import ASSET
from tools.face_descriptors import describe_people

_PEOPLE = flags.DEFINE_integer("people", 200, "Rendered people.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 20190320, "Of the people.")


def main(argv):
    """Renders, prints and writes."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    of_people = describe_people(_PEOPLE.value, _SEED.value).pictures.mean(axis=1)
    mean = of_people.mean(axis=0)
    error = np.linalg.norm(of_people.std(axis=0, ddof=1)) / np.sqrt(len(of_people))
    print(f"{len(of_people)} people: norm {np.linalg.norm(mean):.3f}, standard error {error:.3f}")
    with atomic_path(ASSET) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, mean=np.float32(mean))


if __name__ == "__main__":
    app.run(main)
