"""The world of a robot that is no simulation, for whoever watches it and for hands that need its tool.

It is the robot's task, in which everything is put where the latest observation says that it is; nothing in it
is simulated, and nobody acts on it.
"""

from typing import Any, Protocol, cast, runtime_checkable

import gymnasium

from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Observation, Outcome


@runtime_checkable
class Placeable(Protocol):
    """A task whose observation says where everything is: `env.unwrapped` of it."""

    def place(self, obs: Observation) -> None:
        """Put what is drawn where an observation says that it is; of what it does not tell, nothing moves."""


class Twin(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task whose steps are those of a robot: `follow` says what it sees, `step` shows it."""

    def __init__(self, task: TaskConfig, robot: str) -> None:
        """robot: its name. Raises: UsageError: the task's observation does not say where everything is."""
        super().__init__(make_env(task))
        if not isinstance(self.env.unwrapped, Placeable):
            spec = spec_of(self.env)
            raise UsageError(
                f"nobody can be shown what {robot} does: {spec.task} does not observe where everything is"
            )
        self._obs: Observation = {}
        self._outcome = Outcome()

    def follow(self, obs: Observation, outcome: Outcome) -> None:
        """What the robot sees now, and how its latest step went."""
        self._obs, self._outcome = obs, outcome

    def step(self, action: Any) -> Any:
        """The robot's latest step, whatever the action; it never ends."""
        cast(Placeable, self.env.unwrapped).place(self._obs)
        reward = self._outcome.reward
        done = {"success": bool(self._outcome.success)}
        return dict(self._obs), 0.0 if reward is None else reward, False, False, done
