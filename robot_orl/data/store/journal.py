"""The journal of one episode: every step is in the kernel's hands before the next one is chosen.

    <root>/journal/<utc>_<source>_<session>_<number>.steps

    {"format": ..., "uid": ..., "spec": ..., "meta": ..., "crc32c": ...}\\n      when the episode is prepared
    {"sim_state_size": S, "images": true, "safety": true, "row": [...], ...}\\n  when it begins
    row 0   what was seen at the start; nothing had been done
    row 1   step 0: what was done, and what was seen after it
    row T   step T-1

    a row    crc32c | number | success | obs/... | sim/state | steps/...      fixed size, little-endian
             of all    u4      i1        the fields of a segment, in their order, as C would align them
             behind it

A row is stored in the file's pages without a sync: it outlives the process, however that is killed, not a
power cut. Narrow rows go into a mapped window of the file, checksum last, which spares the loop a system
call; zeros behind the last row are room for more. Rows of frames, and those that find no room for a window,
are one `write` each. Rows are those of `EpisodeBuffer`, as they lie in RAM. The kernel's lock on the file
says that its process lives; the file is removed once the episode is committed under the journal's uid.
"""

import errno
import fcntl
import mmap
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import google_crc32c
import numpy as np

from robot_orl.data.store import layout
from robot_orl.data.store.layout import IMAGES, Field
from robot_orl.data.store.place import Url, location
from robot_orl.data.store.places import place_at
from robot_orl.data.store.root import write_dataset_file
from robot_orl.types import Array, Episode, EpisodeMeta, Spec

FORMAT = "robot_orl journal"
FORMAT_VERSION = 1
SUFFIX = ".steps"
FOLDER, QUARANTINE = "journal", "quarantine"
UNKNOWN_SUCCESS = -1
CRC_BYTES = 4
WINDOW_BYTES, WINDOW_ROWS = 2**19, 256  # of the file that are mapped at once: less than a millisecond


def folder_of(root: Path | Url | str) -> Path:
    """Where the journals of a dataset lie: in it, or, of one in an object store, on this machine."""
    found = location(root)
    if isinstance(found, Path):
        return found / FOLDER
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    name = re.sub(r"[^A-Za-z0-9-]+", "-", str(found))[-60:]
    return state / "robot_orl" / f"{name}-{sha256(str(found).encode()).hexdigest()[:8]}" / FOLDER


def row_fields(
    spec: Spec, sim_state_size: int | None, images: bool, has_safety: bool = False
) -> dict[str, Field]:
    """The fields of a segment that a row holds; without frames where they are not recorded."""
    fields = layout.fields_of(spec, sim_state_size, has_safety)
    return {name: field for name, field in fields.items() if images or not field.is_image}


def row_dtype(fields: Mapping[str, Field]) -> np.dtype[Any]:
    """A row as a record."""
    columns: list[Any] = [("crc32c", "<u4"), ("number", "<u4"), ("success", "i1")]
    columns += [(name, np.dtype(field.dtype).newbyteorder("<"), field.row) for name, field in fields.items()]
    return np.dtype(columns, align=True)


def checksum(row: bytes | memoryview) -> bytes:
    """What a row of these bytes must begin with."""
    return _crc(bytes(row[CRC_BYTES:]))


def _crc(body: bytes) -> bytes:
    """Never 0, which stands where no row is yet."""
    return int(google_crc32c.value(body) or 1).to_bytes(CRC_BYTES, "little")


def to_episode(rows: Array, fields: Mapping[str, Field], meta: EpisodeMeta) -> Episode:
    """Rows 0 .. T, (T+1,) records, as an Episode of its own."""
    columns = {
        name: np.array(rows[name][0 if field.extra_row else 1 :], field.dtype)
        for name, field in fields.items()
    }
    return layout.from_columns(columns, meta)


