"""Parquet files that grow row group by row group, in files of a bounded size; and reading them as such."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from robot_orl.errors import DataError
from robot_orl.interop.lerobot.layout import FILES_PER_CHUNK, file_name
from robot_orl.types import Array

GROUP_BYTES = 4096  # about what a row group costs in a file's footer beside its rows
BATCH_ROWS = 1024
UNPACKED_BYTES = 2**31  # of a column in a row group


def vectors(rows: Array) -> pa.Array:
    """(n, width) as LeRobot keeps a feature: lists of that width, or plain values where the width is 1."""
    flat = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return flat if rows.shape[1] == 1 else pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])


def array_of(column: pa.ChunkedArray | pa.Array, what: str) -> Array:
    """Inverse of `vectors` for lists of any kind, nested ones as one row: (n, width).

    Raises: DataError: a value is missing, no number, or the lists are of different lengths.
    """
    rows = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    count, flat = len(rows), rows
    while pa.types.is_list(flat.type) or pa.types.is_large_list(flat.type) or _is_fixed(flat.type):
        if flat.null_count:
            raise DataError(f"{what} has missing values")
        if not _is_fixed(flat.type) and len(flat) and len(np.unique(np.diff(flat.offsets.to_numpy()))) > 1:
            raise DataError(f"{what} has rows of different lengths")
        flat = flat.flatten()
    if isinstance(flat, pa.ExtensionArray):
        return array_of(flat.storage, what).reshape(count, -1)
    if flat.null_count:
        raise DataError(f"{what} has missing values")
    kind = flat.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{what} is of type {kind}, which is no number")
    return np.asarray(flat.to_numpy(zero_copy_only=False)).reshape(count, -1)


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))


class TableFiles:
    """Writes tables of one schema to file after file of a path template."""

    def __init__(self, root: Path, template: str, limit: int, group: int = 0) -> None:
        """limit: bytes after which the next file begins; a single table may be larger.

        group: bytes that are gathered for a row group; 0: one per table.
        """
        self._root = root
        self._group = group
        self._gathered: list[pa.Table] = []
        self._gathered_bytes = 0
        self._template = template
        self._limit = limit
        self._number = -1
        self._bytes = 0
        self._writer: pq.ParquetWriter | None = None

    def place(self, size: int) -> tuple[int, int]:
        """Chunk and file that the next table, of about `size` bytes, will lie in."""
        size += GROUP_BYTES
        if self._number < 0 or (self._bytes and self._bytes + size > self._limit):
            self.close()
            self._number += 1
            self._bytes = 0
        self._bytes += size
        return divmod(self._number, FILES_PER_CHUNK)

    def write(self, table: pa.Table) -> None:
        """Into the file that `place` named last."""
        self._gathered.append(table)
        self._gathered_bytes += table.nbytes
        if self._gathered_bytes >= self._group:
            self._flush()

    def _flush(self) -> None:
        if not self._gathered:
            return
        table, self._gathered, self._gathered_bytes = pa.concat_tables(self._gathered), [], 0
        if self._writer is None:
            path = self._root / file_name(self._template, self._number)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, table.schema, compression="snappy")
        self._writer.write_table(table, row_group_size=len(table))

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def open_table(path: Path, needed: Sequence[str]) -> pq.ParquetFile:
    """Raises: DataError: it cannot be read as parquet, or lacks a column."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is damaged or no parquet file: {_line(error)}") from error
    if missing := [name for name in needed if name not in file.schema_arrow.names]:
        names = ", ".join(file.schema_arrow.names)
        raise DataError(f"{path} has no column '{missing[0]}'; it has: {names:.300}")
    return file


def batches(path: Path, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The columns in order, some rows at a time. Raises: DataError: the file is damaged."""
    with open_table(path, columns) as file:
        _check_sizes(path, file, columns)
        try:
            yield from file.iter_batches(rows, columns=list(columns))
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} is damaged: {_line(error)}") from error


def _check_sizes(path: Path, file: pq.ParquetFile, columns: Sequence[str]) -> None:
    """A few bytes of parquet can stand for any number of equal values. Raises: DataError: too many."""
    groups = (file.metadata.row_group(index) for index in range(file.num_row_groups))
    for column in (group.column(index) for group in groups for index in range(group.num_columns)):
        size = max(column.total_uncompressed_size, 8 * column.num_values)
        if column.path_in_schema.partition(".list")[0] in columns and size > UNPACKED_BYTES:
            raise DataError(f"{path}: a row group of '{column.path_in_schema}' unpacks to {size} bytes")


def row_dicts(path: Path, columns: Sequence[str], others: bool = False) -> Iterator[Mapping[str, Any]]:
    """Each row as plain Python values. others: with the columns that are not named, too.

    Raises: DataError: the file is damaged, or lacks a column.
    """
    if others:
        with open_table(path, columns) as file:
            columns = file.schema_arrow.names
    for batch in batches(path, columns):
        yield from batch.to_pylist()


def _line(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
