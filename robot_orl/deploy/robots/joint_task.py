"""What a task offers so that a real arm can be its body: `env.unwrapped` of such a task is a JointTask."""

from typing import Protocol

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
