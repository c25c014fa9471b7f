"""A `Recording` keeps the steps of a deployment's episodes.

`RecordedHere` keeps them in this process, whose thread commits episodes between two of them: a thread that
writes during ticks holds Python's interpreter lock, and where other processes keep it off the processor
meanwhile, even a real-time loop waits for it (measured at 200 Hz beside two busy processes: 31 missed slots
in 10 s, none with the wait). In `processes.recording` another process does all of that.
"""

from dataclasses import dataclass, replace
from typing import Protocol

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journal
from robot_orl.data.store.recovery import CRASH
from robot_orl.intervention import helped
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Observation, Outcome, Proposal, Spec

SETTLE_S = 2.0  # how long a homed robot waits for the disk before it goes on regardless
LOST = "lost"  # end_reason of an episode whose later steps found no room on their way to the recorder
CUT_OFF = (CRASH, LOST)


class EpisodeWriter(Protocol):
    """What recording needs of `robot_orl.data`'s background writer."""

    def begin(self, meta: EpisodeMeta) -> Journal | None: ...

    def drop(self) -> None: ...

    def append(self, episode: Episode) -> None: ...

    def settle(self, timeout_s: float) -> bool: ...


@dataclass(frozen=True, eq=False)
class Step:
    """One step: what was done, and what was seen after it.

    proposed, executed: (A,) by the policy, and what was really done.  t_ns: when it was sent [ns from the
    episode's start].  safety: bits of `Safety`.  flat: (D,) observation after it.
    actor: whose action it was.  operator: (A,) what somebody proposed who had taken over; None: nobody.
    """

    proposed: Array
    executed: Array
    t_ns: int
    safety: int
    flat: Array
    outcome: Outcome
    truncated: bool
    actor: Actor = Actor.POLICY
    operator: Array | None = None


class Recording(Protocol):
    """Keeps the steps of one episode after the other; never waits while an episode is under way.

    lost: episodes of which steps could not be kept.
    """

    lost: int

    def home(self, seed: int) -> bool:
        """The robot stands at a start. False: the episode before is still being written."""

    def begin(self, flat: Array, state: Array | None) -> None:
        """An episode begins at this observation, (D,), and state of a simulator, (S,)."""

    def step(self, step: Step) -> None: ...

    def mark(self, safety: int) -> None:
        """Bits for the last step, if there is one."""

    def end(self, reason: str) -> None:
        """The episode is over; one without steps is dropped. Raises: RunError: it cannot be kept."""

    def problem(self) -> str | None:
        """Why nothing can be kept any more; None: all is well."""


class RecordedHere:
    """A `Recording` in this process. It also builds the episodes of the recorder's own process."""

    def __init__(
        self, spec: Spec, policy_hash: str | None, writer: EpisodeWriter, beside: str | None = None
    ) -> None:
        """beside: the name of who may take over; None: nobody."""
        self.lost = 0
        self._policy_hash, self._beside = policy_hash, beside
        self._is_helped = False
        self._writer = writer
        self._buffer = EpisodeBuffer(spec, spec.horizon, has_safety=True)
        self._slices = {key: spec.slice_of(key) for key in spec.observation}
        self._meta = EpisodeMeta()
        self._journal: Journal | None = None

    def home(self, seed: int) -> bool:
        """The robot is safe here, so this is when to wait for the last episode's commit."""
        has_settled = self._writer.settle(SETTLE_S)
        self.prepare(seed)
        return has_settled

    def prepare(self, seed: int) -> None:
        """The journal of the next episode."""
        self._meta = EpisodeMeta(seed=seed, operator="policy", policy_hash=self._policy_hash)
        self._is_helped = False
        self._journal = self._writer.begin(self._meta)

    def begin(self, flat: Array, state: Array | None) -> None:
        self._buffer.begin(self._named(flat), state, journal=self._journal)

    def step(self, step: Step) -> None:
        outcome = step.outcome
        self._buffer.append(
            Proposal(step.executed, step.actor, policy=step.proposed, operator=step.operator),
            self._named(step.flat),
            outcome.reward,
            outcome.terminated,
            step.truncated,
            step.t_ns,
            outcome.sim_state,
            step.executed,
            success=outcome.success,
            safety=step.safety,
        )
        if step.actor is Actor.INTERVENTION and self._beside is not None and not self._is_helped:
            self._is_helped, self._meta = True, helped(self._meta, self._beside)
        known = self._meta.success_any
        if outcome.success is not None:
            known = bool(known) or outcome.success
        self._meta = replace(self._meta, success=outcome.success, success_any=known)

    def mark(self, safety: int) -> None:
        self._buffer.mark(safety)

    def end(self, reason: str) -> None:
        if not len(self._buffer):
            self._writer.drop()
            return
        episode = self._buffer.finish(replace(self._meta, end_reason=reason))
        if reason in CUT_OFF:
            episode.truncated[-1] |= not episode.terminated[-1]
        self._writer.append(episode)

    def problem(self) -> str | None:
        return None  # what cannot be written is raised where the next episode ends

    def _named(self, flat: Array) -> Observation:
        return {key: flat[part] for key, part in self._slices.items()}
