"""The maker's SDK, unmodified, at a virtual arm, and the faults that happen to it."""

import os
from pathlib import Path

import pytest
from deploy_toys import FakeClock
from dynamixel_sdk import (
    COMM_RX_CORRUPT,
    COMM_RX_TIMEOUT,
    COMM_SUCCESS,
    GroupSyncRead,
    GroupSyncWrite,
)
from virtual_arm_toys import (
    DELAY,
    ERROR_STATUS,
    GOAL,
    MOUNTS,
    POSITION,
    TORQUE,
    make_arm,
    make_mechanics,
    running,
    sdk_at,
    turn_until,
    wait_for,
)

from robot_orl.deploy.timing import RealClock
from robot_orl.deploy.virtual.arm import VirtualArm, make_servos
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.faults import Event, FaultsConfig
from robot_orl.deploy.virtual.port import PseudoTerminal
from robot_orl.errors import UsageError


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
