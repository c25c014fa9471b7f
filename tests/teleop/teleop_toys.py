"""A recording session for tests: hands that follow a script, and a clock that is moved by hand."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

import envs
from data_collection.teleop.drive import Drive
from data_collection.teleop.hands import Jog, Order, Status, Value, Verb
from data_collection.teleop.session import RecordingSession
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.shelf import Shelf
from data_collection.teleop.steering import steering_of
from robot_orl.interrupt import StopFlag
from robot_orl.tasks import spec_of

Said = tuple[Jog | None, Sequence[Order]]
Person = Iterator[Said]
MS = 1_000_000
PUSH = Jog(np.array([1.0, 0.0, 0.0]), np.zeros(3))
AWAY = Jog(np.array([0.0, 0.0, 1.0]), np.zeros(3))


class Clock:
    """Sleeps take no time.  late_ms: how much each is overslept by, in turn; then none."""

    method = "by hand"

    def __init__(self, *late_ms: float) -> None:
        self.time_ns = 0
        self.late_ms = list(late_ms)

    def now_ns(self) -> int:
        return self.time_ns

    def sleep_until(self, deadline_ns: int) -> None:
        late_ms = self.late_ms.pop(0) if self.late_ms else 0.0
        self.time_ns = max(self.time_ns, deadline_ns) + round(late_ms * MS)


class ScriptedHands:
    """What a script does, tick by tick: it is a generator that finds the latest status in `seen`."""

    def __init__(self, script: Callable[["ScriptedHands"], Person]) -> None:
        self.seen: list[Status] = []
        self.is_there = True
        self._script = script(self)
        self._jog: Jog | None = None

    def open(self) -> None: ...

    def close(self) -> None: ...

    def jog(self) -> Jog | None:
        return self._jog

    def orders(self) -> Sequence[Order]:
        self._jog, orders = next(self._script)
        return orders

    def present(self) -> bool:
        return self.is_there

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        self.seen.append(status)


@cache
def reach() -> gymnasium.Env[Any, Any]:
    return envs.make("fetch_reach")


def order(verb: Verb, value: Value = None) -> Said:
    return None, [Order(verb, value)]


def pushes(steps: int, jog: Jog | None = PUSH) -> Iterator[Said]:
    """The orders of a step are read before its jog."""
    for _ in range(steps):
        yield jog, []


def until(hands: ScriptedHands, state: str, jog: Jog | None = None) -> Iterator[Said]:
    while not hands.seen or hands.seen[-1].state != state:
        yield jog, []


def drive(
    path: Path,
    script: Callable[[ScriptedHands], Person],
    stop: StopFlag | None = None,
    clock: Clock | None = None,
    **fields: Any,
) -> tuple[ScriptedHands, RecordingSession]:
    cfg = PersonConfig(name="person", **{"countdown_s": 0.0, "speed_m_s": 0.1, **fields})
    env = reach()
    hands = ScriptedHands(script)
    session = RecordingSession(
        3,
        countdown_s=cfg.countdown_s,
        instruction=cfg.instruction,
        stop_at_success=cfg.stop_at_success,
    )
    with Shelf(path, spec_of(env), "person", {"operator": {"name": "person"}, "seed": 0}, {}) as shelf:
        Drive(
            env,
            hands,
            steering_of(env, cfg),
            session,
            shelf,
            iter(range(100)),
            cfg,
            stop or StopFlag(),
            clock or Clock(),
        ).run()
    return hands, session
