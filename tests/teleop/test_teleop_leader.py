"""`operator=leader`: a virtual arm, turned by hand, leads another one."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import child
from terminal_toys import PATIENCE_S, terminal

import envs
from data_collection.operators.leader import LeaderConfig, LeaderOperator
from data_collection.teleop.devices.clutch import GRAB_RAD, KEY, MOVES, STILL_RAD, Clutch
from data_collection.teleop.hands import Jog
from data_collection.teleop.leading import LeaderSteering, stopping_within
from data_collection.teleop.steering import steering_of
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.registers import CENTRE_TICK, XL330_M288
from robot_orl.deploy.virtual.mechanics import KOCH, assembled
from robot_orl.deploy.virtual.world import World
from robot_orl.errors import DataError, UsageError
from robot_orl.tasks import spec_of
from robot_orl.types import Actor

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
STILL_S = 0.5
OFFSET, ASSEMBLY = 400, 6  # servos mounted by another pair of hands


class Hand:
    """Holds a leader of two joints.  now_s: the time [s]."""

    def __init__(self, mode: str = MOVES) -> None:
        self.now_s = 100.0
        self.clutch = Clutch(mode, STILL_S, lambda: self.now_s)

    def at(self, *positions: float, after_s: float = 0.01) -> list[float] | None:
        self.now_s += after_s
        turned = self.clutch.turned(np.array(positions))
        return None if turned is None else np.round(turned, 6).tolist()


def test_a_leader_that_is_moved_is_held_from_where_it_lay() -> None:
    hand = Hand()
    assert hand.at(1.0, 2.0) is None
    assert hand.at(1.0, 2.0 + GRAB_RAD) is None
    assert hand.at(1.0, 2.05) == [0.0, 0.05]
    assert hand.at(0.9, 2.05) == [-0.1, 0.05]


def test_it_is_let_go_once_it_has_been_still_and_held_from_there_anew() -> None:
    hand = Hand()
    hand.at(1.0, 2.0)
    hand.at(1.2, 2.0)
    assert hand.at(1.2 + 0.8 * STILL_RAD, 2.0, after_s=STILL_S - 0.01) == [0.208, 0.0]
    assert hand.at(1.2, 2.0, after_s=0.02) is None
    assert hand.at(1.2, 2.02) is None
    assert hand.at(1.2, 2.1) == [0.0, 0.1]


def test_one_that_sags_slowly_is_not_held() -> None:
    hand = Hand()
    found = [hand.at(1.0 - 0.01 * tick, 2.0, after_s=0.25) for tick in range(100)]  # 0.04 rad a second
    assert found == [None] * 100


def test_with_a_key_it_is_held_from_one_press_to_the_next() -> None:
    hand = Hand(KEY)
    assert hand.at(1.0, 2.0) is None
    hand.clutch.toggle()
    assert hand.at(1.5, 2.0) == [0.0, 0.0]
    assert hand.at(1.6, 2.0, after_s=1000.0) == [0.1, 0.0]  # however still it was
    hand.clutch.toggle()
    assert hand.at(0.0, 0.0) is None
    hand.clutch.toggle()
    assert hand.at(0.0, 0.5) == [0.0, 0.0]


def test_one_stops_within_the_way() -> None:
    """From 3 ticks' changes of 1: 3 + 2 + 1 = 6."""
    np.testing.assert_allclose(stopping_within(np.array([0.0, 1.0, 3.0, 6.0]), 1.0), [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_allclose(stopping_within(np.array([0.6]), 0.1), [0.3])
    np.testing.assert_array_equal(stopping_within(np.array([0.7]), np.inf), [0.7])


class Led:
    """A simulated arm behind a leader."""

    def __init__(self, **fields: Any) -> None:
        self.env = envs.make("arm_reach")
        self.cfg = LeaderConfig(**fields)
        self.steering = steering_of(self.env, self.cfg)
        self.obs, _ = self.env.reset(seed=0)
        self.actions: list[np.ndarray] = []
        self.begun_at = self.targets()
        self.turn([0.0] * 6)  # it is taken hold of

    def targets(self) -> np.ndarray:
        seen = self.obs["observation"]
        return np.asarray(seen[:6] + seen[12:18])

    def turn(self, turned: list[float] | None, ticks: int = 1) -> None:
        jog = None if turned is None else Jog(np.zeros(3), np.zeros(3), turned=np.array(turned))
        for _ in range(ticks):
            self.actions.append(self.steering.action(jog, self.obs))
            self.obs = self.env.step(self.actions[-1])[0]


def test_the_arm_turns_as_far_as_its_leader_gripper_included() -> None:
    led = Led()
    assert isinstance(led.steering, LeaderSteering)
    turned = [0.4, 0.1, -0.2, 0.05, -0.3, 0.25]
    led.turn(turned, ticks=60)
    np.testing.assert_allclose(led.targets() - led.begun_at, turned, atol=2e-3)
    assert np.abs(led.actions[-1]).max() < 0.05  # and then it stays there


def test_it_gets_there_without_a_jump_and_without_going_too_far() -> None:
    led = Led(speed_rad_s=1.0)
    led.turn([0.5, 0, 0, 0, 0, 0], ticks=80)
    pan = np.array(led.actions)[:, 0]
    change = 1.0 / (led.cfg.ramp_s * 50)
    assert np.abs(np.diff(pan, prepend=0.0)).max() <= change + 1e-6
    assert pan.max() == pytest.approx(1.0 / 50 / 0.05)  # its greatest speed
    assert pan.min() > -0.03


def test_letting_go_and_taking_hold_elsewhere_does_not_move_the_arm() -> None:
    led = Led()
    led.turn([0.2, 0, 0, 0, 0, 0], ticks=40)
    led.turn(None, ticks=20)
    rests = led.targets()
    led.turn([0.7] * 6, ticks=10)  # wherever its leader is now
    np.testing.assert_allclose(led.targets(), rests, atol=1e-6)


def test_at_the_end_of_a_range_the_leader_slips_and_acts_at_once_on_its_way_back() -> None:
    led = Led(ramp_s=0.0)
    led.turn([0, 0, 0, 0, 0, -3.0], ticks=80)  # far beyond shut
    shut = led.targets()[5]
    led.turn([0, 0, 0, 0, 0, -2.8], ticks=10)
    assert led.targets()[5] - shut == pytest.approx(0.2, abs=2e-3)


def test_who_takes_over_goes_on_from_the_action_executed_last() -> None:
    led = Led()
    led.steering.take_over(np.array([0.6, 0, 0, 0, 0, 0]))
    led.turn([0.0] * 6)
    assert led.actions[-1][0] == pytest.approx(0.6 - 1.0 / (led.cfg.ramp_s * 50))


def test_tasks_and_tables_that_do_not_fit_are_told_in_one_line(tmp_path: Path) -> None:
    reach, fetch = envs.make("arm_reach"), envs.make("fetch_reach")
    cfg = LeaderConfig(port=str(tmp_path))
    with pytest.raises(
        UsageError, match=r"leader cannot run fetch_reach: .* fit: arm_lift, arm_push, arm_reach"
    ):
        LeaderOperator(cfg, spec_of(fetch)).make_hands(fetch)
    with pytest.raises(UsageError, match=r"^operator.servos has none; task 'arm_reach' needs shoulder_pan, "):
        LeaderOperator(LeaderConfig(port="x", servos={}), spec_of(reach)).make_hands(reach)
    with pytest.raises(
        UsageError, match=r"needs operator.calibration=FILE; make it with `robot-orl calibrate"
    ):
        LeaderOperator(cfg, spec_of(reach)).make_hands(reach)
    with pytest.raises(UsageError, match=r"^operator.clutch=key needs keys"):
        LeaderOperator(LeaderConfig(clutch=KEY), spec_of(reach)).make_hands(reach, alone=True)
    missing = LeaderConfig(port="/dev/nowhere", calibration=str(tmp_path / "none.yaml"))
    with pytest.raises(DataError, match=r"none.yaml: no such calibration"):
        LeaderOperator(missing, spec_of(reach)).make_hands(reach)
    hands = LeaderOperator(LeaderConfig(port="/dev/nowhere"), spec_of(reach)).make_hands(reach)
    with pytest.raises(UsageError, match=r"^no port /dev/nowhere; "):
        hands.open()
    hands.close()


def calibration_of_leader() -> Calibration:
    """As `robot-orl calibrate` finds it: a mirrored servo counts the other way round, from the other end."""
    ranges = envs.make("arm_reach").unwrapped.joint_range  # type: ignore[attr-defined]
    by_the_book = Calibration.as_in_model("leader", {m.joint: m.id for m in KOCH}, ranges).joints
    joints = {
        mount.joint: replace(
            by_the_book[mount.joint],
            homing_offset=2 * CENTRE_TICK + mount.offset if mount.direction < 0 else -mount.offset,
            drive_mode=int(mount.direction < 0),
        )
        for mount in assembled(KOCH, ASSEMBLY, OFFSET)
    }
    assert joints["shoulder_pan"].drive_mode == 1
    return Calibration("leader", joints)


class Player:
    """Who turns a virtual leader by hand."""

    def __init__(self, folder: Path) -> None:
        self.world, self.port = World(folder / "world"), str(folder / "arm")

    def turn(self, **joints: float) -> None:
        """By so many rad, from where they are."""
        at = self.world.do("look")["joints"]
        self.world.do("hold", joints={joint: at[joint] + joints.get(joint, 0.0) for joint in JOINTS})

    def let_it_hold(self) -> None:
        """As another program may have left it."""
        bus = Bus(self.port, 1_000_000, {}, 0.05)
        bus.open()
        for servo in range(1, 7):
            bus.write(servo, XL330_M288.registers["torque_enable"], 1)
        bus.close()


@contextmanager
def virtual_leader(folder: Path) -> Iterator[Player]:
    words = ["virtual-arm", "task=arm_reach", f"port={folder}/arm", f"world={folder}/world"]
    words += [f"offset_ticks={OFFSET}", f"assembly={ASSEMBLY}"]
    with child([sys.executable, "-m", "robot_orl.cli", *words], stdout=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + PATIENCE_S
        while not (folder / "arm").is_symlink():
            assert time.monotonic() < deadline_s
            assert process.poll() is None
            time.sleep(0.02)
        yield Player(folder)
        process.send_signal(signal.SIGINT)


@pytest.mark.e2e
def test_a_person_who_turns_a_leader_records_and_pulls_its_plug(tmp_path: Path) -> None:
    models = ["XL430-W250"] * 2 + ["XL330-M288"] * 4
    words = [f"operator.servos.{joint}.model={model}" for joint, model in zip(JOINTS, models, strict=True)]
    words += ["operator=leader", "task=arm_lift", f"out={tmp_path}/data", "episodes=3", "countdown_s=0"]
    words += [f"port={tmp_path}/arm", "operator.reply_s=0.05"]
    words += [
        "operator.stop_at_success=false",
        "operator.still_s=2",
        f"operator.calibration={tmp_path}/arm.yaml",
    ]
    calibration_of_leader().save(tmp_path / "arm.yaml")
    with virtual_leader(tmp_path) as player:
        player.turn()  # a hand holds it
        player.let_it_hold()
        with terminal(*words) as person:
            person.wait(r"leader   turn its joints as the robot's shall turn\s+at rest")
            assert not any(player.world.do("look")["torque_on"].values())
            person.press(b"\r")
            person.wait(r"RECORDING   step \d+ of")
            player.turn(shoulder_pan=0.1)
            person.wait(r"held")
            player.turn(shoulder_pan=0.4, gripper=0.3)
            person.wait(r"at rest")
            person.press(b" ")  # free: it may be moved anywhere
            person.wait(r"free")
            player.turn(shoulder_pan=-0.8)
            person.wait(r"step 1\d\d of")
            person.press(b"y4S")
            person.wait(r"saved; 1 of 3 good episodes")
            person.press(b"\r")
            person.wait(r"RECORDING   step \d+ of")
            player.world.do("fault", event="0:hang_up::2")
            person.wait(r"the leader arm does not answer")
            person.wait(r"shall turn\s+at rest|shall turn\s+free")  # it is back
            person.press(b"Q")
            assert person.end() == 0
    dataset = Dataset.open(tmp_path / "data")
    first, second = dataset.episodes
    assert (first.meta.end_reason, second.meta.end_reason) == ("operator", "disconnect")
    assert (first.meta.operator, first.meta.success, first.meta.quality) == ("leader", True, 0.75)
    episode = dataset.load(first)
    names = [one.name for one in dataset.spec.observation["observation"]]
    at = episode.obs["observation"][:, [names.index(f"{joint}_pos") for joint in JOINTS]]
    turned = at[-1] - at[0]
    assert 0.38 < turned[0] < 0.52  # of the first turn, what was before it was taken hold of does not count
    assert turned[5] == pytest.approx(0.3, abs=0.03)
    assert np.abs(turned[1:5]).max() < 0.1
    assert np.abs(np.diff(episode.action, axis=0)).max() <= 1.0 / (0.15 * 50) + 1e-6  # no jump
    acted = np.flatnonzero(~np.isnan(episode.action_operator[:, 0]))
    assert (np.diff(acted) == 1).all()
    assert (episode.actor == Actor.HUMAN).all()
    assert np.abs(episode.action[acted[-1] + 10 :]).max(initial=0.0) == 0.0
