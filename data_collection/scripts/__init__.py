"""Scripted controllers of skill 1, one readable state machine per task. How people fall short: flaws.py."""

from collections.abc import Callable
from typing import Protocol

from data_collection.scripts.fetch import FetchView
from data_collection.scripts.pick_and_place import PickAndPlace
from data_collection.scripts.push import Push
from data_collection.scripts.reach import Reach
from data_collection.scripts.slide import Slide
from robot_orl.types import Array


class Script(Protocol):
    """A state machine that plays one episode; a new one is made for each."""

    flaw_share: float
    """How much of the flaws in flaws.py a person shows at this task: 1, or less where one takes care."""

    @property
    def carrying(self) -> bool:
        """Does the hand hold something that it could drop?"""

    def action(self, view: FetchView) -> Array:
        """The intended action (A,), not clipped."""


SCRIPTS: dict[str, Callable[[], Script]] = {
    "fetch_reach": Reach,
    "fetch_push": Push,
    "fetch_slide": Slide,
    "fetch_pick_and_place": PickAndPlace,
}
"""Task -> its script."""
