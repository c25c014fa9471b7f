"""Pushing a thing over a table, whatever the hand: where a push is, and the line that it follows."""

from dataclasses import dataclass
from enum import Enum

import numpy as np

from robot_orl.types import Array


class Phase(Enum):
    GO_BEHIND = "move over the point behind the thing, seen from the goal"
    DESCEND = "go down there"
    PUSH = "push along the line to the goal"
    DONE = "stand still"


@dataclass(frozen=True)
class Line:
    """From the thing to its goal. distance: [m].  direction: (3,) unit, level.

    beside: from the line to the hand, (3,) [m], level.  is_past: the hand is no longer behind the thing.
    """

    distance: float
    direction: Array
    beside: Array
    is_past: bool

    @classmethod
    def of(cls, to_goal: Array, offset: Array) -> "Line":
        """to_goal: (3,) [m], level.  offset: of the hand from the thing, (3,) [m]."""
        distance = float(np.linalg.norm(to_goal))
        direction = to_goal / max(distance, 1e-6)
        beside = offset - (offset @ direction) * direction
        beside[2] = 0.0
        return cls(distance, direction, beside, bool(offset @ direction > 0))


@dataclass
class Pushing:
    """go behind -> descend -> push -> done; slipping off the line sends it back to go behind. All in m.

    there: a thing this close to the goal is left alone.  again: one that ended up farther is pushed again.
    off_line: a hand this far beside the line slides past the thing's corner.
    travel_height: of the hand above the thing while it goes around.
    """

    there: float
    again: float
    off_line: float
    travel_height: float
    phase: Phase = Phase.GO_BEHIND

    def advance(self, line: Line, is_behind: bool, is_down: bool) -> Phase:
        """is_behind: the hand is over the point behind the thing.  is_down: it has come down there."""
        if line.distance < (self.again if self.phase is Phase.DONE else self.there):
            self.phase = Phase.DONE
        elif self.phase is Phase.DONE:
            self.phase = Phase.GO_BEHIND
        elif self.phase is Phase.GO_BEHIND and is_behind:
            self.phase = Phase.DESCEND
        elif self.phase is Phase.DESCEND and is_down:
            self.phase = Phase.PUSH
        elif self.phase is Phase.PUSH and (np.linalg.norm(line.beside) > self.off_line or line.is_past):
            self.phase = Phase.GO_BEHIND
        return self.phase

    def around(self, to_behind: Array, offset: Array) -> Array:
        """Up first where the hand is low, so that it passes over the thing instead of through it."""
        path = to_behind + [0.0, 0.0, self.travel_height]
        if offset[2] < 0.6 * self.travel_height:
            path[:2] = 0.0
        return path
