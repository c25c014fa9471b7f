"""Brings the episodes of another format's file into a dataset, so that it can be continued.

Which episodes of a file are there already is told by their origin, 'FILE#index', in the segments whose
config holds the SHA-256 of that same file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from robot_orl.data.store import Dataset, SegmentWriter, layout
from robot_orl.data.store.place import Url
from robot_orl.errors import DataError, RobotOrlError, UsageError
from robot_orl.interop import base
from robot_orl.interop.base import Request, Source
from robot_orl.types import Episode

READ_BYTES = 2**22
LEAST_HZ, MOST_HZ = 1e-3, 1e5


@dataclass(frozen=True)
class Provenance:
    """Which file it was: name without folders, size [bytes], and SHA-256 of its content.

    Of a folder: of the names, sizes and contents of its files in the order of their names.
    """

    file: str
    size: int
    sha256: str


def files_of(path: Path) -> list[Path]:
    """The file itself, or all files of a folder. Raises: DataError: there is nothing."""
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is no file" if path.exists() else f"no file or folder {path}")
    found = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
    if not found:
        raise DataError(f"{path} is an empty folder")
    return found


def provenance_of(path: Path, progress: Callable[[int], None]) -> Provenance:
    """progress: called with the number of bytes that were read since the last call."""
    digest, total = sha256(), 0
    try:
        for item in files_of(path):
            size = item.stat().st_size
            if path.is_dir():
                digest.update(layout.to_json([str(item.relative_to(path)), size]))
            with item.open("rb") as opened:
                while block := opened.read(READ_BYTES):
                    digest.update(block)
                    progress(len(block))
            total += size
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
    return Provenance(path.name, total, digest.hexdigest())


def open_source(name: str, path: Path, request: Request) -> Source:
    """path: a full one; its last part names the episodes' origin.

    Raises: UsageError: no such format.  DataError: the file is not one that can be imported.
    """
    read = base.reader(name)
    files_of(path)
    try:
        source = read(path, request)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror or error}") from error
    layout.fields_of(source.spec, None)  # its names and sizes can be those of a dataset
    if not LEAST_HZ <= source.spec.control_hz <= MOST_HZ:
        raise DataError(
            f"{path} says a control rate of {source.spec.control_hz:g} Hz: tell the true one, control_hz=..."
        )
    if source.spec.horizon < 1:
        raise DataError(f"{path} says a horizon of {source.spec.horizon} steps; tell it by horizon=...")
    return source


def check_fits(out: Path | Url | str, source: Source) -> None:
    """Makes nothing. Raises: DataError: `out` holds something else, or episodes of another spec."""
    SegmentWriter(out, source.spec, "import")


class Import:
    """A source on its way into the dataset at `out`. Nothing is made before its first episode.

    done: places of its episodes that are there already, as '#3'.  skipped: how many of them were met.
    Raises: DataError: `out` holds something else, or episodes of another spec.
    """

    def __init__(self, format: str, source: Source, provenance: Provenance, out: Path | Url | str) -> None:
        told = {"format": format, **vars(provenance), "file_says": dict(source.provenance)}
        self._source = source
        self._writer = SegmentWriter(
            out, source.spec, f"import-{format}", config={"import": told}, env_kwargs=source.env_kwargs
        )
        self._failure: RobotOrlError | None = None
        self.done = _already_there(out, provenance, source)
        self.skipped = 0
        self.is_complete = False  # every episode was met

    def run(self, is_stopped: Callable[[], bool]) -> Iterator[int]:
        """Commit the episodes in groups: the steps of each that is there now.

        is_stopped: whether to stop after what was read so far.
        Raises: RobotOrlError: the source is damaged; what was read before it is committed.
        """
        with self._writer as writer:
            for record in writer.extend(self._wanted(is_stopped)):
                yield record.length
        if self._failure is not None:
            raise self._failure

    def _wanted(self, is_stopped: Callable[[], bool]) -> Iterator[tuple[Episode, None]]:
        try:
            for index, episode in enumerate(self._source.episodes):
                if _place(episode.meta.origin or f"#{index}") in self.done:
                    self.skipped += 1
                else:
                    yield episode, None
                if is_stopped():
                    return
            self.is_complete = True
        except RobotOrlError as error:
            self._failure = error


def _place(origin: str) -> str:
    """'FILE#index' -> '#index': a file that was renamed since is still the same."""
    return "#" + origin.rpartition("#")[2]


def _already_there(out: Path | Url | str, file: Provenance, source: Source) -> set[str]:
    """Raises: UsageError: what is there was cut into episodes in another way."""
    try:
        dataset = Dataset.open(out, allow_empty=True)
    except DataError:
        return set()
    same = [s for s in dataset.segments if _imported(s.attributes).get("sha256") == file.sha256]
    for segment in same:
        says = _imported(segment.attributes).get("file_says", {})
        if says.get("rewards") != source.provenance.get("rewards"):
            raise UsageError(f"{file.file} is in {out} with other rewards already: choose another out")
        cut = says.get("cut_after")
        if cut != source.provenance.get("cut_after"):
            raise UsageError(f"{file.file} is in {out} with horizon={cut} already: choose another out")
    return {
        _place(record.meta.origin)
        for segment in same
        for record in segment.records
        if record.meta.origin is not None
    }


def _imported(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    found = attributes.get("config", {}).get("import", {})
    return found if isinstance(found, dict) else {}
