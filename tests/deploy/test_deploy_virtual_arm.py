"""A virtual arm with a port of its own, as the maker's SDK and the operating system see it."""

import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mujoco
import pytest
import serial
from children import child
from deploy_toys import FakeClock
from dynamixel_sdk import (
    COMM_RX_CORRUPT,
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    GroupSyncRead,
    GroupSyncWrite,
    PacketHandler,
    PortHandler,
)

from robot_orl.deploy.dynamixel.registers import XL330_M288, XL430_W250
from robot_orl.deploy.timing import Clock, RealClock
from robot_orl.deploy.virtual.arm import VirtualArm, make_servos
from robot_orl.deploy.virtual.beside import actions
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.faults import Event, FaultsConfig, LineFaults
from robot_orl.deploy.virtual.mechanics import KOCH, Mechanics, Mount, assembled
from robot_orl.deploy.virtual.motor import Drive
from robot_orl.deploy.virtual.port import PseudoTerminal
from robot_orl.deploy.virtual.world import World, WorldSocket
from robot_orl.errors import UsageError

TORQUE, GOAL, POSITION, ERROR_STATUS, DELAY = 64, 116, 132, 70, 9
# Two joints about vertical axes: `pan` free of gravity, `lift` about a horizontal one.
XML = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <body>
      <joint name="pan" axis="0 0 1" damping="0.2" armature="0.01"/>
      <geom type="box" size="0.1 0.01 0.01" mass="0.1"/>
    </body>
    <body pos="0 1 0">
      <joint name="lift" axis="0 1 0" damping="0.05" armature="0.003"/>
      <geom type="box" size="0.1 0.01 0.01" pos="-0.1 0 0" mass="0.05"/>
    </body>
  </worldbody>
  <actuator>
    <position name="lift" joint="lift" kp="3" forcerange="-0.4 0.4"/>
    <position name="pan" joint="pan" kp="5" kv="0.1"/>
  </actuator>
