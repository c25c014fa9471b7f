"""LeRobot's own KochFollower, in its own environment, drives the virtual arm for `robot=lerobot`."""

import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import child
from deploy_toys import write_bundle
from lerobot_toys import JOINTS, wait_for

import envs  # noqa: F401  registers the tasks
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.virtual.world import World
from robot_orl.tasks import TaskConfig, make_env, spec_of

VARIABLE = "ROBOT_ORL_LEROBOT_PYTHON"
PYTHON = os.environ.get(VARIABLE)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        PYTHON is None,
        reason=f"{VARIABLE} is not set to the Python of an environment with LeRobot, see docs/hardware.md",
    ),
]
COMMAND = (sys.executable, "-m", "robot_orl.cli")
SLOW_S = 900.0  # LeRobot loads PyTorch, which a busy computer takes minutes for
REST = {"shoulder_pan": 0.0, "shoulder_lift": -1.65, "elbow_flex": 1.55, "wrist_flex": 0.55}


@contextmanager
def virtual_arm(folder: Path) -> Iterator[World]:
    port = f"port={folder}/arm", f"world={folder}/world"
    with child([*COMMAND, "virtual-arm", *port, "task=arm_reach"]) as process:
        wait_for(lambda: (folder / "arm").is_symlink() or process.poll() is not None, 60)
        yield World(folder / "world")
        process.send_signal(signal.SIGINT)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """For arm_reach; its policy turns shoulder_pan at a third of its speed, whatever it sees."""
    env = make_env(TaskConfig("arm_reach"))
    spec, ranges = spec_of(env), np.asarray(env.unwrapped.joint_range)  # type: ignore[attr-defined]
    env.close()
    calibration = {
        joint: {
            "id": number,
            "drive_mode": 0,
            "homing_offset": 0,
            "range_min": 2048 + round(low * 4096 / math.tau),
            "range_max": 2048 + round(high * 4096 / math.tau),
        }
        for number, (joint, (low, high)) in enumerate(zip(JOINTS, ranges, strict=True), start=1)
    }
    (tmp_path / "virtual.json").write_text(json.dumps(calibration))
    weight, bias = np.zeros((spec.observation_size, 6)), np.array([0.3, 0, 0, 0, 0, 0])
    return write_bundle(tmp_path / "bundle", spec, Limits(max_observation_age_s=2.0), weight, bias)


def deploy(folder: Path, bundle: Path, *words: str, name: str = "virtual") -> list[str]:
    robot = {"python": PYTHON, "port": f"{folder}/arm", "calibration_dir": folder, "id": name}
    patient = "robot.reply_s=0.05", "robot.max_bad_ticks=20", f"robot.start_s={SLOW_S}", "priority=0"
    chosen = [f"robot.{name}={value}" for name, value in robot.items()]
    return [*COMMAND, "deploy", f"bundle={bundle}", "robot=lerobot", *chosen, *patient, *words]


def test_lerobot_moves_the_arm_as_the_policy_says_and_lets_go_only_where_it_lies(
    tmp_path: Path, bundle: Path
) -> None:
    words = ["duration_s=1", "robot.options={use_degrees: true}"]
    with virtual_arm(tmp_path) as world:
        with child(deploy(tmp_path, bundle, *words)) as process:
            process.wait(SLOW_S)
        seen = world.do("look")
    assert process.returncode == 0
    figures = json.loads((bundle / "deploy.json").read_text())
    assert (figures["fault"], figures["parked"], figures["ticks"] > 10) == (None, True, True)
    assert not any(seen["torque_on"].values())
    for joint, angle in REST.items():
        assert seen["joints"][joint] == pytest.approx(angle, abs=0.15)


def test_an_arm_whose_computer_dies_is_held_by_lerobots_side(tmp_path: Path, bundle: Path) -> None:
    with virtual_arm(tmp_path) as world:
        with child(deploy(tmp_path, bundle, "duration_s=60")) as process:
            pan = 0.15
            wait_for(
                lambda: world.do("look")["joints"]["shoulder_pan"] > pan or process.poll() is not None, SLOW_S
            )
            os.kill(process.pid, signal.SIGKILL)
        dead = world.do("look")
        first = _look_after(world, dead["time_s"] + 1.0)  # it swings back from where it was caught
        later = _look_after(world, first["time_s"] + 1.0)
    assert all(later["torque_on"].values())
    assert first["joints"]["shoulder_pan"] < dead["joints"]["shoulder_pan"] + 0.3  # of 0.75 in a second
    for joint in JOINTS:
        assert later["joints"][joint] == pytest.approx(first["joints"][joint], abs=0.01)


def _look_after(world: World, time_s: float) -> dict[str, Any]:
    wait_for(lambda: world.do("look")["time_s"] > time_s)
    return world.do("look")


def test_without_a_calibration_nothing_is_asked_and_nothing_moves(
    tmp_path: Path, bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with virtual_arm(tmp_path) as world:
        before = world.do("look")["joints"]
        with child(deploy(tmp_path, bundle, name="nobody")) as process:
            process.wait(SLOW_S)
        after = world.do("look")
    assert process.returncode == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "koch_follower with id nobody was not calibrated" in said
    assert "lerobot-calibrate --robot.type=koch_follower --robot.id=nobody" in said
    assert after["joints"]["shoulder_pan"] == pytest.approx(before["shoulder_pan"], abs=0.05)
