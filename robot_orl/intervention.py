"""Who takes over from a policy, and how a robot goes from one to the other without a jump.

    policy ------proposal---.
                             SharedControl --> what is executed, who chose it, what each of them proposed
    intervener --action------'                 (no action: hands off, the policy acts)

Source: Luo et al. 2024, "Precise and Dexterous Robotic Manipulation via Human-in-the-Loop Reinforcement
Learning" (HIL-SERL), section IV: a person corrects the policy while it acts, and both are learned from.
"""

from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from robot_orl.errors import UsageError
from robot_orl.registry import factory, registered
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Observation, Pace, Proposal, Spec

RAMP_S = 0.15  # in which an action may go through its whole range after hands let go
HANDS_OFF_S = 0.5  # who is off, or not heard of, for longer has let go; to change keys takes less


class TakesOver(Protocol):
    """What `SharedControl` needs of somebody beside a policy: most of the time their action is None."""

    actor: Actor

    def begin(self, rng: np.random.Generator) -> float | None:
        """An episode begins; nothing was executed in it yet."""

    def action(self, obs: Observation) -> Array | None:
        """(A,) float32 in [-1, 1], or None: hands off. Returns at once."""

    def executed(self, action: Array) -> None:
        """(A,): what the robot is sent in this step, whoever chose it; who takes over goes on from there."""


class Intervener(TakesOver, Protocol):
    """Whoever stands by beside a policy that acts in a task.

    env: the task, a gymnasium.Env, for whoever steps it: made so that a person sees every step.
    pace: real time, which a person needs; None: it keeps up with a simulation at full speed.
    steps: who steps the task lets an episode go on past its horizon while hands are on, until it has so
    many; None: it ends there.
    """

    name: str
    policy_hash: str | None
    env: Any
    pace: Pace | None
    steps: int | None

    def open(self) -> None:
        """Raises: UsageError: it cannot be used here, and why."""

    def ended(self, episode: Episode) -> None:
        """An episode is over, where whoever steps the task has it."""

    def idle(self) -> None:
        """Nothing is being played; called at least ten times a second meanwhile."""

    def close(self) -> None:
        """Works from any state, more than once."""


class Seat(Protocol):
    """Where somebody sits who stands by while a policy is finetuned, see `training.online.desk`.

    board: a descriptor of memory in which the learner says how it goes, and how large that is [bytes].
    """

    board: int
    board_bytes: int

    def order(self, verb: str) -> bool:
        """pause, resume, checkpoint or stop; whether the learner will hear of it. Returns at once."""

    def saw(self, obs: Array) -> None:
        """A flat observation (D,): what is so now."""


@runtime_checkable
class StandsBy(Protocol):
    """An operator=... that can take over from a policy.

    needs_person: it is one, so that one environment is played, in real time.
    """

    needs_person: bool

    def stand_by(self, env: Any) -> Intervener:
        """Not opened yet. Raises: UsageError: it cannot be used with this task."""


def standing_by(cfg: Any, spec: Spec) -> StandsBy:
    """The operator with these settings. Raises: UsageError: it cannot take over; the line says who can."""
    check_takes_over(cfg.name)  # before it is made, which may take long or fail for a reason of its own
    made: StandsBy = factory("operator", cfg.name)(cfg, spec)
    return made


def check_takes_over(name: str) -> None:
    """Raises: UsageError: that operator cannot; the line says who can."""
    can = who_can_take_over()
    if name not in can:
        raise UsageError(f"operator={name} cannot take over from a policy; these can: {', '.join(can)}")


def who_can_take_over() -> list[str]:
    """Names of `operator=...`."""
    return [name for name, one in registered("operator").items() if hasattr(one, "stand_by")]


class SharedControl:
    """A policy and somebody who may take over from it.

    After hands have let go, the action goes over to the policy's within `ramp_s`, and from then on is it:
    each signal changes by 2 / (ramp_s control_hz) a step at most until all of them have met.
    is_held: hands are on, or have not been off for `HANDS_OFF_S`; no episode ends under them.
    """

    def __init__(self, intervener: TakesOver, control_hz: float, ramp_s: float = RAMP_S) -> None:
        self._intervener = intervener
        self._most = np.inf if ramp_s == 0 else 2.0 / (ramp_s * control_hz)
        self._holding = HANDS_OFF_S * control_hz  # steps
        self._off: int | None = None  # steps since hands were on; None: they have not been
        self._last: Array | None = None  # what was executed while it is not yet the policy's

    @property
    def is_held(self) -> bool:
        return self._off is not None and self._off < self._holding

    def begin(self, rng: np.random.Generator) -> None:
        """An episode begins."""
        self._last = self._off = None
        self._intervener.begin(rng)

    def proposal(self, obs: Observation, policy: Array, explored: Array | None = None) -> Proposal:
        """policy: (A,) what it proposes.  explored: with noise, what it would execute; None: as proposed."""
        theirs = self._intervener.action(obs)
        wanted = policy if explored is None else explored
        if theirs is not None:
            self._off = 0
            self._last = action = np.asarray(theirs, np.float32)
            proposal = Proposal(action, self._intervener.actor, policy=policy, operator=action)
        else:
            self._off = None if self._off is None else self._off + 1
            proposal = Proposal(self._towards(wanted), Actor.POLICY, policy=policy)
        self._intervener.executed(proposal.action)
        return proposal

    def executed(self, action: Array) -> None:
        """(A,): what was left of the proposal, where that is less: both go on from there."""
        if self._last is not None:
            self._last = np.asarray(action, np.float32)
        self._intervener.executed(action)

    def _towards(self, wanted: Array) -> Array:
        if self._last is None:
            return wanted
        way = wanted - self._last
        ahead = self._last + np.clip(way, -self._most, self._most)
        action = np.where(np.abs(way) <= self._most, wanted, ahead).astype(np.float32)
        self._last = None if np.array_equal(action, wanted) else action
        return action


def helped(meta: EpisodeMeta, name: str) -> EpisodeMeta:
    """Of an episode in which somebody took over. name: theirs, such as 'browser'."""
    return replace(meta, operator=f"{meta.operator}+{name}")


def interventions(actor: Array) -> int:
    """How many times somebody took over in an episode. actor: (T,), see `types.Actor`."""
    acted = np.asarray(actor) == Actor.INTERVENTION
    return int(acted[:1].sum() + (acted[1:] & ~acted[:-1]).sum())
