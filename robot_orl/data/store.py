"""The dataset store: plain Zarr v3, one writer per segment, one commit line per episode.

    with SegmentWriter(root, spec, source="collect") as writer:
        writer.append(episode)                  # committed once this returns
    for episode in Dataset.open(root).load_all():
        ...

`layout` draws what lies where; `records` explains the commit log.
"""

from robot_orl.data.background import BackgroundWriter
from robot_orl.data.info import DatasetInfo, Range
from robot_orl.data.reader import Dataset
from robot_orl.data.records import EpisodeRecord
from robot_orl.data.segment import Segment
from robot_orl.data.writer import SegmentWriter

__all__ = [
    "BackgroundWriter",
    "Dataset",
    "DatasetInfo",
    "EpisodeRecord",
    "Range",
    "Segment",
    "SegmentWriter",
]
