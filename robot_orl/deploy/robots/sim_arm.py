"""The simulated arm of a task: its joints are checked and commanded as those of a real one are.

    action --plan--> targets --[supervisor]--> command --latency--> one control period of the task

A target is what is on its way, as on a bus; the task is stepped with the action that takes its own targets
there. Nothing is clamped: it is the very action that was planned, so that a recorded episode repeats bitwise.
"""

import numpy as np

from robot_orl.deploy.robots.disturbances import Delay
from robot_orl.deploy.robots.joint_task import SimulatedJoints
from robot_orl.deploy.robots.sim import SimConfig, SimRobot
from robot_orl.deploy.robots.task_body import TaskBody
from robot_orl.deploy.timing import Clock
from robot_orl.registry import register
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Array, RobotObservation, Telemetry


@register("robot", "sim", SimConfig)
def simulated(cfg: SimConfig, task: TaskConfig, clock: Clock | None = None) -> SimRobot:
    """A `SimArm` where the task tells of its joints, else a `SimRobot`. Raises: UsageError: as these."""
    env = make_env(task)
    has_joints = isinstance(task_env(env), SimulatedJoints)
    env.close()
    return (SimArm if has_joints else SimRobot)(cfg, task, clock)


class SimArm(SimRobot):
    """joints, telemetry, plan, command, tool_at: see `supervisor.offers`.

    Telemetry is of the latest observation: as noisy, as old, and lost with it.
    """

    def __init__(self, cfg: SimConfig, task: TaskConfig, clock: Clock | None = None) -> None:
        super().__init__(cfg, task, clock)
        assert isinstance(self._task, SimulatedJoints)
        self._arm = self._task
        self.joints = tuple(self._arm.joints)
        self._body = TaskBody(task, cfg.name, self.joints, sees_object=True)
        self._range = np.asarray(self._body.model.joint_range, float)
        self._on_its_way: Delay[Array] = Delay(self._delay.turns)
        self._targets = np.zeros(len(self.joints))  # as they were last commanded
        self._measured = (self._targets, self._targets)
        self._looked: RobotObservation | None = None

    def home(self, seed: int) -> None:
        super().home(seed)
        self._on_its_way.begin()
        self._targets = self._arm.joint_state()[2]
        self._looked = None

    def observe(self) -> RobotObservation:
        observed = super().observe()
        if observed is not self._looked:
            positions, velocities, _ = self._arm.joint_state()
            noisy = self._disturbances.noisy_joints
            self._measured = noisy(positions, "rad"), noisy(velocities, "rad/s")
            self._looked = observed
        return observed

    def telemetry(self) -> Telemetry:
        positions, velocities = self._measured
        return Telemetry(
            positions=positions,
            velocities=velocities,
            targets=self._targets,
            tool_position=self.tool_at(positions),
        )

    def tool_at(self, joints: Array) -> Array:
        return self._body.model.tool_position(joints)

    def plan(self, action: Array) -> Array:
        """(A,) in [-1, 1] -> the targets that it asks for, (J,) rad. Moves nothing."""
        return self._body.plan(action, self._targets, self._measured[0], self._range)

    def send(self, action: Array) -> Array:
        """As `command` with the targets that the action asks for."""
        return self.command(self.plan(action))

    def command(self, targets: Array) -> Array:
        """Step the task; returns the action that moved the targets so, (A,) float32, maybe on its way yet."""
        self._check_ready()
        executed = self._body.action_of(self._targets, targets)
        arrived = self._on_its_way(np.clip(targets, self._range[:, 0], self._range[:, 1]))
        if self._on_its_way.turns == 0:
            self._step(executed)
            self._targets = self._arm.joint_state()[2]
            return executed
        self._targets = targets
        now = self._arm.joint_state()[2]
        self._step(self._body.action_between(now, now if arrived is None else arrived))
        return executed

    def close(self) -> None:
        super().close()
        self._body.close()
