"""`operator=keyboard`: a person at a terminal, over ssh as well; no X, no root."""

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from data_collection.teleop.hands import Hands, Jog, Order, Status, Verb
from data_collection.teleop.keys import PRESSED, RELEASED, Held, Key, read_keys
from data_collection.teleop.legend import VERBS, Keyboard, changes, drawn, lines
from data_collection.teleop.places import Map
from data_collection.teleop.session import LONGEST_TEXT, State
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.standby import PersonStandsBy
from data_collection.teleop.steering import standing_axes, tool_of, turns_of
from data_collection.teleop.terminal import Terminal
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.tasks import spec_of
from robot_orl.types import Actor, Array, Spec

CLEAR = b"\x1b[2J"
DRAW_EVERY_S = 0.1
ESCAPE_S = 0.05  # of silence, after which an ESC is the key and not the beginning of another one
FINE = 0.2  # share of the speed
# key: which of forward, left, up, roll, pitch, yaw it pushes, and which way
PUSHES = {
    "w": (0, 1), "s": (0, -1), "a": (1, 1), "d": (1, -1), "r": (2, 1), "f": (2, -1),
    "l": (3, 1), "j": (3, -1), "i": (4, 1), "k": (4, -1),
}  # fmt: skip
SAME_AS = {"up": "w", "down": "s", "left": "a", "right": "d", "pageup": "r", "pagedown": "f"}
FINGERS = {"o": 1.0, "c": -1.0}
TEXTS = (Verb.NOTE, Verb.INSTRUCTION)
ORDERS = {key: verb for verb, (key, _) in VERBS.items() if verb != Verb.QUALITY}


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
class KeyboardOperator(PersonStandsBy):
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
        self._terminal = Terminal()
        self._held = Held(cfg.repeat_delay_s, cfg.repeat_gap_s, cfg.tap)
        self._rest, self._heard_s = b"", -np.inf
        self._orders: list[Order] = []
        self._gripper = 0.0
        self._fine = False
        self._typing: tuple[Verb, str] | None = None
        self._state = ""
        self._drawn_s = -np.inf
        self._size = (0, 0)
        self._shown: list[str] = []

    def open(self) -> None:
        self._terminal.open()

    def close(self) -> None:
        self._terminal.close()

    def jog(self) -> Jog | None:
        self._read()
        held = self._held.shares(self._now_s())
        gripper, self._gripper = self._gripper, 0.0
        if not held and not gripper:
            return None
        shares = np.zeros(6)
        for name, share in held.items():
            axis, sign = PUSHES[name]
            shares[axis] += sign * share
        shares = np.clip(shares, -1.0, 1.0) * (FINE if self._fine else 1.0)
        return Jog(shares[:3], shares[3:], gripper)

    def orders(self) -> Sequence[Order]:
        self._read()
        orders, self._orders = self._orders, []
        return orders

    def present(self) -> bool:
        return not self._terminal.is_lost

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        terminal, now_s = self._terminal, self._now_s()
        if status.state == State.RECORDING and self._state != State.RECORDING:
            self._held.release_all()  # what moves in an episode was pressed in it
        self._state = status.state
        terminal.write(b"")
        if terminal.is_busy or now_s < self._drawn_s + DRAW_EVERY_S:
            return
        self._drawn_s = now_s
        if not status.step:
            self._map = Map()  # of the next episode
        if terminal.size != self._size:  # it shows who knows what
            self._size, self._shown = terminal.size, []
            terminal.write(CLEAR)
        keyboard = Keyboard(self._held.shares(now_s), self._fine, self._typing, self._axes, self._map)
        now = drawn(lines(self._task, self._turns, status, allowed, keyboard), *self._size)
        terminal.write(changes(self._shown, now).encode(errors="replace"))
        self._shown = now

    def _read(self) -> None:
        if self._terminal.is_lost:
            return
        content = self._terminal.read()
        now_s = self._now_s()
        if self._terminal.is_lost:
            self._held.release_all()
            self._orders.append(Order(Verb.QUIT))  # nobody can come back
        if content:
            self._held.heard(now_s)
            self._heard_s = now_s
        if self._typing and self._rest == b"\x1b" and now_s - self._heard_s >= ESCAPE_S:
            keys, self._rest = [Key("escape")], b""
        else:
            keys, self._rest = read_keys(self._rest + content)
        for key in keys:
            self._take(key)

    def _take(self, key: Key) -> None:
        if key.kind == RELEASED:  # maybe together with a key that came later, and whatever it means by now
            name = key.name.removeprefix("ctrl+").lower()
            self._held.take(replace(key, name=SAME_AS.get(name, name)), self._now_s())
        elif key.name == "kitty":
            self._held.tells_release = True
        elif key.name == "ctrl+c" and key.kind == PRESSED:
            signal.raise_signal(signal.SIGINT)  # as the terminal does that does not speak kitty's protocol
        elif key.name == "unfocused":
            self._held.release_all()
        elif self._typing:
            self._type(key)
        elif key.name == "space":
            self._held.release_all()
        elif key.name.lower() in PUSHES and not (key.name.isupper() and key.name in ORDERS):
            self._held.take(key, self._now_s())
        elif key.name in SAME_AS:
            self._held.take(replace(key, name=SAME_AS[key.name]), self._now_s())
        elif key.kind == PRESSED:
            self._press(key.name)

    def _press(self, name: str) -> None:
        if name in FINGERS:
            self._gripper = FINGERS[name]
        elif name == "x":
            self._fine = not self._fine
        elif name in "12345":
            self._orders.append(Order(Verb.QUALITY, int(name)))
        elif (verb := ORDERS.get(name)) in TEXTS:
            self._typing = verb, ""
            self._held.release_all()
        elif verb is not None:
            self._orders.append(Order(verb))
            if verb in (Verb.DISCARD, Verb.REDO):
                self._held.release_all()

    def _type(self, key: Key) -> None:
        assert self._typing is not None
        verb, text = self._typing
        if key.name in ("enter", "escape"):
            self._typing = None
            if key.name == "enter":
                self._orders.append(Order(verb, text))
        elif key.name == "backspace":
            self._typing = verb, text[:-1]
        elif key.text:
            self._typing = verb, (text + key.text)[:LONGEST_TEXT]
