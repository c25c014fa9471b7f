"""The loop's end of who may take over from the deployed policy; see `robot_orl.intervention`.

    every policy tick   observe -> ask -> [saw]                   hands are shown what the robot sees
                                     answer -> [proposal] -> supervisor -> joints

Whoever has taken over is held to the robot's limits as the policy is. Nothing here waits for hands: what they
say is there already, or they are off. What a page draws is computed while the policy is at work.
"""

from typing import Any

import numpy as np

from robot_orl.deploy.twin import Twin
from robot_orl.intervention import Intervener, SharedControl
from robot_orl.types import Actor, Array, Observation, Outcome, Proposal, Spec


class Sharing:
    """A policy and an intervener, which is open already.

    twin: the world as the robot sees it, where hands are not shown the robot's own simulation.
    """

    def __init__(self, intervener: Intervener, spec: Spec, twin: Twin | None = None) -> None:
        self._intervener, self._twin = intervener, twin
        self._env: Any = intervener.env
        self._control = SharedControl(intervener, spec.control_hz)
        self._slices = {key: spec.slice_of(key) for key in spec.observation}
        self._at_rest = np.zeros(spec.action_size, np.float32)
        self._obs: Observation = {}

    def begin(self, seed: int) -> None:
        """The robot stands at the start that this seed gave it."""
        if self._twin is not None:
            self._env.reset(seed=seed)
        self._control.begin(np.random.default_rng(seed))

    def saw(self, flat: Array, outcome: Outcome) -> None:
        """What the policy is asked about, (D,), and how the step before it went."""
        self._obs = {key: flat[part] for key, part in self._slices.items()}
        if self._twin is not None:
            self._twin.follow(self._obs, outcome)
            self._env.step(self._at_rest)  # so that whoever watches the twin is shown it

    def proposal(self, policy: Array) -> Proposal:
        """policy: (A,) its answer to what was `saw`n."""
        return self._control.proposal(self._obs, policy)


def unshared(policy: Array) -> Proposal:
    """Nobody may take over."""
    return Proposal(policy, Actor.POLICY, policy=policy)
