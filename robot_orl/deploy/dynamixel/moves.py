"""Slow moves of an arm of servos: home, rest pose, and holding wherever something is in the way."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import numpy as np

from robot_orl.deploy.dynamixel.arm import TorqueLost, WatchdogTripped
from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.dynamixel.paths import MOVE_HZ, NoWay, Paths
from robot_orl.deploy.dynamixel.port import PortLost
from robot_orl.deploy.dynamixel.readings import JointState
from robot_orl.deploy.dynamixel.setup import HardwareFault
from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.errors import RunError
from robot_orl.types import Array

SETTLE_S = 1.0  # within which a joint arrives after the last of them
STILL_RAD = 0.004  # a joint that moves by less from one target to the next has come to rest
BLOCKED_TICKS = 15  # so many in a row may a joint be too far behind
KNOCK_S = 0.1  # between two attempts to open a port that is gone
_TOLD = (BadPacket, HardwareFault, TorqueLost, WatchdogTripped)  # whoever ticks has told of these


class BusSilent(RunError):
    """Too many ticks in a row without a good answer."""


class Blocked(RunError):
    """A slow move did not get where it should."""


class Patience(Protocol):
    """See `config.DynamixelConfig`."""

    @property
    def reached_rad(self) -> float: ...
    @property
    def blocked_rad(self) -> float: ...
    @property
    def max_bad_ticks(self) -> int: ...
    @property
    def reconnect_s(self) -> float: ...


class Arm(Protocol):
    """A connected arm of J joints, see `arm.ServoArm`."""

    state: JointState | None
    joints: tuple[str, ...]
    is_torque_on: bool
    reconnections: int

    @property
    def cfg(self) -> Patience: ...
    @property
    def limp(self) -> list[bool]: ...
    def goals(self) -> Array: ...
    def read(self) -> JointState: ...
    def read_patiently(self) -> JointState: ...
    def goto(self, targets: Array) -> Array: ...
    def confirm_goals(self) -> None: ...
    def set_up(self) -> None: ...
    def set_watchdog(self, is_armed: bool) -> None: ...
    def excuse_failing(self) -> None: ...
    def torque_on(self) -> None: ...
    def torque_off(self) -> None: ...


ArmT = TypeVar("ArmT", bound=Arm)


class Mover(Generic[ArmT]):
    """Where an arm is sent. targets: (J,) rad, as last sent.  bad_ticks: without an answer, in a row.

    should_stop: asked at every step of a move, which then ends at once, holding.
    """

    def __init__(self, arm: ArmT, clock: Clock, should_stop: Callable[[], bool]) -> None:
        """The arm is connected."""
        self.arm = arm
        self.cfg = arm.cfg
        self.targets = arm.goals() if arm.is_torque_on else self.state.positions.copy()
        self.bad_ticks = 0
        self._clock = clock
        self._should_stop = should_stop

    @property
    def state(self) -> JointState:
        """The latest."""
        assert self.arm.state is not None
        return self.arm.state

    def refresh(self, patiently: bool = False) -> bool:
        """Read the joints; returns whether they answered. Raises: BusSilent: not for too many ticks."""
        reconnections = self.arm.reconnections
        try:
            self.arm.read_patiently() if patiently else self.arm.read()
        except (BadPacket, PortLost) as error:
            self.bad_ticks += 1
            if self.bad_ticks >= self.cfg.max_bad_ticks:
                raise BusSilent(f"{error}; {self.bad_ticks} ticks in a row") from error
            return False
        self.bad_ticks = 0
        if self.arm.reconnections != reconnections:
            self.targets = self.arm.goals()
        return True

    def send(self, targets: Array) -> None:
        """A port that is gone is noticed by `refresh`, which counts it."""
        with suppress(PortLost):
            self.targets = self.arm.goto(targets)

    def begin(self) -> None:
        """Set the servos up and let them hold, so that they can be moved."""
        self.arm.set_up()
        if not self.arm.is_torque_on:
            self.arm.torque_on()
        self.targets = self.arm.goals()
        self.bad_ticks = 0

    def move(self, pose: Array, paths: Paths) -> bool:
        """To a pose, (J,) rad. Returns False if told to stop; then it holds.

        Raises: Blocked: a joint fell behind or did not arrive, or the tool may not pass, and they hold.
            RunError: as `refresh`.
        """
        way = deque(self._way(pose, paths))
        live = ~np.array(self.arm.limp)
        period_ns = round(NS_PER_S / MOVE_HZ)
        deadline_ns, behind, is_sent = self._clock.now_ns(), 0, False
        left = round(SETTLE_S * MOVE_HZ)  # ticks at the end of the way
        while way or left > 0:
            if self._should_stop():
                self._hold()
                return False
            deadline_ns = max(deadline_ns + period_ns, self._clock.now_ns())
            self._clock.sleep_until(deadline_ns)
            before, reconnections = self.state.positions, self.arm.reconnections
            self.refresh(patiently=True)
            if self.arm.reconnections != reconnections:  # it was held meanwhile, and goes on from there
                way, left = deque(self._way(pose, paths)), round(SETTLE_S * MOVE_HZ)
            gaps = np.abs(self.targets - self.state.positions) * live
            is_still = np.abs(self.state.positions - before).max() < STILL_RAD
            if is_sent and is_still and gaps.max() < self.cfg.reached_rad:
                return True
            behind = behind + 1 if gaps.max() > self.cfg.blocked_rad else 0
            if behind > BLOCKED_TICKS:
                break
            is_sent = not way
            left -= is_sent
            self.send(way.popleft() if way else pose)
        if is_sent and gaps.max() < self.cfg.reached_rad:
            return True
        self._hold()
        worst = self.arm.joints[int(np.argmax(gaps))]
        raise Blocked(f"{worst} is {gaps.max():.2f} rad behind in a slow move: is something in its way?")

    def _way(self, pose: Array, paths: Paths) -> list[Array]:
        """Raises: Blocked: there is none; it holds."""
        try:
            return paths.between(self.targets, pose)
        except NoWay as error:
            self._hold()
            raise Blocked(str(error)) from error

    def stop(self) -> None:
        """Hold the present position; an arm that does not tell it keeps its last targets and its watchdog.

        Raises: PortLost: nothing can be sent; the servos' watchdog stops them.
        """
        self.bad_ticks = 0
        with suppress(*_TOLD):
            self.arm.read_patiently()
            self._hold()

    def park(self, poses: list[Array], paths: Paths) -> None:
        """Through the poses to the last of them, and there the torque goes off.

        Raises: RunError: it did not get there, and holds.
        """
        self._await_port()
        self.arm.excuse_failing()
        self.begin()
        for pose in poses:
            if not self.move(pose, paths):
                raise RunError("it was told to stop on the way to its rest pose")
        self.arm.torque_off()

    def _hold(self) -> None:
        """At the positions that were just read; the watchdog off, for nothing needs to be sent any more."""
        self.arm.set_watchdog(False)
        self.targets = self.arm.goto(self.state.positions)
        self.arm.confirm_goals()

    def _await_port(self) -> None:
        """Raises: PortLost: it did not come back in time."""
        end_ns = self._clock.now_ns() + round(self.cfg.reconnect_s * NS_PER_S)
        while True:
            try:
                with suppress(*_TOLD):
                    self.arm.read_patiently()
                return
            except PortLost:
                if self._clock.now_ns() > end_ns:
                    raise
            self._clock.sleep_until(self._clock.now_ns() + round(KNOCK_S * NS_PER_S))
