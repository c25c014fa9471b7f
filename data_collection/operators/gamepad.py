"""`operator=gamepad`: a person with a game controller at the robot's machine, over ssh as well."""

from dataclasses import dataclass
from typing import Any

import gymnasium

from data_collection.teleop.devices.device import DeviceHands
from data_collection.teleop.devices.gamepad import Gamepad
from data_collection.teleop.devices.pad_mapping import load_mapping
from data_collection.teleop.hands import Hands
from data_collection.teleop.settings import AXES, PersonConfig
from data_collection.teleop.standby import PersonStandsBy
from data_collection.teleop.steering import standing_axes, tool_of, turns_of
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Actor, Spec


@dataclass
class GamepadConfig(PersonConfig):
    """A controller that SDL knows, plugged in or paired; the terminal's keys drive the session, too."""

    name: str = "gamepad"
    dead_zone: float = setting(
        0.12,
        "share of the way of a stick that still is rest; the rest is spread over 0 .. 1",
        low=0.0,
        high=0.9,
    )
    mapping: str | None = setting(None, "YAML file of what sticks and buttons do; null: as on the page")


@register("operator", "gamepad", GamepadConfig)
class GamepadOperator(PersonStandsBy):
    """A person: `collect` holds a recording session with the controller's hands."""

    name = "gamepad"
    actor = Actor.HUMAN
    policy_hash: str | None = None

    def __init__(self, cfg: GamepadConfig, spec: Spec) -> None:
        self.cfg, self.spec = cfg, spec

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        """Raises: UsageError: SDL is not installed, or there is no tool.  DataError: a bad mapping."""
        if tool_of(env) is None:
            raise UsageError(
                f"operator=gamepad moves a tool, and task '{self.spec.task}' has joints only; "
                "operator=browser has a slider for each"
            )
        mapping = load_mapping(self.cfg.mapping).only([*AXES[:3], *turns_of(env)])
        pad = Gamepad(mapping, self.cfg.dead_zone)
        return DeviceHands("gamepad", pad, self.spec.task, standing_axes(env, self.cfg.frame), alone)
