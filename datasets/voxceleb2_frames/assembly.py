"""From VoxCeleb2's folder to the examples of each split, and the report on both."""

import collections
import hashlib
import io
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from datasets.exclusion import FILE_NAME, excluded_people
from datasets.voxceleb2_frames.pipeline import prepare_clips
from datasets.voxceleb2_frames.preparation import Outcome, Preparation, load_images, prepare_images
from datasets.voxceleb2_frames.report import write_report
from datasets.voxceleb2_frames.source import Clip, SourceError, find_clips, read_people


class NoUsableClipError(ValueError):
    """VoxCeleb2 clips none of which gives a multi-frame image."""


def prepare_splits(
    source: pathlib.Path,
    preparation: Preparation,
    waiting: pathlib.Path,
    report_folder: pathlib.Path,
    *,
    clips_per_video: int,
    test_share_of_dev: float,
    seed: int,
    beam_options=None,
    beam_runner=None,
) -> dict[str, list[Outcome]]:
    """Prepares all clips of VoxCeleb2 and shares out those that gave images.

    Args:
      source: VoxCeleb2's folder.
      preparation: how.
      waiting: folder in which the clips' results are kept.
      report_folder: gets the report.
      clips_per_video, test_share_of_dev, seed: see `VoxCeleb2FramesConfig`.
      beam_options, beam_runner: see `pipeline.prepare_clips`.

    Raises:
      SourceError, ArchiveError: something is missing in the source.
      NoUsableClipError: no clip gives a multi-frame image.
    """
    people = read_people(source)
    strangers = excluded_people(source) - people.keys()
    if strangers:
        raise SourceError(f"{source / FILE_NAME}: vox2_meta.csv does not list {min(strangers)}")
    listing = find_clips(source)
    strangers = {clip.person for clip in listing.clips} - people.keys()
    if strangers:
        raise SourceError(f"{source}: vox2_meta.csv does not list {min(strangers)}")
    clips = draw_clips(listing.clips, clips_per_video, seed)
    folder = waiting / preparation.digest()
    outcomes = prepare_clips(clips, preparation, folder, beam_options, beam_runner)
    splits = collections.defaultdict(list)
    for outcome in outcomes:
        if outcome.num_images:
            person = outcome.name.split("/")[0]
            splits[split_of(person, people, test_share_of_dev, seed)].append(outcome)
    if not splits:
        reasons = collections.Counter(outcome.reason for outcome in outcomes).most_common()
        counts = ", ".join(f"{reason}: {count}" for reason, count in reasons)
        raise NoUsableClipError(
            f"{source}: none of {len(clips)} clips gives a multi-frame image ({counts}); the first:"
            f" {outcomes[0].message}"
        )
    write_report(report_folder, outcomes, splits, listing, len(listing.clips) - len(clips))
    return dict(splits)


def examples(outcomes: Iterable[Outcome]) -> Iterator[tuple[str, dict]]:
    """The examples of clips with their keys, such as `id00012/21Uxsk56VDQ/00001/0`."""
    for outcome in outcomes:
        for number, image in enumerate(load_images(outcome.path)):
            yield f"{outcome.name}/{number}", _example(image, outcome.name, outcome.source, number)


def remake_examples(source: str | os.PathLike, name: str, preparation: Preparation) -> list[dict]:
    """Makes the examples of one clip again, with the same pixels, to trace them to their source.

    Args:
      source: VoxCeleb2's folder.
      name: person/video/clip, such as `id00012/21Uxsk56VDQ/00001`.
      preparation: that of the data set, as in its metadata.

    Raises:
      SourceError: no such clip, or no VoxCeleb2.
      ClipError: the clip gives no multi-frame image.
    """
    clips = find_clips(source).clips
    clip = next((clip for clip in clips if clip.name == name), None)
    if clip is None:
        raise SourceError(f"{source}: holds no clip {name}")
    return [
        _example(image, name, clip.source, number)
        for number, image in enumerate(prepare_images(clip, preparation))
    ]


def draw_clips(clips: Sequence[Clip], clips_per_video: int, seed: int) -> list[Clip]:
    """At most `clips_per_video` of each video, drawn at random, in their old order; 0: all."""
    if not clips_per_video:
        return list(clips)
    of_video = collections.defaultdict(list)
    for clip in clips:
        of_video[clip.person, clip.video].append(clip.name)
    drawn = {
        name
        for names in of_video.values()
        for name in sorted(names, key=lambda name: _lot(name, seed))[:clips_per_video]
    }
    return [clip for clip in clips if clip.name in drawn]


def split_of(person: str, people: Mapping[str, str], test_share_of_dev: float, seed: int) -> str:
    """The split of a person: a function of the person alone, so that no one is in both."""
    is_test = people[person] == "test" or _lot(person, seed) < test_share_of_dev
    return "test" if is_test else "train"


def _lot(name: str, seed: int) -> float:
    """A number in [0, 1) that depends on a name and the seed alone."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _example(image: dict, name: str, source: str, number: int) -> dict:
    person, video, clip = name.split("/")
    return {
        **image,
        "frames": [io.BytesIO(frame) for frame in image["frames"]],
        "person_id": person,
        "video_id": video,
        "clip_id": clip,
        "image_number": number,
        "source": source,
    }