</mujoco>
"""
MOUNTS = (
    Mount("pan", 1, XL430_W250, direction=-1, offset=100),
    Mount("lift", 2, XL330_M288, offset=-50),
)


def make_mechanics() -> Mechanics:
    model = mujoco.MjModel.from_xml_string(XML)
    return Mechanics(model, mujoco.MjData(model), MOUNTS)


@contextmanager
def running(link: Path, faults: FaultsConfig | None = None) -> Iterator[VirtualArm]:
    """A virtual arm in a thread, at `link`."""
    faults = faults or FaultsConfig()
    mechanics = make_mechanics()
    bus = VirtualBus(make_servos(mechanics, 1_000_000, 0), LineFaults(faults))
    events = [Event.parse(text) for text in faults.events]
    arm = VirtualArm(mechanics, bus, PseudoTerminal(link), RealClock(), events)
    stop = threading.Event()
    thread = threading.Thread(target=arm.run, args=(stop.is_set,))
    thread.start()
    try:
        wait_for(link.is_symlink)
        yield arm
    finally:
        stop.set()
        thread.join()


def make_arm(link: Path, clock: Clock | None = None) -> VirtualArm:
    """One that does not run."""
    mechanics = make_mechanics()
    bus = VirtualBus(make_servos(mechanics, 1_000_000, 0))
    return VirtualArm(mechanics, bus, PseudoTerminal(link), clock or RealClock())


def turn_until(arm: VirtualArm, clock: FakeClock, at_s: float) -> None:
    """Let what is planned happen, each at its time; at_s: since the clock was made."""
    for time_ns in range(clock.time_ns, FakeClock().time_ns + round(at_s * 1e9) + 1, 100_000_000):
        clock.time_ns = time_ns
        arm._turn(time_ns)


@contextmanager
def sdk_at(link: Path) -> Iterator[tuple[PortHandler, PacketHandler]]:
    port = PortHandler(str(link))
    assert port.openPort()
    assert port.setBaudRate(1_000_000)
    try:
        yield port, PacketHandler(2.0)
    finally:
        port.closePort()


def wait_for(condition: Callable[[], bool], at_most_s: float = 20.0) -> None:
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


# --- joints and motors -----------------------------------------------------------------------------------


def test_ticks_and_angles_by_hand() -> None:
    """A quarter turn is 1024 ticks; mounted the other way round it counts down."""
    pan = MOUNTS[0]
    assert pan.ticks(0.0) == 2148
    assert pan.ticks(3.141592653589793 / 2) == pytest.approx(2148 - 1024)
    assert pan.angle(pan.ticks(0.3)) == pytest.approx(0.3)


def test_arms_are_assembled_differently_and_repeatably() -> None:
    assert assembled(KOCH, 0, 0) == KOCH
    assert assembled(KOCH, 1, 400) == assembled(KOCH, 1, 400) != assembled(KOCH, 2, 400)
    assert all(abs(mount.offset) <= 400 for seed in range(20) for mount in assembled(KOCH, seed, 400))


def test_a_drive_reaches_its_target_and_no_further_than_its_torque_allows() -> None:
    mechanics = make_mechanics()
    assert mechanics.max_torques == [1.5, 0.4]  # the model's limit, else the motor's stall torque
    for _ in range(1_000):
        mechanics.drive(0, Drive(MOUNTS[0].ticks(0.5), torque_limit=1.5, stiffness=5.0))
        mechanics.step()
    assert mechanics.data.joint("pan").qpos[0] == pytest.approx(0.5, abs=0.01)
    assert mechanics.shaft(0).position == pytest.approx(MOUNTS[0].ticks(0.5), abs=7)
    mechanics.drive(0, Drive(MOUNTS[0].ticks(3.0), torque_limit=0.1, stiffness=5.0))
    mechanics.step()
    assert mechanics.data.joint("pan").qfrc_actuator[0] == pytest.approx(0.1)
    assert mechanics.shaft(0).torque == pytest.approx(-0.1)  # its servo is mounted the other way round


def test_without_torque_gravity_has_its_way() -> None:
    mechanics = make_mechanics()
    for _ in range(500):
        mechanics.drive(1, Drive(MOUNTS[1].ticks(0.0)))
        mechanics.step()
    assert mechanics.data.joint("lift").qpos[0] < -0.5


def test_within_the_play_of_its_gear_a_joint_is_not_moved() -> None:
    model = mujoco.MjModel.from_xml_string(XML)
    mechanics = Mechanics(model, mujoco.MjData(model), MOUNTS, play=0.1)
    for target, moves in ((0.049, False), (-0.049, False), (0.06, True)):
        mechanics.drive(0, Drive(MOUNTS[0].ticks(target), torque_limit=1.5, stiffness=5.0))
        mechanics.step()
        torque = mechanics.data.joint("pan").qfrc_actuator[0]
        assert torque == pytest.approx(5.0 * 0.01 if moves else 0.0, abs=1e-9)


def test_servos_of_one_bus_share_a_rate_that_all_of_them_have() -> None:
    mechanics = make_mechanics()
    assert {servo.baud_rate for servo in make_servos(mechanics, 4_000_000, 0)} == {4_000_000}
    with pytest.raises(UsageError, match="baud=4500000 is none of a servo's rates"):
        make_servos(mechanics, 4_500_000, 0)  # the XL430 could


def test_a_torque_acts_on_the_joint() -> None:
    mechanics = make_mechanics()
    mechanics.drive(0, Drive(0.0, torque=0.2))
    mechanics.step()
    mechanics.step()
    assert mechanics.shaft(0).torque == pytest.approx(0.2)
    assert mechanics.data.joint("pan").qvel[0] < 0


def test_a_model_without_the_joints_is_refused() -> None:
    model = mujoco.MjModel.from_xml_string(XML)
    with pytest.raises(UsageError, match="has no joint 'shoulder_pan'"):
        Mechanics(model, mujoco.MjData(model), KOCH)


# --- the port --------------------------------------------------------------------------------------------


def test_a_link_left_behind_is_replaced_and_the_own_one_removed(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    link.symlink_to("/dev/pts/12345")
    port = PseudoTerminal(link)
    port.open()
    assert os.readlink(link) == port.target != "/dev/pts/12345"
    port.close()
    port.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_somebody_elses_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "tty").symlink_to("/dev/ttyUSB0")
    for name in ("file", "link", "tty"):
        with pytest.raises(UsageError, match="is no virtual arm's link; choose another port="):
            PseudoTerminal(tmp_path / name).open()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "tty"]
    with pytest.raises(UsageError, match="there is no folder"):
        PseudoTerminal(tmp_path / "nowhere" / "arm").open()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the claim is Linux's")
def test_two_arms_do_not_share_a_port(tmp_path: Path) -> None:
    one, two = PseudoTerminal(tmp_path / "arm"), PseudoTerminal(tmp_path / "arm")
    one.open()
    with pytest.raises(UsageError, match="another virtual arm is at"):
        two.open()
    assert os.readlink(tmp_path / "arm") == one.target
    one.close()
    two.open()
    two.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the claim is Linux's")
def test_a_claimed_port_shows_nothing_until_it_is_open(tmp_path: Path) -> None:
    one, two = PseudoTerminal(tmp_path / "arm"), PseudoTerminal(tmp_path / "arm")
    one.claim()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="another virtual arm is at"):
        two.claim()
    one.open()
    assert os.readlink(tmp_path / "arm") == one.target
    one.close()


def test_whoever_sees_the_port_may_use_the_world(tmp_path: Path) -> None:
    seen = []

    class Slow(PseudoTerminal):
        def open(self) -> None:
            seen.append((tmp_path / "world").is_socket())
            super().open()

    arm = make_arm(tmp_path / "arm")
    arm.world = WorldSocket(tmp_path / "world", {})
    arm.port = Slow(tmp_path / "arm")
    arm.run(lambda: True)
    assert seen == [True]
    assert list(tmp_path.iterdir()) == []


def test_two_arms_in_a_deep_folder_have_a_port_each(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    ports = [PseudoTerminal(folder / name) for name in ("left", "right", "\udcff")]
    for port in ports:
        port.open()
    assert len({os.readlink(port.link) for port in ports}) == 3
    for port in ports:
        port.close()


def test_a_link_that_somebody_took_over_is_not_removed(tmp_path: Path) -> None:
    port = PseudoTerminal(tmp_path / "arm")
    port.open()
    (tmp_path / "arm").unlink()
    (tmp_path / "arm").write_text("mine")
    port.close()
    assert (tmp_path / "arm").read_text() == "mine"


def test_bytes_go_through_unchanged_and_the_rate_is_seen(tmp_path: Path) -> None:
    port = PseudoTerminal(tmp_path / "arm")
    port.open()
    every = bytes(range(256))
    with serial.Serial(str(tmp_path / "arm"), 57_600, timeout=5) as other:
        assert port.baud == 57_600
        other.write(every)
        descriptor = port.fileno()
        assert descriptor is not None
        assert select.select([descriptor], [], [], 5)[0]
        assert port.read() == every
        assert port.read() == b""
        port.write(every)
        assert other.read(256) == every
        other.baudrate = 1_000_000
        assert port.baud == 1_000_000
    port.write(every)  # nobody is there
    port.close()


def test_a_hang_up_is_an_error_on_the_other_end(tmp_path: Path) -> None:
    port = PseudoTerminal(tmp_path / "arm")
    port.open()
    other = os.open(tmp_path / "arm", os.O_RDWR | os.O_NOCTTY)
    port.unplug()
    assert not os.path.lexists(tmp_path / "arm")
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        os.write(other, b"x")
    assert (port.read(), port.baud, port.fileno()) == (b"", None, None)
    port.open()
    assert os.readlink(tmp_path / "arm") == port.target
    os.close(other)
    port.close()


# --- the maker's SDK, unmodified -------------------------------------------------------------------------


def test_the_makers_sdk_pings_reads_and_writes(tmp_path: Path) -> None:
    """Each until it comes true: on a busy computer an answer may come after the SDK's 34 ms."""
    with running(tmp_path / "arm"), sdk_at(tmp_path / "arm") as (port, sdk):
        assert sdk.ping(port, 3)[1] == COMM_RX_TIMEOUT
        wait_for(lambda: sdk.ping(port, 1) == (1060, COMM_SUCCESS, 0))
        wait_for(lambda: sdk.ping(port, 2) == (1200, COMM_SUCCESS, 0))
        wait_for(lambda: sdk.read4ByteTxRx(port, 1, POSITION) == (2148, COMM_SUCCESS, 0))
        wait_for(lambda: sdk.write1ByteTxRx(port, 1, TORQUE, 1) == (COMM_SUCCESS, 0))
        wait_for(lambda: sdk.write1ByteTxRx(port, 1, DELAY, 0) == (COMM_SUCCESS, 7))  # Access Error
        wait_for(lambda: sdk.write4ByteTxRx(port, 1, GOAL, 4096) == (COMM_SUCCESS, 6))  # Data Limit Error
        wait_for(lambda: sdk.reboot(port, 1) == (COMM_SUCCESS, 0))
        wait_for(lambda: sdk.read1ByteTxRx(port, 1, TORQUE) == (0, COMM_SUCCESS, 0))


