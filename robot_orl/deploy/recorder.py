"""Deployed steps become episodes: `Recorder` says what a step was, and a `Recording` keeps it."""

from dataclasses import dataclass, field

from robot_orl.deploy.recording import Recording, Step
from robot_orl.types import Actor, Array, Outcome, Proposal


@dataclass
class Tally:
    """How the episodes went. whole: those that ended by themselves.  judged: of those, the ones whose
    success the robot could tell.  written_late: still under way when the next episode began.  lost: those
    of which steps were not kept.  steps: in all.  taken_over: of these, the ones that were not the policy's.
    interventions: how often somebody took over.  alone, successes_alone: of those judged, the ones in which
    nobody did."""

    whole: int = 0
    cut_short: int = 0
    judged: int = 0
    successes: int = 0
    written_late: int = 0
    lost: int = 0
    steps: int = 0
    taken_over: int = 0
    interventions: int = 0
    alone: int = 0
    successes_alone: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass
class _Pending:
    """An action that was sent and whose result has not been observed yet."""

    proposal: Proposal
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
        self._is_taken_over = self._was_taken_over = False

    def observed(self, flat: Array, outcome: Outcome, now_ns: int, longest: int | None = None) -> str | None:
        """Complete the step under way with its next observation, (D,).

        outcome: how it went.  longest: steps that the episode may have, in the place of the task's horizon.
        Returns: why the episode ends here ('terminated', 'horizon'), or None.
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
        self._count(sent.proposal.actor)
        truncated = self._is_at_end(outcome, longest or self._horizon)
        if self.recording is not None:
            t_ns = sent.sent_ns - self._start_ns
            proposal = sent.proposal
            assert proposal.policy is not None
            step = Step(
                proposal.policy,
                sent.executed,
                t_ns,
                sent.safety,
                flat,
                outcome,
                truncated,
                proposal.actor,
                proposal.operator,
            )
            self.recording.step(step)
        self._success = outcome.success
        if outcome.terminated:
            return "terminated"
        return "horizon" if truncated else None

    def _is_at_end(self, outcome: Outcome, longest: int) -> bool:
        """A simulated task says that its horizon is reached whoever acts, and at every step from there on."""
        is_told = outcome.truncated and not self._horizon <= self._steps < longest
        return is_told or (self._steps >= longest and not outcome.terminated)

    def sent(self, proposal: Proposal, executed: Array, sent_ns: int, safety: int) -> None:
        """An action was sent: what was proposed and by whom, the policy's too, and what was executed, (A,).

        safety: what the supervisor changed, bits of `Safety`.
        """
        self._pending = _Pending(proposal, executed, sent_ns, safety)

    def _count(self, actor: Actor) -> None:
        is_taken_over = actor != Actor.POLICY
        self.tally.steps += 1
        self.tally.taken_over += is_taken_over
        self.tally.interventions += is_taken_over and not self._is_taken_over
        self._is_taken_over = is_taken_over
        self._was_taken_over |= is_taken_over

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
                if not self._was_taken_over:
                    self.tally.alone += self._success is not None
                    self.tally.successes_alone += bool(self._success)
            else:
                self.tally.cut_short += 1
        if self.recording is not None:
            self.tally.lost = self.recording.lost
            self.recording.end(end_reason)
