"""`operator=spacemouse`: a person with a 6-DoF mouse of 3Dconnexion at the robot's machine."""

from dataclasses import dataclass
from typing import Any

import gymnasium

from data_collection.teleop.devices.device import BUTTON_VERBS, DeviceHands
from data_collection.teleop.devices.spacemouse import FINGERS, SpaceMouse, load_hid
from data_collection.teleop.hands import Hands
from data_collection.teleop.settings import AXES, PersonConfig
from data_collection.teleop.standby import PersonStandsBy
from data_collection.teleop.steering import standing_axes, tool_of, turns_of
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Actor, Spec


@dataclass
class SpaceMouseConfig(PersonConfig):
    """Its cap moves the tool, and turns it where the task can; the terminal's keys drive the session, too."""

    name: str = "spacemouse"
    dead_zone: float = setting(
        0.08,
        "share of the cap's way that still is rest; the rest is spread over 0 .. 1",
        low=0.0,
        high=0.9,
    )
    full: float = setting(350.0, "what it reports where the cap is pushed all the way", low=1, high=32_767)
    buttons: list[str] = setting(
        factory=lambda: ["close", "open"],
        help="what its buttons do, the first one first: fingers, or orders of the session; '' for nothing",
        choices=(*FINGERS, *BUTTON_VERBS, ""),
    )


@register("operator", "spacemouse", SpaceMouseConfig)
class SpaceMouseOperator(PersonStandsBy):
    """A person: `collect` holds a recording session with the cap's hands."""

    name = "spacemouse"
    actor = Actor.HUMAN
    policy_hash: str | None = None

    def __init__(self, cfg: SpaceMouseConfig, spec: Spec) -> None:
        self.cfg, self.spec = cfg, spec

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        """Raises: UsageError: hidapi is not installed, or there is no tool."""
        cfg = self.cfg
        if tool_of(env) is None:
            raise UsageError(
                f"operator=spacemouse moves a tool, and task '{self.spec.task}' has joints only; "
                "operator=browser has a slider for each"
            )
        ways = (*AXES[:3], *turns_of(env))
        mouse = SpaceMouse(load_hid(), cfg.buttons, cfg.full, cfg.dead_zone, ways)
        return DeviceHands("spacemouse", mouse, self.spec.task, standing_axes(env, cfg.frame), alone)
