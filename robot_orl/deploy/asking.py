"""Asking a policy: the same few words wherever it runs, in this process or in one of its own.

A question is asked, and its answer is fetched, in the same tick or in a later one; there is one question
at a time. Whoever asks looks at how old it is: a policy that hangs never says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from robot_orl.deploy.answers import Answer, Answerer
from robot_orl.deploy.promotion.fitting import load_for
from robot_orl.deploy.timing import Clock
from robot_orl.errors import RobotOrlError
from robot_orl.types import Array


@dataclass(frozen=True, eq=False)
class Reply:
    """asked_ns: when the question was handed over.  inference_ns: the policy alone, at work [ns]."""

    answer: Answer
    asked_ns: int
    inference_ns: int


class Asking(Protocol):
    """asked_ns: of the question that has no answer yet; None: there is none."""

    asked_ns: int | None

    def ask(self, flat: Array) -> None:
        """Hand over an observation, (D,)."""

    def reply(self, until_ns: int) -> Reply | None:
        """The answer, waiting for it until this time at most; None: it is not there."""

    def problem(self) -> str | None:
        """Why there will be no answer any more; None: all is well."""


class AskedHere:
    """An `Asking` in this process: the answer is there when the question has been asked."""

    def __init__(self, answerer: Answerer, clock: Clock) -> None:
        self.asked_ns: int | None = None
        self._answerer = answerer
        self._clock = clock
        self._reply: Reply | None = None
        self._swapped: list[Mapping[str, Any]] = []

    def ask(self, flat: Array) -> None:
        self.asked_ns = asked_ns = self._clock.now_ns()
        answer = self._answerer(flat)
        self._reply = Reply(answer, asked_ns, self._clock.now_ns() - asked_ns)

    def reply(self, until_ns: int) -> Reply | None:
        reply, self._reply, self.asked_ns = self._reply, None, None
        return reply

    def problem(self) -> str | None:
        return None

    def swap(self, path: Path) -> None:
        """Load and check it here, in the thread that calls this; see `promotion.swap.Swappable`."""
        try:
            bundle = load_for(path, self._answerer.bundle)
        except (RobotOrlError, OSError, MemoryError) as error:
            self._swapped.append({"bundle": str(path), "refused": str(error)})
            return
        number = self._answerer.swap(bundle)
        named = {"number": number, "policy_hash": bundle.policy_hash}
        self._swapped.append({"bundle": str(path), "refused": None} | named)

    def back(self, number: int) -> None:
        self._answerer.back(number)

    def swapped(self) -> list[Mapping[str, Any]]:
        lines, self._swapped = self._swapped, []
        return lines
