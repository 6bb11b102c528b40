"""A VoxCeleb2 of two people, made on the spot of scikit-image's public-domain portrait.

python -m datasets.voxceleb2_frames.dummy_voxceleb2 FOLDER
"""

import pathlib
import sys
from collections.abc import Mapping

from datasets.video_faces.dummy_videos import portrait_frames, write_video

PEOPLE = {"id00001": "dev", "id00002": "test"}
VIDEO = "abcdefghijk"


def write_people(folder: pathlib.Path, people: Mapping[str, str]) -> None:
    """Writes `vox2_meta.csv` with the blanks that the real one has; people by id, and their set."""
    rows = [f"{person} ,n{person[2:]} ,f ,{of_set}" for person, of_set in people.items()]
    text = "\n".join(["VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set ", *rows])
    (folder / "vox2_meta.csv").write_text(text + "\n")


def write_dummy(folder: pathlib.Path) -> None:
    """Writes one clip of each person."""
    folder.mkdir(parents=True, exist_ok=True)
    write_people(folder, PEOPLE)
    for person, of_set in PEOPLE.items():
        clip = folder / of_set / "mp4" / person / VIDEO / "00001.mp4"
        clip.parent.mkdir(parents=True)
        write_video(clip, portrait_frames(5))


if __name__ == "__main__":
    write_dummy(pathlib.Path(sys.argv[1]))
