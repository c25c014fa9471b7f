"""What `robot-orl deploy operator=...` makes of somebody who may take over from the policy."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from robot_orl.commands.tables import out
from robot_orl.config import DeployConfig
from robot_orl.deploy.attendance import Attendance, Person
from robot_orl.deploy.bundle import Bundle, check_robot
from robot_orl.deploy.promotion.alarm import said
from robot_orl.deploy.promotion.watch import Watch
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.offers import Simulated
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.deploy.twin import Twin
from robot_orl.intervention import standing_by
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Robot

LOOK_S = 0.02
RATE_TICKS = 25  # that the shown rate is the mean of


@contextmanager
def attended(cfg: DeployConfig, robot: Robot, bundle: Bundle, stop: StopRequest) -> Iterator[Sharing | None]:
    """Whoever may take over, open while the body runs; None: nobody.

    Begins once there is somebody, or `stop` is set. A robot that is a simulation is watched itself.
    Raises: UsageError: this operator cannot take over, or not here.
    """
    if cfg.operator is None:
        yield None
        return
    check_robot(bundle.spec, robot.spec)
    operator = standing_by(cfg.operator, robot.spec)
    task = TaskConfig(bundle.task, dict(bundle.task_kwargs))
    twin: Twin | None = None
    if isinstance(robot, Simulated):
        intervener = operator.stand_by(robot.env)
        robot.env = intervener.env
    elif operator.needs_person:
        twin = Twin(task, robot.name)
        intervener = operator.stand_by(twin)
    else:
        intervener = operator.stand_by(make_env(task))
    person: Any = intervener
    attendance = None
    try:
        if operator.needs_person and isinstance(person, Person):
            attendance = Attendance(person, stop, cfg.unattended == "stop")
            attendance.tell(robot=robot.name, phase="waiting")
        intervener.open()
        if attendance is not None:
            _await_person(attendance, cfg.operator.name, stop)
        yield Sharing(intervener, robot.spec, twin, attendance)
    finally:
        stop.look = None
        intervener.close()
        if not isinstance(robot, Simulated):
            intervener.env.close()


def _await_person(attendance: Attendance, name: str, stop: StopRequest) -> None:
    """Nothing moves before there is somebody, unless the policy may go on alone."""
    is_set = stop.is_set(time.monotonic_ns())
    if attendance.is_awaited:
        out.print(f"nothing moves before somebody is at operator={name}")
    while attendance.is_awaited and not is_set:
        time.sleep(LOOK_S)
        is_set = stop.is_set(time.monotonic_ns())


class Telling:
    """What somebody who may take over is told of the run, tick by tick."""

    def __init__(self, sharing: Sharing, watch: Watch, control_hz: float) -> None:
        self._sharing, self._watch, self._hz = sharing, watch, control_hz
        self._ticks: deque[int] = deque(maxlen=RATE_TICKS + 1)
        self._episodes = 0

    def __call__(self, done: int, total: int) -> None:
        """After a tick of the policy: slots done and to do."""
        attendance = self._sharing.attendance
        if attendance is None:
            return
        if self._sharing.episodes != self._episodes:  # homing is no control
            self._episodes = self._sharing.episodes
            self._ticks.clear()
        self._ticks.append(time.monotonic_ns())
        passed_ns = self._ticks[-1] - self._ticks[0]
        answer = self._watch.latest
        attendance.tell(
            phase="running",
            left_s=round((total - done) / self._hz, 1),
            rate_hz=round((len(self._ticks) - 1) * 1e9 / passed_ns, 1) if passed_ns else None,
            interventions=self._sharing.interventions,
            episodes=self._sharing.episodes,
            value=None if answer is None or answer.value != answer.value else round(answer.value, 2),
            disagreement=None
            if answer is None or answer.value != answer.value
            else round(answer.disagreement, 2),
            alarm="" if answer is None else said(answer.alarm),
        )
