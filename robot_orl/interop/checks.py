"""What every format has to find out about numbers before they are believed."""

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from robot_orl.errors import DataError
from robot_orl.types import Array

BLOCK_BYTES = 2**24  # that are looked through at once
EPISODE_BYTES = 2**32  # of one array of an episode, which is held in memory at once


class Rows(Protocol):
    """Rows of an array in a file. name: for messages.  row: shape of one."""

    @property
    def name(self) -> str: ...
    @property
    def row(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __len__(self) -> int: ...
    def read(self, start: int, stop: int) -> Array:
        """Rows [start, stop)."""


@dataclass(frozen=True)
class Held:
    """Rows that are in memory already."""

    name: str
    rows: Array

    @property
    def row(self) -> tuple[int, ...]:
        return self.rows.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.rows.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> Array:
        return self.rows[start:stop]


def finite(rows: Array, what: str) -> Array:
    """As float32. Raises: DataError: NaN or infinite, or too large for it."""
    with np.errstate(over="ignore"):
        found = np.asarray(rows, np.float32)
    if not np.isfinite(found).all():
        bad = int(np.argwhere(~np.isfinite(found))[0][0])
        raise DataError(f"{what} holds {found[bad].flat[~np.isfinite(found[bad])][0]} in its row {bad}")
    return found


def rewards(rows: Array, what: str) -> Array:
    """As float32; NaN: unknown. Raises: DataError: infinite."""
    found = np.asarray(rows, np.float32)
    if np.isinf(found).any():
        raise DataError(f"{what} holds an infinite reward in its row {int(np.argmax(np.isinf(found)))}")
    return found


def clipped_values(actions: Rows, what: str) -> int:
    """How many values of (N, A) lie outside [-1, 1]; a block at a time. Raises: DataError: NaN."""
    clipped, rows = 0, max(1, BLOCK_BYTES // max(prod(actions.row) * actions.dtype.itemsize, 1))
    for start in range(0, len(actions), rows):
        block = finite(actions.read(start, min(start + rows, len(actions))), what)
        clipped += int(np.count_nonzero(np.abs(block) > 1.0))
    return clipped
