"""`operator=gamepad` with controllers of SDL itself, and the table of what their sticks and buttons do."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from terminal_toys import PATIENCE_S, Terminal, terminal

from data_collection.teleop.devices.gamepad import FINE, NOT_THERE, Gamepad
from data_collection.teleop.devices.pad_mapping import AXES, BUTTONS, load_mapping
from data_collection.teleop.hands import Order, Verb
from data_collection.teleop.steering import live
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import DataError
from robot_orl.types import Actor

sdl2 = pytest.importorskip("sdl2")
CHILD = str(Path(__file__).with_name("pad_child.py"))
DEAD = 0.1


class Virtual:
    """A controller of SDL's own, in this process, and the hands that hear it."""

    def __init__(self, mapping: str | None = None) -> None:
        self.pad = Gamepad(load_mapping(mapping), DEAD)
        self.pad.open()
        self.joystick: Any = None

    def plug(self, kind: int = sdl2.SDL_JOYSTICK_TYPE_GAMECONTROLLER) -> None:
        self.index = sdl2.SDL_JoystickAttachVirtual(kind, len(AXES), 15, 0)
        self.joystick = sdl2.SDL_JoystickOpen(self.index)
        self.pad.orders()

    def unplug(self) -> None:
        sdl2.SDL_JoystickDetachVirtual(self.index)
        self.pad.orders()

    def push(self, **axes: float) -> list[float] | None:
        """All six shares that come of it, rounded; None: hands off."""
        for name, value in axes.items():
            sdl2.SDL_JoystickSetVirtualAxis(self.joystick, AXES.index(name), round(value * 32767))
        jog = self.pad.jog()
        return None if jog is None else np.round([*jog.linear, *jog.angular], 3).tolist()

    def press(self, name: str, down: bool = True) -> None:
        sdl2.SDL_JoystickSetVirtualButton(self.joystick, BUTTONS.index(name), down)
        sdl2.SDL_JoystickUpdate()

    def tap(self, name: str) -> None:
        self.press(name)
        self.press(name, False)


@pytest.fixture
def virtual() -> Iterator[Virtual]:
    found = Virtual()
    found.plug()
    yield found
    found.pad.close()
    found.pad.close()  # more than once


