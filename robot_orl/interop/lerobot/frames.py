"""Frames of a LeRobotDataset in the order of its episodes: numbers from parquet, pictures from mp4 or PNG."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from robot_orl.errors import DataError
from robot_orl.interop.lerobot.info import Feature, Place
from robot_orl.interop.lerobot.tables import BATCH_ROWS, array_of, batches
from robot_orl.interop.lerobot.video import VideoFrames
from robot_orl.types import Array, Camera

PNG = b"\x89PNG\r\n\x1a\n"
PICTURE_ROWS = 32  # read at a time where pictures are among the columns


class Frames:
    """Reads the rows of one episode after the other; a file is gone through once."""

    def __init__(self, columns: Sequence[str], features: Mapping[str, Feature]) -> None:
        self._columns = list(columns)
        self._features = features
        has_pictures = any(features[name].dtype == "image" for name in columns if name in features)
        self._batch_rows = PICTURE_ROWS if has_pictures else BATCH_ROWS
        self._path: Path | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None

    def read(self, place: Place) -> pa.Table:
        """The T rows of an episode. Raises: DataError: they are not where they should be."""
        if place.data != self._path:
            self._path = place.data
            self._batches, self._rest = batches(place.data, self._columns, self._batch_rows), None
        found: list[pa.RecordBatch] = []
        missing = place.length
        while missing:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            if batch is None:
                raise DataError(
                    f"{place.data} ends within episode {place.index}: {missing} frames are missing"
                )
            found.append(batch[:missing])
            self._rest = batch[missing:] if len(batch) > missing else None
            missing -= len(found[-1])
        table = pa.Table.from_batches(found)
        index = array_of(table["episode_index"], f"{place.data}: 'episode_index'")
        if (wrong := index[index != place.index]).size:
            raise DataError(f"{place.data} has episode {wrong[0]} where episode {place.index} should be")
        return table

    def numbers(self, table: pa.Table, names: Sequence[str], place: Place) -> dict[str, Array]:
        """(T, width) per feature. Raises: DataError: of another width than info.json says, or no numbers."""
        found = {}
        for name in names:
            what = f"{place.data}: '{name}'"
            found[name] = array_of(table[name], what)
            expected = self._features[name].width if name in self._features else 1
            if found[name].shape[1] != expected:
                raise DataError(f"{what} has {found[name].shape[1]} values; info.json says {expected}")
        return found


class Cameras:
    """The pictures of an episode from each camera.

    cameras: per camera its feature's name, the feature and the size of its frames.  fps: [Hz].
    """

    def __init__(self, cameras: Mapping[str, tuple[str, Feature, Camera]], fps: float) -> None:
        self._cameras = cameras
        self._videos = {
            camera: VideoFrames(size, fps)
            for camera, (_, feature, size) in cameras.items()
            if feature.dtype == "video"
        }

    @property
    def columns(self) -> list[str]:
        """Of the parquet files: those that hold pictures."""
        return [name for name, feature, _ in self._cameras.values() if feature.dtype == "image"]

    def read(self, table: pa.Table, place: Place, extra_frame: bool) -> dict[str, Array]:
        """(T, H, W, 3) uint8 per camera; T + 1 of a video where `extra_frame`."""
        found = {}
        for camera, (name, _, size) in self._cameras.items():
            if camera in self._videos:
                path, start = place.videos[name]
                found[camera] = self._videos[camera].read(path, start, place.length + extra_frame)
            else:
                what = f"{place.data}: episode {place.index}: '{name}'"
                found[camera] = np.stack([picture(cell.as_py(), size, what) for cell in table[name]])
        return found


def picture(cell: object, size: Camera, what: str) -> Array:
    """(H, W, 3) uint8 from a cell {"bytes": a PNG, "path": ...}. Raises: DataError: it is not that."""
    content = cell.get("bytes") if isinstance(cell, dict) else None
    if not isinstance(content, bytes) or not content.startswith(PNG) or len(content) < 24:
        raise DataError(f"{what} holds no PNG pictures")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    if (height, width) != (size.height, size.width):  # before memory for it is taken
        raise DataError(f"{what} shows {height}x{width} pixels; info.json says {size.height}x{size.width}")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise DataError(f"{what} holds a damaged picture")
    return np.ascontiguousarray(pixels[..., ::-1])
