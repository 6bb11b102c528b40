"""Multi-frame images from a folder of videos."""

from datasets.video_faces.video_faces_dataset_builder import (
    Builder,
    NoUsableClipError,
    build,
    find_videos,
)

__all__ = ["Builder", "NoUsableClipError", "build", "find_videos"]
