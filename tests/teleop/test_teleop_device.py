"""What all hands share that are a device beside a terminal."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import envs
from data_collection.operators.gamepad import GamepadConfig, GamepadOperator
from data_collection.operators.keyboard import KeyboardConfig, KeyboardOperator
from data_collection.operators.spacemouse import SpaceMouseConfig, SpaceMouseOperator
from data_collection.teleop.devices.device import DeviceHands
from data_collection.teleop.devices.pad_mapping import AXES, BUTTONS
from data_collection.teleop.hands import Jog, Order, Status, Verb
from data_collection.teleop.terminal.legend import Piece, row
from robot_orl.errors import UsageError
from robot_orl.tasks import spec_of

GONE = "no such thing is there"


class Thing:
    """A device that does what it is told."""

    def __init__(self, is_there: bool = True) -> None:
        self.missing = "" if is_there else GONE
        self.given: list[Order] = []
        self.said: Jog | None = None
        self.heard: list[str] = []

    def open(self) -> None:
        self.heard.append("open")

    def jog(self) -> Jog | None:
        return self.said

    def orders(self) -> Sequence[Order]:
        given, self.given = self.given, []
        return given

    def legend(self) -> Sequence[Sequence[Piece]]:
        return [row("thing", [("knob", "this and that")])]

    def begin(self) -> None:
        self.heard.append("begin")

    def close(self) -> None:
        self.heard.append("close")


def hands_of(thing: Thing) -> DeviceHands:
    return DeviceHands("thing", thing, "fetch_reach", np.eye(3), alone=True)


def test_nothing_begins_without_the_device_and_what_was_begun_can_be_ended() -> None:
    thing = Thing(is_there=False)
    hands = hands_of(thing)
    thing.given = [Order(verb) for verb in (Verb.START, Verb.REDO, Verb.SAVE, Verb.QUIT)]
    assert hands.orders() == [Order(Verb.SAVE), Order(Verb.QUIT)]
    assert not hands.present()
    thing.missing = ""
    thing.given = [Order(Verb.START)]
    assert hands.orders() == [Order(Verb.START)]
    assert hands.present()


def test_alone_a_device_that_is_not_there_is_an_error_and_is_closed() -> None:
    thing = Thing(is_there=False)
    with pytest.raises(UsageError, match=f"^operator=thing: {GONE}$"):
        hands_of(thing).open()
    assert thing.heard == ["open", "close"]


def test_a_device_is_told_once_that_an_episode_begins() -> None:
    thing = Thing()
    hands = hands_of(thing)
    for state in ("idle", "countdown", "recording", "recording", "reviewing", "recording"):
        hands.show(Status(state), [])
    assert thing.heard == ["begin", "begin"]


def test_a_person_beside_a_policy_takes_over_with_a_gamepad_without_a_jump() -> None:
    """Its actions go on from the one executed last, and it needs no terminal."""
    sdl2 = pytest.importorskip("sdl2")
    env = envs.make("fetch_reach")
    person = GamepadOperator(GamepadConfig(), spec_of(env)).stand_by(env)
    obs, _ = env.reset(seed=0)
    sdl2.SDL_InitSubSystem(sdl2.SDL_INIT_JOYSTICK)
    index = sdl2.SDL_JoystickAttachVirtual(sdl2.SDL_JOYSTICK_TYPE_GAMECONTROLLER, len(AXES), len(BUTTONS), 0)
    try:
        person.open()
        stick = sdl2.SDL_JoystickOpen(index)
        person.begin(np.random.default_rng(0))
        assert person.action(obs) is None
        last = np.array([0.5, -0.2, 0.0, -1.0], np.float32)
        person.executed(last)
        sdl2.SDL_JoystickSetVirtualAxis(stick, AXES.index("lefty"), -32768)
        first = person.action(obs)
        assert first is not None
        change = 1.0 / (0.15 * 25) + 1e-6  # of a tick, at 25 Hz
        assert np.abs(first[:3] - last[:3]).max() <= change
        assert first[3] == -1.0  # the fingers go on doing what they did
        sdl2.SDL_JoystickSetVirtualAxis(stick, AXES.index("lefty"), 0)
        assert person.action(obs) is None
    finally:
        person.close()
        sdl2.SDL_JoystickDetachVirtual(index)
        sdl2.SDL_QuitSubSystem(sdl2.SDL_INIT_JOYSTICK)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda spec: KeyboardOperator(KeyboardConfig(), spec), "keyboard"),
        (lambda spec: GamepadOperator(GamepadConfig(), spec), "gamepad"),
        (lambda spec: SpaceMouseOperator(SpaceMouseConfig(), spec), "spacemouse"),
    ],
)
def test_in_a_task_with_joints_only_hands_that_move_a_tool_are_refused(
    door: Any, make: Callable[[Any], Any], name: str
) -> None:
    reason = rf"^operator={name} moves a tool, and task 'adroit_door' has joints only; operator=browser has"
    with pytest.raises(UsageError, match=reason):
        make(spec_of(door)).make_hands(door)


@pytest.fixture(scope="module")
def door() -> Any:
    return envs.make("adroit_door")


@pytest.mark.parametrize(
    ("operator", "cfg", "modules", "extra"),
    [
        (GamepadOperator, GamepadConfig(), ["sdl2"], "gamepad"),
        (SpaceMouseOperator, SpaceMouseConfig(), ["hid", "hidraw"], "spacemouse"),
    ],
)
def test_a_library_that_is_missing_is_one_line_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, operator: Any, cfg: Any, modules: list[str], extra: str
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    env = envs.make("fetch_reach")
    with pytest.raises(UsageError, match=rf"^operator={extra} needs .*: pip install 'robot-orl\[{extra}\]'$"):
        operator(cfg, spec_of(env)).make_hands(env)
