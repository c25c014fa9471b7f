"""Push the block over the table to the goal with closed fingers."""

from enum import Enum

import numpy as np

from data_collection.scripts.fetch import CLOSE, FetchView, move
from robot_orl.types import Array

STAND_OFF_M = 0.07  # from the block's centre to where the hand comes down: half diagonal, finger, margin
TRAVEL_HEIGHT_M = 0.07  # fingertips above the block while the hand goes around
THERE_M = 0.012  # block this close to the goal (success is 0.05): stop
AGAIN_M = 0.03  # block that ended up farther than this: push again
OFF_LINE_M = 0.03  # hand this far beside the line block-goal slides past the block's corner: go behind again
PUSH_SPEED = 0.5  # a harder hit makes the block jump ahead and slide past the goal
FRICTION_M_S2 = 7.3  # how fast a sliding block slows down; measured: 1.06 m/s slides on for 0.077 m
LINE_GAIN = 2.0  # how strongly the hand returns to that line; below 1 the block turns away from it


class Phase(Enum):
    GO_BEHIND = "move over the point behind the block, seen from the goal"
    DESCEND = "go down there"
    PUSH = "push along the line to the goal"
    DONE = "stand still"


class Push:
    """go behind -> descend -> push -> done; slipping off the line sends it back to go behind."""

    carrying = False
    flaw_share = 1.0

    def __init__(self) -> None:
        self.phase = Phase.GO_BEHIND

    def action(self, view: FetchView) -> Array:
        """The intended action (4,), unclipped."""
        to_goal = view.goal - resting_place(view)
        to_goal[2] = 0.0
        distance = float(np.linalg.norm(to_goal))
        direction = to_goal / max(distance, 1e-6)
        offset = view.grip - view.object
        to_behind = -STAND_OFF_M * direction - offset
        beside = offset - (offset @ direction) * direction
        beside[2] = 0.0
        self.phase = self._next_phase(distance, to_behind, beside, offset, direction)

        if self.phase is Phase.DONE:
            return move(np.zeros(3), CLOSE)
        if self.phase is Phase.GO_BEHIND:
            return move(self._around(to_behind, offset), CLOSE)
        if self.phase is Phase.DESCEND:
            return move(to_behind, CLOSE)
        level = np.array([0.0, 0.0, -offset[2]])
        return move(to_goal - LINE_GAIN * beside + level, CLOSE, PUSH_SPEED)

    def _next_phase(
        self, distance: float, to_behind: Array, beside: Array, offset: Array, direction: Array
    ) -> Phase:
        if distance < (AGAIN_M if self.phase is Phase.DONE else THERE_M):
            return Phase.DONE
        if self.phase is Phase.DONE:
            return Phase.GO_BEHIND
        if self.phase is Phase.GO_BEHIND and np.hypot(*to_behind[:2]) < 0.02:
            return Phase.DESCEND
        if self.phase is Phase.DESCEND and abs(offset[2]) < 0.015:
            return Phase.PUSH
        if self.phase is Phase.PUSH and (np.linalg.norm(beside) > OFF_LINE_M or offset @ direction > 0):
            return Phase.GO_BEHIND
        return self.phase

    def _around(self, to_behind: Array, offset: Array) -> Array:
        """Up first where the hand is low, so that it passes over the block instead of through it."""
        path = to_behind + [0.0, 0.0, TRAVEL_HEIGHT_M]
        if offset[2] < 0.6 * TRAVEL_HEIGHT_M:
            path[:2] = 0.0
        return path


def resting_place(view: FetchView) -> Array:
    """Where the block comes to rest if nothing touches it any more, (3,) [m]."""
    velocity = view.object_velocity
    return view.object + velocity * np.linalg.norm(velocity) / (2.0 * FRICTION_M_S2)