def test_sticks_push_where_they_point(virtual: Virtual) -> None:
    assert virtual.push() is None
    assert virtual.push(lefty=-1.0) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]  # away from the person is forward
    assert virtual.push(lefty=0.0, leftx=-0.5) == [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert virtual.push(leftx=0.0, righty=-1.0, rightx=1.0) == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    virtual.press("dpup")
    assert virtual.push(righty=0.0, rightx=0.0) == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def test_a_stick_that_drifts_is_hands_off(virtual: Virtual) -> None:
    """Its length counts: (0.07, 0.07) is 0.099 long, (0.08, 0.08) 0.113."""
    assert virtual.push(leftx=0.07, lefty=0.07) is None
    assert virtual.push(leftx=0.08, lefty=0.08) == [-0.08, -0.08, 0.0, 0.0, 0.0, 0.0]
    assert virtual.push(rightx=0.09) == [-0.08, -0.08, 0.0, 0.0, 0.0, 0.0]  # the other does not drag it along


def test_a_button_counts_once_however_short_it_is_pressed(virtual: Virtual) -> None:
    for name in ("start", "a", "a"):
        virtual.tap(name)
    virtual.press("y")
    verbs = (Verb.START, Verb.SUCCESS, Verb.SUCCESS, Verb.SAVE)
    assert virtual.pad.orders() == [Order(verb) for verb in verbs]
    assert virtual.pad.orders() == []  # though y is held


def test_fingers_are_told_once_and_a_trigger_slows_down(virtual: Virtual) -> None:
    virtual.tap("rightshoulder")
    jog = virtual.pad.jog()
    assert jog is not None
    assert (jog.gripper, jog.linear.any()) == (-1.0, False)
    assert virtual.pad.jog() is None
    for pushed in (0.4, 1.0):
        usual = virtual.push(lefty=-pushed, lefttrigger=-1.0)
        slow = virtual.push(lefty=-pushed, lefttrigger=1.0)
        assert usual is not None
        assert slow is not None
        moves, creeps = (live(np.array(shares[:3]), DEAD) for shares in (usual, slow))
        np.testing.assert_allclose(creeps, FINE * moves, atol=2e-3)
        assert creeps[0] > 0


def test_the_first_of_two_is_heard_and_the_other_when_it_is_gone(virtual: Virtual) -> None:
    first = virtual.joystick, virtual.index
    virtual.plug()
    assert virtual.push(lefty=-1.0) is None
    assert virtual.pad.orders() == []
    second = virtual.joystick
    virtual.joystick, virtual.index = first
    assert virtual.push(lefty=1.0) == [-1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    virtual.unplug()
    assert virtual.pad.missing == ""
    assert virtual.pad.jog() is None  # whatever it is pushed to since nobody heard it
    virtual.joystick = second
    assert virtual.push(lefty=-0.5) == [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_one_that_is_unplugged_lets_go_and_one_that_comes_is_taken(virtual: Virtual) -> None:
    virtual.push(lefty=-1.0)
    virtual.unplug()
    assert virtual.pad.missing == NOT_THERE
    assert virtual.pad.jog() is None
    virtual.plug()
    assert virtual.pad.missing == ""
    assert virtual.push(leftx=1.0) == [0.0, -1.0, 0.0, 0.0, 0.0, 0.0]


def test_something_that_is_no_controller_is_told_by_its_name(virtual: Virtual) -> None:
    virtual.unplug()
    virtual.plug(sdl2.SDL_JOYSTICK_TYPE_FLIGHT_STICK)
    assert virtual.pad.missing.startswith("SDL does not know 'Virtual Flight Stick': put its line")
    assert virtual.push(lefty=-1.0) is None
    virtual.unplug()
    assert virtual.pad.missing == NOT_THERE


def test_a_file_says_what_sticks_do_and_replaces_sections(tmp_path: Path) -> None:
    path = tmp_path / "pad.yaml"
    path.write_text("move: {up: [a, b], left: righttrigger}\norders: {lefttrigger: stop}\n")
    virtual = Virtual(str(path))
    virtual.plug()
    try:
        virtual.press("b")
        assert virtual.push(lefty=-1.0, righttrigger=1.0) == [0.0, 1.0, -1.0, 0.0, 0.0, 0.0]
        for lefttrigger in (0.6, 0.9, 0.7, 0.4, 1.0):  # beyond the half of its way it is down
            virtual.push(righttrigger=-1.0, lefttrigger=2 * lefttrigger - 1)
        assert virtual.pad.orders() == [Order(Verb.STOP)] * 2
        virtual.tap("leftshoulder")  # a section that the file does not have
        jog = virtual.pad.jog()
        assert jog is not None
        assert jog.gripper == 1.0
    finally:
        virtual.pad.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("axes: {}", r"no section 'axes'; valid: move, fingers, fine, orders$"),
        (
            "move: {forwards: lefty}",
            r"no direction 'forwards'; did you mean 'forward'\? valid: forward",
        ),
        ("move: {left: [a, b, x]}", r"\['a', 'b', 'x'\] is not an input, such as -lefty, nor two"),
        ("orders: {a: quality}", r"no order 'quality'; .*valid: start, stop, success"),
        ("orders: {l1: start}", r"no input 'l1'; .*valid: leftx"),
        ("move: 3", r"move is no table, such as"),
        ("- a", r"has none of: move, fingers, fine, orders$"),
        ("a: {", r"cannot be read"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "pad.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=rf"^{path}: {reason}") as found:
        load_mapping(str(path))
    assert "\n" not in str(found.value)


class Player:
    """Who holds the controller of a collecting process."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        deadline_s = time.monotonic() + PATIENCE_S
        while self._socket.connect_ex(str(path)):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        self._socket.settimeout(PATIENCE_S)
        self._lines = self._socket.makefile("rw")

    def do(self, *words: object) -> None:
        self._lines.write(" ".join(map(str, words)) + "\n")
        self._lines.flush()
        assert self._lines.readline() == "done\n"

    def tap(self, name: str, person: Terminal, until: str) -> None:
        """It is let go of once it is seen to have done something."""
        self.do("button", BUTTONS.index(name), 1)
        person.wait(until)
        self.do("button", BUTTONS.index(name), 0)


@pytest.mark.e2e
def test_a_person_with_a_gamepad_records_labels_and_pulls_the_plug(tmp_path: Path) -> None:
    words = ["operator=gamepad", "task=fetch_reach", f"out={tmp_path}/data", "episodes=3", "countdown_s=0"]
    program = (CHILD, str(tmp_path / "pad"))
    with terminal(*words, "operator.stop_at_success=false", program=program) as person:
        person.wait(NOT_THERE)
        player = Player(tmp_path / "pad")
        person.press(b"\r")  # nothing begins without it
        player.do("plug")
        person.wait(r"gamepad  Virtual Controller")
        player.tap("start", person, r"RECORDING   step \d+ of 500")
        player.do("axis", AXES.index("lefty"), -1.0)
        person.wait(r"step [5-9]\d of")
        player.do("axis", AXES.index("lefty"), 0.05)  # let go; it drifts
        person.wait(r"step 1\d\d of")
        player.tap("a", person, r"REVIEWING")
        person.press(b"4")  # keys beside it
        person.wait(r"said     success, quality 4")
        player.tap("y", person, r"saved; 1 of 3 good episodes")
        player.tap("start", person, r"RECORDING   step \d+ of 500")
        player.do("unplug")
        person.wait(NOT_THERE)
        player.do("plug")
        person.wait(r"gamepad  Virtual Controller")
        player.tap("start", person, r"RECORDING   step \d+ of 500")
        player.tap("back", person, r"discarded")
        person.press(b"\x03")  # which SDL would have taken
        assert person.end() == 130
        assert person.now() == person.modes
    dataset = Dataset.open(tmp_path / "data")
    first, second = dataset.episodes
    assert (first.meta.success, first.meta.quality, first.meta.end_reason) == (True, 0.75, "operator")
    assert second.meta.end_reason == "disconnect"
    episode = dataset.load(first)
    pushed = np.flatnonzero(episode.action[:, 0])
    assert len(pushed) > 25
    assert (np.diff(pushed) == 1).all()
    assert (episode.action[:, 0] >= 0).all()
    assert (episode.action[:, 1:] == 0).all()
    assert (episode.actor == Actor.HUMAN).all()
    acted = np.flatnonzero(~np.isnan(episode.action_operator[:, 0]))
    assert (np.diff(acted) == 1).all()
    assert acted[-1] < pushed[-1] < len(episode) - 1  # let go, it comes to rest by itself, and is at rest
