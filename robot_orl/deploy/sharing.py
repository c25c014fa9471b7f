"""The loop's end of who may take over from the deployed policy; see `robot_orl.intervention`.

    every policy tick   observe -> ask -> [saw]                   hands are shown what the robot sees
                                     answer -> [proposal] -> supervisor -> joints

Whoever has taken over is held to the robot's limits as the policy is. Nothing here waits for hands: what they
say is there already, or they are off. What a page draws is computed while the policy is at work.
"""

from typing import Any

import numpy as np

from robot_orl.deploy.attendance import Attendance
from robot_orl.deploy.twin import Twin
from robot_orl.intervention import Intervener, SharedControl
from robot_orl.types import Actor, Array, Observation, Outcome, Proposal, Spec


class Sharing:
    """A policy and an intervener, which is open already.

    twin: the world as the robot sees it, where hands are not shown the robot's own simulation.
    attendance: of a person; None: it is a script.  episodes: begun.  interventions: how often somebody has
    taken over.
    """

    def __init__(
        self,
        intervener: Intervener,
        spec: Spec,
        twin: Twin | None = None,
        attendance: Attendance | None = None,
    ) -> None:
        self.attendance = attendance
        self.episodes = self.interventions = 0
        self._intervener, self._twin = intervener, twin
        self._env: Any = intervener.env
        self._control = SharedControl(intervener, spec.control_hz)
        self._slices = {key: spec.slice_of(key) for key in spec.observation}
        self._at_rest = np.zeros(spec.action_size, np.float32)
        self._obs: Observation = {}
        self._is_theirs = False

    @property
    def name(self) -> str:
        """Of who may take over."""
        return self._intervener.name

    @property
    def longest(self) -> int | None:
        """Steps that an episode may have now, where hands hold it: none ends under them at the horizon."""
        return self._intervener.steps if self._control.is_held else None

    @property
    def may_begin(self) -> bool:
        """Whether the robot may be homed, or an episode begin; not without a person who is needed."""
        return self.attendance is None or self.attendance.may_begin

    def rest(self, is_over: bool) -> None:
        """The policy does not act from now on.  is_over: nor will it again."""
        self._is_theirs = False
        if self.attendance is not None:
            self.attendance.is_playing, self.attendance.is_over = False, is_over

    def begin(self, seed: int) -> None:
        """The robot stands at the start that this seed gave it."""
        self.episodes += 1
        if self.attendance is not None:
            self.attendance.is_playing = True
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
        proposal = self._control.proposal(self._obs, policy)
        was_theirs, self._is_theirs = self._is_theirs, proposal.actor is not Actor.POLICY
        self.interventions += self._is_theirs and not was_theirs
        return proposal

    def executed(self, action: Array) -> None:
        """(A,): what the supervisor has left of the proposal: whoever acts goes on from there."""
        self._control.executed(action)


def unshared(policy: Array) -> Proposal:
    """Nobody may take over."""
    return Proposal(policy, Actor.POLICY, policy=policy)
