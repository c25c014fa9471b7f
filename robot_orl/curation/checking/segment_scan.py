"""One segment, every byte of it: what is wrong with it, and which of its episodes are intact."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from robot_orl.curation.checking.chunks import (
    ArrayReader,
    ChunkError,
    Rows,
    episodes,
    readers_of,
    unknown_arrays,
)
from robot_orl.curation.checking.findings import Finding, Severity, count
from robot_orl.curation.checking.nodes import check_nodes, is_as_written
from robot_orl.curation.checking.tolerant_log import MALFORMED, ScannedLog, scan_log
from robot_orl.data.store import layout
from robot_orl.data.store.layout import LOG_FILE, SEGMENTS, Field
from robot_orl.data.store.place import Place
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import DataError
from robot_orl.types import Spec

GROUP_FILE = "zarr.json"
NEEDED = ("format_version", "task", "spec", "sealed", "sim_state_size", "nodes", "env_kwargs", "config")
Visit = Callable[["Scan", EpisodeRecord, Rows], None]


class State(Enum):
    """What a folder in segments/ is. EMPTY: its writer did not come to a first commit.

    NEWER: of a later format version.  FOREIGN: intact, but of another spec than the dataset.
    REPLACED: rewritten as another segment, and not read any more.  LOST: nothing of it can be read.
    """

    NORMAL = "normal"
    EMPTY = "empty"
    NEWER = "newer"
    FOREIGN = "foreign"
    REPLACED = "replaced"
    LOST = "lost"


@dataclass
class Scan:
    """attributes: None where they are damaged.  spec, fields: of its arrays, as far as they are known.

    sealed: None: unknown.  intact: the episodes whose every array is as it was written.
    size_bytes: how much was read.  forbidden: files that may not be read.
    beyond: chunks, relative to the segment, that hold no committed row.
    """

    place: Place
    name: str
    state: State = State.NORMAL
    attributes: Mapping[str, Any] | None = None
    spec: Spec | None = None
    fields: Mapping[str, Field] = field(default_factory=dict)
    writer: str | None = None
    log: ScannedLog = field(default_factory=ScannedLog)
    findings: list[Finding] = field(default_factory=list)
    intact: list[EpisodeRecord] = field(default_factory=list)
    size_bytes: int = 0
    forbidden: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    @property
    def is_sealed(self) -> bool:
        return bool(self.attributes and self.attributes["sealed"])

    @property
    def is_damaged(self) -> bool:
        return any(finding.severity is Severity.DAMAGE for finding in self.findings)

    @property
    def replaces(self) -> list[str]:
        """Segments that this one was rewritten from."""
        config = (self.attributes or {}).get("config")
        found = config.get("replaces", ()) if isinstance(config, dict) else ()
        return [name for name in found if isinstance(name, str)] if isinstance(found, (list, tuple)) else []

    def tell(self, severity: Severity, file: str, message: str, array: str | None = None, *ids: str) -> None:
        """file: relative to the segment; '' is the segment itself."""
        path = f"{SEGMENTS}/{self.name}" + (f"/{file}" if file else "")
        self.findings.append(Finding(severity, message, path, array, ids))

    def read(self, file: str) -> bytes | None:
        """A file's bytes; None: it is missing or may not be read, which is told."""
        try:
            content = self.place.read_log(file) if file == LOG_FILE else self.place.read(file)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            if isinstance(error, PermissionError):
                self.forbidden.append(f"{SEGMENTS}/{self.name}/{file}")
            self.tell(Severity.DAMAGE, file, "is missing" if missing else f"cannot be read: {error.strerror}")
            return None
        self.size_bytes += len(content)
        return content


def read_head(place: Place, spec: Spec | None) -> Scan:
    """The scan of a segment up to its arrays, of which none is read. spec: the dataset's, if it is known."""
    scan = Scan(place, str(place.path.name))
    _read_head(scan, spec)
    if scan.state is State.NORMAL and not scan.is_sealed and scan.writer is None and scan.attributes:
        again = Scan(place, scan.name)  # sealed between the two looks, its writer did not die
        _read_head(again, spec)
        scan = again
    return scan


