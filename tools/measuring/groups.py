"""An evaluation on synthetic_faces by groups of people: descent, sex, age, skin and head pose.

    python evaluate.py --dataset=synthetic_faces/large --num_frames=1,4 --output_dir=evaluation
    python -m tools.measuring.groups --dataset=large --evaluation=evaluation

R² is one less the squared error over that of the training people's mean, for the people of the
group alone.
"""

import json
import pathlib

from fml_tf import quiet  # noqa: F401  # isort: skip

import numpy as np
from absl import app, flags

from datasets import synthetic_faces
from fml_tf.data.batches import evaluation_examples
from fml_tf.evaluation.predictors import TRAINING_MEAN
from fml_tf.synthesis.generator import person_rng
from fml_tf.synthesis.population import sample_descent

_EVALUATION = flags.DEFINE_string("evaluation", None, "Output of evaluate.py.", required=True)
_DATASET = flags.DEFINE_string("dataset", "large", "Configuration of synthetic_faces.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared data sets are kept.")
_SPLIT = flags.DEFINE_string("split", "test", "Split that was evaluated.")


def groups_of_people(builder, split: str) -> dict[str, dict[str, str]]:
    """What each person belongs to, by kind of group."""
    found = {}
    for batch, example in evaluation_examples(builder, split, builder.builder_config.num_frames):
        name = example["person_id"].numpy().decode()
        # The first draws of a person are its descent.
        shares, masculinity, age = sample_descent(
            person_rng(builder.builder_config.seed, int(name))
        )
        largest = max(shares, key=shares.get)
        skin = float(batch.truth.albedo.numpy().mean())
        turn = np.degrees(np.abs(batch.truth.rotation.numpy()[0, :, 1])).mean()
        found[name] = {
            "descent": largest if shares[largest] > 0.6 else "mixed",
            "sex": "man" if masculinity > 2 / 3 else "woman" if masculinity < 1 / 3 else "between",
            "age": "younger" if age < 0.2 else "middle" if age < 0.45 else "older",
            "skin": "dark" if skin < 0.35 else "medium" if skin < 0.5 else "light",
            "mean yaw": "under 15°" if turn < 15 else "15° to 30°" if turn < 30 else "over 30°",
        }
    return found


def main(argv):
    """Prints a row for each group."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    path = pathlib.Path(_EVALUATION.value) / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    people = groups_of_people(synthetic_faces.build(_DATA_DIR.value, _DATASET.value), _SPLIT.value)
    methods = [name for name in results["methods"] if name.split()[0] in ("pooled", "refined")]

    def squared(name, method, measure="per_vertex"):
        trials = results["cases"][name].get(method, [])
        values = [trial["figures"][measure] for trial in trials if "figures" in trial]
        return float(np.mean(np.square(values))) if values else np.nan

    print("| group | people | " + " | ".join(f"R², {method}" for method in methods) + " |")
    print("| --- | --- |" + " --- |" * len(methods))
    kinds = next(iter(people.values()))
    for kind in kinds:
        for group in sorted({of[kind] for of in people.values()}):
            members = [n for n in results["cases"] if people.get(n, {}).get(kind) == group]
            constant = np.nansum([squared(name, TRAINING_MEAN) for name in members])
            shares = [
                1 - np.nansum([squared(name, method) for name in members]) / constant
                for method in methods
            ]
            row = " | ".join(f"{share:.3f}" for share in shares)
            print(f"| {kind}: {group} | {len(members)} | {row} |")


if __name__ == "__main__":
    app.run(main)
