"""Push the block over the table to the goal with closed fingers."""

import numpy as np

from data_collection.scripts.fetch import CLOSE, FetchView, move
from data_collection.scripts.pushing import Line, Phase, Pushing
from robot_orl.types import Array

STAND_OFF_M = 0.07  # from the block's centre to where the hand comes down: half diagonal, finger, margin
TRAVEL_HEIGHT_M = 0.07  # fingertips above the block while the hand goes around
BEHIND_M, DOWN_M = 0.02, 0.015  # errors of that place and of that height from which it goes on
THERE_M = 0.012  # block this close to the goal (success is 0.05): stop
AGAIN_M = 0.03  # block that ended up farther than this: push again
OFF_LINE_M = 0.03  # hand this far beside the line block-goal slides past the block's corner: go behind again
PUSH_SPEED = 0.5  # a harder hit makes the block jump ahead and slide past the goal
FRICTION_M_S2 = 7.3  # how fast a sliding block slows down; measured: 1.06 m/s slides on for 0.077 m
LINE_GAIN = 2.0  # how strongly the hand returns to that line; below 1 the block turns away from it


class Push:
    """See `Pushing`; the block slides on after a hit, so it is pushed to where it will come to rest."""

    carrying = False
    flaw_share = 1.0

    def __init__(self) -> None:
        self.pushing = Pushing(THERE_M, AGAIN_M, OFF_LINE_M, TRAVEL_HEIGHT_M)

    def action(self, view: FetchView) -> Array:
        """The intended action (4,), unclipped."""
        to_goal = view.goal - resting_place(view)
        to_goal[2] = 0.0
        offset = view.grip - view.object
        line = Line.of(to_goal, offset)
        to_behind = -STAND_OFF_M * line.direction - offset
        is_behind, is_down = bool(np.hypot(*to_behind[:2]) < BEHIND_M), bool(abs(offset[2]) < DOWN_M)
        phase = self.pushing.advance(line, is_behind, is_down)

        if phase is Phase.DONE:
            return move(np.zeros(3), CLOSE)
        if phase is Phase.GO_BEHIND:
            return move(self.pushing.around(to_behind, offset), CLOSE)
        if phase is Phase.DESCEND:
            return move(to_behind, CLOSE)
        level = np.array([0.0, 0.0, -offset[2]])
        return move(to_goal - LINE_GAIN * line.beside + level, CLOSE, PUSH_SPEED)


def resting_place(view: FetchView) -> Array:
    """Where the block comes to rest if nothing touches it any more, (3,) [m]."""
    velocity = view.object_velocity
    return view.object + velocity * np.linalg.norm(velocity) / (2.0 * FRICTION_M_S2)
