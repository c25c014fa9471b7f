"""Every way to stop a robot, with real signals, files and terminals."""

import os
import pty
import select
import signal
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from robot_orl.deploy.supervisor.stops import StopRequest, stop_on_signals, stop_sources
from robot_orl.errors import UsageError

MS = 1_000_000
PATIENCE_S = 20


def await_that(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.002)


@pytest.fixture
def keyboard() -> Iterator[tuple[int, int]]:
    """(the keys' end, the terminal's end)"""
    keys, terminal = pty.openpty()
    yield keys, terminal
    for end in (keys, terminal):
        os.close(end)


@pytest.fixture(autouse=True)
def foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of no session has no foreground; that of a user is tried by the command's own tests."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())


def test_the_first_reason_holds_but_an_emergency_overrides_an_interrupt() -> None:
    stop = StopRequest()
    assert not stop.is_set(0)
    stop.set()
    stop.set("another")
    assert (stop.is_set(0), stop.reason, stop.is_emergency, stop.count) == (True, "interrupt", False, 2)
    stop.emergency("a key was pressed")
    stop.emergency("signal SIGUSR1")
    assert (stop.reason, stop.is_emergency, stop.count) == ("a key was pressed", True, 4)


def test_a_dead_man_input_stops_once_it_is_let_go_for_its_time_and_not_before_it_was_held() -> None:
    stop = StopRequest(dead_man_s=0.5)
    assert not stop.is_held
    assert not stop.is_set(10_000 * MS)
    stop.refresh(10_000 * MS)
    assert stop.is_held
    assert not stop.is_set(10_500 * MS)
    stop.refresh(10_400 * MS)
    assert not stop.is_set(10_900 * MS)
    assert stop.is_set(10_901 * MS)
    assert (stop.is_emergency, stop.reason) == (True, "the dead-man input was let go for 0.5 s")
    stop.refresh(10_902 * MS)
    assert stop.is_set(10_902 * MS)  # holding it again does not let the robot go on


@pytest.mark.parametrize(
    ("number", "is_emergency"),
    [
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        (signal.SIGHUP, False),
        (signal.SIGUSR1, True),
        (signal.SIGTSTP, True),
        (signal.SIGQUIT, True),
    ],
)
def test_signals_set_it_and_get_their_old_meaning_back(number: signal.Signals, is_emergency: bool) -> None:
    before = signal.getsignal(number)
    stop = StopRequest()
    with stop_on_signals(stop):
        os.kill(os.getpid(), number)
        assert stop.is_set(0)
        assert stop.is_emergency == is_emergency
    assert signal.getsignal(number) == before


def test_a_terminal_that_closes_asks_only_once_and_ctrl_c_each_time() -> None:
    stop = StopRequest()
    with stop_on_signals(stop):
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
    assert stop.count == 2


def test_any_key_is_an_emergency_and_the_terminal_is_given_back_as_it_was(keyboard: tuple[int, int]) -> None:
    keys, terminal = keyboard
    before = termios.tcgetattr(terminal)
    os.write(keys, b"typed before\n")  # must not count
    assert select.select([terminal], [], [], PATIENCE_S)[0]
    stop = StopRequest()
    with stop_sources(stop, terminal):
        assert not stop.is_set(0)
        os.write(keys, b"q")  # no Return needed
        await_that(lambda: stop.is_set(0))
    assert (stop.is_emergency, stop.reason) == (True, "a key was pressed")
    assert termios.tcgetattr(terminal) == before


def test_space_held_is_a_dead_man_input_and_any_other_key_still_stops(keyboard: tuple[int, int]) -> None:
    keys, terminal = keyboard
    stop = StopRequest(dead_man_s=5)
    now = [7]
    with stop_sources(stop, terminal, now_ns=lambda: now[0]):
        os.write(keys, b"   ")
        await_that(lambda: stop.is_held)
        assert not stop.is_set(5_000 * MS)
        os.write(keys, b" x")
        await_that(lambda: stop.is_set(7))
    assert stop.reason == "a key was pressed"


def test_the_appearance_of_a_file_is_an_emergency(tmp_path: Path) -> None:
    file, stop = tmp_path / "stop", StopRequest()
    with stop_sources(stop, estop_file=str(file)):
        assert not stop.is_set(0)
        file.symlink_to(tmp_path / "nothing")  # whatever it is
        await_that(lambda: stop.is_set(0))
    assert (stop.is_emergency, stop.reason) == (True, f"{file} appeared")


def test_touching_a_file_is_a_dead_man_input(tmp_path: Path) -> None:
    file, stop = tmp_path / "held", StopRequest(dead_man_s=1)
    file.touch()
    with stop_sources(stop, dead_man_file=str(file), now_ns=lambda: 3):
        time.sleep(0.06)
        assert not stop.is_held  # that it is there is not enough
        await_that(lambda: os.utime(file) or stop.is_held)  # type: ignore[func-returns-value]
        file.unlink()
    assert not stop.is_set(3)
    assert stop.is_set(1_100 * MS)


def test_sources_that_cannot_work_are_refused_before_anything_moves(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    for stop, words, line in (
        (StopRequest(), {"estop_file": str(there)}, "there exists, which means stop: remove it first"),
        (StopRequest(), {"estop_file": str(tmp_path / "no" / "x")}, "x can never appear: .*no folder .*no$"),
        (StopRequest(1), {"dead_man_file": str(tmp_path / "no")}, "no file .*no to touch as a dead-man"),
        (StopRequest(1), {}, "there is no terminal to hold a key in"),
    ):
        with pytest.raises(UsageError, match=line), stop_sources(stop, **words):  # type: ignore[arg-type]
            pytest.fail("it began")


def test_keys_that_are_for_another_program_are_looked_at_no_more_often_than_keys(
    keyboard: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, terminal = keyboard
    looks: list[int] = []
    waits: list[float | None] = []
    wait = threading.Event.wait

    def waited(event: threading.Event, timeout: float | None = None) -> bool:
        waits.append(timeout)
        return wait(event, timeout)

    stop = StopRequest()
    with stop_sources(stop, terminal):
        monkeypatch.setattr(threading.Event, "wait", waited)
        monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: looks.append(descriptor) or 0)
        os.write(keys, b"ls\n")
        await_that(lambda: len(looks) >= 3)
        assert len(waits) >= 2  # one after each look
    assert stop.reason is None
