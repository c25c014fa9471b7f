"""What passes between a person and a recording session, whatever the person holds.

keyboard, browser, ... --Jog--> steering: the task's action --> rollout
        |             --Order--> session: idle, recording, reviewing ...
        <-------------Status---- what is to be shown
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from robot_orl.types import Array


class Verb(StrEnum):
    """What a person can ask of the session."""

    START = "start"  # record; while reviewing: save, and record the next
    STOP = "stop"  # end the episode as it is
    SUCCESS = "success"  # label it; while recording this ends it too
    FAILURE = "failure"
    QUALITY = "quality"  # value: 1 .. 5
    SAVE = "save"
    DISCARD = "discard"
    REDO = "redo"  # discard, and begin again from the same start
    UNDO = "undo"  # take the last saved episode back
    NOTE = "note"  # value: text
    INSTRUCTION = "instruction"  # value: text, of the next episodes
    QUIT = "quit"


@dataclass(frozen=True)
class Order:
    """value: see `Verb`; None where it needs none."""

    verb: Verb
    value: int | str | None = None


@dataclass(frozen=True, eq=False)
class Jog:
    """Where hands push at this moment, in shares [-1, 1] of the greatest speed.

    linear, angular: (3,) of the tool, in the frame that the steering is set to.  gripper: 1 opens, -1
    closes, 0 leaves it.  joints: (A,) targets of the action's signals instead, or None.
    Letting go is not a Jog of zeros but None: nobody acts.
    """

    linear: Array
    angular: Array
    gripper: float = 0.0
    joints: Array | None = None


@dataclass(frozen=True)
class Status:
    """What hands show. All numbers are of this session.

    state: of the session.  step, horizon: of the episode.  success: as the task sees it now.
    good, episodes, target: saved successful ones, saved in all, and how many good ones are wanted.
    rate_hz, lag_ms: achieved control rate and how late the latest tick was.  warning: a line that says why
    what is recorded now would mislead a learner; "" for none.  label: success, failure, quality so far.
    """

    state: str
    step: int = 0
    horizon: int = 0
    success: bool = False
    good: int = 0
    episodes: int = 0
    target: int = 0
    rate_hz: float = 0.0
    lag_ms: float = 0.0
    instruction: str = ""
    said: str = ""
    warning: str = ""
    label: Mapping[str, Any] = field(default_factory=dict)


class Hands(Protocol):
    """A device that a person holds. Every call returns at once; the loop never waits for a person here.

    allowed: verbs that make sense now, for buttons and legends.
    """

    def open(self) -> None:
        """Raises: UsageError: it cannot be used here, and why."""

    def jog(self) -> Jog | None:
        """What it says now; None: hands off."""

    def orders(self) -> Sequence[Order]:
        """Those given since the last call, in their order."""

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        """May be called at every tick; draws as often as it likes."""

    def close(self) -> None:
        """Works from any state, more than once; leaves the terminal, port or device as it was."""
