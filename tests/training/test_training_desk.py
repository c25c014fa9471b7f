"""The desk between a learner and whoever plays: nobody waits, nothing old is shown."""

import json
import mmap
import os

import numpy as np
import pytest

from robot_orl.deploy.sensors.channel import Channel, size_of
from robot_orl.training.online.desk import BOARD_BYTES, Desk, Seat

S = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ends(clock: Clock):  # type: ignore[no-untyped-def]
    desk = Desk(3, clock)
    memory, orders = map(os.dup, desk.descriptors)  # as a process that they were given to has them
    yield desk, Seat(memory, orders, 3, clock)
    desk.close()
    os.close(memory)
    os.close(orders)


def test_orders_come_once_and_in_their_order(ends: tuple[Desk, Seat]) -> None:
    desk, seat = ends
    assert desk.orders() == []
    assert all(seat.order(verb) for verb in ("pause", "checkpoint", "resume", "stop"))
    assert desk.orders() == ["pause", "checkpoint", "resume", "stop"]
    assert desk.orders() == []


def test_a_learner_that_does_not_listen_makes_nobody_wait(ends: tuple[Desk, Seat]) -> None:
    desk, seat = ends
    taken = sum(seat.order("pause") for _ in range(100_000))
    assert 0 < taken < 100_000, "a full pipe refuses an order"
    heard = 0
    while got := desk.orders():
        heard += len(got)
    assert heard == taken


def test_after_the_learner_orders_are_refused(ends: tuple[Desk, Seat]) -> None:
    desk, seat = ends
    desk.close()
    desk.close()
    assert not seat.order("stop")


def test_what_is_seen_is_the_latest_and_never_old(ends: tuple[Desk, Seat], clock: Clock) -> None:
    desk, seat = ends
    assert desk.seen() is None
    seat.saw(np.array([1.0, 2.0, 3.0]))
    seat.saw(np.array([4.0, 5.0, 6.0]))
    seen = desk.seen()
    assert seen is not None
    np.testing.assert_array_equal(seen, np.array([4.0, 5.0, 6.0], np.float32))
    clock.now = S // 2
    assert desk.seen() is not None
    clock.now = S // 2 + 1
    assert desk.seen() is None


def test_a_page_reads_the_board_from_the_seats_descriptor(ends: tuple[Desk, Seat]) -> None:
    desk, seat = ends
    memory = mmap.mmap(seat.board, os.fstat(seat.board).st_size)
    channel = Channel(memory, 0, seat.board_bytes)
    assert channel.read() is None
    desk.publish({"env_steps": 1})
    desk.publish({"env_steps": 2, "curve": [[0, 0.5, 0.3, 0.7]]})
    value = channel.read()
    assert value is not None
    assert value.number == 2
    assert json.loads(value.payload.tobytes()) == {"env_steps": 2, "curve": [[0, 0.5, 0.3, 0.7]]}
    worth = Channel(memory, size_of(seat.board_bytes), 8)
    desk.publish_value(-2.5)
    assert worth.read().payload.view(np.float64) == [-2.5]  # type: ignore[union-attr]
    desk.publish_value(None)
    assert np.isnan(worth.read().payload.view(np.float64)).all()  # type: ignore[union-attr]


def test_a_board_that_does_not_fit_leaves_the_one_before(ends: tuple[Desk, Seat]) -> None:
    desk, seat = ends
    desk.publish({"a": 1})
    with pytest.raises(ValueError, match="do not fit"):
        desk.publish({"a": "x" * BOARD_BYTES})
    with pytest.raises(ValueError, match="JSON"):
        desk.publish({"a": float("nan")})
    channel = Channel(mmap.mmap(seat.board, os.fstat(seat.board).st_size), 0, seat.board_bytes)
    value = channel.read()
    assert value is not None
    assert json.loads(value.payload.tobytes()) == {"a": 1}