def test_the_makers_sdk_moves_the_arm_by_sync_writes_and_sees_it_by_sync_reads(tmp_path: Path) -> None:
    with running(tmp_path / "arm") as arm, sdk_at(tmp_path / "arm") as (port, sdk):
        read = GroupSyncRead(port, sdk, POSITION, 4)
        write = GroupSyncWrite(port, sdk, GOAL, 4)
        goals = {1: 2248, 2: 1798}
        for id, goal in goals.items():
            wait_for(lambda id=id: sdk.write1ByteTxRx(port, id, TORQUE, 1) == (COMM_SUCCESS, 0))  # type: ignore[misc]
            assert read.addParam(id)
            assert write.addParam(id, list(goal.to_bytes(4, "little")))
        assert write.txPacket() == COMM_SUCCESS

        def has_arrived() -> bool:
            return all(abs(read.getData(id, POSITION, 4) - goal) < 60 for id, goal in goals.items())

        wait_for(lambda: read.txRxPacket() == COMM_SUCCESS and has_arrived())
        wait_for(lambda: read.fastSyncRead() == COMM_SUCCESS and has_arrived())
    assert arm.mechanics.data.joint("pan").qpos[0] == pytest.approx(MOUNTS[0].angle(2248), abs=0.1)
    assert arm.bus.counts["unintelligible"] == 0


