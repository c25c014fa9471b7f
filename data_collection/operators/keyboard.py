"""`operator=keyboard`: a person at a terminal, over ssh as well; no X, no root."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from data_collection.teleop.hands import Hands, Jog, Order, Status, Verb
from data_collection.teleop.places import Map
from data_collection.teleop.session import State
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.steering import standing_axes, tool_of, turns_of
from data_collection.teleop.terminal.console import ORDERS, Console
from data_collection.teleop.terminal.keys import PRESSED, RELEASED, Held, Key
from data_collection.teleop.terminal.legend import Keyboard, lines
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Array, Spec

FINE = 0.2  # share of the speed
# key: which of forward, left, up, roll, pitch, yaw it pushes, and which way
PUSHES = {
    "w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1),
    "l": (3, 1), "j": (3, -1), "i": (4, 1), "k": (4, -1),
}  # fmt: skip
SAME_AS = {"up": "w", "down": "s", "left": "a", "right": "d", "pageup": "r", "pagedown": "f"}
FINGERS = {"o": 1.0, "c": -1.0}


@dataclass
class KeyboardConfig(PersonConfig):
    """Keys of a terminal. One that speaks kitty's protocol tells when a key is released."""

    name: str = "keyboard"
    dead_zone: float = setting(0.0, "of no use to keys, which have no rest to be far from", low=0.0, high=0.9)
    repeat_delay_s: float = setting(
        0.6,
        "a little longer than a held key takes to repeat; so long a key moves that is only tapped",
        unit="s",
        low=0.05,
        high=2.0,
    )
    repeat_gap_s: float = setting(
        0.15, "a little longer than between two repeats; so long it moves on", unit="s", low=0.02, high=1.0
    )
    tap: float = setting(
        0.3,
        "share of the speed until a key repeats, so that one that is only tapped stays near",
        low=0.01,
        high=1,
    )


@register("operator", "keyboard", KeyboardConfig)
class KeyboardOperator:
    """A person: `collect` holds a recording session with its hands."""

    name = "keyboard"
    actor = Actor.HUMAN
    policy_hash: str | None = None

    def __init__(self, cfg: KeyboardConfig, spec: Spec) -> None:
        self.cfg, self.spec = cfg, spec

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        if alone:
            raise UsageError(
                "operator=keyboard needs the terminal to itself, which something else uses here; "
                "browser, gamepad, leader and spacemouse do without"
            )
        if tool_of(env) is None:
            raise UsageError(
                f"operator=keyboard moves a tool, and task '{self.spec.task}' has joints only; "
                "operator=browser has a slider for each"
            )
        axes = standing_axes(env, self.cfg.frame)
        return KeyboardHands(self.cfg, spec_of(env).task, turns_of(env), axes)


class KeyboardHands:
    """Keys of the terminal at stdin, which shows what they do.

    task: its name.  turns: of its tool, see `turns_of`.  axes: of the map, see `places.ways`.
    now_s: monotonic time [s].
    """

    def __init__(
        self,
        cfg: KeyboardConfig,
        task: str,
        turns: Sequence[str] = (),
        axes: Array | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._task, self._turns, self._now_s = task, turns, now_s
        self._axes, self._map = np.eye(3) if axes is None else axes, Map()
        self._keys = MovingKeys(Held(cfg.repeat_delay_s, cfg.repeat_gap_s, cfg.tap), now_s)
        self._console = Console("keyboard", self._keys, now_s)
        self._state = ""

    def open(self) -> None:
        self._console.open()

    def close(self) -> None:
        self._console.close()

    def jog(self) -> Jog | None:
        self._console.listen()
        return self._keys.jog()

    def orders(self) -> Sequence[Order]:
        return self._console.orders()

    def present(self) -> bool:
        return self._console.is_there

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        if status.state == State.RECORDING and self._state != State.RECORDING:
            self._keys.release_all()  # what moves in an episode was pressed in it
        self._state = status.state
        if not status.step:
            self._map = Map()  # of the next episode
        keys = self._keys
        keyboard = Keyboard(keys.shares(), keys.is_fine, self._console.typing, self._axes, self._map)
        self._console.show(lambda: lines(self._task, self._turns, status, allowed, keyboard))


class MovingKeys:
    """The keys that move the robot, and which of them are held; see `console.Movers`."""

    def __init__(self, held: Held, now_s: Callable[[], float]) -> None:
        self.is_fine = False
        self._held, self._now_s = held, now_s
        self._gripper = 0.0

    def shares(self) -> dict[str, float]:
        """The keys that are held, and how far each counts."""
        return self._held.shares(self._now_s())

    def jog(self) -> Jog | None:
        held = self.shares()
        gripper, self._gripper = self._gripper, 0.0
        if not held and not gripper:
            return None
        shares = np.zeros(6)
        for name, share in held.items():
            axis, sign = PUSHES[name]
            shares[axis] += sign * share
        shares = np.clip(shares, -1.0, 1.0) * (FINE if self.is_fine else 1.0)
        return Jog(shares[:3], shares[3:], gripper)

    def heard(self, now_s: float) -> None:
        self._held.heard(now_s)

    def release_all(self) -> None:
        self._held.release_all()

    def take(self, key: Key, is_typing: bool) -> bool:
        name = key.name
        if key.kind == RELEASED:  # maybe together with a key that came later, and whatever it means by now
            name = name.removeprefix("ctrl+").lower()
            self._held.take(replace(key, name=SAME_AS.get(name, name)), self._now_s())
        elif name == "kitty":
            self._held.tells_release = True
        elif name == "unfocused":
            self._held.release_all()
        elif is_typing:
            return False
        elif name == "space":
            self._held.release_all()
        elif name.lower() in PUSHES and not (name.isupper() and name in ORDERS):
            self._held.take(key, self._now_s())
        elif name in SAME_AS:
            self._held.take(replace(key, name=SAME_AS[name]), self._now_s())
        elif name in FINGERS or name == "x":
            if key.kind == PRESSED:
                self._press(name)
        else:
            return False
        return True

    def _press(self, name: str) -> None:
        if name == "x":
            self.is_fine = not self.is_fine
        else:
            self._gripper = FINGERS[name]
