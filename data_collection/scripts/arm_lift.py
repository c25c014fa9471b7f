"""Grasp the cube from above and hold it at the goal."""

from enum import Enum

import numpy as np

from data_collection.scripts.arm import OPEN, SHUT, ArmView, Hand
from robot_orl.types import Array

TILT_RAD = 1.2  # how far the fingers point down
CLEARANCE_M = 0.05  # tool above the cube before it descends
BESIDE_M = 0.004  # the jaw that does not move comes down this far beside the cube
ALIGNED_M = 0.006  # sideways error at which the open jaws fit around the cube
FUNNEL = 4.0  # how much higher the tool stays on its way down for each metre that it is off its line
GRASP_HEIGHT_M = -0.002  # of the tool over the cube's centre as the jaws close
OPEN_RAD = 1.0  # gripper's position at which the jaws are far enough apart
HELD_M = 0.025  # cube farther than this from the tool: it is not between the jaws
PRESSING_RAD = 0.15  # lead of the shut gripper's target: it presses on something
STRIDE_M, SLOW_M = 0.03, 0.015  # see Hand.move


class Phase(Enum):
    APPROACH = "move over the cube with open jaws"
    DESCEND = "go down around it"
    GRASP = "shut the jaws"
    CARRY = "take it to the goal and hold it there"


class ArmLift:
    """approach -> descend -> grasp -> carry; a cube that is lost sends it back to approach."""

    flaw_share = 0.7  # a grasp between two narrow jaws: with all flaws few would hold

    def __init__(self) -> None:
        self.hand = Hand("tool")
        self.phase = Phase.APPROACH

    @property
    def carrying(self) -> bool:
        return self.phase is Phase.CARRY

    def action(self, view: ArmView) -> Array:
        """The intended action (6,), unclipped."""
        to_cube = view.object - view.tool
        # The jaws open sideways: seen from the base, the one that does not move is on the right.
        sideways = np.array([-view.object[1], view.object[0], 0.0]) / max(np.hypot(*view.object[:2]), 1e-6)
        to_grasp = to_cube - BESIDE_M * sideways + [0.0, 0.0, GRASP_HEIGHT_M]
        self.phase = self._next_phase(view, to_cube, to_grasp)
        if self.phase is Phase.APPROACH:
            return self._move(view, to_grasp + [0.0, 0.0, CLEARANCE_M], self._opening(view), STRIDE_M)
        if self.phase is Phase.DESCEND:
            sideways_m = float(np.hypot(to_grasp[0], to_grasp[1]))
            height = FUNNEL * max(0.0, sideways_m - ALIGNED_M / 2)  # aside of the cube it would land on it
            return self._move(view, to_grasp + [0.0, 0.0, height], self._opening(view), STRIDE_M)
        if self.phase is Phase.GRASP:
            return self._move(view, np.zeros(3), SHUT, SLOW_M)
        return self._move(view, view.goal - view.object, SHUT, STRIDE_M)

    def _move(self, view: ArmView, displacement: Array, gripper: float, stride: float) -> Array:
        return self.hand.move(view, displacement, gripper, TILT_RAD, stride)

    def _opening(self, view: ArmView) -> float:
        return OPEN if view.joints[5] + view.lead[5] < OPEN_RAD + 0.1 else 0.0

    def _next_phase(self, view: ArmView, to_cube: Array, to_grasp: Array) -> Phase:
        sideways = float(np.hypot(to_grasp[0], to_grasp[1]))
        if self.phase is Phase.APPROACH and sideways < ALIGNED_M and view.joints[5] > OPEN_RAD:
            return Phase.DESCEND
        if self.phase is Phase.DESCEND:
            if sideways > 3 * ALIGNED_M:
                return Phase.APPROACH
            if to_grasp[2] > -0.004 and sideways < ALIGNED_M:
                return Phase.GRASP
        if self.phase in (Phase.GRASP, Phase.CARRY) and np.linalg.norm(to_cube) > HELD_M:
            return Phase.APPROACH
        if self.phase is Phase.GRASP and view.lead[5] < -PRESSING_RAD and abs(view.velocities[5]) < 0.2:
            return Phase.CARRY
        return self.phase
