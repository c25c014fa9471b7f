"""What a task offers so that a real arm can be its body: `env.unwrapped` of such a task is a JointTask."""

from contextlib import suppress
from typing import Protocol, cast, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.envs.registration import load_env_creator

from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Array


class JointTask(Protocol):
    """The model of the world behind a real arm of J joints: action law, forward kinematics, goals.

    Pure: nothing here moves or reads the simulation of the task. Angles in the convention of the task's
    model [rad], in the order of `joints`.
    """

    joints: tuple[str, ...]
    home_pose: Array
    """(J,) rad: where an episode begins."""
    joint_range: Array
    """(J, 2) rad: lowest and highest target of each joint."""

    def next_targets(self, action: Array, targets: Array, positions: Array) -> Array:
        """The action law: targets of the joints after an action.

        Args: action: (A,) in [-1, 1].  targets: before it, (J,) rad.  positions: measured, (J,) rad.
        Returns: (J,) rad, within `joint_range` and near enough to `positions` that a held joint does not
        wind up.
        """

    def observation_of(
        self,
        positions: Array,
        velocities: Array,
        targets: Array,
        goal: Array,
        object_position: Array | None = None,
    ) -> dict[str, Array]:
        """What the task would observe with its joints there, float32 per key of its spec.

        Args: positions, targets: (J,) rad.  velocities: (J,) rad/s.  goal, object_position: (3,) m, in the
        frame of the arm's base.
        Raises: UsageError: the task handles an object and `object_position` is None.
        """

    def tool_position(self, positions: Array) -> Array:
        """(J,) rad -> (3,) m: where the tool is then, in the frame of the arm's base."""

    def sample_goal(self, seed: int) -> Array:
        """(3,) m: the goal of the episode that begins with this seed."""


@runtime_checkable
class SimulatedJoints(Protocol):
    """A JointTask that also tells where the joints of its simulation are."""

    joints: tuple[str, ...]

    def joint_state(self) -> tuple[Array, Array, Array]:
        """Copies, (J,) each: positions [rad], velocities [rad/s] and targets [rad]."""


_MEMBERS = (
    "joints",
    "home_pose",
    "joint_range",
    "next_targets",
    "observation_of",
    "tool_position",
    "sample_goal",
)


def joint_task(env: gymnasium.Env, robot: str, sees_object: bool = False) -> JointTask:
    """The task as the model of the world behind a real arm. sees_object: a sensor tells where an object is.

    Raises: UsageError: it is none, or handles an object that nobody sees; names the tasks that fit.
    """
    task = cast(JointTask, env.unwrapped)
    spec = env.unwrapped.task_spec  # type: ignore[attr-defined]
    if any(not hasattr(task, name) for name in _MEMBERS):
        problem = "does not say what an action does to the joints of an arm"
    elif not sees_object and not _needs_joints_only(task):
        problem = "handles an object, and no sensor tells where it is (robot.object.source=... of robot=koch)"
    else:
        return task
    fitting = ", ".join(_fitting_tasks(sees_object)) or "none"
    raise UsageError(f"robot {robot} cannot run {spec.task}: it {problem}; tasks that fit: {fitting}")


def _needs_joints_only(task: JointTask) -> bool:
    pose = np.asarray(task.home_pose, float)
    try:
        task.observation_of(pose, np.zeros_like(pose), pose, task.sample_goal(0))
    except UsageError:
        return False
    return True


def _fitting_tasks(sees_object: bool) -> list[str]:
    """Of the registered ones; only those are made whose class looks like it."""
    names = []
    for name, spec in sorted(gymnasium.registry.items()):
        if spec.version is not None or spec.entry_point is None:
            continue
        with suppress(ImportError, AttributeError):  # somebody's task, and not installed
            found = spec.entry_point
            if not hasattr(load_env_creator(found) if isinstance(found, str) else found, "observation_of"):
                continue
            env = make_env(TaskConfig(name))
            if sees_object or _needs_joints_only(cast(JointTask, env.unwrapped)):
                names.append(name)
            env.close()
    return names
