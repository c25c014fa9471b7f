"""Scripted controllers of skill 1, one readable state machine per task. How people fall short: flaws.py."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from data_collection.scripts.arm import ArmView
from data_collection.scripts.arm_lift import ArmLift
from data_collection.scripts.arm_push import ArmPush
from data_collection.scripts.arm_reach import ArmReach
from data_collection.scripts.fetch import FetchView
from data_collection.scripts.pick_and_place import PickAndPlace
from data_collection.scripts.push import Push
from data_collection.scripts.reach import Reach
from data_collection.scripts.slide import Slide
from robot_orl.types import Array, Observation


class View(Protocol):
    """One observation of a task by name, as its script reads it."""

    action_size: ClassVar[int]

    @classmethod
    def of(cls, obs: Observation) -> "View":
        """Of a task's observation."""

    def misjudged(self, offset: Array) -> Any:
        """As seen by someone who believes the hand to be `offset` (3,) [m] from where it is."""


class Script(Protocol):
    """A state machine that plays one episode; a new one is made for each."""

    flaw_share: float
    """How much of the flaws in flaws.py a person shows at this task: 1, or less where one takes care."""

    @property
    def carrying(self) -> bool:
        """Does the hand hold something that it could drop?"""

    def action(self, view: Any) -> Array:
        """The intended action (A,), not clipped; its last entry is the gripper's, positive opens."""


SCRIPTS: dict[str, tuple[type[View], Callable[[], Script]]] = {
    "fetch_reach": (FetchView, Reach),
    "fetch_push": (FetchView, Push),
    "fetch_slide": (FetchView, Slide),
    "fetch_pick_and_place": (FetchView, PickAndPlace),
    "arm_reach": (ArmView, ArmReach),
    "arm_push": (ArmView, ArmPush),
    "arm_lift": (ArmView, ArmLift),
}
"""Task -> what its script sees, and the script."""
