"""The dataset store: plain Zarr v3, one writer per segment, one commit line per episode.

    with SegmentWriter(root, spec, source="collect") as writer:
        writer.append(episode)                  # committed once this returns
    for episode in Dataset.open(root).load_all():
        ...

`layout` draws what lies where; `records` explains the commit log.
"""

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.info import DatasetInfo, Range
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import Segment
from robot_orl.data.store.writer import SegmentWriter

__all__ = [
    "BackgroundWriter",
    "Dataset",
    "DatasetInfo",
    "EpisodeRecord",
    "Range",
    "Segment",
    "SegmentWriter",
]
