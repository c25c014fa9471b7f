"""Arrays of an .npz file, row by row: one larger than memory can be read, and nothing is ever unpickled.

A member `name.npy` is a header, which declares shape and type, and rows. Rows come in the order of the file
only, for they are compressed. What the header declares is checked against the member's size first.
Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError

import numpy as np

from robot_orl.errors import DataError, printable
from robot_orl.interop.checks import EPISODE_BYTES
from robot_orl.types import Array

BAD = (BadZipFile, ZlibError, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)
TEXT_BYTES = 2**22


@contextmanager
def opened(path: Path) -> Iterator["NpzFile"]:
    """Raises: DataError: it is no .npz file, or damaged."""
    try:
        archive = ZipFile(path)
    except BAD as error:
        raise DataError(f"{path} is not an .npz file, or is damaged: {printable(error)}") from error
    with archive:
        yield NpzFile(path, archive)


class NpzFile:
    """An opened file. names: of its arrays."""

    def __init__(self, path: Path, archive: ZipFile) -> None:
        self.path, self._archive = path, archive
        self.names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]

    def column(self, name: str) -> "Member":
        """A new reader of an array, at its first row. Raises: DataError: there is none, or it is damaged."""
        if name not in self.names:
            raise DataError(
                f"{self.path} has no '{name}'; it has: {printable(', '.join(self.names)) or 'nothing'}"
            )
        try:
            return Member(self.path, name, self._archive)
        except BAD as error:
            raise DataError(f"{self.path}: '{printable(name)}' is damaged: {printable(error)}") from error

    def text(self, name: str) -> str | None:
        """A single text; None: there is none."""
        if name not in self.names:
            return None
        member = self.column(name)
        return member.text()


class Member:
    """The rows of an array, in their order. row: shape of one."""

    def __init__(self, path: Path, name: str, archive: ZipFile) -> None:
        self.name, self._path, self._at = printable(name), path, 0
        info = archive.getinfo(f"{name}.npy")
        self._stream: IO[bytes] = archive.open(info)
        version = np.lib.format.read_magic(self._stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}")
        header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
        self.shape, is_fortran, self.dtype = header(self._stream)
        if self.dtype.hasobject or self.dtype.names or self.dtype.kind not in "fiubU":
            raise DataError(f"{path}: '{self.name}' holds {self.dtype}; expected numbers")
        if is_fortran and len(self.shape) > 1:
            raise DataError(f"{path}: '{self.name}' is stored by columns: save np.ascontiguousarray(...)")
        declared, held = prod(self.shape) * self.dtype.itemsize, info.file_size - self._stream.tell()
        if declared != held or min(self.shape, default=0) < 0:
            raise DataError(
                f"{path}: '{self.name}' declares shape {self.shape}, but holds {held} of {declared} bytes"
            )

    def __len__(self) -> int:
        return self.shape[0] if self.shape else 0

    @property
    def row(self) -> tuple[int, ...]:
        return tuple(self.shape[1:])

    def read(self, start: int, stop: int) -> Array:
        """Rows [start, stop), not before those that were read. Raises: DataError: damaged, or too many."""
        size = prod(self.row) * self.dtype.itemsize
        if self.dtype.kind == "U" or start < self._at or stop > len(self):
            raise DataError(f"{self._path}: '{self.name}' does not hold rows {start} .. {stop} of numbers")
        if (stop - start) * size > EPISODE_BYTES:
            raise DataError(
                f"{self._path}: an episode of {stop - start} rows of '{self.name}' is more than "
                f"{EPISODE_BYTES >> 30} GiB"
            )
        try:
            self._skip((start - self._at) * size)
            content = self._stream.read((stop - start) * size)
        except BAD as error:
            raise DataError(f"{self._path}: '{self.name}' is damaged: {printable(error)}") from error
        self._at = stop
        if len(content) != (stop - start) * size:
            raise DataError(f"{self._path}: '{self.name}' is damaged: it ends in row {start}")
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.row)

    def text(self) -> str | None:
        """Its single text. Raises: DataError: damaged."""
        if self.shape != () or self.dtype.kind != "U" or self.dtype.itemsize > TEXT_BYTES:
            return None
        return str(np.frombuffer(self._bytes(self.dtype.itemsize), self.dtype)[0])

    def number(self) -> float | None:
        """Its single number. Raises: DataError: damaged."""
        if self.shape != () or self.dtype.kind == "U":
            return None
        return float(np.frombuffer(self._bytes(self.dtype.itemsize), self.dtype)[0])

    def _bytes(self, count: int) -> bytes:
        try:
            return self._stream.read(count)
        except BAD as error:
            raise DataError(f"{self._path}: '{self.name}' is damaged: {printable(error)}") from error

    def _skip(self, count: int) -> None:
        while count > 0:
            read = len(self._stream.read(min(count, 2**20)))
            if not read:
                raise EOFError("it ends early")
            count -= read

    def expect(self, length: int, *rows: tuple[int, ...]) -> "Member":
        """Itself. Raises: DataError: it has not `length` rows, of one of these shapes if any are given."""
        if len(self) != length:
            raise DataError(f"{self._path}: '{self.name}' has {len(self)} rows; expected {length}")
        if rows and self.row not in rows:
            wanted = " or ".join(map(str, rows))
            raise DataError(f"{self._path}: '{self.name}' has rows of shape {self.row}; expected {wanted}")
        return self