def test_a_client_that_shares_no_code_with_the_sdk_sees_the_same_arm(tmp_path: Path) -> None:
    """rustypot, Pollen Robotics' implementation in Rust; no dependency, so only where it is installed."""
    rustypot = pytest.importorskip("rustypot")
    definitions = {1: rustypot.Xl430PyController.definition(), 2: rustypot.Xl330PyController.definition()}
    with running(tmp_path / "arm"), rustypot.Bus(str(tmp_path / "arm"), 1_000_000, 1.0, definitions) as bus:
        assert bus.sync_read_register([1, 2], "model_number") == [1060, 1200]
        assert bus.sync_read_register([1, 2], "present_position")[0] == 2148
        bus.write_register(1, "torque_enable", 1)
        assert bus.write_register_with_error(1, "return_delay_time", 0) == 7  # Access Error
        bus.sync_write_register([1], "goal_position", [2248])
        wait_for(lambda: abs(bus.read_register(1, "present_position") - 2248) < 60)


def test_faults_of_the_line_are_errors_of_the_sdk_and_never_wrong_values(tmp_path: Path) -> None:
    faults = FaultsConfig(corrupt=0.3, garbage=0.3)
    good: list[bytes] = []
    bad = 0
    with running(tmp_path / "arm", faults), sdk_at(tmp_path / "arm") as (port, sdk):
        while len(good) < 4 or bad < 4:
            data, result, error = sdk.readTxRx(port, 1, POSITION, 4)
            assert result in (COMM_SUCCESS, COMM_RX_TIMEOUT, COMM_RX_CORRUPT)
            assert error in (0, 3)  # 3: what reached the servo was corrupt
            if (result, error) == (COMM_SUCCESS, 0):
                good.append(bytes(data))
            else:
                bad += 1
    assert set(good) == {(2148).to_bytes(4, "little")}


def test_events_happen(tmp_path: Path) -> None:
    faults = FaultsConfig(events=["0:missing:2:0.05", "0.1:shock:1", "0.15:hang_up::0.02"])
    with running(tmp_path / "arm", faults) as arm:
        wait_for(lambda: 2 in arm.bus.absent)
        wait_for(lambda: 2 not in arm.bus.absent)
        wait_for(lambda: arm.figures.happened == ["missing 2", "shock 1", "hang_up"])
        wait_for((tmp_path / "arm").is_symlink)
        with sdk_at(tmp_path / "arm") as (port, sdk):
            wait_for(lambda: sdk.ping(port, 1) == (1060, COMM_SUCCESS, 0x80))
            wait_for(lambda: sdk.read1ByteTxRx(port, 1, ERROR_STATUS)[0] == 0x10)


@pytest.mark.parametrize(
    ("events", "states"),
    [
        (["0:WHAT:2:1", "0.5:WHAT:2:1"], [True, True, False]),
        (["0:WHAT:2:2", "0.5:WHAT:2:0.1"], [True, True, False]),  # a short one within a long one
        (["0:WHAT:2:1", "0.5:WHAT:2"], [True, True, True]),  # that one is for good
        (["0:WHAT:2", "0.5:WHAT:2:0.1"], [True, True, True]),
        (["0:WHAT:2:1", "0.5:WHAT:1:1"], [True, False, False]),  # another servo's is another one
    ],
)
@pytest.mark.parametrize("what", ["missing", "voltage"])
def test_faults_that_overlap_end_with_the_last_of_them(
    tmp_path: Path, what: str, events: list[str], states: list[bool]
) -> None:
    clock = FakeClock()
    arm = make_arm(tmp_path / "arm", clock)
    servo = arm.bus.servos[1]
    for text in events:
        arm.plan(Event.parse(text.replace("WHAT", what)))
    seen = []
    for at_s in (0.7, 1.2, 3.0):
        turn_until(arm, clock, at_s)
        seen.append(servo.id in arm.bus.absent or servo.health.voltage < servo.model.nominal_voltage)
    assert seen == states


