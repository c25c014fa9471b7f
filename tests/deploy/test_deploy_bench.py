"""What lies before an arm, put back and judged through the socket of a virtual arm's world."""

import select
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from robot_orl.deploy.robots.bench import Bench
from robot_orl.deploy.virtual.world import WorldSocket
from robot_orl.errors import UsageError


@contextmanager
def world(path: Path, successes: list[bool]) -> Iterator[list[str]]:
    """Whether the task is done at each look; the log of what was asked for."""
    log: list[str] = []

    def look(request: Mapping[str, Any]) -> dict[str, Any]:
        log.append("look")
        return {"success": successes.pop(0)}

    def put_back(request: Mapping[str, Any]) -> dict[str, Any]:
        log.append(f"put back {request['seed']}")
        return {}

    socket = WorldSocket(path, {"look": look, "put_back": put_back})
    socket.open()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            select.select(socket.filenos(), [], [], 0.01)
            socket.poll()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield log
    finally:
        stop.set()
        thread.join()
        socket.close()


def test_only_an_episode_that_was_begun_is_judged_and_once(tmp_path: Path) -> None:
    with world(tmp_path / "world", [True, False]) as log:
        bench = Bench(str(tmp_path / "world"))
        bench.open()
        assert bench.counts == {"judged_episodes": 0, "judged_successes": 0}
        bench.judge()  # before the first homing there was none
        assert bench.put_back(3)
        bench.judge()
        bench.judge()
        assert bench.put_back(4)
        bench.judge()
        bench.close()
        bench.close()
    assert log == ["put back 3", "look", "put back 4", "look"]
    assert bench.counts == {"judged_episodes": 2, "judged_successes": 1}


def test_without_a_world_somebody_else_looks_after_the_bench() -> None:
    bench = Bench(None)
    bench.open()
    assert not bench.put_back(3)
    bench.judge()
    bench.close()
    assert bench.counts == {}


def test_a_world_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no virtual arm answers at world="):
        Bench(str(tmp_path / "nobody")).open()
