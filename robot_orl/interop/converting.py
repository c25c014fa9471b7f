"""Writes a dataset as a file of another format, which appears complete or not at all."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import RunError, UsageError
from robot_orl.interop.base import Write


def check_free(out: Path, dataset: Dataset) -> None:
    """Raises: UsageError: something is there, or it would lie within the dataset."""
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already: choose another name")
    root = Path(str(dataset.path)).resolve()
    if root in out.resolve().parents:
        raise UsageError(f"{out} would lie within the dataset {dataset.path}")


def convert(dataset: Dataset, write: Write, out: Path, progress: Callable[[int], None]) -> None:
    """Every episode in use. Written beside, in a hidden folder under its final name, then moved.

    Raises: UsageError: out exists.  DataError: an episode is damaged.  RunError: the disk refuses.
    """
    check_free(out, dataset)
    out = Path(os.path.abspath(out))  # for writers that take a relative 'a:b' for a URL
    beside = out.with_name(f".{out.name}.{uuid4().hex[:8]}")
    new_folders = [folder for folder in out.parents if not folder.exists()]
    try:
        beside.mkdir(parents=True)
        write(dataset, beside / out.name, progress)
        check_free(out, dataset)
        (beside / out.name).rename(out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # the first that is not empty: it holds what was written
            for folder in new_folders:
                folder.rmdir()
