"""The commands against a virtual arm in a process of its own: real packets, MuJoCo moving the joints."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from children import child
from deploy_toys import write_bundle

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.registers import XL330_M288
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.virtual.world import World
from robot_orl.tasks import TaskConfig, make_env, spec_of

pytestmark = pytest.mark.e2e
REST = {"shoulder_pan": 0.0, "shoulder_lift": -1.65, "elbow_flex": 1.55, "wrist_flex": 0.55}
HOME = {"shoulder_pan": 0.0, "shoulder_lift": -0.7, "elbow_flex": 0.3, "wrist_flex": 1.3, "wrist_roll": 0.0}
PATIENT = ("robot.reply_s=0.05", "robot.max_bad_ticks=20", "priority=0")  # of a computer that is busy
COMMAND = (sys.executable, "-m", "robot_orl.cli")


def wait_for(is_true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@contextmanager
def virtual_arm(folder: Path, *words: str) -> Iterator[World]:
    command = [
        *COMMAND,
        "virtual-arm",
        f"port={folder}/arm",
        f"world={folder}/world",
        "task=arm_reach",
        *words,
    ]
    with child(command, stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: (folder / "arm").is_symlink() or process.poll() is not None)
        yield World(folder / "world")
        process.send_signal(signal.SIGINT)


@pytest.fixture
def turning(tmp_path: Path) -> Path:
    """A bundle for arm_reach whose policy turns shoulder_pan at a third of its speed, whatever it sees."""
    env = make_env(TaskConfig("arm_reach"))
    spec = spec_of(env)
    env.close()
    weight, bias = np.zeros((spec.observation_size, 6)), np.array([0.3, 0, 0, 0, 0, 0])
    return write_bundle(tmp_path / "bundle", spec, Limits(max_observation_age_s=2.0), weight, bias)


def deploy(folder: Path, bundle: Path, *words: str) -> list[str]:
    port = f"robot.port={folder}/arm"
    return [*COMMAND, "deploy", f"bundle={bundle}", "robot=koch", port, *PATIENT, *words]


def test_a_policy_runs_through_lost_and_broken_packets_and_the_arm_lies_down_at_the_end(
    tmp_path: Path, turning: Path
) -> None:
    with virtual_arm(tmp_path, "faults.drop=0.004", "faults.corrupt=0.004") as world:
        words = ["duration_s=2", f"record={tmp_path}/data"]
        done = subprocess.run(deploy(tmp_path, turning, *words), capture_output=True, text=True, check=False)
        seen = world.do("look")
    assert done.returncode == 0, done.stderr
    figures = json.loads((turning / "deploy.json").read_text())
    assert (figures["fault"], figures["parked"]) == (None, True)
    assert figures["connection"]["asked_again"] > 0
    assert "asked_again" in done.stdout
    assert not any(seen["torque_on"].values())
    for joint, angle in REST.items():
        assert seen["joints"][joint] == pytest.approx(angle, abs=0.15)
    dataset = Dataset.open(tmp_path / "data")
    episode = next(iter(dataset.load_all()))
    pan = episode.obs["observation"][:, 0]
    assert pan[-1] - pan[0] == pytest.approx(0.05 * 0.3 * len(episode), rel=0.2)
    assert np.allclose(episode.action_policy[:, 0], 0.3)
    assert episode.action[:, 0].mean() == pytest.approx(0.3, rel=0.2)  # a missed slot is made up for later


def test_an_arm_whose_computer_dies_stops_by_itself_and_holds(tmp_path: Path, turning: Path) -> None:
    with virtual_arm(tmp_path) as world:
        with child(deploy(tmp_path, turning, "duration_s=60"), stdout=subprocess.DEVNULL) as process:
            wait_for(lambda: world.do("look")["joints"]["shoulder_pan"] > 0.1 or process.poll() is not None)
            os.kill(process.pid, signal.SIGKILL)
        names = {1: "shoulder_pan", 2: "shoulder_lift"}
        wait_for(lambda: abs(world.do("look")["velocities"]["shoulder_pan"]) < 0.01, 10)
        time.sleep(0.5)  # nobody may talk to them meanwhile: their watchdogs wait for 0.2 s
        bus = Bus(f"{tmp_path}/arm", 1_000_000, names, reply_s=0.05)
        bus.open()
        assert bus.retrying(lambda: bus.read(1, XL330_M288.registers["bus_watchdog"])) == -1
        bus.close()
        assert all(world.do("look")["torque_on"].values())


def test_an_arm_that_was_mounted_otherwise_is_calibrated_by_hand_and_then_goes_home(
    tmp_path: Path, turning: Path
) -> None:
    joints = [*HOME, "gripper"]
    zero, more = dict.fromkeys(joints, 0.0), dict.fromkeys(joints, 0.15)
    folded = zero | {"shoulder_lift": -1.68, "elbow_flex": 1.58, "wrist_flex": 0.4}
    lowest = zero | {"shoulder_pan": -2.1, "elbow_flex": -0.5, "wrist_flex": -1.0, "wrist_roll": -2.8}
    highest = zero | {"shoulder_pan": 2.1, "shoulder_lift": 0.4, "wrist_roll": 2.8, "gripper": 1.5}
    ends = [lowest, zero | {"gripper": -0.08}, highest, zero | {"wrist_flex": 1.5}, zero, folded]
    path = tmp_path / "koch.yaml"
    with virtual_arm(tmp_path, "offset_ticks=400", "assembly=3") as world:

        def move(joints: dict[str, float]) -> None:
            world.do("hold", joints=joints)
            wait_for(lambda: _is_at(world, joints), 20)

        words = ["calibrate", "robot=koch", f"robot.port={tmp_path}/arm", f"out={path}", "robot.reply_s=0.05"]
        pipe = subprocess.PIPE
        with child([*COMMAND, *words], stdin=pipe, stdout=pipe, text=True) as wizard:
            assert wizard.stdin is not None
            assert wizard.stdout is not None
            for poses in ([zero], [zero], [more], [zero], ends):
                assert "Then press Enter." in wizard.stdout.readline()
                for pose in poses:
                    move(pose)
                    time.sleep(0.2)  # the wizard looks 20 times a second
                wizard.stdin.write("\n")
                wizard.stdin.flush()
            told = wizard.stdout.read()
        assert wizard.returncode == 0
        assert f"written to {path}" in told
        world.do("let_go")
        command = deploy(tmp_path, turning, "duration_s=60", f"robot.calibration={path}")
        with child(command, stdout=subprocess.DEVNULL) as process:
            wait_for(lambda: _is_at(world, HOME, 0.08) or process.poll() is not None)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        assert not any(world.do("look")["torque_on"].values())


def _is_at(world: World, joints: dict[str, float], tolerance: float = 0.03) -> bool:
    found = world.do("look")["joints"]
    return all(abs(found[joint] - angle) < tolerance for joint, angle in joints.items())