class Journal:
    """One episode's file, made by `Journals.open`.

    A failure does not raise: whoever records goes on from RAM, and the session's `failures` tell of it.
    """

    def __init__(self, path: Path, uid: str, failures: list[str]) -> None:
        self.path = path
        self.uid = uid
        self._failures = failures
        self._has_failed = False
        self._window: mmap.mmap | None = None
        self._at = 0  # of the next row, in the window
        self._descriptor = _create(path)

    def begin(self, fields: Mapping[str, Field], row: memoryview) -> None:
        """The episode begins: how its rows lie, and row 0."""
        dtype = row_dtype(fields)
        state = fields.get("sim/state")
        start = {
            "sim_state_size": None if state is None else state.row[0],
            "images": any(name.startswith(IMAGES) for name in fields),
            "safety": layout.SAFETY in fields,
            "row_bytes": dtype.itemsize,
            "row": [
                {"name": name, "dtype": found.base.str, "shape": found.shape, "offset": offset}
                for name, (found, offset, *_) in (dtype.fields or {}).items()
            ],
        }
        self._write(_line(start) + checksum(row) + row[CRC_BYTES:])
        if len(row) * 2 <= WINDOW_BYTES:
            self._open_window(len(row))

    def append(self, row: memoryview) -> None:
        """The next row; what stands in the place of its checksum does not matter."""
        body = bytes(row[CRC_BYTES:])
        window, at = self._window, self._at
        if window is None:
            self._write(_crc(body) + body)
            return
        end = at + len(row)
        window[at + CRC_BYTES : end] = body
        window[at : at + CRC_BYTES] = _crc(body)  # last: with it the row is there
        self._at = end
        if end == len(window):
            self._open_window(len(row))

    def prepare(self, header: Mapping[str, Any]) -> None:
        """What is known before the episode begins."""
        self._write(_line(header))

    def _open_window(self, row_bytes: int) -> None:
        """Room for some more rows behind the last one; none, where the disk or the system refuses."""
        self._close_window()
        if self._has_failed:
            return
        room = min(WINDOW_BYTES // row_bytes, WINDOW_ROWS) * row_bytes
        size = os.fstat(self._descriptor).st_size
        start = size - size % mmap.ALLOCATIONGRANULARITY
        try:
            if os.write(self._descriptor, bytes(room)) != room:  # not a hole: storing into it cannot fail
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._window = mmap.mmap(self._descriptor, size - start + room, offset=start)
        except OSError:
            self._cut(size)
            return
        self._at = size - start
        self._window[self._at :] = bytes(room)  # now, and not in the loop, the kernel makes pages writable

    def _cut(self, size: int) -> None:
        """Take the room back; rows behind zeros would not be found."""
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            self._fail(error)

    def _close_window(self) -> None:
        window, self._window = self._window, None
        if window is not None:
            window.close()

    def _write(self, content: bytes | memoryview) -> None:
        """One system call; after a failure nothing more, which would not be found behind the gap."""
        if self._has_failed:
            return
        try:
            if os.write(self._descriptor, content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._has_failed = True
        self._failures.append(f"cannot write {self.path}: {error.strerror}")

    def remove(self) -> None:
        """The episode is committed, or nothing to keep."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:  # recovery knows its uid and tries again
            self._failures.append(f"cannot remove {self.path}: {error.strerror}")
        self.close()

    def close(self) -> None:
        """Leave the file to recovery."""
        self._close_window()
        descriptor, self._descriptor = self._descriptor, -1
        self._has_failed = True
        if descriptor >= 0:
            os.close(descriptor)


class Journals:
    """Those of one recording session, in order whatever the wall clock does.

    root: of the dataset.  source, config, env_kwargs: as of the session's `SegmentWriter`.  folder: where
    to keep them, `folder_of(root)` by default.  now: the wall clock, for their names.
    failures: why episodes are not, or not wholly, in a journal; one line each.
    """

    def __init__(
        self,
        root: Path | Url | str,
        spec: Spec,
        source: str,
        config: Mapping[str, Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.root = location(root)
        self.folder = folder or folder_of(root)
        self.failures: list[str] = []
        self._spec = spec
        self._count = 0
        source = re.sub(r"[^A-Za-z0-9-]+", "-", source).strip("-") or "unnamed"
        self._session = f"{now().strftime('%Y%m%dT%H%M%S.%fZ')}_{source}_{uuid4().hex[:8]}"
        self._header = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "source": source,
            "spec": spec.to_dict(),
            "config": dict(config or {}),
            "env_kwargs": dict(env_kwargs or {}),
        }

    def open(self, meta: EpisodeMeta) -> Journal | None:
        """Prepare the journal of an episode of which this is known; None: it cannot be had."""
        self._count += 1
        path = self.folder / f"{self._session}_{self._count:06}{SUFFIX}"
        try:
            if self._count == 1 and isinstance(self.root, Path):
                write_dataset_file(place_at(self.root), self._spec)  # killed now, it is a dataset already
            self.folder.mkdir(parents=True, exist_ok=True)
            journal = Journal(path, uuid4().hex, self.failures)
        except OSError as error:
            self.failures.append(f"cannot write {path}: {error.strerror}")
            return None
        journal.prepare({**self._header, "uid": journal.uid, "meta": asdict(meta)})
        return journal

    def told(self) -> str | None:
        """One line about the failures; None: there was none."""
        if not self.failures:
            return None
        more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
        return f"no journal: {self.failures[0]}{more}; had this process been killed, steps would be lost"


def _create(path: Path, attempts: int = 20) -> int:
    """A new file, locked; returns its descriptor. Raises: OSError."""
    for _ in range(attempts):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BlockingIOError:  # a recovery looks at it: it finds nothing in it, and removes it
            time.sleep(0.001)
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise BlockingIOError(errno.EAGAIN, "somebody holds its lock")


def _line(content: Mapping[str, Any]) -> bytes:
    return layout.to_json(layout.guarded(content)) + b"\n"
