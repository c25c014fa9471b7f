"""Hands beside a policy: what they push becomes actions that go on from what was executed last."""

from typing import Protocol, runtime_checkable

import numpy as np

from data_collection.teleop.hands import Jog
from data_collection.teleop.steering import Steering
from robot_orl.intervention import SharedControl
from robot_orl.types import Actor, Array, Observation, Proposal


class Takeover:
    """A steering that most of the time nobody uses."""

    actor = Actor.INTERVENTION

    def __init__(self, steering: Steering) -> None:
        self._steering = steering
        self.jog: Jog | None = None  # what hands say in this step
        self._executed: Array | None = None  # what was sent last; None: nothing in this episode
        self._is_on = False

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        self.jog, self._executed, self._is_on = None, None, False

    def action(self, obs: Observation) -> Array | None:
        """(A,), or None: hands are off."""
        was_on, self._is_on = self._is_on, self.jog is not None
        if self.jog is None:
            return None
        if not was_on and self._executed is None:
            self._steering.begin()
        elif not was_on and self._executed is not None:
            self._steering.take_over(self._executed)
        return self._steering.action(self.jog, obs)

    def executed(self, action: Array) -> None:
        """(A,): what the robot is sent in this step, whoever chose it."""
        self._executed = action


@runtime_checkable
class HasPolicy(Protocol):
    """An operator that is a person beside a policy. noise: standard deviation of what is added to `act`."""

    policy_hash: str | None
    noise: float

    def act(self, obs: Observation) -> Array:
        """(A,): the policy's."""


class PolicyAndHands:
    """In a recording session: a policy acts, and a person takes over whenever they want."""

    def __init__(self, policy: HasPolicy, steering: Steering, control_hz: float) -> None:
        self._policy, self._takeover = policy, Takeover(steering)
        self._control = SharedControl(self._takeover, control_hz)
        self.policy_hash = policy.policy_hash
        self.begin(np.random.default_rng(0))

    @property
    def is_taken(self) -> bool:
        """Whether the person acts."""
        return self._takeover.jog is not None

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins. `rng` is used until the next one."""
        self._rng = rng
        self._control.begin(rng)

    def proposal(self, jog: Jog | None, obs: Observation) -> Proposal:
        """jog: what hands say; None: they are off, and the policy acts."""
        self._takeover.jog = jog
        proposed = self._policy.act(obs)
        noise = self._policy.noise * self._rng.standard_normal(proposed.shape)
        explored = np.clip(proposed + noise, -1.0, 1.0).astype(np.float32)
        return self._control.proposal(obs, proposed, explored)
