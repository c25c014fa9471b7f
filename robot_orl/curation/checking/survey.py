"""A whole dataset as its metadata tells it: dataset.json, heads of segments, what does not belong."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robot_orl.curation.checking.findings import Finding, Severity
from robot_orl.curation.checking.segment_scan import GROUP_FILE, Scan, State, read_head
from robot_orl.curation.checking.tolerant_log import MALFORMED
from robot_orl.data.store import layout
from robot_orl.data.store.journal import FOLDER, QUARANTINE, SUFFIX
from robot_orl.data.store.layout import DATASET_FILE, LOCK_FILE, LOG_FILE, SEGMENTS, Field
from robot_orl.data.store.place import Place
from robot_orl.data.store.root import check_readable
from robot_orl.errors import DataError
from robot_orl.types import Spec

PARTIAL = re.compile(r"\.[0-9a-f]{32}\.partial$|^\.dataset\.json\.[0-9a-f]{32}$")


@dataclass
class Survey:
    """spec: of dataset.json or, where that is damaged, the one that all segments can be read as.

    leftovers: relative paths of drafts that killed writers left.
    """

    place: Place
    spec: Spec | None
    is_root_damaged: bool
    scans: list[Scan]
    findings: list[Finding] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    size_bytes: int = 0
    forbidden: list[str] = field(default_factory=list)


def survey(root: Place) -> Survey:
    """Raises: DataError: there is no dataset at all, or one of a newer format version."""
    found = Survey(root, None, False, [])
    try:
        if not (root.exists() and root.is_folder() and root.has(SEGMENTS)):
            check_readable(root)
    except OSError as error:
        raise DataError(f"cannot read {root.path}: {error.strerror}") from error
    _read_root(found)
    held = root.child(SEGMENTS)
    try:
        names = held.folders() if held.exists() else []
    except OSError as error:
        found.forbidden.append(SEGMENTS)
        found.findings.append(Finding(Severity.DAMAGE, f"cannot be read: {error.strerror}", SEGMENTS))
        names = []
    found.scans = [read_head(held.child(name), found.spec) for name in names]
    if found.spec is None:
        found.spec = _common_spec(found.scans)
        found.scans = [read_head(held.child(name), found.spec) for name in names]
    _mark_replaced(found.scans)
    if isinstance(root.path, Path):
        _walk(found, root.path)
    return found


def _read_root(found: Survey) -> None:
    """dataset.json. A newer version is for a newer robot_orl, so nothing else is looked at."""

    def damaged(message: str) -> None:
        found.is_root_damaged = True
        found.findings.append(Finding(Severity.DAMAGE, message, DATASET_FILE))

    try:
        content = found.place.read(DATASET_FILE)
    except FileNotFoundError:
        return damaged("is missing")
    except OSError as error:
        if isinstance(error, PermissionError):
            found.forbidden.append(DATASET_FILE)
        return damaged(f"cannot be read: {error.strerror}")
    found.size_bytes += len(content)
    try:
        document = json.loads(content)
        if not layout.is_intact(document) or document["format"] != layout.FORMAT:
            return damaged("does not match its checksum")
        layout.check_version(found.place.path / DATASET_FILE, document["format_version"])
        spec = Spec.from_dict(document["spec"])
        layout.fields_of(spec, None)
    except DataError as error:
        if "update it" in str(error):
            raise
        return damaged(str(error))
    except (*MALFORMED, RecursionError):
        return damaged("is damaged: not a dataset's JSON")
    found.spec = spec
    if content != layout.to_json(document) + b"\n":
        damaged("does not match its checksum: a blank was changed")
    return None


def _common_spec(scans: list[Scan]) -> Spec | None:
    """The spec as which all intact segments can be read; None: they disagree, or there is none."""
    specs = [scan.spec for scan in scans if scan.spec is not None and scan.attributes is not None]
    for candidate in specs:
        if not any(other.lacks(candidate) for other in specs):
            return candidate
    return None


def _mark_replaced(scans: list[Scan]) -> None:
    successors = {name: scan for scan in scans if scan.state is State.NORMAL for name in scan.replaces}
    for scan in scans:
        if scan.name in successors:
            scan.state = State.REPLACED
            told = f"was rewritten as {successors[scan.name].name} and is not read any more"
            scan.tell(Severity.NOTE, "", told)


def _walk(found: Survey, root: Path) -> None:
    """Tell what lies in the dataset's folder and is none of its files."""
    scans = {scan.name: scan for scan in found.scans}

    def tell(severity: Severity, path: str, message: str) -> None:
        found.findings.append(Finding(severity, message, path))

    for path, entry in _entries(found, root, ""):
        parts = path.split("/")
        scan = scans.get(parts[1]) if parts[0] == SEGMENTS and len(parts) > 2 else None
        if entry.is_symlink():
            tell(Severity.WARNING, path, f"is a symbolic link to {os.readlink(entry.path)}")
        elif PARTIAL.search(entry.name):
            if scan is None or scan.writer is None:
                found.leftovers.append(path)
                tell(Severity.NOTE, path, "is a draft that a killed writer left")
        elif entry.name == DATASET_FILE and len(parts) > 1:
            tell(Severity.WARNING, "/".join(parts[:-1]), "is a dataset inside this dataset, and not read")
        elif entry.is_dir() or _inside_dataset(parts[:-1], root):
            continue
        elif not _belongs(parts, scan):
            tell(Severity.WARNING, path, "is no file of a dataset")


def _inside_dataset(folders: list[str], root: Path) -> bool:
    """Whether a path lies in a dataset inside this one, which is told once."""
    return any(
        (root.joinpath(*folders[:depth]) / DATASET_FILE).exists() for depth in range(1, len(folders) + 1)
    )


def _entries(found: Survey, folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder but what repairs put away; links are not followed."""
    try:
        with os.scandir(folder) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
    except FileNotFoundError:
        return  # removed meanwhile
    except OSError as error:
        found.forbidden.append(prefix or ".")
        message = f"cannot be read: {error.strerror}"
        found.findings.append(Finding(Severity.DAMAGE, message, prefix.rstrip("/") or "."))
        return
    for entry in entries:
        path = prefix + entry.name
        if path == QUARANTINE:
            continue
        yield path, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(found, folder / entry.name, path + "/")


def _belongs(parts: list[str], scan: Scan | None) -> bool:
    """Whether a file is one that a dataset has."""
    if parts[0] == FOLDER:
        return len(parts) == 2 and parts[1].endswith(SUFFIX)
    if parts[0] != SEGMENTS:
        return len(parts) == 1 and (
            parts[0] == DATASET_FILE or re.fullmatch(r"\..+\.lock", parts[0]) is not None
        )
    if len(parts) == 2:
        return False
    if scan is None or scan.state is not State.NORMAL:
        return True  # what of it is readable is told elsewhere
    name = "/".join(parts[2:])
    if name in (GROUP_FILE, LOG_FILE, LOCK_FILE):
        return True
    if parts[-1] == "zarr.json":
        return any("/".join(parts[2:-1]) in layout.nodes_of(item) for item in scan.fields.values())
    return _is_chunk(name, scan.fields)


def _is_chunk(name: str, fields: Mapping[str, Field]) -> bool:
    array, _, rest = name.partition("/c/")
    number = rest.split("/")[0]
    return array in fields and number.isdecimal() and name == fields[array].chunk_file(int(number))
