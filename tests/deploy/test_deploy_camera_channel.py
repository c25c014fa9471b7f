"""The latest value in shared memory: whole or not at all, and nobody waits."""

import mmap
import os
import subprocess
import sys

import numpy as np
import pytest

from robot_orl.deploy.sensors.channel import SLOT_HEADER, SLOTS, WRITING, Channel, create_memory, size_of

CAPACITY = 100


@pytest.fixture
def ends() -> tuple[Channel, Channel]:
    """A writer and a reader of their own mappings of one memory."""
    descriptor = create_memory(size_of(CAPACITY))
    one, other = (Channel(mmap.mmap(descriptor, size_of(CAPACITY)), 0, CAPACITY) for _ in range(2))
    os.close(descriptor)
    return one, other


def value(number: int, size: int = CAPACITY) -> np.ndarray:
    return np.full(size, number, np.uint8)


def test_nothing_is_read_before_the_first_value(ends: tuple[Channel, Channel]) -> None:
    assert ends[1].read() is None


def test_the_latest_value_is_read_as_it_was_written(ends: tuple[Channel, Channel]) -> None:
    writer, reader = ends
    for number in range(1, 12):
        assert writer.write(1000 * number, value(number, 90 + number % 3), (9, number)) == number
        read = reader.read()
        assert read is not None
        assert (read.number, read.t_ns, read.shape) == (number, 1000 * number, (9, number))
        assert (read.payload == number).all()
        assert len(read.payload) == 90 + number % 3


def test_what_was_read_is_a_copy(ends: tuple[Channel, Channel]) -> None:
    writer, reader = ends
    writer.write(1, value(7))
    read = reader.read()
    for number in range(SLOTS + 1):
        writer.write(2, value(100 + number))
    assert read is not None
    assert (read.payload == 7).all()


def test_a_value_that_is_being_written_over_leaves_the_one_before(ends: tuple[Channel, Channel]) -> None:
    """As after a writer that was killed in the middle of it, or that overtook the reader."""
    writer, reader = ends
    writer.write(1, value(1))
    reader.read()
    writer.write(2, value(2))
    writer._headers[2][0] = WRITING
    kept = reader.read()
    assert kept is not None
    assert kept.number == 1
    writer._headers[2][0] = 2
    assert reader.read().number == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("byte", [8, 24, SLOT_HEADER, SLOT_HEADER + CAPACITY - 1])
def test_a_torn_value_is_never_believed(ends: tuple[Channel, Channel], byte: int) -> None:
    """A single bit of the stamp, the checksum or the payload differs."""
    writer, reader = ends
    writer.write(1, value(1))
    writer.write(2, value(2))
    if byte < SLOT_HEADER:
        writer._headers[2][byte // 8] ^= 1
    else:
        writer._payloads[2][byte - SLOT_HEADER] ^= 1
    assert reader.read() is None


def test_the_values_after_a_dead_writer_go_on_counting(ends: tuple[Channel, Channel]) -> None:
    writer, reader = ends
    writer.write(1, value(1))
    assert reader.write(2, value(2)) == 2  # another process in its place


def test_a_value_that_does_not_fit_is_refused(ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match="101 bytes do not fit into 100"):
        ends[0].write(1, value(1, 101))


WRITER = """
import mmap, sys
import numpy as np
from robot_orl.deploy.sensors.channel import Channel, size_of
size = int(sys.argv[2])
channel = Channel(mmap.mmap(int(sys.argv[1]), size_of(size)), 0, size)
frames = [np.full(size, k, np.uint8) for k in range(251)]
number = 0
while True:
    number += 1
    channel.write(number, frames[number % 251])
"""


@pytest.mark.e2e
def test_no_frame_is_torn_beside_a_writer_that_never_rests() -> None:
    size = 320 * 240 * 3
    descriptor = create_memory(size_of(size))
    reader = Channel(mmap.mmap(descriptor, size_of(size)), 0, size)
    command = [sys.executable, "-c", WRITER, str(descriptor), str(size)]
    writer = subprocess.Popen(command, pass_fds=(descriptor,))
    os.close(descriptor)
    try:
        last, different = 0, 0
        while different < 1500:
            if (read := reader.read()) is None:
                continue
            assert read.number >= last
            different += read.number > last
            last = read.number
            assert read.t_ns == read.number
            assert read.payload.min() == read.payload.max() == read.number % 251
    finally:
        writer.kill()
        writer.wait()
    assert last > 1500 + SLOTS, "the writer was not faster than the reader"
