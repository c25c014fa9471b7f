"""Brings back from its journal what a killed recording had not committed yet.

    a journal that nobody holds, under the uid    becomes
    committed already                             nothing: removed
    no step in it                                 nothing: removed
    steps up to the kill                          an episode, truncated at its last step, end_reason 'crash'
    steps up to the episode's end                 the episode that would have been committed
    damaged                                       an episode of the steps before the damage; the file moves to
                                                  <root>/quarantine

Recovered episodes lie in segments whose source is 'recovered'. A journal is locked while it is looked at, so
that of two recoveries only one brings it back.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from robot_orl.data.store import layout
from robot_orl.data.store.journal import (
    CRC_BYTES,
    FORMAT,
    FORMAT_VERSION,
    QUARANTINE,
    SUFFIX,
    UNKNOWN_SUCCESS,
    checksum,
    folder_of,
    row_dtype,
    row_fields,
    to_episode,
)
from robot_orl.data.store.layout import Field
from robot_orl.data.store.place import Url
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.root import write_dataset_file
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import DataError, RunError
from robot_orl.types import Array, Episode, EpisodeMeta, Spec

CRASH = "crash"
SOURCE = "recovered"
MAX_LINE = 2**24  # bytes of a header; more is no journal
RECOVERED, EMPTY, COMMITTED, KEPT = "recovered", "empty", "committed", "kept"


@dataclass(frozen=True)
class Found:
    """What became, or in a dry run would become, of one journal.

    state: recovered; empty: no step in it; committed: the episode is in the dataset already; kept: left
    where it is, `problem` says why.  steps: how many were recovered.
    problem: what is wrong with the file, or None.  quarantined: where a damaged file went to.
    """

    path: Path
    state: str
    steps: int = 0
    uid: str | None = None
    seed: int | None = None
    problem: str | None = None
    quarantined: Path | None = None

    def __str__(self) -> str:
        said = {
            RECOVERED: f"an episode of {self.steps} steps",
            EMPTY: "holds no step",
            COMMITTED: "is committed already",
            KEPT: "is left as it is",
        }[self.state]
        return f"{self.path.name}: {said}" + (f"; {self.problem}" if self.problem else "")


@dataclass(frozen=True)
class RecoveryReport:
    """What recovery found, in the order of the journals."""

    found: tuple[Found, ...]

    @property
    def recovered(self) -> list[Found]:
        return [item for item in self.found if item.state == RECOVERED]

    @property
    def problems(self) -> list[Found]:
        return [item for item in self.found if item.problem]

    def summary(self) -> str | None:
        """One line; None: there is nothing to tell."""
        parts = []
        if self.recovered:
            steps = sum(item.steps for item in self.recovered)
            parts.append(
                f"recovered {_count(len(self.recovered), 'episode')} ({_count(steps, 'step')}) "
                "of a recording that was cut off"
            )
        parts += [str(item) for item in self.problems]
        return "; ".join(parts) or None


@dataclass(frozen=True)
class _Content:
    """The intact part of a journal. rows: (T+1,) records; empty where it does not get so far."""

    header: Mapping[str, Any]
    fields: Mapping[str, Field]
    rows: Array
    problem: str | None

    @property
    def steps(self) -> int:
        return max(0, len(self.rows) - 1)


def pending(root: Path | Url | str, folder: Path | None = None) -> tuple[Found, ...]:
    """What recovery would find, in a damaged dataset, too; nothing is changed."""
    return recover(root, dry_run=True, folder=folder).found


def recover(root: Path | Url | str, dry_run: bool = False, folder: Path | None = None) -> RecoveryReport:
    """Commit what the journals hold that nobody is writing.

    root: of the dataset, which is made where a recording was killed before it had one.
    folder: of the journals, where that is not `journal.folder_of(root)`.
    Raises: DataError: the dataset is damaged.  RunError: the disk is full or refuses; journals stay.
    """
    folder = folder or folder_of(root)
    try:
        paths = sorted(folder.glob(f"*{SUFFIX}"))
        found = []
        for path in paths:
            with _held(path, dry_run) as file:
                if file is not None:
                    found.append(_recover(path, file, root, dry_run))
    except OSError as error:
        raise RunError(f"cannot recover {error.filename or folder}: {error.strerror}") from error
    return RecoveryReport(tuple(found))


@contextmanager
def _held(path: Path, shared: bool) -> Iterator[BinaryIO | None]:
    """The journal, locked against its writer and other recoveries; None: someone has it, or had."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file if os.fstat(file.fileno()).st_nlink else None


def _recover(path: Path, file: BinaryIO, root: Path | Url | str, dry_run: bool) -> Found:
    content = _read(file)
    uid, meta = content.header.get("uid"), content.header.get("meta", {})
    about: dict[str, Any] = {"uid": uid, "seed": meta.get("seed"), "problem": content.problem}
    if content.problem and content.header.get("format_version", 0) > FORMAT_VERSION:
        return Found(path, KEPT, **about)
    if uid is not None and uid in _committed(root, forgiving=dry_run):
        about["problem"] = None
        state, steps = COMMITTED, 0
    else:
        state, steps = (RECOVERED, content.steps) if content.steps else (EMPTY, 0)
    if dry_run:
        return Found(path, state, steps, **about)
    if state == RECOVERED:
        try:
            _commit(root, content)
        except DataError as error:  # of another spec than the dataset
            return Found(path, KEPT, 0, uid, about["seed"], str(error))
    if about["problem"] is None:
        path.unlink()
        return Found(path, state, steps, **about)
    return Found(path, state, steps, **about, quarantined=_put_away(path))


def _commit(root: Path | Url | str, content: _Content) -> None:
    header = content.header
    spec = Spec.from_dict(header["spec"])
    if isinstance(place_at(root).path, Path):
        write_dataset_file(place_at(root), spec)
    with SegmentWriter(root, spec, SOURCE, header["config"], header["env_kwargs"]) as writer:
        writer.append(_episode(content), uid=header["uid"])


def _episode(content: _Content) -> Episode:
    """The steps as an episode that ends where they end."""
    success = content.rows["success"][1:]
    known = success[success != UNKNOWN_SUCCESS]
    names = {field.name for field in fields(EpisodeMeta)}
    meta = {name: value for name, value in content.header["meta"].items() if name in names}
    terminated, truncated = (bool(content.rows[-1][f"steps/{end}"]) for end in ("terminated", "truncated"))
    meta["end_reason"] = "terminated" if terminated else "horizon" if truncated else CRASH
    meta["success"] = None if success[-1] == UNKNOWN_SUCCESS else bool(success[-1])
    meta["success_any"] = bool(known.any()) if len(known) else None
    episode = to_episode(content.rows, content.fields, EpisodeMeta(**meta))
    episode.truncated[-1] |= not terminated
    return episode


def _put_away(path: Path) -> Path:
    """Move a damaged file to where nobody looks for journals."""
    folder = path.parent.parent / QUARANTINE
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    path.rename(target)
    return target


def _committed(root: Path | Url | str, forgiving: bool) -> set[str | None]:
    """The uids in the dataset's logs, as of now. forgiving: of a damaged one, none."""
    if not place_at(root).has(layout.DATASET_FILE):
        return set()
    try:
        return {record.uid for record in Dataset.open(root, allow_empty=True).records}
    except DataError:
        if forgiving:
            return set()
        raise


def _read(file: BinaryIO) -> _Content:
    """The intact rows, from the first on, and what is wrong behind them; a torn last row is not wrong."""
    nothing = np.zeros(0, [("none", "u1")])
    header: Mapping[str, Any] = {}
    try:
        line = file.readline(MAX_LINE)
        if not line:
            return _Content({}, {}, nothing, None)  # killed before anything was written
        header = _parse(line)
        if header.get("format") != FORMAT:
            raise ValueError("it is not a journal")
        if header["format_version"] > FORMAT_VERSION:
            raise ValueError(
                f"it has format version {header['format_version']}; this robot_orl reads up to "
                f"{FORMAT_VERSION}: update it"
            )
        line = file.readline(MAX_LINE)
        if not line.endswith(b"\n") and not file.read(1):
            return _Content(header, {}, nothing, None)  # killed before the episode began
        start = _parse(line)
        what = start["sim_state_size"], start["images"], start.get("safety", False)
        found = row_fields(Spec.from_dict(header["spec"]), *what)
        dtype = row_dtype(found)
        if dtype.itemsize != start["row_bytes"]:
            raise ValueError("its rows are of another size than its spec says")
    except (ValueError, KeyError, TypeError, AttributeError, DataError) as error:
        said = str(error) if isinstance(error, (ValueError, DataError)) else f"malformed: {error!r}"
        return _Content(header, {}, nothing, f"damaged header: {said}")
    rows, problem = _rows(file, dtype)
    return _Content(header, found, rows, problem)


def _rows(file: BinaryIO, dtype: np.dtype[Any]) -> tuple[Array, str | None]:
    """The rows before the first that is damaged, and which that is."""
    content = bytearray()
    number = 0
    while len(row := file.read(dtype.itemsize)) == dtype.itemsize:
        if not any(row[:CRC_BYTES]) and _is_empty(file):  # killed while it was stored, or before
            break
        is_next = int.from_bytes(row[CRC_BYTES : CRC_BYTES + 4], "little") == number
        if row[:CRC_BYTES] != checksum(row) or not is_next:
            what = "the start" if number == 0 else f"step {number - 1}"
            return np.frombuffer(content, dtype), f"damaged: {what} does not match its checksum"
        content += row
        number += 1
    return np.frombuffer(content, dtype), None


def _is_empty(file: BinaryIO) -> bool:
    """Whether nothing but zeros is left: room for rows that did not come."""
    return all(block.count(0) == len(block) for block in iter(lambda: file.read(2**20), b""))


def _parse(line: bytes) -> dict[str, Any]:
    """Raises: ValueError: cut off or changed."""
    document = json.loads(line)
    if not line.endswith(b"\n") or not isinstance(document, dict) or not layout.is_intact(document):
        raise ValueError("it does not match its checksum")
    return document


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
