"""Push the cube over the bench to the goal with the shut fingertips."""

import numpy as np

from data_collection.scripts.arm import SHUT, ArmView, Hand
from data_collection.scripts.pushing import Line, Phase, Pushing
from robot_orl.types import Array

TILT_RAD = 1.2  # how far the fingers point down
PULL_TILT_RAD = 0.6  # and more of it to bring the cube nearer: leaning fingers would ride up on its edge
STAND_OFF_M = 0.04  # from the cube's centre to where the fingertips come down
TRAVEL_HEIGHT_M = 0.055  # fingertips above the cube's centre while they go around
PUSH_HEIGHT_M = 0.0  # fingertips over the cube's centre as they push
BEHIND_M, DOWN_M = 0.01, 0.006  # errors of that place and of its height from which they go down and push
THERE_M = 0.006  # cube this close to the goal (success is 0.025): stop
AGAIN_M = 0.015  # cube that ended up farther than this: push again
OFF_LINE_M = 0.015  # fingertips this far beside the line cube-goal slide past the corner: go behind again
LINE_GAIN = 2.0  # how strongly they return to that line; below 1 the cube turns away from it
STRIDE_M, PUSH_M = 0.03, 0.015  # see Hand.move


class ArmPush:
    """See `Pushing`; the fingers lean more where the cube is to come nearer."""

    carrying = False
    flaw_share = 1.0

    def __init__(self) -> None:
        self.hand = Hand("pusher")
        self.pushing = Pushing(THERE_M, AGAIN_M, OFF_LINE_M, TRAVEL_HEIGHT_M)

    def action(self, view: ArmView) -> Array:
        """The intended action (6,), unclipped."""
        to_goal = view.goal - view.object
        to_goal[2] = 0.0
        offset = self.hand.place(view.joints) - view.object
        line = Line.of(to_goal, offset)
        to_behind = -STAND_OFF_M * line.direction - offset + [0.0, 0.0, PUSH_HEIGHT_M]
        is_behind = bool(np.hypot(to_behind[0], to_behind[1]) < BEHIND_M)
        self.pushing.advance(line, is_behind, is_behind and bool(abs(to_behind[2]) < DOWN_M))

        outward = view.object[:2] / max(np.hypot(*view.object[:2]), 1e-6)
        tilt = TILT_RAD + PULL_TILT_RAD * max(0.0, float(-line.direction[:2] @ outward))
        displacement, stride = self._displacement(to_goal, to_behind, line.beside, offset)
        return self.hand.move(view, displacement, SHUT, tilt, stride)

    def _displacement(
        self, to_goal: Array, to_behind: Array, beside: Array, offset: Array
    ) -> tuple[Array, float]:
        """Where the fingertips are to go from where they are, (3,) [m], and their stride [m]."""
        phase = self.pushing.phase
        if phase is Phase.DONE:
            return np.zeros(3), STRIDE_M
        if phase is Phase.GO_BEHIND:
            return self.pushing.around(to_behind, offset), STRIDE_M
        if phase is Phase.DESCEND:
            return to_behind, STRIDE_M
        level = np.array([0.0, 0.0, PUSH_HEIGHT_M - offset[2]])
        return to_goal - LINE_GAIN * beside + level, PUSH_M
