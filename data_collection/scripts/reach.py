"""Bring the hand to the goal and keep it there."""

from enum import Enum

import numpy as np

from data_collection.scripts.fetch import CLOSE, FetchView, move
from robot_orl.types import Array

THERE_M = 0.005


class Phase(Enum):
    MOVE = "straight to the goal"
    HOLD = "stand still"


class Reach:
    """move -> hold, and back when the hand has drifted away."""

    carrying = False
    flaw_share = 1.0

    def __init__(self) -> None:
        self.phase = Phase.MOVE

    def action(self, view: FetchView) -> Array:
        """The intended action (4,), unclipped."""
        to_goal = view.goal - view.grip
        self.phase = Phase.HOLD if np.linalg.norm(to_goal) < THERE_M else Phase.MOVE
        return move(to_goal if self.phase is Phase.MOVE else np.zeros(3), CLOSE)
