"""Minari 0.5 in Arrow files, for export; `minari` imports both kinds."""

from collections.abc import Callable
from pathlib import Path

from robot_orl.data.store.reader import Dataset
from robot_orl.interop.minari_export import export


def write(dataset: Dataset, out: Path, progress: Callable[[int], None]) -> None:
    """out: new folder; its name becomes the dataset's id, such as 'pick-v0'.

    Raises: UsageError: Minari takes no such name.
    """
    export(dataset, out, progress, "arrow")
