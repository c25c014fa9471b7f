"""Deployed ticks become episodes, which the store's writer commits in its own thread between episodes.

Between, because a thread that writes during ticks holds Python's interpreter lock: where other processes
keep it off the processor meanwhile, even a real-time loop waits for it (measured at 200 Hz beside two busy
processes: 31 missed slots in 10 s, none with the wait).
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journal
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Observation, Outcome, Proposal, Spec

SETTLE_S = 2.0  # how long a homed robot waits for the disk before it goes on regardless


class EpisodeWriter(Protocol):
    """What the recorder needs of `robot_orl.data`'s background writer."""

    def begin(self, meta: EpisodeMeta) -> Journal | None: ...

    def drop(self) -> None: ...

    def append(self, episode: Episode) -> None: ...

    def settle(self, timeout_s: float) -> bool: ...


@dataclass
class _Pending:
    """An action that was sent and whose result has not been observed yet."""

    proposed: Array
    executed: Array
    sent_ns: int
    safety: int


@dataclass
class Tally:
    """How the episodes went. whole: those that ended by themselves.  judged: of those, the ones whose
    success the robot could tell.  written_late: still under way when the next episode began."""

    whole: int = 0
    cut_short: int = 0
    judged: int = 0
    successes: int = 0
    written_late: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Recorder:
    """Collects the steps of one episode after another and hands each to the writer, if there is one.

    A step is complete when its next observation has come. The last action before an interrupt or a fault
    has none, and is left out.
    """

    def __init__(self, spec: Spec, policy_hash: str, writer: EpisodeWriter | None) -> None:
        self.tally = Tally()
        self._spec = spec
        self._policy_hash = policy_hash
        self._writer = writer
        self._buffer = EpisodeBuffer(spec, spec.horizon, has_safety=True)
        self._seed: int | None = None

    def home(self, seed: int) -> None:
        """The robot has been homed with `seed`; the next observation is the first of an episode.

        The robot is safe here, so this is when to wait for the last episode's commit.
        """
        if self._writer is not None and not self._writer.settle(SETTLE_S):
            self.tally.written_late += 1  # told at the end: a message could wait for a stalled terminal
        self._seed = seed
        self._journal = self._writer.begin(self._known()) if self._writer is not None else None
        self._pending: _Pending | None = None
        self._begun = False
        self._start_ns = 0
        self._success: bool | None = None
        self._success_any: bool | None = None

    def observed(self, obs: Observation, outcome: Outcome, now_ns: int) -> str | None:
        """Complete the step under way with its next observation.

        outcome: how it went.  Returns: why the episode ends here ('terminated', 'horizon'), or None.
        """
        if not self._begun:
            self._begun = True
            self._start_ns = now_ns
            self._buffer.begin(obs, outcome.sim_state, journal=self._journal)
            return None
        if self._pending is None:
            return None
        sent = self._pending
        self._pending = None
        at_horizon = len(self._buffer) + 1 == self._spec.horizon
        truncated = outcome.truncated or (at_horizon and not outcome.terminated)
        self._buffer.append(
            Proposal(sent.executed, Actor.POLICY, policy=sent.proposed),
            obs,
            outcome.reward,
            outcome.terminated,
            truncated,
            sent.sent_ns - self._start_ns,
            outcome.sim_state,
            sent.executed,
            success=outcome.success,
            safety=sent.safety,
        )
        self._success = outcome.success
        if outcome.success is not None:
            self._success_any = bool(self._success_any) or outcome.success
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
        self._buffer.mark(safety)

    def finish(self, end_reason: str, whole: bool) -> None:
        """End the episode; a part of one is stored as well, an empty one is not.

        whole: it ended by itself, so its success counts.
        """
        if not len(self._buffer):
            if self._writer is not None:
                self._writer.drop()
            return
        episode = self._buffer.finish(self._meta(end_reason))
        self.tally.reasons[end_reason] = self.tally.reasons.get(end_reason, 0) + 1
        if whole:
            self.tally.whole += 1
            self.tally.judged += self._success is not None
            self.tally.successes += bool(self._success)
        else:
            self.tally.cut_short += 1
        if self._writer is not None:
            self._writer.append(episode)

    def _known(self) -> EpisodeMeta:
        """About the episode before it begins."""
        return EpisodeMeta(seed=self._seed, operator="policy", policy_hash=self._policy_hash)

    def _meta(self, end_reason: str) -> EpisodeMeta:
        return replace(
            self._known(), success=self._success, success_any=self._success_any, end_reason=end_reason
        )
