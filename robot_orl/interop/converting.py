"""Writes a dataset as a file of another format, which appears complete or not at all."""

import os
import shutil
from collections.abc import Callable
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
    """Every episode in use. Written beside under another name, then renamed.

    Raises: UsageError: out exists.  DataError: an episode is damaged.  RunError: the disk refuses.
    """
    check_free(out, dataset)
    draft = out.with_name(f".{out.stem}.{uuid4().hex[:8]}{out.suffix}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write(dataset, draft, progress)
        check_free(out, dataset)
        draft.rename(out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
