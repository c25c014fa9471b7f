"""Bring the tool to the goal and keep it there."""

from data_collection.scripts.arm import SHUT, ArmView, Hand
from robot_orl.types import Array

TILT_RAD = 0.9
STRIDE_M = 0.03


class ArmReach:
    """One movement: straight to the goal, slower as it comes near."""

    carrying = False
    flaw_share = 1.0

    def __init__(self) -> None:
        self.hand = Hand("tool")

    def action(self, view: ArmView) -> Array:
        """The intended action (6,), unclipped."""
        return self.hand.move(view, view.goal - view.tool, SHUT, TILT_RAD, STRIDE_M)
