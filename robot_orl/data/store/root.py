"""The root of a dataset: is one there, may one be made, and of what spec is it?"""

from pathlib import Path

from robot_orl.data.store import layout
from robot_orl.data.store.layout import DATASET_FILE, SEGMENTS
from robot_orl.data.store.place import Place
from robot_orl.errors import DataError
from robot_orl.types import Spec


def read_dataset_file(root: Place) -> Spec:
    """The spec of a dataset. Raises: DataError: no dataset, a newer or a damaged one."""
    file = root.path / DATASET_FILE
    document = layout.read_json(root, DATASET_FILE)
    layout.check_version(file, document.get("format_version"))
    if document.get("format") != layout.FORMAT or not layout.is_intact(document):
        raise DataError(f"{file} is damaged: its content does not match its checksum")
    return Spec.from_dict(document["spec"])


def check_readable(root: Place) -> None:
    path = root.path
    if not root.exists():
        raise DataError(f"no dataset at {path}: it does not exist")
    if not root.is_folder():
        raise DataError(f"{path} is a file, not a dataset's folder")
    if not root.has(DATASET_FILE):
        content = f"has no {DATASET_FILE}" if root.entries() else "is empty"
        raise DataError(f"no dataset at {path}: the folder {content}")


def write_dataset_file(root: Place, spec: Spec) -> None:
    """Make dataset.json unless it exists; of several writers that begin at once, one wins."""
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
    root.publish(DATASET_FILE, layout.to_json(layout.guarded(document)) + b"\n")


def check_writable(root: Place, spec: Spec) -> None:
    """Raises: DataError: episodes of this spec cannot be added to what is at root."""
    path = root.path
    _check_not_inside(path)
    try:
        if root.exists() and not root.is_folder():
            raise DataError(f"{path} is a file, not a dataset's folder")
        content = root.entries() if root.exists() else []
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if DATASET_FILE not in content:
        if any(name != SEGMENTS and not name.startswith(".") for name in content):
            raise DataError(f"{path} is not empty and not a dataset: choose another folder")
        return
    found = read_dataset_file(root)
    if found.task != spec.task:
        raise DataError(f"{path} holds episodes of task {found.task}, not of {spec.task}")
    if lacking := spec.lacks(found):
        raise DataError(f"{path} holds {spec.task} episodes of another spec: {', '.join(lacking)} differ")


def _check_not_inside(path: object) -> None:
    """Raises: DataError: a folder of another dataset, which would take it for its own."""
    if not isinstance(path, Path):
        return
    for parent in path.resolve().parents:
        if (parent / DATASET_FILE).is_file() and (parent / SEGMENTS).is_dir():
            raise DataError(f"{path} lies inside the dataset {parent}: choose another folder")
