"""Push the cube over the bench to the goal with the shut fingertips."""

from enum import Enum

import numpy as np

from data_collection.scripts.arm import SHUT, ArmView, Hand
from robot_orl.types import Array

TILT_RAD = 1.2  # how far the fingers point down
PULL_TILT_RAD = 0.6  # and more of it to bring the cube nearer: leaning fingers would ride up on its edge
STAND_OFF_M = 0.04  # from the cube's centre to where the fingertips come down
TRAVEL_HEIGHT_M = 0.055  # fingertips above the cube's centre while they go around
PUSH_HEIGHT_M = 0.0  # fingertips over the cube's centre as they push
BEHIND_M = 0.01  # error of that place from which they go down and push
THERE_M = 0.006  # cube this close to the goal (success is 0.025): stop
AGAIN_M = 0.015  # cube that ended up farther than this: push again
OFF_LINE_M = 0.015  # fingertips this far beside the line cube-goal slide past the corner: go behind again
LINE_GAIN = 2.0  # how strongly they return to that line; below 1 the cube turns away from it
STRIDE_M, PUSH_M = 0.03, 0.015  # see Hand.move


class Phase(Enum):
    GO_BEHIND = "move over the point behind the cube, seen from the goal"
    DESCEND = "go down there"
    PUSH = "push along the line to the goal"
    DONE = "stand still"


class ArmPush:
    """go behind -> descend -> push -> done; slipping off the line sends it back to go behind."""

    carrying = False
    flaw_share = 1.0

    def __init__(self) -> None:
        self.hand = Hand("pusher")
        self.phase = Phase.GO_BEHIND

    def action(self, view: ArmView) -> Array:
        """The intended action (6,), unclipped."""
        to_goal = view.goal - view.object
        to_goal[2] = 0.0
        distance = float(np.linalg.norm(to_goal))
        direction = to_goal / max(distance, 1e-6)
        offset = self.hand.place(view.joints) - view.object
        to_behind = -STAND_OFF_M * direction - offset + [0.0, 0.0, PUSH_HEIGHT_M]
        beside = offset - (offset @ direction) * direction
        beside[2] = 0.0
        self.phase = self._next_phase(distance, to_behind, beside, offset, direction)

        outward = view.object[:2] / max(np.hypot(*view.object[:2]), 1e-6)
        tilt = TILT_RAD + PULL_TILT_RAD * max(0.0, float(-direction[:2] @ outward))
        displacement, stride = self._displacement(to_goal, to_behind, beside, offset)
        return self.hand.move(view, displacement, SHUT, tilt, stride)

    def _displacement(
        self, to_goal: Array, to_behind: Array, beside: Array, offset: Array
    ) -> tuple[Array, float]:
        """Where the fingertips are to go from where they are, (3,) [m], and their stride [m]."""
        if self.phase is Phase.DONE:
            return np.zeros(3), STRIDE_M
        if self.phase is Phase.GO_BEHIND:
            return self._around(to_behind, offset), STRIDE_M
        if self.phase is Phase.DESCEND:
            return to_behind, STRIDE_M
        level = np.array([0.0, 0.0, PUSH_HEIGHT_M - offset[2]])
        return to_goal - LINE_GAIN * beside + level, PUSH_M

    def _next_phase(
        self, distance: float, to_behind: Array, beside: Array, offset: Array, direction: Array
    ) -> Phase:
        if distance < (AGAIN_M if self.phase is Phase.DONE else THERE_M):
            return Phase.DONE
        if self.phase is Phase.DONE:
            return Phase.GO_BEHIND
        sideways = float(np.hypot(to_behind[0], to_behind[1]))
        if self.phase is Phase.GO_BEHIND and sideways < BEHIND_M:
            return Phase.DESCEND
        if self.phase is Phase.DESCEND and abs(to_behind[2]) < 0.006 and sideways < BEHIND_M:
            return Phase.PUSH
        if self.phase is Phase.PUSH and (np.linalg.norm(beside) > OFF_LINE_M or offset @ direction > 0):
            return Phase.GO_BEHIND
        return self.phase

    def _around(self, to_behind: Array, offset: Array) -> Array:
        """Up first where the hand is low, so that it passes over the cube instead of through it."""
        path = to_behind + [0.0, 0.0, TRAVEL_HEIGHT_M]
        if offset[2] < 0.6 * TRAVEL_HEIGHT_M:
            path[:2] = 0.0
        return path
