"""`operator=spacemouse` with reports as these devices send them."""

import os
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from terminal_toys import PATIENCE_S, terminal

from data_collection.teleop.devices.spacemouse import LOOK_S, MOST_REPORTS, NOT_THERE, STALE_S, SpaceMouse
from data_collection.teleop.hands import Order, Verb
from data_collection.teleop.settings import AXES
from robot_orl.data.store.reader import Dataset
from robot_orl.types import Actor

FAKE = str(Path(__file__).with_name("fake_hid"))
REST = [0.0] * 6
COMPACT = "SpaceMouse Compact"


def motion(*numbers: int, kind: int = 1) -> bytes:
    """Three numbers: an older one's report; six: a newer one's."""
    return struct.pack(f"<B{len(numbers)}h", kind, *numbers)


def buttons(bits: int) -> bytes:
    return struct.pack("<BI", 3, bits)


class Line:
    """In the place of hidapi's module: one device that says what was queued."""

    def __init__(self, *found: dict[str, Any]) -> None:
        one = {
            "path": b"/dev/hidraw0",
            "vendor_id": 0x256F,
            "product_id": 0xC635,
            "usage_page": 1,
            "usage": 8,
        }
        self.found = list(found) or [{**one, "product_string": "SpaceMouse Compact"}]
        self.reports: list[bytes] = []
        self.opened: list[bytes] = []
        self.is_broken = False

    def enumerate(self, vendor_id: int, product_id: int) -> list[dict[str, Any]]:
        return [found for found in self.found if found["vendor_id"] == vendor_id]

    def device(self) -> "Line":
        return self

    def open_path(self, path: bytes) -> None:
        if self.is_broken:
            raise OSError("open failed")
        self.opened.append(path)

    def set_nonblocking(self, value: int) -> None: ...

    def close(self) -> None: ...

    def read(self, size: int) -> list[int]:
        if self.is_broken:
            raise OSError("read error")
        return list(self.reports.pop(0)) if self.reports else []


class Person:
    def __init__(self, *found: dict[str, Any], ways: tuple[str, ...] = AXES) -> None:
        self.now_s = 100.0
        self.line = Line(*found)
        does = ("close", "open", "", "start")
        self.mouse = SpaceMouse(self.line, does, 350.0, 0.1, ways, lambda: self.now_s)
        self.mouse.open()

    def pushes(self, *reports: bytes) -> list[float]:
        self.line.reports += reports
        jog = self.mouse.jog()
        return REST if jog is None else [round(float(share), 3) for share in (*jog.linear, *jog.angular)]


def test_the_cap_pushes_where_it_is_pushed() -> None:
    """It reports right, towards the person, and down."""
    person = Person()
    assert person.pushes() == REST
    assert person.pushes(motion(0, -350, 0, 0, 0, 0)) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert person.pushes(motion(-175, 0, 0, 0, 0, 0)) == [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert person.pushes(motion(0, 0, -500, 0, 0, 0)) == [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]  # at most all the way
    assert person.pushes(motion(0, 0, 0, 0, -350, 0)) == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]  # its right side down
    assert person.pushes(motion(0, 0, 0, -350, 0, 0)) == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # its front down
    assert person.pushes(motion(0, 0, 0, 0, 0, -350)) == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]  # counterclockwise
    assert person.pushes(motion(0, 0, 0, 0, 0, 0)) == REST


def test_older_ones_say_the_same_in_two_reports() -> None:
    person = Person()
    assert person.pushes(motion(0, -350, 0)) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert person.pushes(motion(0, 0, -350, kind=2)) == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert person.pushes(motion(0, 0, 0)) == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert person.pushes(motion(0, 0, 0, kind=2)) == REST


def test_a_cap_that_is_nearly_at_rest_is_hands_off_and_one_part_does_not_drag_the_other() -> None:
    person = Person()
    assert person.pushes(motion(20, 20, 20, 0, 0, 0)) == REST  # 0.099 of the way
    assert person.pushes(motion(0, -350, 0, 30, 0, 0)) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_turns_that_a_task_does_not_have_are_no_hands() -> None:
    assert Person(ways=AXES[:3]).pushes(motion(0, 0, 0, 350, 350, 350)) == REST


def test_a_cap_that_is_no_longer_heard_of_is_let_go() -> None:
    person = Person()
    person.pushes(motion(0, -350, 0, 0, 0, 0))
    person.now_s += STALE_S
    assert person.pushes() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    person.now_s += 0.01
    assert person.pushes() == REST


def test_a_button_counts_once_and_opens_closes_or_orders() -> None:
    person = Person()
    person.line.reports += [buttons(1)]
    jog = person.mouse.jog()
    assert jog is not None
    assert jog.gripper == -1.0
    assert person.mouse.jog() is None
    person.line.reports += [buttons(0b1001), buttons(0), buttons(0b1000), buttons(0b1110)]
    assert person.mouse.orders() == [Order(Verb.START), Order(Verb.START)]
    jog = person.mouse.jog()
    assert jog is not None
    assert jog.gripper == 1.0


def test_reports_that_mean_nothing_change_nothing() -> None:
    person = Person()
    nonsense = [b"\x01", b"\x01\xff\xff", b"\x17\x64", b"\x02", b"\xff" * 64, b"\x03"]
    assert person.pushes(*nonsense) == REST
    assert person.mouse.orders() == []


def test_a_device_that_floods_the_line_does_not_stop_the_loop() -> None:
    person = Person()
    person.pushes(*[motion(0, -350, 0)] * 1000)
    assert len(person.line.reports) == 1000 - MOST_REPORTS


def test_one_that_is_unplugged_lets_go_and_one_that_comes_back_is_found() -> None:
    person = Person()
    person.pushes(motion(0, -350, 0))
    person.line.is_broken = True
    assert person.pushes() == REST
    assert person.mouse.missing == NOT_THERE
    person.line.is_broken = False
    person.now_s += LOOK_S
    assert person.pushes() == REST  # it is not known to be pushed yet
    assert person.mouse.missing == ""
    assert person.pushes(motion(0, -350, 0)) == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_other_things_of_the_same_makers_are_not_taken() -> None:
    keyboard = {"path": b"1", "vendor_id": 0x046D, "product_id": 0xC31C, "usage_page": 1, "usage": 6}
    receiver = {"path": b"2", "vendor_id": 0x256F, "product_id": 0xC652, "usage_page": 1, "usage": 2}
    mouse = {**receiver, "path": b"3", "usage": 8}
    person = Person(keyboard, receiver, mouse)
    assert person.line.opened == [b"3"]
    navigator = {"path": b"4", "vendor_id": 0x046D, "product_id": 0xC626, "usage_page": 0, "usage": 0}
    assert Person(keyboard, navigator).line.opened == [b"4"]


def test_one_that_may_not_be_read_is_told_with_the_rule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "hidraw7"
    path.touch()
    person = Person()
    person.line.is_broken = True
    person.pushes()
    person.line.found[0]["path"] = os.fsencode(path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read all there is
    person.now_s += LOOK_S
    person.pushes()
    rule = 'SUBSYSTEM=="hidraw", ATTRS{idVendor}=="256f", ATTRS{idProduct}=="c635", MODE="0666"'
    assert person.mouse.missing.startswith(
        f"{path} (SpaceMouse Compact) may not be read by this user; once: "
    )
    assert rule in person.mouse.missing


def test_what_is_used_of_hidapi_is_there() -> None:
    hidraw = pytest.importorskip("hidraw")
    assert all("usage_page" in found for found in hidraw.enumerate(0x256F, 0))
    with pytest.raises(OSError, match="open failed"):
        hidraw.device().open_path(b"/dev/nothing-at-all")
    with pytest.raises(ValueError, match="not open"):
        hidraw.device().read(64)
    assert callable(hidraw.device().set_nonblocking)
    hidraw.device().close()


class Mouse:
    """One of the folder that a collecting process looks into, see `fake_hid`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "256f:c635"
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.settimeout(PATIENCE_S)
        self._server.bind(str(self.path))
        self._server.listen()
        self._line, _ = self._server.accept()

    def say(self, report: bytes) -> None:
        self._line.send(report)

    def push_until(self, look: Callable[[], object], report: bytes) -> None:
        """As it does: again and again for as long as the cap is not at rest."""
        while not look():
            self.say(report)

    def unplug(self) -> None:
        self.path.unlink()
        self._line.close()
        self._server.close()


@pytest.mark.e2e
def test_a_person_with_a_spacemouse_records_tilts_and_unplugs(tmp_path: Path) -> None:
    folder = tmp_path / "hid"
    folder.mkdir()
    words = ["operator=spacemouse", "task=arm_reach", f"out={tmp_path}/data", "episodes=3", "countdown_s=0"]
    words += ["operator.stop_at_success=false", "operator.buttons=[close,start,stop]"]
    with terminal(*words, PYTHONPATH=FAKE, FAKE_HID=str(folder)) as person:
        person.wait(NOT_THERE)
        mouse = Mouse(folder)
        person.wait(r"mouse    SpaceMouse Compact")
        person.press(b"G7\r")
        mouse.say(buttons(0b010))
        person.wait(r"RECORDING   step \d+ of")
        mouse.say(buttons(0))
        mouse.push_until(lambda: re.search(r"step [2-9]\d of", person.look()), motion(0, -200, 0, 0, 0, 0))
        person.wait(r"step [2-9]\d of")
        mouse.push_until(lambda: re.search(r"step [6-9]\d of", person.look()), motion(0, 0, 0, -200, 0, 0))
        mouse.say(motion(0, 0, 0, 0, 0, 0))
        mouse.say(buttons(0b001))
        person.wait(r"step 1\d\d of")
        mouse.say(buttons(0b100))
        person.wait(r"REVIEWING")
        person.press(b"y5S")
        person.wait(r"saved; 1 of 3 good episodes")
        mouse.say(buttons(0b010))
        person.wait(r"RECORDING   step \d+ of")
        mouse.unplug()
        person.wait(NOT_THERE)
        person.press(b"Q")
        assert person.end() == 0
    dataset = Dataset.open(tmp_path / "data")
    first, second = dataset.episodes
    assert (first.meta.operator, first.meta.success, first.meta.quality) == ("spacemouse", True, 1.0)
    assert first.meta.seed == 7
    assert (first.meta.end_reason, second.meta.end_reason) == ("operator", "disconnect")
    episode = dataset.load(first)
    obs, names = episode.obs["observation"], [s.name for s in dataset.spec.observation["observation"]]
    tool = obs[:, [names.index(f"tool_pos_{axis}") for axis in "xyz"]]
    assert tool[-1, 0] - tool[0, 0] > 0.02  # forward, as the cap was pushed first
    assert np.abs(tool[-1, 1] - tool[0, 1]) < 0.02
    bending = ("shoulder_lift", "elbow_flex", "wrist_flex")
    pitch = sum(obs[:, names.index(f"{joint}_pos")] for joint in bending)
    assert pitch[-1] - pitch[0] > 0.2  # its front was pushed down, and so it tilts down
    gripper = obs[:, names.index("gripper_pos")]
    assert gripper[-1] < gripper[0]
    assert (episode.actor == Actor.HUMAN).all()
    acted = ~np.isnan(episode.action_operator[:, 0])
    assert acted.sum() > 30
    assert not acted[-1]
