"""Rows from one process to another through shared memory: one writes, one reads, and neither ever waits.

    byte  0   pushed    int64, rows ever put in; written by the producer only
         64   popped    int64, rows ever taken out; written by the consumer only
        128   row 0 | row 1 | ... | row capacity - 1        row n lies in slot n % capacity

    pushed - popped rows are there to be read. A row is filled before `pushed` tells of it, and copied before
    `popped` gives its slot back, so no slot is ever written and read at once.

A row is a NumPy record of fixed size, so nothing is pickled. Both counters are aligned words, which are
loaded and stored whole; `_in_order` keeps a processor from reordering them with the rows that they tell of.
A full ring refuses the row and leaves the rest to the producer. The memory has no name (memfd): it is gone
with the last process that has mapped it.

A doorbell (eventfd) wakes whoever waits for rows. Its ringing is no promise of a row: look at the ring.
"""

import mmap
import os
import select
import threading
from contextlib import suppress
from typing import Any

import numpy as np

from robot_orl.deploy.timing import NS_PER_S

LINE = 64  # bytes of a cache line: the two counters lie in different ones
_barrier = threading.Lock()


def _in_order() -> None:
    """What was stored and loaded before comes before what follows, for other processors as well: taking
    and leaving a lock, which nobody else wants, is what makes it so on each kind of them."""
    with _barrier:
        pass


def ring_bytes(row: np.dtype[Any], capacity: int) -> int:
    """Bytes of a ring."""
    return 2 * LINE + -(-row.itemsize * capacity // LINE) * LINE


class Ring:
    """One end of a ring in `memory` at byte `offset`. Both ends must say the same row and capacity.

    columns: by field of the row, (capacity, ...) views of all slots.
    """

    def __init__(self, memory: mmap.mmap, offset: int, row: np.dtype[Any], capacity: int) -> None:
        self.capacity = capacity
        self._pushed = np.frombuffer(memory, "<i8", 1, offset)
        self._popped = np.frombuffer(memory, "<i8", 1, offset + LINE)
        rows = np.frombuffer(memory, row, capacity, offset + 2 * LINE)
        self.columns = {name: rows[name] for name in row.names or ()}

    def __len__(self) -> int:
        """Rows that are there to be read."""
        return int(self._pushed[0]) - int(self._popped[0])

    def claim(self, leave: int = 0) -> int | None:
        """The slot to fill; None: fewer than `leave` slots would be left. Nobody sees it before `push`."""
        pushed = int(self._pushed[0])
        if pushed - int(self._popped[0]) >= self.capacity - leave:
            return None
        _in_order()
        return pushed % self.capacity

    def push(self) -> None:
        """What was filled is a row now."""
        _in_order()
        self._pushed[0] += 1

    def oldest(self) -> int | None:
        """The slot of the row to read next; None: there is none. It stays as it is until `pop`."""
        popped = int(self._popped[0])
        if int(self._pushed[0]) == popped:
            return None
        _in_order()
        return popped % self.capacity

    def pop(self) -> None:
        """What was read may be written over."""
        _in_order()
        self._popped[0] += 1


class Doorbell:
    """Wakes another process. descriptor: an eventfd, made here if none is given."""

    def __init__(self, descriptor: int | None = None) -> None:
        flags = os.EFD_NONBLOCK | os.EFD_CLOEXEC
        self.descriptor = os.eventfd(0, flags) if descriptor is None else descriptor

    def ring(self) -> None:
        """Never waits: a bell that nobody listens to for 2^64 rings stays as it is."""
        with suppress(BlockingIOError):
            os.eventfd_write(self.descriptor, 1)

    def wait(self, timeout_ns: int) -> bool:
        """Whether it rang, by now or within this time; it is silent afterwards."""
        select.select([self.descriptor], [], [], max(0, timeout_ns) / NS_PER_S)
        return self.hush()

    def hush(self) -> bool:
        """Whether it rang; it is silent afterwards."""
        try:
            os.eventfd_read(self.descriptor)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        os.close(self.descriptor)
