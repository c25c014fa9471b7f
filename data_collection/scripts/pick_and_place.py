"""Pick the block up and hold it at the goal, on the table or in the air."""

from enum import Enum

import numpy as np

from data_collection.scripts.fetch import CLOSE, OPEN, FetchView, move
from robot_orl.types import Array

CLEARANCE_M = 0.06  # hand above the block before it descends: fingers pass over its top
ALIGNED_M = 0.012  # sideways error at which the open fingers fit around the block
HELD_M = 0.03  # block farther than this from the hand: it is not (or no longer) between the fingers
CLOSED_AROUND_M = 0.027  # finger position at which the pads press on the 0.05 m block
CARRY_HEIGHT_M = 0.03  # lift over the table on the way, so that the block does not drag


class Phase(Enum):
    APPROACH = "move over the block"
    DESCEND = "go down around it"
    GRASP = "close the fingers"
    CARRY = "take it to the goal and hold it there"


class PickAndPlace:
    """approach -> descend -> grasp -> carry; a block that is lost sends it back to approach."""

    flaw_share = 1.0

    def __init__(self) -> None:
        self.phase = Phase.APPROACH
        self.table_m: float | None = None

    @property
    def carrying(self) -> bool:
        return self.phase is Phase.CARRY

    def action(self, view: FetchView) -> Array:
        """The intended action (4,), unclipped."""
        if self.table_m is None:
            self.table_m = float(view.object[2])
        self.phase = self._next_phase(view)
        to_block = view.object - view.grip
        if self.phase is Phase.APPROACH:
            return move(to_block + [0.0, 0.0, CLEARANCE_M], OPEN)
        if self.phase is Phase.DESCEND:
            return move(to_block, OPEN)
        if self.phase is Phase.GRASP:
            return move(to_block, CLOSE)
        return move(self._carry(view), CLOSE)

    def _next_phase(self, view: FetchView) -> Phase:
        offset = view.grip - view.object
        sideways, height = float(np.hypot(offset[0], offset[1])), float(offset[2])
        if self.phase is Phase.APPROACH and sideways < ALIGNED_M and view.fingers.min() > 0.035:
            return Phase.DESCEND
        if self.phase is Phase.DESCEND:
            if sideways > 2 * ALIGNED_M:
                return Phase.APPROACH
            if abs(height) < 0.012:
                return Phase.GRASP
        if self.phase in (Phase.GRASP, Phase.CARRY) and np.linalg.norm(offset) > HELD_M:
            return Phase.APPROACH
        if self.phase is Phase.GRASP and view.fingers.max() < CLOSED_AROUND_M:
            return Phase.CARRY
        return self.phase

    def _carry(self, view: FetchView) -> Array:
        target = view.goal.copy()
        if np.hypot(*(view.goal - view.object)[:2]) > 0.05:
            assert self.table_m is not None
            target[2] = max(target[2], self.table_m + CARRY_HEIGHT_M)
        return target - view.object
