"""Deployed steps become episodes: `Recorder` says what a step was, and a `Recording` keeps it.

`RecordedHere` keeps it in this process, whose thread commits episodes between two of them: a thread that
writes during ticks holds Python's interpreter lock, and where other processes keep it off the processor
meanwhile, even a real-time loop waits for it (measured at 200 Hz beside two busy processes: 31 missed slots
in 10 s, none with the wait). In `processes.recording` another process does all of that.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journal
from robot_orl.data.store.recovery import CRASH
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
    """

    proposed: Array
    executed: Array
    t_ns: int
    safety: int
    flat: Array
    outcome: Outcome
    truncated: bool


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

    def __init__(self, spec: Spec, policy_hash: str | None, writer: EpisodeWriter) -> None:
        self.lost = 0
        self._policy_hash = policy_hash
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
        self._journal = self._writer.begin(self._meta)

    def begin(self, flat: Array, state: Array | None) -> None:
        self._buffer.begin(self._named(flat), state, journal=self._journal)

    def step(self, step: Step) -> None:
        outcome = step.outcome
        self._buffer.append(
            Proposal(step.executed, Actor.POLICY, policy=step.proposed),
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


@dataclass
class Tally:
    """How the episodes went. whole: those that ended by themselves.  judged: of those, the ones whose
    success the robot could tell.  written_late: still under way when the next episode began.  lost: those
    of which steps were not kept."""

    whole: int = 0
    cut_short: int = 0
    judged: int = 0
    successes: int = 0
    written_late: int = 0
    lost: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class _Pending:
    """An action that was sent and whose result has not been observed yet."""

    proposed: Array
    executed: Array
    sent_ns: int
    safety: int


class Recorder:
    """Says what the steps of one episode after another were, and where an episode ends.

    A step is complete when its next observation has come. The last action before an interrupt or a fault
    has none, and is left out.
    """

    def __init__(self, horizon: int, recording: Recording | None) -> None:
        """recording: keeps the steps; None: they are only counted."""
        self.tally = Tally()
        self.recording = recording
        self._horizon = horizon
        self._steps = 0

    def home(self, seed: int) -> None:
        """The robot has been homed with `seed`; the next observation is the first of an episode."""
        if self.recording is not None and not self.recording.home(seed):
            self.tally.written_late += 1  # told at the end: a message could wait for a stalled terminal
        self._pending: _Pending | None = None
        self._has_begun = False
        self._start_ns = 0
        self._success: bool | None = None

    def observed(self, flat: Array, outcome: Outcome, now_ns: int) -> str | None:
        """Complete the step under way with its next observation, (D,).

        outcome: how it went.  Returns: why the episode ends here ('terminated', 'horizon'), or None.
        """
        if not self._has_begun:
            self._has_begun = True
            self._start_ns = now_ns
            if self.recording is not None:
                self.recording.begin(flat, outcome.sim_state)
            return None
        if self._pending is None:
            return None
        sent, self._pending = self._pending, None
        self._steps += 1
        truncated = outcome.truncated or (self._steps == self._horizon and not outcome.terminated)
        if self.recording is not None:
            t_ns = sent.sent_ns - self._start_ns
            step = Step(sent.proposed, sent.executed, t_ns, sent.safety, flat, outcome, truncated)
            self.recording.step(step)
        self._success = outcome.success
        if outcome.terminated:
            return "terminated"
        return "horizon" if truncated else None

    def sent(self, proposed: Array, executed: Array, sent_ns: int, safety: int) -> None:
        """An action was sent: what the policy proposed, (A,), and what was executed, (A,).

        safety: what the supervisor changed, bits of `Safety`.
        """
        self._pending = _Pending(proposed, executed, sent_ns, safety)

    def vetoed(self, safety: int) -> None:
        """The supervisor refused to go on: the last complete step tells why."""
        if self.recording is not None:
            self.recording.mark(safety)

    def finish(self, end_reason: str, whole: bool) -> None:
        """End the episode; a part of one is stored as well, an empty one is not.

        whole: it ended by itself, so its success counts.
        """
        steps, self._steps = self._steps, 0
        if steps:
            self.tally.reasons[end_reason] = self.tally.reasons.get(end_reason, 0) + 1
            if whole:
                self.tally.whole += 1
                self.tally.judged += self._success is not None
                self.tally.successes += bool(self._success)
            else:
                self.tally.cut_short += 1
        if self.recording is not None:
            self.tally.lost = self.recording.lost
            self.recording.end(end_reason)
