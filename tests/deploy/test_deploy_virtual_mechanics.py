"""Joints and motors of a virtual arm."""

import mujoco
import pytest
from virtual_arm_toys import MOUNTS, XML, make_mechanics

from robot_orl.deploy.virtual.arm import make_servos
from robot_orl.deploy.virtual.mechanics import KOCH, Mechanics, assembled
from robot_orl.deploy.virtual.motor import Drive
from robot_orl.errors import UsageError


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