def _read_head(scan: Scan, spec: Spec | None) -> None:
    scan.writer = scan.place.holder()
    has_group, has_log = scan.place.has(GROUP_FILE), scan.place.has(LOG_FILE)
    document = None
    if has_group or has_log or _has_rows(scan.place):
        document = _group_document(scan)
    if document is None and not has_log and not _has_rows(scan.place):
        scan.findings.clear()
        _tell_empty(scan)
        return
    if scan.state is State.NEWER:
        return
    if document is not None:
        _take_attributes(scan, document, spec)
        if scan.state is not State.NORMAL:
            return
    content = scan.read(LOG_FILE) if has_log or scan.is_sealed or _has_rows(scan.place) else None
    if content is None and not has_log and not scan.is_damaged:
        _tell_empty(scan)
        return
    if content is not None:
        scan.log = scan_log(content, scan.name)
        for problem in scan.log.problems:
            scan.tell(Severity.DAMAGE, LOG_FILE, problem)
        _check_log(scan)
    if not scan.fields:
        _guess_fields(scan, document, spec)


def _tell_empty(scan: Scan) -> None:
    scan.state = State.EMPTY
    if scan.writer is None:
        scan.tell(Severity.NOTE, "", "holds no commit: its writer was cut off before its first episode")


def _has_rows(place: Place) -> bool:
    """Whether any array has a chunk: then something was committed, or nearly."""
    return place.child("steps/action/c").exists() or place.child("steps/t_ns/c").exists()


def _group_document(scan: Scan) -> dict[str, Any] | None:
    """zarr.json of the group; None where it cannot be read or holds nothing yet."""
    content = scan.read(GROUP_FILE)
    if content is None:
        return None
    try:
        document = json.loads(content)
        attributes = document["attributes"]
        if attributes == {} and not scan.place.has(LOG_FILE):
            return None
        if isinstance(attributes.get("format_version"), int) and layout.is_intact(attributes):
            layout.check_version(scan.place.path / GROUP_FILE, attributes["format_version"])
    except DataError as error:
        scan.state = State.NEWER
        scan.tell(Severity.DAMAGE, GROUP_FILE, str(error).removeprefix(f"{scan.place.path / GROUP_FILE} "))
        return None
    except (*MALFORMED, RecursionError):
        scan.tell(Severity.DAMAGE, GROUP_FILE, "is damaged: not a group's JSON")
        return {}
    is_group = (document.get("zarr_format"), document.get("node_type")) == (3, "group")
    if not is_group or not layout.is_intact(attributes) or not is_as_written(content, document):
        scan.tell(Severity.DAMAGE, GROUP_FILE, "does not match its checksum")
    return document if isinstance(document, dict) else {}


def _take_attributes(scan: Scan, document: Mapping[str, Any], spec: Spec | None) -> None:
    """The attributes, if they are intact and make sense."""
    if scan.is_damaged:
        return
    attributes = document["attributes"]
    try:
        if lacking := [name for name in NEEDED if name not in attributes]:
            raise DataError(f"its attributes lack {', '.join(lacking)}")
        if attributes["sealed"] and not (
            isinstance(attributes["episodes"], int) and isinstance(attributes["steps"], int)
        ):
            raise DataError("it does not say how many episodes it has")
        own = Spec.from_dict(attributes["spec"])
        fields = layout.fields_of(own, attributes["sim_state_size"], bool(attributes.get("safety_bits")))
        if not isinstance(attributes["nodes"], dict):
            raise DataError("it has no checksums of its arrays")
    except (DataError, *MALFORMED) as error:
        said = str(error) if isinstance(error, DataError) else f"malformed: {error!r}"
        scan.tell(Severity.DAMAGE, GROUP_FILE, said)
        return
    scan.attributes, scan.spec, scan.fields = attributes, own, fields
    if spec is not None and (lacking := own.lacks(spec)):
        scan.state = State.FOREIGN
        scan.tell(
            Severity.DAMAGE,
            "",
            f"holds {own.task} of another spec than its dataset, {spec.task}: {', '.join(lacking)} differ",
        )


def _check_log(scan: Scan) -> None:
    """The log against what the sealed attributes say of it; what is torn is told, where nobody writes."""
    log = scan.log
    if scan.is_sealed and scan.attributes is not None:
        episodes_, steps = scan.attributes["episodes"], scan.attributes["steps"]
        if (log.episodes, log.steps) != (episodes_, steps):
            scan.tell(
                Severity.DAMAGE,
                LOG_FILE,
                f"ends at episode {log.episodes} and step {log.steps}; "
                f"it was sealed with {count(episodes_, 'episode')} and {count(steps, 'step')}",
            )
    if log.torn and scan.writer is None:
        scan.tell(
            Severity.NOTE, LOG_FILE, f"ends in a torn line of {len(log.torn)} bytes, which never counted"
        )
    if not scan.is_sealed and scan.attributes is not None and scan.writer is None:
        told = f"its writer was cut off; {count(len(log.records), 'episode')} committed"
        scan.tell(Severity.NOTE, "", f"is not sealed: {told}")


def _guess_fields(scan: Scan, document: Mapping[str, Any] | None, spec: Spec | None) -> None:
    """The arrays of a segment whose attributes are damaged: those that its episodes have checksums of.

    What is taken from damaged attributes is believed as far as the episodes' checksums agree with it.
    """
    names = set(scan.log.records[0].crc32c) if scan.log.records else set()
    attributes = (document or {}).get("attributes")
    raw = attributes if isinstance(attributes, dict) else {}
    candidates = [spec]
    try:
        own = Spec.from_dict(raw["spec"])
        if spec is None or not own.lacks(spec):
            candidates.append(own)
    except (DataError, *MALFORMED):
        pass
    for candidate in candidates:
        for size in (raw.get("sim_state_size"), _state_size(scan.place)):
            size = size if isinstance(size, int) and "sim/state" in names else None
            if candidate is None:
                continue
            try:
                fields = layout.fields_of(candidate, size, layout.SAFETY in names)
            except DataError:
                continue
            if not scan.fields or set(fields) == names:
                scan.spec, scan.fields = candidate, fields
            if set(fields) == names:
                return
    if not scan.fields:
        scan.state = State.LOST


def _state_size(place: Place) -> int | None:
    """Numbers per simulator state, as its array says itself."""
    try:
        found = json.loads(place.read("sim/state/zarr.json"))["shape"][1]
    except (OSError, *MALFORMED):
        return None
    return found if isinstance(found, int) else None


def scan_arrays(
    scan: Scan, visit: Visit | None = None, advance: Callable[[int], None] = lambda _: None
) -> None:
    """Read every array once; fills `intact` and tells what is wrong. visit: gets every intact episode."""
    if scan.state is not State.NORMAL:
        return
    if scan.attributes is not None:
        check_nodes(scan)
    readers = readers_of(scan.place, scan.fields)
    spoiled: dict[str, tuple[str, ChunkError, list[str]]] = {}
    for record, rows in episodes(readers, scan.log.records):
        for name in unknown_arrays(record, scan.fields):
            if scan.attributes is not None:
                scan.tell(Severity.DAMAGE, LOG_FILE, f"names an unknown array {name}", name, record.id)
        for name, problem in rows.problems.items():
            if isinstance(problem, ChunkError):
                spoiled.setdefault(problem.file, (name, problem, []))[2].append(record.id)
            else:
                scan.tell(Severity.DAMAGE, name, problem, name, record.id)
        if not rows.problems:
            scan.intact.append(record)
            if visit is not None:
                visit(scan, record, rows)
        advance(1)
    for name, reader in readers.items():
        for error in reader.bad.values():  # also where every episode in it can be saved
            spoiled.setdefault(error.file, (name, error, []))
    for file, (name, error, ids) in spoiled.items():
        if error.forbidden:
            scan.forbidden.append(f"{SEGMENTS}/{scan.name}/{file}")
        scan.tell(Severity.DAMAGE, file, error.message, name, *ids)
    for name, reader in readers.items():
        _scan_rest(scan, name, reader)
        scan.size_bytes += reader.size_bytes


def _scan_rest(scan: Scan, name: str, reader: ArrayReader) -> None:
    """The chunks that hold no row of an episode whose line is intact."""
    rows = scan.log.steps + (scan.log.episodes if reader.item.extra_row else 0)
    if scan.is_sealed and scan.attributes is not None:
        rows = max(rows, scan.attributes["steps"] + scan.attributes["episodes"] * reader.item.extra_row)
    beyond = []
    for number in sorted(reader.numbers - reader.seen):
        if number * reader.item.chunk_rows >= rows:
            beyond.append(number)
        elif error := reader.check(number):
            scan.tell(Severity.DAMAGE, error.file, error.message, name)
    scan.beyond += [reader.item.chunk_file(number) for number in beyond]
    if beyond and scan.writer is None:
        more = f" (and {len(beyond) - 1} more chunks)" if len(beyond) > 1 else ""
        file = reader.item.chunk_file(beyond[0])
        scan.tell(Severity.NOTE, file, f"lies beyond the committed rows{more}", name)
