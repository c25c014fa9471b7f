"""What is kept and told of the answers of a run, and when the bundle before has to act again.

It stands between the loop and whoever answers, and between the loop and whoever records:

    loop -> WatchedAsking -> policy process         answers: values, alarms, the shadow's disagreement
    loop -> WatchedRecording -> recorder process    steps: what the supervisor changed, rewards

Neither waits for anything; what the loop sends and gets back is passed on unchanged.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from robot_orl.deploy.answers import Answer
from robot_orl.deploy.asking import Reply
from robot_orl.deploy.promotion.alarm import Alarm, said
from robot_orl.deploy.promotion.log import AnswerLog
from robot_orl.deploy.promotion.rollback import Rollback
from robot_orl.deploy.promotion.swap import Swappable
from robot_orl.deploy.recording import Recording, Step
from robot_orl.types import Actor, Array


class Mean:
    """Mean and extremes of the values that are numbers."""

    def __init__(self) -> None:
        self.count, self.total, self.low, self.high = 0, 0.0, np.inf, -np.inf

    def add(self, value: float) -> None:
        if value == value:
            self.count, self.total = self.count + 1, self.total + value
            self.low, self.high = min(self.low, value), max(self.high, value)

    def to_dict(self) -> dict[str, float] | None:
        if not self.count:
            return None
        return {"mean": self.total / self.count, "min": float(self.low), "max": float(self.high)}


class Watch:
    """rollback: None: whatever was swapped in stays.  log: None: only figures are kept."""

    def __init__(self, asking: Swappable, rollback: Rollback | None = None, log: AnswerLog | None = None):
        self._asking, self._rollback, self.log = asking, rollback, log
        self._means = {name: Mean() for name in ("value", "disagreement", "novelty", "shadow_value")}
        self._apart = Mean()
        self._alarms = dict.fromkeys(Alarm, 0)
        self._number = 0
        self._rewards, self._steps = 0.0, 0
        self._is_shared = False  # the episode under way is not the work of one bundle alone
        self.ticks = 0
        self.changes: list[dict[str, Any]] = []
        self.live = ""
        self.latest: Answer | None = None

    def answered(self, reply: Reply) -> None:
        self.latest = answer = reply.answer
        if answer.bundle_number != self._number:
            self._changed(answer.bundle_number)
        self.ticks += 1
        for name, mean in self._means.items():
            mean.add(getattr(answer, name))
        difference = answer.action - answer.shadow_action
        self._apart.add(float(np.sqrt((difference * difference).mean())))
        for bit in Alarm:
            self._alarms[bit] += bool(answer.alarm & bit)
        value = "" if answer.value != answer.value else f"value {answer.value:.1f}"
        self.live = " ".join(filter(None, (value, said(answer.alarm))))
        if self.log is not None:
            self.log.answered(answer, reply.asked_ns)

    def _changed(self, number: int) -> None:
        """Another bundle acts since this tick."""
        self._is_shared = self._steps > 0
        kind = "rollback" if number < self._number else "swap"
        self.changes.append({"tick": self.ticks, "kind": kind, "number": number})
        self._number = number
        if kind == "swap" and self._rollback is not None:
            self._rollback.swapped()

    def stepped(self, step: Step) -> None:
        reward, is_its_own = step.outcome.reward, step.actor is Actor.POLICY
        self._is_shared |= not is_its_own
        self._rewards += np.nan if reward is None else reward
        self._steps += 1
        if self.log is not None:
            self.log.stepped(step.safety, reward, step.actor)
        if self._rollback is not None and is_its_own:
            self._go_back(self._rollback.step(step.safety))

    def ended(self, reason: str) -> None:
        """The episode is over. Only one that ended by itself tells how good the one bundle is that acted."""
        is_whole = bool(self._steps) and not self._is_shared and reason in ("terminated", "horizon")
        if self._rollback is not None and is_whole:
            self._go_back(self._rollback.episode(self._rewards / self._steps))
        self._rewards, self._steps, self._is_shared = 0.0, 0, False

    def marked(self, safety: int) -> None:
        if self.log is not None:
            self.log.marked(safety)
        if self._rollback is not None:
            self._go_back(self._rollback.veto(safety))

    def _go_back(self, why: str | None) -> None:
        if why is None or self._rollback is None:
            return
        self._asking.back(self._number)
        self._rollback.went_back()
        self.changes.append({"tick": self.ticks, "kind": "regress", "why": why})

    def figures(self, told: list[Mapping[str, Any]], first: Mapping[str, Any]) -> dict[str, Any]:
        """told: what became of orders to swap.  first: bundle and policy_hash of the one that began.

        Plain JSON. changes: in their order, with the tick since which they hold.
        """
        return {
            "ticks": self.ticks,
            **{name: mean.to_dict() for name, mean in self._means.items()},
            "alarms": {str(bit.name).lower(): count for bit, count in self._alarms.items()},
            "shadow_distance": self._apart.to_dict(),
            "changes": self._named(told, first),
            "refused": [dict(line) for line in told if line["refused"] is not None],
        }

    def _named(self, told: list[Mapping[str, Any]], first: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The changes, each with the bundle that acts since then."""
        taken = {line["number"]: line for line in told if line["refused"] is None}
        taken[0] = acting = first
        found = []
        for change in self.changes:
            if change["kind"] != "regress":
                acting = taken.get(change["number"], {})
            found.append(change | {name: acting.get(name) for name in ("bundle", "policy_hash")})
        return found


class WatchedAsking:
    """An `Asking`; see the drawing above."""

    def __init__(self, asking: Swappable, watch: Watch) -> None:
        self.asked_ns: int | None = None
        self._asking, self._watch = asking, watch

    def ask(self, flat: Array) -> None:
        self._asking.ask(flat)
        self.asked_ns = self._asking.asked_ns

    def reply(self, until_ns: int) -> Reply | None:
        reply = self._asking.reply(until_ns)
        self.asked_ns = self._asking.asked_ns
        if reply is not None:
            self._watch.answered(reply)
        return reply

    def problem(self) -> str | None:
        return self._asking.problem()


class WatchedRecording:
    """A `Recording`. recording: None: nothing is kept."""

    def __init__(self, recording: Recording | None, watch: Watch) -> None:
        self.lost = 0
        self._recording, self._watch = recording, watch

    def home(self, seed: int) -> bool:
        return self._recording is None or self._recording.home(seed)

    def begin(self, flat: Array, state: Array | None) -> None:
        if self._recording is not None:
            self._recording.begin(flat, state)

    def step(self, step: Step) -> None:
        if self._recording is not None:
            self._recording.step(step)
        self._watch.stepped(step)

    def mark(self, safety: int) -> None:
        if self._recording is not None:
            self._recording.mark(safety)
        self._watch.marked(safety)

    def end(self, reason: str) -> None:
        self._watch.ended(reason)
        if self._recording is not None:
            self.lost = self._recording.lost
            self._recording.end(reason)

    def problem(self) -> str | None:
        return None if self._recording is None else self._recording.problem()
