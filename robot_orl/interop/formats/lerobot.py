"""LeRobotDataset: v3.0 is written; v3.x, v2.1 and v2.0 are read. See `robot_orl/interop/lerobot`."""

from collections.abc import Callable
from pathlib import Path

from robot_orl.data.store.reader import Dataset
from robot_orl.interop.base import Request, Source, library

_LIBRARIES = ("pyarrow", "av")  # of the extra `interop`: imported only once a LeRobotDataset is asked for


def read(path: Path, request: Request) -> Source:
    """Raises: DataError: names the file that cannot be read, or what of it does not fit the task."""
    for name in _LIBRARIES:
        library(name)
    from robot_orl.interop.lerobot.source import source

    return source(path, request)


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """Raises: RunError: the disk is full or refuses."""
    for name in _LIBRARIES:
        library(name)
    from robot_orl.interop.lerobot.export import export

    export(dataset, out, progress)
