"""HDF5 files of others, believed only as far as they can be checked: nothing is allocated on their word.

A dataset can declare any shape in a few bytes, and rows that were never written read as zeros. So shapes
are checked against what is really stored, before anything is read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.errors import DataError, printable
from robot_orl.interop.base import library
from robot_orl.interop.checks import EPISODE_BYTES
from robot_orl.types import Array

CHUNK_BYTES = 2**30  # HDF5 unpacks a whole chunk to read one row of it
CACHE_BYTES = 2**26  # of unpacked chunks: neighbouring episodes share some
TEXT_BYTES = 2**20
TEXTS_BYTES = 2**26  # of fixed length together: they need not have been written to be declared
DAMAGE = (OSError, RuntimeError, ValueError, KeyError)  # what h5py raises on its way through a bad file


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file for reading. Raises: DataError: there is none, or it is damaged, on the way too."""
    h5py = library("h5py")
    if path.is_dir():
        raise DataError(f"{path} is a folder; this format is one HDF5 file")
    if not path.exists():
        raise DataError(f"no file {path}")
    try:
        file = h5py.File(path, "r", rdcc_nbytes=CACHE_BYTES)
    except OSError as error:
        raise DataError(f"{path} is not an HDF5 file, or is damaged: {_first(error)}") from error
    with file:
        try:
            _check_links(path, file)
            yield file
        except DAMAGE as error:
            raise DataError(f"{path} is damaged: {_first(error)}") from error


def _check_links(path: Path, file: Any) -> None:
    """Raises: DataError: a link in the file leads out of it, to whatever else its reader may read."""
    h5l = library("h5py").h5l

    def leads_out(name: bytes, link: Any) -> bytes | None:
        return None if link.type in (h5l.TYPE_HARD, h5l.TYPE_SOFT) else name

    if (found := file.id.links.visit(leads_out, info=True)) is not None:
        name = printable(found.decode("utf-8", "replace"))
        raise DataError(f"{path}: '{name}' is a link to another file; only the file itself is imported")


def check_here(dataset: Any) -> None:
    """Raises: DataError: the content of a dataset lies in another file."""
    if dataset.is_virtual or dataset.external:
        raise DataError(
            f"{dataset.file.filename}: '{printable(dataset.name).strip('/')}' lies in another file; "
            "only what is in the file itself is imported"
        )


