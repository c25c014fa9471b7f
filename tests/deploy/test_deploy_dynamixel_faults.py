"""What each fault of an arm of servos becomes while it runs."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from servo_toys import (
    HOME,
    JOINTS,
    TASK,
    TICK_NS,
    ZERO,
    Eye,
    ServoBench,
    as_is,
    corrupt,
    dropped,
    homed,
    observe_for_a_while,
    pass_time,
    tick,
    toy_config,
)

import envs  # noqa: F401  registers the tasks
from robot_orl.deploy.dynamixel.arm import TorqueLost, WatchdogTripped
from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.dynamixel.config import DynamixelConfig
from robot_orl.deploy.dynamixel.moves import BusSilent
from robot_orl.deploy.dynamixel.port import PortLost
from robot_orl.deploy.dynamixel.registers import HardwareError
from robot_orl.deploy.dynamixel.setup import HardwareFault
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.errors import RunError
from robot_orl.tasks import TaskConfig


@pytest.fixture
def robot(bench: ServoBench) -> Iterator[DynamixelRobot]:
    yield from homed(bench)


@pytest.mark.parametrize("fault", [dropped, corrupt])
def test_one_bad_packet_is_asked_for_again_and_the_run_goes_on(
    robot: DynamixelRobot, bench: ServoBench, fault: object
) -> None:
    asked = robot.counts.get("asked_again", 0)
    bench.faults.next_answers.extend([as_is, fault])
    tick(robot, bench)
    assert robot.counts["asked_again"] == asked + 1
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_two_bad_packets_leave_the_last_observation_with_its_own_time(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    before = robot.observe()
    bench.clock.time_ns += TICK_NS
    bench.faults.next_answers.extend([dropped, as_is, as_is, corrupt])
    again = robot.observe()
    assert (again.t_ns, again.obs) == (before.t_ns, before.obs)
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_a_servo_that_falls_silent_is_a_fault_after_so_many_ticks(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.bus.absent.add(3)
    for _ in range(4):
        robot.observe()
    with pytest.raises(BusSilent, match=r"^no good answer from gripper \(id 3\); 5 ticks in a row$"):
        robot.observe()


def test_a_jump_that_no_joint_can_make_is_a_bad_answer(robot: DynamixelRobot, bench: ServoBench) -> None:
    robot.observe()
    bench.blocked.add("lift")
    bench.angles[1] += 0.5  # in no time at all
    bench.turn()
    robot.observe()
    assert robot.counts["implausible"] == 2
    assert robot.telemetry().positions[1] == pytest.approx(HOME[1], abs=0.01)


def test_goals_that_were_lost_on_their_way_are_counted_and_sent_anew(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    tick(robot, bench)
    assert robot.counts["lost_goals"] == 0
    for _ in range(4):  # every fourth observation reads the goals
        robot.observe()
        bench.faults.next_questions.append(lambda data: b"")
        robot.send(np.array([0, 0.5, 0]))
    robot.observe()
    assert robot.counts["lost_goals"] == 1
    tick(robot, bench)
    assert bench.table("lift")["goal_position"] == robot._arm._goals[2]


def test_a_hardware_error_while_running_names_joint_meaning_and_remedy(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.servos[2].fail(HardwareError.OVERHEATING)
    with pytest.raises(
        HardwareFault, match=r"^gripper \(id 3\): overheating: .*; let it cool.*robot.reboot=true$"
    ):
        robot.observe()
    robot.stop()
    assert bench.is_limp() == [False, False, True]
    robot.park()  # the others are laid down, and let go there
    assert bench.is_limp() == [True, True, True]
    assert bench.angles[:2] == pytest.approx([0.3, -1.1], abs=0.01)


def test_servos_stop_by_themselves_when_they_hear_nothing_and_that_is_noticed(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    tick(robot, bench)
    assert bench.table("pan")["bus_watchdog"] == 10  # 0.2 s
    bench.clock.time_ns += 250_000_000
    bench.turn()
    assert bench.table("pan")["bus_watchdog"] == -1
    with pytest.raises(WatchdogTripped, match=r"^pan \(id 1\) heard nothing for 0.2 s and stopped by it"):
        observe_for_a_while(robot)  # every fourth time it is read
    robot.stop()
    robot.home(1)  # which sets up what the servos forgot
    assert bench.table("pan")["profile_velocity"] == 250
    tick(robot, bench, np.ones(3, np.float32))


def test_the_watchdog_is_off_while_nothing_needs_to_be_sent(robot: DynamixelRobot, bench: ServoBench) -> None:
    assert bench.table("pan")["bus_watchdog"] == 0
    tick(robot, bench)
    robot.stop()
    bench.clock.time_ns += 5_000_000_000
    bench.turn()
    assert bench.table("pan")["bus_watchdog"] == 0


def test_a_servo_that_started_anew_has_lost_its_torque(robot: DynamixelRobot, bench: ServoBench) -> None:
    tick(robot, bench)
    bench.servos[1].reboot(bench.clock.now_ns() - 1_000_000_000)  # and is back already
    with pytest.raises(TorqueLost, match=r"^lift \(id 2\) started anew and holds nothing: check its power$"):
        observe_for_a_while(robot)


def test_a_watchdog_whose_packet_was_lost_is_set_again_and_the_run_goes_on(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    robot.observe()
    bench.faults.next_questions.append(lambda data: b"")
    robot.send(ZERO)
    while bench.faults.next_questions:  # what follows must not arrive together with what is lost
        time.sleep(0.001)
    pass_time(robot, bench)
    assert bench.table("pan")["bus_watchdog"] == 0
    observe_for_a_while(robot)
    robot._arm._bus.ping(1)
    assert [bench.table(joint)["bus_watchdog"] for joint in JOINTS] == [10, 10, 10]


def test_an_arm_whose_joints_do_not_answer_after_a_reconnection_is_still_where_it_was_last_seen(
    robot: DynamixelRobot, bench: ServoBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick(robot, bench)
    before = robot.observe()
    bench.unplug()
    robot.observe()
    bench.plug()
    bus = robot._arm._bus
    sync_read = bus.sync_read

    def no_states(servos: list[int], address: int, size: int) -> dict:
        if size < 100:
            raise BadPacket("no good answer from pan (id 1)", "timeout")
        return sync_read(servos, address, size)

    with monkeypatch.context() as patch:
        patch.setattr(bus, "sync_read", no_states)
        again = robot.observe()
    assert again.t_ns == before.t_ns
    assert robot.telemetry().positions == pytest.approx(HOME, abs=0.01)
    assert robot.plan(ZERO) == pytest.approx(HOME, abs=0.01)
    bench.clock.time_ns += TICK_NS
    assert robot.observe().t_ns == bench.clock.now_ns()


def test_a_port_that_comes_back_in_time_is_opened_and_the_run_goes_on(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.blocked.add("lift")  # so that it is not where it was sent
    tick(robot, bench, np.array([0.0, 1.0, 0.0], np.float32))
    before = robot.observe().t_ns
    bench.unplug()
    bench.clock.time_ns += TICK_NS
    assert robot.observe().t_ns == before
    robot.send(np.array([1.0, 1.0, 1.0]))  # goes nowhere
    bench.plug()
    assert robot.observe().t_ns == bench.clock.now_ns()
    assert robot.counts["reconnected"] == 1
    assert robot.telemetry().targets == pytest.approx(robot.telemetry().positions, abs=0.002)  # held there
    tick(robot, bench, np.ones(3, np.float32))
    assert bench.table("pan")["bus_watchdog"] == 10


def test_an_arm_that_lost_its_torque_while_the_port_was_gone_is_not_taken_for_held(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.unplug()
    robot.observe()
    for servo in bench.servos:
        servo.reboot(bench.clock.now_ns() - 1_000_000_000)
    bench.plug()
    with pytest.raises(TorqueLost, match="the servos started anew and hold nothing: check their power"):
        robot.observe()


def test_a_port_that_stays_away_is_a_fault_and_nobody_says_that_the_arm_holds(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.unplug()
    with pytest.raises(BusSilent, match=r"; 5 ticks in a row$"):
        observe_for_a_while(robot)
    with pytest.raises(PortLost):
        robot.stop()
    with pytest.raises(
        RunError, match=r"^toy was not laid down and may hold nothing: support it \(the port is gone: "
    ):
        robot.park()
    robot.close()


def test_an_arm_whose_servos_started_anew_is_not_said_to_hold(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    for servo in bench.servos:
        servo.reboot(bench.clock.now_ns() - 1_000_000_000)
    with pytest.raises(RunError, match=r"^toy was not laid down, and pan, lift, gripper hold nothing: supp"):
        robot.park()


def test_a_camera_is_closed_though_the_arm_cannot_be_asked_how_it_is_left(
    bench: ServoBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    eye = Eye(bench.clock)
    robot = DynamixelRobot(toy_config(bench.port.link), TaskConfig(TASK), bench.clock, eye)  # type: ignore[arg-type]
    robot.connect()
    robot.home(0)
    arm = robot._arm
    assert arm is not None
    monkeypatch.setattr(arm, "without_torque", lambda: arm.goto(np.full(3, np.nan)))
    with pytest.raises(RunError, match="the targets are not finite"):
        robot.close()
    assert not eye.is_open
    assert not arm._bus.is_open


def test_an_arm_whose_port_comes_back_after_a_fault_is_laid_down(
    robot: DynamixelRobot, bench: ServoBench
) -> None:
    bench.unplug()
    with pytest.raises(BusSilent):
        observe_for_a_while(robot)
    bench.plug()
    robot.stop()
    robot.park()
    robot.close()
    assert bench.is_limp() == [True, True, True]
    assert bench.angles == pytest.approx([0.3, -1.1, 0.2], abs=0.01)


def test_the_driver_shows_what_a_supervisor_checks(robot: DynamixelRobot) -> None:
    told = robot.telemetry()
    assert told.tool_position is not None
    assert told.tool_position == pytest.approx(HOME, abs=0.01)
    assert told.temperatures is not None
    assert told.temperatures.tolist() == [28, 28, 28]
    assert robot.tool_at(np.ones(3)) == pytest.approx(np.ones(3))
    assert isinstance(robot.cfg, DynamixelConfig)
