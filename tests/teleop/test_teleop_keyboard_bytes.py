"""What hands make of a terminal's bytes and of the time between them."""

import socket
from collections.abc import Iterator

import pytest

from data_collection.operators.keyboard import KeyboardConfig, KeyboardHands
from data_collection.teleop.hands import Order, Status, Verb
from data_collection.teleop.terminal.console import ESCAPE_S
from data_collection.teleop.terminal.keys import SILENT_S

HANDS_OFF = [0.0, 0.0, 0.0]
FORWARD, LEFT = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


class Person:
    """At the other end of the line that the keyboard's hands read.  now_s: the time [s]."""

    def __init__(self, kitty: bool = True) -> None:
        self.now_s = 100.0
        self.hands = KeyboardHands(KeyboardConfig(tap=1.0), "fetch_reach", now_s=lambda: self.now_s)
        self.line, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self.hands._console.terminal._descriptor = self._theirs.fileno()
        if kitty:
            self.press(b"\x1b[?31u")

    def press(self, content: bytes) -> list[Order]:
        """The orders that these bytes are. As the loop does, it asks for orders and for the jog."""
        self.line.send(content)
        return self.tick()

    def tick(self) -> list[Order]:
        orders = list(self.hands.orders())
        self.pushes()
        return orders

    def pushes(self) -> list[float]:
        """Forward, left, up."""
        jog = self.hands.jog()
        return HANDS_OFF if jog is None else jog.linear.tolist()

    def hang_up(self) -> None:
        self.line.close()
        self._theirs.close()


@pytest.fixture
def person() -> Iterator[Person]:
    found = Person()
    yield found
    found.hang_up()


@pytest.fixture
def plain() -> Iterator[Person]:
    """At a terminal that tells of no releases."""
    found = Person(kitty=False)
    yield found
    found.hang_up()


@pytest.mark.parametrize(
    ("pressed", "released"),
    [
        (b"\x1b[119;1:1;119u", b"\x1b[119;1:3u"),
        (b"\x1b[119;1:1;119u", b"\x1b[119;2:3u"),  # shift came in between
        (b"\x1b[119;1:1;119u", b"\x1b[119;5:3u"),  # or control
        (b"\x1b[119;1:1;119u", b"\x1b[119;6:3u"),  # or both
        (b"\x1b[119;2:1;87u", b"\x1b[119;1:3u"),  # shift was let go of first
        (b"\x1b[1;1:1A", b"\x1b[1;1:3A"),
        (b"\x1b[1;1:1A", b"\x1b[1;5:3A"),  # an arrow
        (b"\x1b[1094::119;1:1;1094u", b"\x1b[119;1:3u"),  # another alphabet was chosen in between
    ],
)
def test_no_key_sticks(person: Person, pressed: bytes, released: bytes) -> None:
    person.press(pressed)
    assert person.pushes() == FORWARD
    assert person.press(released) == []
    assert person.pushes() == HANDS_OFF


@pytest.mark.parametrize("modifiers", [2, 5])
def test_a_key_that_also_gives_orders_does_not_stick(person: Person, modifiers: int) -> None:
    """`s` moves back and `S` saves: the release of the one may look like that of the other."""
    person.press(b"\x1b[115;1:1;115u")
    assert person.pushes() == [-1.0, 0.0, 0.0]
    assert person.press(b"\x1b[115;%d:3u" % modifiers) == []
    assert person.pushes() == HANDS_OFF


def test_a_key_that_is_released_while_typing_does_not_stick(person: Person) -> None:
    person.press(b"\x1b[110;2:1;78u")  # N: a note
    person.press(b"\x1b[119;1:1;119u\x1b[119;1:3u\x1b[13u")
    assert person.pushes() == HANDS_OFF


@pytest.mark.parametrize("order", [b"\x1b[122;2;90u", b"\x1b[98;2;66u"])
def test_what_throws_an_episode_away_lets_go_of_all_keys(person: Person, order: bytes) -> None:
    person.press(b"\x1b[119;1:1;119u")
    assert [given.verb for given in person.press(order)] in ([Verb.DISCARD], [Verb.REDO])
    assert person.pushes() == HANDS_OFF


def test_an_episode_begins_with_no_key_held(person: Person) -> None:
    person.hands.show(Status("countdown"), [])
    person.press(b"\x1b[119;1:1;119u")
    person.hands.show(Status("recording"), [])
    assert person.pushes() == HANDS_OFF
    person.press(b"\x1b[119;1:2;119u")  # it is, after all
    person.hands.show(Status("recording", step=1), [])
    assert person.pushes() == FORWARD


def test_keys_end_with_the_attention_of_the_window_and_with_the_line(person: Person) -> None:
    person.press(b"\x1b[119;1:1;119u")
    person.press(b"\x1b[O")
    assert person.pushes() == HANDS_OFF
    person.press(b"\x1b[I\x1b[97;1:1;97u")
    person.now_s += SILENT_S - 0.01
    assert person.pushes() == LEFT
    person.press(b"\x1b[97;1:2;97u")  # a held key repeats
    person.now_s += SILENT_S - 0.01
    assert person.pushes() == LEFT
    person.now_s += 0.01
    assert person.pushes() == HANDS_OFF


def test_without_all_releases_keys_end_by_themselves(plain: Person) -> None:
    plain.press(b"\x1b[?1u")  # kitty's protocol, but none of what it was asked for
    plain.press(b"w")
    plain.now_s += 0.7
    assert plain.pushes() == HANDS_OFF


def test_an_arrow_in_two_pieces_is_no_order(plain: Person) -> None:
    """ESC and then `[B`, of which `B` would throw the episode away."""
    assert plain.press(b"\x1b") == []
    plain.now_s += 0.04
    assert plain.tick() == []
    assert plain.press(b"[B") == []
    assert plain.pushes() == [-1.0, 0.0, 0.0]


def test_an_escape_is_the_key_after_some_silence_only(plain: Person) -> None:
    plain.press(b"Nab")
    plain.press(b"\x1b")
    plain.now_s += ESCAPE_S - 0.001
    assert plain.tick() == []
    assert plain.press(b"[Dc\r") == [Order(Verb.NOTE, "abc")]  # an arrow, which types nothing
    plain.press(b"Nab")
    plain.press(b"\x1b")
    plain.now_s += 2 * ESCAPE_S
    assert plain.tick() == []
    assert plain.press(b"\r") == [Order(Verb.START)]  # no note is asked for any more


def test_nothing_that_a_line_says_ends_in_an_error(person: Person) -> None:
    for junk in (b"1114112", b"99999999999"):
        assert person.press(b"\x1b[97;1;%su\x1b[?%su" % (junk, junk)) == []
    assert person.press(b"\x1b[122;2;90u") == [Order(Verb.DISCARD)]


def test_steps_and_starts_are_typed_as_the_screen_counts_them(plain: Person) -> None:
    assert plain.press(b"E1 40\r") == [Order(Verb.TRIM, (0, 40))]
    assert plain.press(b"E 5-9\r") == [Order(Verb.TRIM, (4, 9))]
    assert plain.press(b"E5\r") == [Order(Verb.TRIM, "5")]  # which the session refuses in words
    assert plain.press(b"G12\r") == [Order(Verb.SEED, 12)]
    assert plain.press(b"G\r") == [Order(Verb.SEED)]
    assert plain.press(b"G-3\r") == [Order(Verb.SEED, "-3")]
