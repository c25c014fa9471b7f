"""What somebody at a page sees of learning, and what they order of it. Neither side ever waits for the other.

    learner: Desk ------- board, JSON -----------> the page's process, which reads them from the same memory
                  ------- value, one float64 --->
                  <------ seen, float32 ---------- Seat: player
                  <------ orders, a byte each, through a pipe that nobody waits for

The three channels lie in one anonymous file, one behind the other. The player is given descriptors of it and
of the pipe's end while its process is made.
"""

import json
import mmap
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

import numpy as np

from robot_orl import intervention
from robot_orl.deploy.sensors.channel import Channel, create_memory, size_of
from robot_orl.types import Array

ORDERS = ("pause", "resume", "checkpoint", "stop")
BOARD_BYTES, VALUE_BYTES = 262_144, 8
SEEN_S = 0.5  # an older observation is not shown any more
MOST_ORDERS = 4_096  # bytes that are read at once; there are never so many


class Desk:
    """The learner's end. observation_size: D of a flat observation."""

    def __init__(self, observation_size: int, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._memory = create_memory(_size(observation_size))
        self._orders, self._theirs = os.pipe()
        os.set_blocking(self._orders, False)
        os.set_blocking(self._theirs, False)
        self._board, self._value, self._seen = _channels(self._memory, observation_size)

    @property
    def descriptors(self) -> tuple[int, int]:
        """Of the memory and of the pipe's end, for the process in which a `Seat` is."""
        return self._memory, self._theirs

    def publish(self, board: Mapping[str, Any]) -> None:
        """Plain JSON that is shown from now on. Raises: ValueError: more than BOARD_BYTES of it."""
        raw = json.dumps(board, ensure_ascii=False, allow_nan=False).encode()
        self._board.write(self._now_ns(), np.frombuffer(raw, np.uint8))

    def publish_value(self, value: float | None) -> None:
        """What the critics think of what is seen; None: nothing is, or there are none."""
        self._value.write(self._now_ns(), np.array([np.nan if value is None else value]))

    def orders(self) -> list[str]:
        """Those given since the last call, of ORDERS."""
        try:
            raw = os.read(self._orders, MOST_ORDERS)
        except BlockingIOError:
            return []
        return [ORDERS[number] for number in raw if number < len(ORDERS)]

    def seen(self) -> Array | None:
        """(D,) float32: what is so where somebody plays; None: nobody has for a while."""
        value = self._seen.read()
        if value is None or self._now_ns() - value.t_ns > SEEN_S * 1e9:
            return None
        return value.payload.view(np.float32)

    def __enter__(self) -> "Desk":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Works more than once. A player that is still there orders nothing any more."""
        for name in ("_memory", "_orders", "_theirs"):
            descriptor = getattr(self, name)
            setattr(self, name, -1)
            if descriptor >= 0:
                os.close(descriptor)


class Seat:
    """The player's end, from the descriptors of the learner's, which it keeps.

    board: the memory's descriptor, where a `Channel` of `board_bytes` comes first, and one of 8 bytes next.
    """

    board_bytes = BOARD_BYTES

    def __init__(
        self,
        memory: int,
        orders: int,
        observation_size: int,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.board = memory
        self._orders, self._now_ns = orders, now_ns
        self._seen = _channels(memory, observation_size)[2]

    def order(self, verb: str) -> bool:
        """One of ORDERS; whether the learner will hear of it."""
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(self._orders, bytes([ORDERS.index(verb)]))
            return True
        return False

    def saw(self, obs: Array) -> None:
        """(D,): what is so now."""
        self._seen.write(self._now_ns(), np.ascontiguousarray(obs, np.float32))


@runtime_checkable
class Seated(Protocol):
    """Who stands by while a policy is finetuned, and shows how that goes, or orders something of it."""

    def sit(self, seat: intervention.Seat) -> None:
        """Before `open`."""


def _size(observation_size: int) -> int:
    return sum(map(size_of, _capacities(observation_size)))


def _capacities(observation_size: int) -> tuple[int, int, int]:
    return BOARD_BYTES, VALUE_BYTES, 4 * observation_size


def _channels(descriptor: int, observation_size: int) -> list[Channel]:
    """board, value, seen. The memory stays mapped for as long as one of them is used."""
    memory, at, made = mmap.mmap(descriptor, _size(observation_size)), 0, []
    for capacity in _capacities(observation_size):
        made.append(Channel(memory, at, capacity))
        at += size_of(capacity)
    return made
