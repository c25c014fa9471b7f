"""Arrays of a segment read chunk by chunk, from the layout alone: a damaged zarr.json does not hide them.

Nothing is allocated that the layout does not allow, whatever a file says of itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import google_crc32c
import numpy as np
from numcodecs import blosc, zstd

from robot_orl.data.store import layout
from robot_orl.data.store.layout import Field
from robot_orl.data.store.place import Place
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.types import Array

CRC_BYTES = 4


class ChunkError(Exception):
    """A chunk that cannot be read. file: relative to the segment."""

    def __init__(self, file: str, message: str, forbidden: bool = False) -> None:
        super().__init__(message)
        self.file = file
        self.message = message
        self.forbidden = forbidden


@dataclass
class ArrayReader:
    """One array, read in order; keeps a single decoded chunk.

    numbers: the chunks whose files are there.  seen: those that were asked for.
    bad: what is wrong with those of them that are damaged.  size_bytes: how much was read.
    """

    place: Place
    item: Field
    numbers: frozenset[int] = frozenset()
    size_bytes: int = 0
    seen: set[int] = field(default_factory=set)
    bad: dict[int, ChunkError] = field(default_factory=dict)
    _last: tuple[int, Array] | None = None

    def __post_init__(self) -> None:
        try:
            names = self.place.child(self.item.name).child("c").entries()
        except OSError:
            names = []
        self.numbers = frozenset(int(name) for name in names if name.isdecimal())

    def rows(self, wanted: slice, anyway: bool = False) -> Array:
        """Raises: ChunkError: names the first chunk of these rows that is missing or damaged.

        anyway: take what a damaged chunk unpacks to. A changed byte seldom spoils more than the value that
        it is part of; the episodes' own checksums tell which of them are intact.
        """
        size = self.item.chunk_rows
        first, last = wanted.start // size, (wanted.stop - 1) // size
        parts = []
        for i in range(first, last + 1):  # ends at the first that is missing, whatever length is declared
            begin, end = max(wanted.start - i * size, 0), min(wanted.stop - i * size, size)
            parts.append((self._salvaged(i) if anyway else self.chunk(i))[begin:end])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def chunk(self, number: int) -> Array:
        """(chunk_rows, ...), the last one too. Raises: ChunkError."""
        self.seen.add(number)
        if number in self.bad:
            raise self.bad[number]
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        try:
            decoded = self._decode(number)
        except ChunkError as error:
            self.bad[number] = error
            raise
        self._last = (number, decoded)
        return decoded

    def _salvaged(self, number: int) -> Array:
        """As `chunk`, or what a damaged one unpacks to. Raises: ChunkError: it unpacks to nothing."""
        if number not in self.bad:
            return self.chunk(number)
        if self._last is None or self._last[0] != number:
            try:
                body = self.place.read(self.item.chunk_file(number))[:-CRC_BYTES]
            except OSError as error:
                raise self.bad[number] from error
            self._last = (number, self._unpack(number, body))
        return self._last[1]

    def check(self, number: int) -> ChunkError | None:
        """What is wrong with a chunk that nobody asked for."""
        try:
            self._content(number)
        except ChunkError as error:
            return error
        return None

    def _content(self, number: int) -> bytes:
        file = self.item.chunk_file(number)
        try:
            content = self.place.read(file)
        except FileNotFoundError as error:
            raise ChunkError(file, "is missing") from error
        except OSError as error:
            forbidden = isinstance(error, PermissionError)
            raise ChunkError(file, f"cannot be read: {error.strerror}", forbidden) from error
        self.size_bytes += len(content)
        body, crc = content[:-CRC_BYTES], content[-CRC_BYTES:]
        if len(crc) < CRC_BYTES or int(google_crc32c.value(body)).to_bytes(CRC_BYTES, "little") != crc:
            raise ChunkError(file, "does not match its checksum")
        return body

    def _decode(self, number: int) -> Array:
        return self._unpack(number, self._content(number))

    def _unpack(self, number: int, body: bytes) -> Array:
        decoded = np.zeros((self.item.chunk_rows, *self.item.row), self.item.dtype)
        try:
            if not self.item.is_image and int.from_bytes(body[12:16], "little") != len(body):
                raise ValueError("Blosc trusts its header, which says another size")
            if decoded.nbytes:
                (zstd if self.item.is_image else blosc).decompress(body, decoded.view("u1").reshape(-1))
        except (ValueError, RuntimeError) as error:
            file = self.item.chunk_file(number)
            raise ChunkError(file, "cannot be unpacked to what its array is") from error
        return decoded


@dataclass(frozen=True)
class Rows:
    """One episode's arrays, those that could be read and match their checksums; problems per other array."""

    columns: Mapping[str, Array]
    problems: Mapping[str, ChunkError | str]


def episodes(
    readers: Mapping[str, ArrayReader], records: Sequence[EpisodeRecord]
) -> Iterator[tuple[EpisodeRecord, Rows]]:
    """Every episode in order; never more in memory than it and a chunk per array."""
    for record in records:
        columns: dict[str, Array] = {}
        problems: dict[str, ChunkError | str] = {}
        for name, reader in readers.items():
            if name not in record.crc32c:
                problems[name] = "its line has no checksum of it"
                continue
            found = _intact(reader, record)
            if isinstance(found, np.ndarray):
                columns[name] = found
            else:
                problems[name] = found
        yield record, Rows(columns, problems)


def _intact(reader: ArrayReader, record: EpisodeRecord) -> Array | ChunkError | str:
    """The episode's rows, if they match its checksum, be it from a damaged chunk; else why not."""
    wanted = reader.item.rows(record.start, record.index, record.length)
    problem: ChunkError | str = "does not match its checksum"
    try:
        rows = reader.rows(wanted)
    except ChunkError as error:
        problem = error
        try:
            rows = reader.rows(wanted, anyway=True)
        except ChunkError:
            return problem
    return rows if layout.crc32c(np.ascontiguousarray(rows)) == record.crc32c[reader.item.name] else problem


def readers_of(place: Place, fields: Mapping[str, Field]) -> dict[str, ArrayReader]:
    return {name: ArrayReader(place, item) for name, item in fields.items()}


def unknown_arrays(record: EpisodeRecord, fields: Mapping[str, Field]) -> list[str]:
    """Arrays of an episode that its segment does not have."""
    return [name for name in record.crc32c if name not in fields]