def test_a_hang_up_within_a_hang_up_is_one_and_leaves_no_terminal(tmp_path: Path) -> None:
    clock, folder = FakeClock(), Path("/dev/fd")
    arm = make_arm(tmp_path / "arm", clock)
    arm.port.open()
    descriptors = len(list(folder.iterdir()))
    for text in ("0:hang_up::1", "0.5:hang_up::1"):
        arm.plan(Event.parse(text))
    seen = []
    for at_s in (0.7, 1.2, 2.0):
        turn_until(arm, clock, at_s)
        seen.append((tmp_path / "arm").is_symlink())
    assert seen == [False, False, True]
    assert len(list(folder.iterdir())) == descriptors
    arm.port.close()


def test_a_port_that_is_opened_twice_has_one_terminal(tmp_path: Path) -> None:
    folder, port = Path("/dev/fd"), PseudoTerminal(tmp_path / "arm")
    port.open()
    descriptors = len(list(folder.iterdir()))
    port.open()
    assert len(list(folder.iterdir())) == descriptors
    assert os.readlink(tmp_path / "arm") == port.target
    port.close()
    assert list(tmp_path.iterdir()) == []


def test_an_event_for_a_servo_that_is_not_there_is_refused() -> None:
    mechanics = make_mechanics()
    bus = VirtualBus(make_servos(mechanics, 1_000_000, 0))
    with pytest.raises(UsageError, match="no servo '7'; valid: 1, 2"):
        VirtualArm(mechanics, bus, PseudoTerminal(Path("x")), RealClock(), [Event.parse("1:missing:7")])


# --- beside the arm --------------------------------------------------------------------------------------


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


# --- the command -----------------------------------------------------------------------------------------


@pytest.mark.e2e
def test_the_command_serves_an_arm_until_ctrl_c(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    command = [sys.executable, "-m", "robot_orl.cli", "virtual-arm", f"port={link}", "task=arm_reach"]
    with child(command, stdout=subprocess.PIPE, text=True) as process:
        wait_for(lambda: link.is_symlink() or process.poll() is not None, 60)
        models = {1: 1060, 2: 1060, 3: 1200, 4: 1200, 5: 1200, 6: 1200}
        with sdk_at(link) as (port, sdk):
            wait_for(lambda: {id: found[0] for id, found in sdk.broadcastPing(port)[0].items()} == models)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "another virtual arm is at" in second.stderr
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert " answers, 0 unintelligible" in said
    assert not os.path.lexists(link)


@pytest.mark.e2e
def test_things_are_put_back_while_the_arm_stays(tmp_path: Path) -> None:
    link, socket = tmp_path / "arm", tmp_path / "world"
    command = [
        sys.executable,
        "-m",
        "robot_orl.cli",
        "virtual-arm",
        f"port={link}",
        f"world={socket}",
        "seed=3",
    ]
    with child(command, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: socket.exists() or process.poll() is not None, 60)
        world = World(socket)
        world.do("hold", joints={"shoulder_pan": 0.4})
        wait_for(lambda: abs(world.do("look")["joints"]["shoulder_pan"] - 0.4) < 0.02)
        first, second = world.do("put_back", seed=3), world.do("put_back", seed=4)
        assert world.do("put_back", seed=3)["objects"] == first["objects"] != second["objects"]
        assert first["goal"] != second["goal"]
        fifth = world.do("put_back", seed=5)
        assert fifth["sites"]["goal"] == fifth["goal"] == world.do("look")["sites"]["goal"]
        assert not first["success"]
        assert second["joints"]["shoulder_pan"] == pytest.approx(0.4, abs=0.05)
        with pytest.raises(UsageError, match="put_back takes a seed"):
            world.do("put_back", seed=-1)
        world.close()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_a_killed_arm_leaves_a_link_that_the_next_one_replaces(tmp_path: Path) -> None:
    link = tmp_path / "arm"
    command = [sys.executable, "-m", "robot_orl.cli", "virtual-arm", f"port={link}", "task=arm_reach"]
    with child(command, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: link.is_symlink() or process.poll() is not None, 60)
        process.kill()
    assert link.is_symlink()
    done = subprocess.run([*command, "duration_s=0.1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not os.path.lexists(link)
