"""What became of every clip: `report.json` and `clips.tsv` beside the data."""

import collections
import csv
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from datasets.voxceleb2_frames.preparation import Outcome
from datasets.voxceleb2_frames.source import Listing

# Clips of the whole of VoxCeleb2, its paper's Table 2 (arXiv 1806.05622): 1,092,009 + 36,237.
VOXCELEB2_CLIPS = 1_128_246


def write_report(
    folder: pathlib.Path,
    outcomes: Sequence[Outcome],
    splits: dict[str, list[Outcome]],
    listing: Listing,
    num_not_drawn: int,
) -> None:
    """Writes the report on a data set.

    Args:
      folder: of the data set.
      outcomes: of all clips that were drawn.
      splits: the clips that were made into images, by split.
      listing: what there was.
      num_not_drawn: how many of its clips had no luck in the draw of `--clips_per_video`.

    Raises:
      RuntimeError: clips or images got lost or counted twice, or a person is in two splits.
    """
    skipped = [outcome for outcome in outcomes if outcome.reason is not None]
    made = [outcome for outcomes_of_split in splits.values() for outcome in outcomes_of_split]
    reasons = collections.Counter(outcome.reason for outcome in skipped)
    examples = {name: sum(o.num_images for o in of_split) for name, of_split in splits.items()}
    people = {name: {o.name.split("/")[0] for o in of_split} for name, of_split in splits.items()}
    core_seconds = float(np.mean([outcome.core_seconds for outcome in outcomes]))
    if not (
        len(listing.clips) - num_not_drawn
        == len({outcome.name for outcome in outcomes})
        == len(made) + len(skipped)
        and sum(examples.values()) == sum(outcome.num_images for outcome in outcomes)
        and sum(map(len, people.values())) == len(set().union(*people.values()))
    ):
        raise RuntimeError(
            f"{len(listing.clips)} clips in, {len(made)} made, {len(skipped)} skipped,"
            f" {num_not_drawn} not drawn;"
            f" images {examples}, people { ({name: len(who) for name, who in people.items()}) }"
        )
    report = {
        "clips": len(listing.clips) + listing.excluded,
        "clips_made": len(made),
        "clips_skipped": len(skipped),
        "clips_excluded": listing.excluded,
        "clips_not_drawn": num_not_drawn,
        "skipped_by_reason": dict(reasons.most_common()),
        "clips_from_original_videos": sum(o.source.startswith("original/") for o in outcomes),
        "tracks_without_video": listing.tracks_without_video,
        "unused_originals": listing.unused_originals,
        "examples": examples,
        "people": {name: len(who) for name, who in people.items()},
        "core_seconds_a_clip": round(core_seconds, 3),
        "core_hours_of_voxceleb2": round(core_seconds * VOXCELEB2_CLIPS / 3600),
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    with (folder / "clips.tsv").open("w", newline="") as file:
        writer = csv.writer(file, dialect="excel-tab")
        writer.writerow(["clip", "source", "images", "reason", "message"])
        writer.writerows((o.name, o.source, o.num_images, o.reason, o.message) for o in outcomes)
