"""The terminal beside whatever a person holds: keys that give orders, typed texts, and the picture."""

import re
import signal
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from data_collection.teleop.hands import Order, Value, Verb
from data_collection.teleop.settings import LONGEST_TEXT
from data_collection.teleop.terminal.keys import PRESSED, RELEASED, Key, read_keys
from data_collection.teleop.terminal.legend import VERBS, Piece, changes, drawn
from data_collection.teleop.terminal.terminal import Terminal

CLEAR = b"\x1b[2J"
DRAW_EVERY_S = 0.1
ESCAPE_S = 0.05  # of silence, after which an ESC is the key and not the beginning of another one
TEXTS = (Verb.NOTE, Verb.INSTRUCTION, Verb.TRIM, Verb.SEED)
ORDERS = {key: verb for verb, (key, _) in VERBS.items() if verb != Verb.QUALITY}
TWO_NUMBERS = re.compile(r"([0-9]{1,9})(?: +| *, *| *\.\. *|-| - )([0-9]{1,9})")  # the screen: 3 .. 8
LETTING_GO = (Verb.DISCARD, Verb.REDO)


class Movers(Protocol):
    """Keys that move the robot rather than give orders."""

    def take(self, key: Key, is_typing: bool) -> bool:
        """Whether it was one of them."""

    def heard(self, now_s: float) -> None:
        """Something has come over the line [s], be it a key or not."""

    def release_all(self) -> None:
        """Nothing is held any more, whatever the terminal said."""


class Console:
    """operator: its name, for what goes wrong.  movers: None: no key moves anything.  now_s: monotonic [s].

    typing: what is asked for, and what has been typed of it; None: nothing is asked for.
    """

    def __init__(
        self, operator: str, movers: Movers | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.terminal = Terminal(operator)
        self.typing: tuple[Verb, str] | None = None
        self._movers, self._now_s = movers, now_s
        self._rest, self._heard_s = b"", -np.inf
        self._orders: list[Order] = []
        self._drawn_s = -np.inf
        self._size = (0, 0)
        self._shown: list[str] = []

    def open(self) -> None:
        """Raises: UsageError: there is no terminal that can be used."""
        self.terminal.open()

    def close(self) -> None:
        self.terminal.close()

    @property
    def is_there(self) -> bool:
        return not self.terminal.is_lost

    def orders(self) -> Sequence[Order]:
        """Those given since the last call."""
        self.listen()
        orders, self._orders = self._orders, []
        return orders

    def listen(self) -> None:
        """Take the keys that have come."""
        if self.terminal.is_lost:
            return
        content = self.terminal.read()
        now_s = self._now_s()
        if self.terminal.is_lost:
            self._let_go()
            self._orders.append(Order(Verb.QUIT))  # nobody can come back
        if content:
            self._heard_s = now_s
            if self._movers is not None:
                self._movers.heard(now_s)
        if self.typing and self._rest == b"\x1b" and now_s - self._heard_s >= ESCAPE_S:
            keys, self._rest = [Key("escape")], b""
        else:
            keys, self._rest = read_keys(self._rest + content)
        for key in keys:
            self._take(key)

    def show(self, picture: Callable[[], Sequence[Sequence[Piece]]]) -> None:
        """May be called at every tick; asks for the picture when it is time to draw one."""
        terminal, now_s = self.terminal, self._now_s()
        terminal.write(b"")
        if terminal.is_busy or now_s < self._drawn_s + DRAW_EVERY_S:
            return
        self._drawn_s = now_s
        if terminal.size != self._size:  # it shows who knows what
            self._size, self._shown = terminal.size, []
            terminal.write(CLEAR)
        now = drawn(picture(), *self._size)
        terminal.write(changes(self._shown, now).encode(errors="replace"))
        self._shown = now

    def _take(self, key: Key) -> None:
        if self._movers is not None and self._movers.take(key, self.typing is not None):
            return
        if key.kind == RELEASED or (key.kind != PRESSED and not self.typing):
            return
        if key.name == "ctrl+c" and key.kind == PRESSED:
            signal.raise_signal(signal.SIGINT)  # as the terminal does that does not speak kitty's protocol
        elif self.typing:
            self._type(key, *self.typing)
        else:
            self._press(key.name)

    def _press(self, name: str) -> None:
        if name in "12345":
            self._orders.append(Order(Verb.QUALITY, int(name)))
        elif (verb := ORDERS.get(name)) in TEXTS:
            self.typing = verb, ""
            self._let_go()
        elif verb is not None:
            self._orders.append(Order(verb))
            if verb in LETTING_GO:
                self._let_go()

    def _type(self, key: Key, verb: Verb, text: str) -> None:
        if key.name in ("enter", "escape"):
            self.typing = None
            if key.name == "enter":
                self._orders.append(Order(verb, value_of(verb, text)))
        elif key.name == "backspace":
            self.typing = verb, text[:-1]
        elif key.text:
            self.typing = verb, (text + key.text)[:LONGEST_TEXT]

    def _let_go(self) -> None:
        if self._movers is not None:
            self._movers.release_all()


def value_of(verb: Verb, text: str) -> Value:
    """What was typed, as the session takes it; what does not fit stays a text, which it refuses in words."""
    text = text.strip()
    if verb == Verb.TRIM and (found := TWO_NUMBERS.fullmatch(text)):
        return int(found[1]) - 1, int(found[2])  # the screen counts steps from 1
    if verb == Verb.SEED and re.fullmatch(r"[0-9]{0,10}", text):
        return int(text) if text else None
    return text
