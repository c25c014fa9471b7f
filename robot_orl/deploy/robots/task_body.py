"""A task as the body of an arm sees it: what an action asks of the joints, what is observed, how it went."""

import gymnasium
import numpy as np

from robot_orl.deploy.robots.joint_task import JointTask, joint_task
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Array, Observation, Outcome


class TaskBody:
    """The task of a bundle for the J joints of one arm. spec: the task's.  model: see `JointTask`.

    goal: (3,) m, of the episode under way.
    """

    def __init__(self, task: TaskConfig, arm: str, joints: tuple[str, ...], sees_object: bool) -> None:
        """arm: its name.  sees_object: a sensor tells where an object is.

        Raises: UsageError: the task does not fit these joints.
        """
        self._env: gymnasium.Env = make_env(task)
        self._task_env = task_env(self._env)
        self.spec = self._task_env.task_spec
        self.model: JointTask = joint_task(self._env, arm, sees_object)
        self.joints = joints
        if joints != tuple(self.model.joints):
            raise UsageError(
                f"{arm}: its servos are {', '.join(joints) or 'none'}; {task.name} has the joints "
                f"{', '.join(self.model.joints)}, in this order"
            )
        self.goal = self.model.sample_goal(0)
        self._steps = self._action_steps()
        self._planned: tuple[Array, Array] | None = None  # an action and the targets that it asks for

    def _action_steps(self) -> Array:
        """(J,) rad: by how much action 1 moves each target, which tells what action a target was."""
        if self.spec.action_size != len(self.joints):
            raise UsageError(f"{self.spec.task}: an action moves something else than one joint each")
        middle = np.asarray(self.model.joint_range, float).mean(1)  # at the end of its range it moves by 0
        steps: Array = self.model.next_targets(np.ones(len(middle)), middle, middle) - middle
        return steps

    def plan(self, action: Array, targets: Array, positions: Array, ranges: Array) -> Array:
        """(A,) in [-1, 1] -> the targets that it asks for, (J,) rad, within `ranges`, (J, 2) rad."""
        clipped = np.clip(np.asarray(action, np.float32), -1, 1)
        wanted = np.clip(self.model.next_targets(clipped, targets, positions), ranges[:, 0], ranges[:, 1])
        self._planned = clipped, wanted
        return wanted

    def action_of(self, before: Array, targets: Array) -> Array:
        """The action, (A,) float32, that moved the targets so, (J,) rad: the planned one, if it did."""
        planned, self._planned = self._planned, None
        if planned is not None and np.array_equal(planned[1], targets):
            return planned[0]
        return self.action_between(before, targets)

    def action_between(self, before: Array, targets: Array) -> Array:
        """The action, (A,) float32, that moves targets from the one to the other, (J,) rad. Pure."""
        return np.clip((targets - before) / self._steps, -1, 1).astype(np.float32)

    def outcome(self, obs: Observation | None) -> Outcome:
        """Of an observation, by the task's own reward."""
        spec = self.spec
        if obs is None or spec.achieved_goal is None or spec.desired_goal is None:
            return Outcome()
        reward = float(self._task_env.reward_for(obs[spec.achieved_goal], obs[spec.desired_goal]))
        return Outcome(reward=reward, success=reward == 0)

    def close(self) -> None:
        self._env.close()
