"""What every arm does that is the body of a task, whoever holds its bus: see `dynamixel.py`, `lerobot.py`."""

from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

import numpy as np

from robot_orl.deploy.dynamixel.moves import Arm, Blocked, Mover
from robot_orl.deploy.dynamixel.paths import Paths
from robot_orl.deploy.dynamixel.port import PortLost
from robot_orl.deploy.dynamixel.poses import Poses
from robot_orl.deploy.robots.task_body import TaskBody
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import RunError
from robot_orl.types import Array, Observation, Outcome, RobotObservation

A = TypeVar("A", bound=Arm)


class JointedArm(Generic[A]):
    """The part of `types.Robot` and of `supervisor.offers` that follows from a task's body and a mover.

    Whoever is one connects the mover, sets `limits` and `_range`, (J, 2) rad, and makes observations.
    """

    limits: Limits
    _range: Array

    def __init__(
        self, name: str, body: TaskBody, rest_pose: dict[str, float], move_speed_rad_s: float
    ) -> None:
        self.name = name
        self.joints = body.joints
        self.spec = body.spec
        self.should_stop: Callable[[], bool] = lambda: False
        self._body, self._model = body, body.model
        self._poses = Poses.of(self.joints, self._model.home_pose, rest_pose)
        self._move_speed_rad_s = move_speed_rad_s
        self._mover: Mover[A] | None = None
        self._obs: Observation | None = None  # the latest, since homing
        self._obs_ns = 0
        self._holding = True
        self._blocked: Blocked | None = None  # on the way home: what is in the way is there still

    def _observe_now(self) -> None:
        """Make `_obs` and `_obs_ns` of the mover's state."""
        raise NotImplementedError

    def observe(self) -> RobotObservation:
        """Ask the joints; after a bad answer the last observation, with its time.

        Raises: RunError: as `Mover.refresh`.
        """
        mover = self._connected()
        if self._obs is None:
            raise RunError(f"{self.name}: home before observe")
        if mover.refresh():
            self._observe_now()
        return RobotObservation(self._obs, self._obs_ns)

    def send(self, action: Array) -> Array:
        """Move the targets as the task's action law says; returns the action, (A,) float32 in [-1, 1]."""
        return self.command(self.plan(action))

    def outcome(self) -> Outcome:
        """Of the latest observation, by the task's own reward."""
        return self._body.outcome(self._obs)

    def stop(self) -> None:
        """Hold the present position. Raises: RunError: nothing can be sent."""
        self._holding = True
        if self._mover is not None and self._mover.arm.is_torque_on:
            self._mover.stop()

    def tool_at(self, joints: Array) -> Array | None:
        return self._model.tool_position(joints)

    def plan(self, action: Array) -> Array:
        """(A,) in [-1, 1] -> the targets that it asks for, (J,) rad. Moves nothing."""
        mover = self._connected()
        return self._body.plan(action, mover.targets, mover.state.positions, self._range)

    def command(self, targets: Array) -> Array:
        """Send the joints to their targets, (J,) rad; returns the action that this was, (A,) float32."""
        mover = self._connected()
        if self._holding:
            raise RunError(f"{self.name}: is stopped; home it first")
        before = mover.targets
        with suppress(PortLost):  # `observe` counts what is not answered
            mover.arm.set_watchdog(True)
        mover.send(np.clip(targets, self._range[:, 0], self._range[:, 1]))
        return self._body.action_of(before, mover.targets)

    def action_between(self, before: Array, targets: Array) -> Array:
        """The action that moved the targets from the one to the other, (J,) rad -> (A,) float32."""
        return self._body.action_between(before, targets)

    def _connected(self) -> Mover[A]:
        if self._mover is None:
            raise RunError(f"{self.name}: is not connected")
        return self._mover

    def _paths(self) -> Paths:
        """Of homing and parking."""
        return Paths(self.limits, len(self.joints), self._move_speed_rad_s, self._model.tool_position)
