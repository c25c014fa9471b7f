"""From a leader arm's joints to those of an arm like it: relatively, with limited speed, without a jump.

    target = where it was when the leader was first heard + how far the leader was turned since

At the end of a joint's range the leader slips, as a mouse does at the edge of a table: it acts at once on its
way back.
"""

from typing import Any

import gymnasium
import numpy as np

from data_collection.teleop.hands import Jog
from data_collection.teleop.ramp import Ramp, as_action
from data_collection.teleop.settings import PersonConfig
from robot_orl.deploy.robots.joint_task import JointTask, joint_task
from robot_orl.tasks import spec_of
from robot_orl.types import Array, Observation


class LeaderSteering:
    """A `Steering`. joints: of the task, in the order of `Jog.turned`."""

    def __init__(self, env: gymnasium.Env[Any, Any], cfg: PersonConfig) -> None:
        """Raises: UsageError: the task moves no joints of an arm."""
        arm: JointTask = joint_task(env, "behind operator=leader", sees_object=True)
        self.joints = arm.joints
        spec = spec_of(env)
        home = np.asarray(arm.home_pose, np.float64)
        self._step_rad = arm.next_targets(np.ones_like(home), home, home) - home  # of action 1
        self._low, self._high = arm.joint_range.T
        names = [signal.name for signal in spec.observation["observation"]]
        self._positions = [names.index(f"{joint}_pos") for joint in arm.joints]
        self._leads = [names.index(f"{joint}_lead") for joint in arm.joints]
        self._most = np.minimum(1.0, cfg.speed_rad_s / spec.control_hz / self._step_rad)
        self._change = np.inf if cfg.ramp_s == 0 else 1.0 / (cfg.ramp_s * spec.control_hz)  # per tick
        self._actions = Ramp(1.0, cfg.ramp_s, spec.control_hz)
        self._offset: Array | None = None  # (J,) rad: target minus how far it was turned; None: not held
        self.begin()

    def begin(self) -> None:
        self.take_over(np.zeros(len(self.joints)))

    def take_over(self, action: Array) -> None:
        self._offset = None
        self._actions.begin(action)

    def action(self, jog: Jog | None, obs: Observation) -> Array:
        if jog is None or jog.turned is None or not np.isfinite(jog.turned).all():
            self._offset = None
            return as_action(self._actions.towards(np.zeros(len(self.joints))))
        seen = np.asarray(obs["observation"], np.float64)
        targets = seen[self._positions] + seen[self._leads]
        if self._offset is None:
            self._offset = targets - jog.turned
        wanted = np.clip(self._offset + jog.turned, self._low, self._high)
        self._offset = wanted - jog.turned
        way = (wanted - targets) / self._step_rad
        speed = np.minimum(stopping_within(np.abs(way), self._change), self._most)
        return as_action(self._actions.towards(np.sign(way) * speed))


def stopping_within(way: Array, change: float) -> Array:
    """The greatest speed from which one stops within the way, if a tick changes it by `change` at most.

    From speed v it goes v + (v - c) + (v - 2c) + ... = v (v / c + 1) / 2 farther.
    way, and what is returned: (J,) >= 0, per tick.
    """
    if np.isinf(change):
        return way
    return np.asarray(change * (np.sqrt(0.25 + 2.0 * way / change) - 0.5))
