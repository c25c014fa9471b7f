"""`operator=browser`: a person at a page that this machine serves, from any machine with a browser."""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import gymnasium

from data_collection.teleop.browser.hands import BrowserHands
from data_collection.teleop.hands import Hands
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.standby import PersonStandsBy
from data_collection.teleop.steering import tool_of, turns_of
from data_collection.teleop.terminal.legend import VERBS
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Actor, Spec


@dataclass
class BrowserConfig(PersonConfig):
    """A page with the robot in 3-D. Where other machines can reach it, it asks for a token in its address."""

    name: str = "browser"
    frame: str = setting(
        "camera",
        "what forward, left and up mean: the robot's base, the picture as it is turned, or the tool",
        choices=["base", "camera", "tool"],
    )
    host: str = setting("127.0.0.1", "address to serve the page at; 0.0.0.0: to the whole network")
    grace_s: float = setting(
        5.0,
        "so long the page may be away, as for a reload, before an episode ends as 'disconnect'",
        unit="s",
        low=0.5,
        high=600.0,
    )
    port: int = setting(8765, "to serve it at; 0: any that is free", low=0, high=65_535)


@register("operator", "browser", BrowserConfig)
class BrowserOperator(PersonStandsBy):
    """A person: `collect` holds a recording session with the page's hands."""

    name = "browser"
    actor = Actor.HUMAN
    policy_hash: str | None = None

    def __init__(self, cfg: BrowserConfig, spec: Spec) -> None:
        """Raises: UsageError: what serves the page is not installed."""
        if find_spec("websockets") is None:
            raise UsageError("operator=browser needs websockets: pip install 'robot-orl[browser]'")
        self.cfg, self.spec = cfg, spec

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        """It has no use for the terminal, `alone` or not."""
        cfg, task = self.cfg, env.unwrapped
        hello = {
            "task": self.spec.task,
            "turns": turns_of(env),
            "frame": cfg.frame,
            "flip": cfg.flip,
            "speed_m_s": cfg.speed_m_s,
            "speed_rad_s": cfg.speed_rad_s,
            "dead_zone": cfg.dead_zone,
            "joints": [signal.name for signal in self.spec.action],
            "keys": {verb: key for verb, (key, _) in VERBS.items()},
        }
        view = getattr(task, "view", {})
        return BrowserHands(cfg.host, cfg.port, hello, self.spec.action_size, tool_of(env), view, cfg.grace_s)