class Column:
    """The rows of one dataset of a file, checked to be numbers that are really there.

    name: its path in the file.  row: shape of one row.  Raises: DataError: names file and dataset.
    """

    def __init__(self, group: Any, name: str) -> None:
        self._file = group.file.filename
        self.name = printable(f"{group.name}/{name}".strip("/"))
        try:
            self._dataset = group[name]
            self._check()
        except KeyError as error:
            raise DataError(f"{self._file} has no readable '{self.name}'") from error
        except (OSError, RuntimeError) as error:
            raise self._damage(error) from error

    def __len__(self) -> int:
        return int(self._dataset.shape[0])

    @property
    def row(self) -> tuple[int, ...]:
        return tuple(self._dataset.shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self._dataset.dtype)

    @property
    def row_bytes(self) -> int:
        return prod(self.row) * self.dtype.itemsize

    def read(self, start: int, stop: int) -> Array:
        """Rows [start, stop). Raises: DataError: they are damaged, or too many to hold."""
        if (stop - start) * self.row_bytes > EPISODE_BYTES:
            raise DataError(
                f"{self._file}: an episode of {stop - start} rows of '{self.name}' is more than "
                f"{EPISODE_BYTES >> 30} GiB"
            )
        try:
            return np.asarray(self._dataset[start:stop])
        except (OSError, RuntimeError) as error:
            raise self._damage(error) from error

    def expect(self, length: int, *rows: tuple[int, ...]) -> "Column":
        """Itself. Raises: DataError: it has not `length` rows, of one of these shapes if any are given."""
        if len(self) != length:
            raise DataError(f"{self._file}: '{self.name}' has {len(self)} rows; expected {length}")
        if rows and self.row not in rows:
            wanted = " or ".join(map(str, rows))
            raise DataError(f"{self._file}: '{self.name}' has rows of shape {self.row}; expected {wanted}")
        return self

    def _check(self) -> None:
        dataset, what = self._dataset, f"{self._file}: '{self.name}'"
        if not hasattr(dataset, "shape"):
            raise DataError(f"{what} is a group, not a dataset")
        if dataset.shape is None or len(dataset.shape) == 0:
            raise DataError(f"{what} is a single value; expected rows")
        if self.dtype.kind not in "fiub":
            raise DataError(f"{what} holds {self.dtype}; expected numbers")
        check_here(dataset)
        size = prod(dataset.shape)  # in whole numbers: `dataset.size` wraps around
        if size == 0:
            return
        if self.row_bytes > EPISODE_BYTES:
            raise DataError(f"{what} declares rows of shape {self.row}: more than {EPISODE_BYTES >> 30} GiB")
        if dataset.chunks is not None:
            if prod(dataset.chunks) * self.dtype.itemsize > CHUNK_BYTES:
                raise DataError(f"{what} has chunks of shape {dataset.chunks}: more than 1 GiB")
            declared = prod(-(-n // chunk) for n, chunk in zip(dataset.shape, dataset.chunks, strict=True))
            stored = dataset.id.get_num_chunks()
        else:
            declared, stored = size * self.dtype.itemsize, dataset.id.get_storage_size()
        if stored < declared:
            raise DataError(
                f"{what} declares shape {dataset.shape}, but only {stored / declared:.0%} of it was written"
            )

    def _damage(self, error: Exception) -> DataError:
        return DataError(f"{self._file}: '{self.name}' is damaged: {_first(error)}")


class Appended:
    """A dataset that is written row by row, compressed."""

    def __init__(self, group: Any, name: str, row: tuple[int, ...], dtype: Any) -> None:
        item = prod(row) * np.dtype(dtype).itemsize
        self._dataset = group.create_dataset(
            name,
            shape=(0, *row),
            maxshape=(None, *row),
            dtype=dtype,
            chunks=(max(1, min(8192, 2**20 // max(item, 1))), *row),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )

    def append(self, rows: Array) -> None:
        start = len(self._dataset)
        self._dataset.resize(start + len(rows), axis=0)
        self._dataset[start:] = rows


@contextmanager
def created(path: Path) -> Iterator[Any]:
    """A new HDF5 file for writing."""
    with library("h5py").File(path, "x", rdcc_nbytes=CACHE_BYTES) as file:
        yield file


def write_text(group: Any, name: str, content: str | list[str]) -> None:
    """A text, or one per row; unlike an attribute it may be longer than 64 KiB."""
    group.create_dataset(name, data=content, dtype=library("h5py").string_dtype())


def children(file: Any, name: str) -> list[str]:
    """Names in a group, none where there is no such group."""
    group = file.get(name)
    return [key for key in group if isinstance(key, str)] if hasattr(group, "keys") else []


def text(node: Any) -> str | None:
    """A short text from a scalar dataset or an attribute's value; None: it is none."""
    if hasattr(node, "shape") and hasattr(node, "id"):
        if node.shape != () or node.dtype.kind not in "SO" or node.dtype.itemsize > TEXT_BYTES:
            return None
        check_here(node)
        node = node[()]
    if isinstance(node, bytes):
        return node.decode("utf-8", "replace")
    return node if isinstance(node, str) else None


def texts(group: Any, name: str, length: int) -> list[str]:
    """`length` texts, one per row. Raises: DataError: they are not that."""
    node = group.get(name)
    is_text = getattr(node, "shape", None) == (length,) and node.dtype.kind in "SO"
    if not is_text or length * node.dtype.itemsize > TEXTS_BYTES:
        raise DataError(f"{group.file.filename}: '{group.name}/{name}' does not hold {length} texts")
    check_here(node)
    try:
        found = node[()]
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{group.file.filename}: '{group.name}/{name}' is damaged: {_first(error)}"
        ) from error
    return [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in found]


def _first(error: Exception) -> str:
    """HDF5's messages end in a trace of its own."""
    return printable(str(error).splitlines()[0].split(" (")[0])
