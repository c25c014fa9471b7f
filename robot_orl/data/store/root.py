"""The root of a dataset: is one there, may one be made, and of what spec is it?"""

import os
from pathlib import Path
from uuid import uuid4

from robot_orl.data.store import layout
from robot_orl.data.store.layout import DATASET_FILE, SEGMENTS
from robot_orl.errors import DataError
from robot_orl.types import Spec


def read_dataset_file(root: Path) -> Spec:
    """The spec of a dataset. Raises: DataError: no dataset, a newer or a damaged one."""
    file = root / DATASET_FILE
    document = layout.read_json(file)
    layout.check_version(file, document.get("format_version"))
    if document.get("format") != layout.FORMAT or not layout.is_intact(document):
        raise DataError(f"{file} is damaged: its content does not match its checksum")
    return Spec.from_dict(document["spec"])


def check_readable(path: Path) -> None:
    if not path.exists():
        raise DataError(f"no dataset at {path}: it does not exist")
    if not path.is_dir():
        raise DataError(f"{path} is a file, not a dataset's folder")
    if not (path / DATASET_FILE).exists():
        content = "is empty" if not any(path.iterdir()) else f"has no {DATASET_FILE}"
        raise DataError(f"no dataset at {path}: the folder {content}")


def write_dataset_file(root: Path, spec: Spec) -> None:
    """Make dataset.json unless it exists; of several writers that begin at once, one wins."""
    file = root / DATASET_FILE
    if file.exists():
        return
    fields = {
        name: {"row": field.row, "dtype": field.dtype, "rows_per_episode": "T+1" if field.extra_row else "T"}
        for name, field in layout.fields_of(spec, None).items()
    }
    document = {
        "format": layout.FORMAT,
        "format_version": layout.FORMAT_VERSION,
        "spec": spec.to_dict(),
        "fields": fields,
    }
    draft = root / f".{DATASET_FILE}.{uuid4().hex}"
    try:
        with draft.open("wb") as out:
            out.write(layout.to_json(layout.guarded(document)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(draft, file)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            os.replace(draft, file)
    finally:
        draft.unlink(missing_ok=True)


def check_writable(root: Path, spec: Spec) -> None:
    """Raises: DataError: episodes of this spec cannot be added to what is at root."""
    try:
        if root.exists() and not root.is_dir():
            raise DataError(f"{root} is a file, not a dataset's folder")
        content = {entry.name for entry in root.iterdir()} if root.exists() else set()
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror}") from error
    if DATASET_FILE not in content:
        if any(name != SEGMENTS and not name.startswith(".") for name in content):
            raise DataError(f"{root} is not empty and not a dataset: choose another folder")
        return
    found = read_dataset_file(root)
    if found.task != spec.task:
        raise DataError(f"{root} holds episodes of task {found.task}, not of {spec.task}")
    old, new = found.to_dict(), spec.to_dict()
    differing = [key for key in new if layout.to_json(old[key]) != layout.to_json(new[key])]  # in order, too
    if differing:
        raise DataError(f"{root} holds {spec.task} episodes of another spec: {', '.join(differing)} differ")
