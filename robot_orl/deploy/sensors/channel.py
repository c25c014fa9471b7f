"""The latest of a series of values in shared memory: one writer, any readers, and nobody ever waits.

    byte  0   published   int64, number of the latest whole value; 0: there is none yet
         64   slot 0 | slot 1 | slot 2 | slot 3          value n lies in slot n % 4

    slot  0   number      int64, of the value that lies here; -1 while it is being written
          8   t_ns        int64, when it was taken [ns, CLOCK_MONOTONIC]
         16   size        int64, bytes of the payload
         24   checksum    int64, CRC-32 of number, t_ns, size and payload
         32   height, 40 width   int64, of a frame; free for other values
         64   payload     `capacity` bytes

A reader copies the slot and looks whether its number was the same before and after (a sequence lock). A
writer comes back to a slot only after three others, so a reader has to be overtaken by as many values
within one copy to miss. The checksum is for processors that reorder stores, where numbers alone prove
nothing; it costs 0.15 ms per frame of 640x480. All integers are little-endian.
"""

import mmap
import os
import struct
import tempfile
import zlib
from dataclasses import dataclass

import numpy as np

from robot_orl.types import Array

SLOTS = 4
HEADER, SLOT_HEADER = 64, 64
WRITING = -1
_CHECKED = struct.Struct("<qqq")


@dataclass(frozen=True, eq=False)
class Value:
    """payload: (size,) uint8, a copy.  number: 1, 2, ...  shape: (height, width) as it was written."""

    number: int
    t_ns: int
    payload: Array
    shape: tuple[int, int]


def size_of(capacity: int) -> int:
    """Bytes that a channel takes."""
    return HEADER + SLOTS * _slot_size(capacity)


def _slot_size(capacity: int) -> int:
    return SLOT_HEADER + -(-capacity // 64) * 64


def _checksum(number: int, t_ns: int, payload: Array) -> int:
    return zlib.crc32(payload, zlib.crc32(_CHECKED.pack(number, t_ns, len(payload))))  # type: ignore[arg-type]


class Channel:
    """One end of a channel in `memory` at byte `offset`."""

    def __init__(self, memory: mmap.mmap, offset: int, capacity: int) -> None:
        """capacity: the most bytes of a value. Both ends must say the same."""
        self._capacity = capacity
        self._published = np.frombuffer(memory, "<i8", 1, offset)
        starts = [offset + HEADER + k * _slot_size(capacity) for k in range(SLOTS)]
        self._headers = [np.frombuffer(memory, "<i8", SLOT_HEADER // 8, start) for start in starts]
        self._payloads = [np.frombuffer(memory, np.uint8, capacity, start + SLOT_HEADER) for start in starts]
        self._latest: Value | None = None

    def write(self, t_ns: int, payload: Array, shape: tuple[int, int] = (0, 0)) -> int:
        """Publish a value, any contiguous array of at most `capacity` bytes; returns its number."""
        raw = np.frombuffer(payload.data, np.uint8)
        if len(raw) > self._capacity:
            raise ValueError(f"{len(raw)} bytes do not fit into {self._capacity}")
        number = int(self._published[0]) + 1
        header = self._headers[number % SLOTS]
        header[0] = WRITING
        self._payloads[number % SLOTS][: len(raw)] = raw
        header[1:6] = t_ns, len(raw), _checksum(number, t_ns, raw), *shape
        header[0] = number
        self._published[0] = number
        return number

    def read(self) -> Value | None:
        """The latest value, None before the first. One that was overtaken while being copied is tried
        again, and where that fails too the value that was read last is still the answer."""
        for _ in range(SLOTS):
            number = int(self._published[0])
            if number == 0 or (self._latest is not None and number == self._latest.number):
                break
            if (value := self._copy(number)) is not None:
                self._latest = value
                break
        return self._latest

    def _copy(self, number: int) -> Value | None:
        header = self._headers[number % SLOTS]
        before, t_ns, size, checksum, height, width = map(int, header[:6])
        if before != number or not 0 <= size <= self._capacity:
            return None
        payload = self._payloads[number % SLOTS][:size].copy()
        if int(header[0]) != number or checksum != _checksum(number, t_ns, payload):
            return None
        return Value(number, t_ns, payload, (height, width))


def create_memory(size: int) -> int:
    """A file descriptor of `size` zero bytes without a name: the kernel frees it with its last process."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("robot-orl-camera")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor
