"""What is seen and done beside a virtual arm."""

import select
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from virtual_arm_toys import make_arm

from robot_orl.deploy.virtual.arm import VirtualArm
from robot_orl.deploy.virtual.beside import actions
from robot_orl.deploy.virtual.world import World, WorldSocket
from robot_orl.errors import UsageError


@contextmanager
def world_of(arm: VirtualArm, path: Path) -> Iterator[World]:
    """What is done beside an arm that does not run; its socket is looked after in a thread."""
    server = WorldSocket(path, actions(arm))
    server.open()
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            select.select(server.filenos(), [], [], 0.01)
            server.poll()

    thread = threading.Thread(target=serve)
    thread.start()
    world = World(path)
    try:
        yield world
    finally:
        world.close()
        stop.set()
        thread.join()
        server.close()


def test_one_sees_where_things_are(tmp_path: Path) -> None:
    arm = make_arm(tmp_path / "arm")
    arm.mechanics.data.joint("pan").qpos[0] = 0.25
    with world_of(arm, tmp_path / "world") as world:
        seen = world.do("look")
    assert seen["joints"] == {"pan": 0.25, "lift": 0.0}
    assert seen["torque_on"] == {"pan": False, "lift": False}
    assert not (tmp_path / "world").exists()


def test_a_hand_moves_limp_joints_and_lets_go(tmp_path: Path) -> None:
    arm = make_arm(tmp_path / "arm")

    def step() -> None:
        for _ in range(600):
            for number, servo in enumerate(arm.bus.servos):
                drive = servo.tick(arm.mechanics.shaft(number), 0, arm.mechanics.step_s)
                arm.mechanics.drive(number, drive)
            arm.mechanics.step()

    with world_of(arm, tmp_path / "world") as world:
        world.do("hold", joints={"lift": 0.6})
        step()
        assert world.do("look")["joints"]["lift"] == pytest.approx(0.6, abs=0.02)
        assert arm.bus.servos[1].table["present_current"] == 0  # that was no motor
        world.do("let_go")
        step()
        assert world.do("look")["joints"]["lift"] < 0.0


def test_what_cannot_be_done_beside_the_arm_is_said(tmp_path: Path) -> None:
    with world_of(make_arm(tmp_path / "arm"), tmp_path / "world") as world:
        for action, arguments, answer in (
            ("shout", {}, "no action 'shout'; valid: look, hold, let_go, fault"),
            ("hold", {"joints": {"pen": 1.0}}, "no joint 'pen'"),
            ("hold", {"joints": {"pan": "far"}}, "pan='far' is no angle"),
            ("hold", {}, "hold takes joints"),
            ("fault", {"event": "now"}, "is not TIME:WHAT"),
            ("fault", {"event": "0:missing:9"}, "no servo '9'"),
        ):
            with pytest.raises(UsageError, match=answer):
                world.do(action, **arguments)
        world._socket.sendall(b"{nonsense\n[1]\n")
        assert b"no JSON" in world._lines.readline()
        assert b"a line is an object" in world._lines.readline()
        assert world.do("look")["time_s"] == 0.0
    with pytest.raises(UsageError, match="no virtual arm answers at"):
        World(tmp_path / "world")


@pytest.mark.parametrize(
    "line",
    [
        b'{"do": []}',
        b'{"do": {}}',
        b'{"do": null}',
        b"[" * 60_000,
        b'{"do": "look", "x": ' + b"9" * 5_000 + b"}",
        b'{"do": "hold", "joints": {"pan": ' + b"9" * 400 + b"}}",
        b'{"do": "hold", "joints": {"pan": NaN}}',
        b'{"do": "hold", "joints": [[]]}',
        b'{"do": "fault", "event": "1e300:hang_up"}',
        b'{"do": "fault", "event": {}}',
        b"\xff",
    ],
    ids=lambda line: line[:30].decode(errors="replace"),
)
def test_a_bad_line_is_answered_and_the_next_one_too(tmp_path: Path, line: bytes) -> None:
    socket = WorldSocket(tmp_path / "world", actions(make_arm(tmp_path / "arm")))
    answer = socket._answer(line)
    assert answer["ok"] is False
    assert answer["error"]
    assert socket._answer(b'{"do": "look"}')["ok"] is True


def test_whatever_an_action_raises_about_its_words_is_an_answer(tmp_path: Path) -> None:
    def trip(request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"n": float(10 ** len(request["words"]))}

    socket = WorldSocket(tmp_path / "world", {"trip": trip})
    assert socket._answer(b'{"do": "trip", "words": "a"}') == {"ok": True, "n": 10.0}
    for words in (b"1", b'"' + b"a" * 400 + b'"'):
        answer = socket._answer(b'{"do": "trip", "words": ' + words + b"}")
        assert answer["ok"] is False
        assert answer["error"].startswith("cannot do that: ")


def test_a_socket_is_not_made_over_somebody_elses_file(tmp_path: Path) -> None:
    (tmp_path / "world").write_text("mine")
    with pytest.raises(UsageError, match="cannot make the socket"):
        WorldSocket(tmp_path / "world", {}).open()
    assert (tmp_path / "world").read_text() == "mine"
