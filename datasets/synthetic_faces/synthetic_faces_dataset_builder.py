"""TFDS builder of multi-frame images of synthetic people with known truth."""

import dataclasses
import io
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from tqdm import tqdm

from fml_tf.data.features import multi_frame_features, values
from fml_tf.structures import NUM_LANDMARKS, NUM_SH_BANDS
from fml_tf.synthesis.generator import CROP_SIZE, FrameSettings
from fml_tf.synthesis.workers import available_processes, generate
from fml_tf.template.makehuman import load_makehuman

# Shares of the people in the splits that are not for training.
_VALIDATION_SHARE = 0.08
_TEST_SHARE = 0.08


@dataclasses.dataclass(eq=False)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """Size and looks of a synthetic data set.

    Attributes:
      num_people: over all splits.
      images_per_person: multi-frame images of each person, each in a clip (light, camera,
        background) of its own.
      num_frames: M.
      resolution: of the mesh that is drawn, "4k", "16k" or "60k".
      seed: an example is a function of seed, person and image alone.
      num_processes: how many generate; None for one per processor. The data does not depend on it.
    """

    num_people: int = 1000
    images_per_person: int = 1
    num_frames: int = 4
    resolution: str = "4k"
    seed: int = 0
    num_processes: int | None = None


class Builder(tfds.core.GeneratorBasedBuilder):
    """Builds `synthetic_faces`; `README.md` describes every feature."""

    VERSION = tfds.core.Version("7.0.0")
    RELEASE_NOTES = {  # noqa: RUF012
        "1.0.0": "First version.",
        "2.0.0": "Pose and light in the source picture's camera are named so: `source_...`.",
        "3.0.0": "Sizes and proportions of published anthropometry; the template with them.",
        "4.0.0": "Landmarks where detectors mark them.",
        "5.0.0": "Shapes also change smoothly, as no target does.",
        "6.0.0": "Hair over foreheads; colours, exposures and distances of photographs.",
        "7.0.0": "Eyes and cheeks of Europeans and Africans bend no further back than on scans.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012
        SyntheticFacesConfig(
            name="quickstart",
            description="About a minute on two processors.",
            num_people=450,
        ),
        SyntheticFacesConfig(
            name="small",
            description="About six minutes on two processors.",
            num_people=2400,
        ),
        SyntheticFacesConfig(
            name="large",
            description="Half an hour on two processors. Nobody is in another configuration, too.",
            num_people=12_000,
            seed=1,
        ),
        SyntheticFacesConfig(
            name="tiny",
            description="A few people, for tests.",
            num_people=4,
            num_frames=2,
            num_processes=1,
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        frames = self.builder_config.num_frames
        vertices = load_makehuman("4k").num_vertices
        units = len(load_makehuman("4k").blendshape_names)
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    **multi_frame_features(frames, CROP_SIZE),
                    "neutral_shape": values(vertices, 3),
                    "albedo": values(vertices, 3),
                    "source_rotation": values(frames, 3),
                    "source_translation": values(frames, 3),
                    "focal_length": values(),
                    "blendshape_activations": values(frames, units),
                    "source_illumination": values(frames, NUM_SH_BANDS, 3),
                    "true_landmarks": values(frames, NUM_LANDMARKS, 2),
                    "true_landmark_vertices": values(frames, NUM_LANDMARKS, dtype=np.int32),
                }
            ),
            supervised_keys=None,
        )

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        del dl_manager  # Nothing is downloaded.
        count = self.builder_config.num_people
        num_validation = max(1, round(_VALIDATION_SHARE * count))
        num_test = max(1, round(_TEST_SHARE * count))
        num_train = count - num_validation - num_test
        if num_train < 1:
            raise ValueError(f"num_people={count} leaves nobody to train with; use at least 3")
        config = self.builder_config
        # One stream for all splits, so that processes start once; TFDS writes them in this order.
        people = generate(
            FrameSettings(config.num_frames, config.resolution, config.seed),
            range(count),
            config.images_per_person,
            config.num_processes or available_processes(),
        )
        people = iter(tqdm(people, total=count, desc="synthetic people", unit="person"))
        return {
            "train": self._generate_examples(itertools.islice(people, num_train)),
            "validation": self._generate_examples(itertools.islice(people, num_validation)),
            "test": self._generate_examples(itertools.islice(people, num_test)),
        }

    def _generate_examples(
        self, people: Iterator[tuple[int, list[dict]]]
    ) -> Iterator[tuple[str, dict]]:
        for person, images in people:
            for number, example in enumerate(images):
                frames = [io.BytesIO(data) for data in example["frames"]]
                key = f"{person:06d}_{number:03d}"
                yield key, {**example, "frames": frames, "person_id": f"{person:06d}"}


def build(
    data_dir: str, config: str | SyntheticFacesConfig = "quickstart"
) -> tfds.core.DatasetBuilder:
    """Prepares the data set if it does not exist yet.

    Args:
      data_dir: where TFDS keeps prepared data sets.
      config: name of one of `Builder.BUILDER_CONFIGS`, or another configuration.

    Returns:
      The builder, ready for `as_dataset`.

    Raises:
      ValueError: no configuration of that name.
    """
    if isinstance(config, str) and config not in Builder.builder_configs:
        names = ", ".join(Builder.builder_configs)
        raise ValueError(f"synthetic_faces/{config}: no such configuration; there are {names}")
    builder = Builder(data_dir=data_dir, config=config)
    tfds.disable_progress_bar()  # people are counted already
    builder.download_and_prepare()
    return builder
