"""What becomes of a moving arm and of its record when one of the three processes is killed, or hangs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import child
from deploy_toys import write_bundle

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import recover
from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.registers import XL330_M288
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.virtual.world import World
from robot_orl.tasks import TaskConfig, make_env, spec_of

pytestmark = pytest.mark.e2e
PATIENT = ("robot.reply_s=0.05", "robot.max_bad_ticks=80", "priority=0")  # of a computer that is busy
COMMAND = (sys.executable, "-m", "robot_orl.cli")
POLICY, RECORDER = "robot_orl.deploy.processes.policy", "robot_orl.deploy.processes.recorder"
PATIENCE_S = 60.0


def wait_for(is_true: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A virtual arm at tmp_path / 'arm'."""
    places = f"port={tmp_path}/arm", f"world={tmp_path}/world"
    with child([*COMMAND, "virtual-arm", *places, "task=arm_reach"], stdout=subprocess.DEVNULL) as process:
        wait_for(lambda: (tmp_path / "arm").is_symlink() or process.poll() is not None)
        yield World(tmp_path / "world")
        process.send_signal(signal.SIGINT)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """For arm_reach: its policy turns shoulder_pan at a third of its speed, whatever it sees."""
    env = make_env(TaskConfig("arm_reach"))
    spec = spec_of(env)
    env.close()
    weight, bias = np.zeros((spec.observation_size, 6)), np.array([0.3, 0, 0, 0, 0, 0])
    return write_bundle(tmp_path / "bundle", spec, Limits(max_observation_age_s=2.0), weight, bias)


@contextmanager
def deployed(bundle: Path, world: World) -> Iterator["subprocess.Popen[Any]"]:
    """A deployment whose arm moves; it is over when the body ends it. Its processes are a group."""
    folder = bundle.parent
    words = [f"bundle={bundle}", "robot=koch", f"robot.port={folder}/arm", f"record={folder}/data", *PATIENT]
    command = [*COMMAND, "deploy", *words, "duration_s=60"]
    with child(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        wait_for(lambda: world.do("look")["joints"]["shoulder_pan"] > 0.1 or process.poll() is not None)
        assert process.poll() is None
        yield process


def beside(process: "subprocess.Popen[Any]", module: str) -> int:
    """The pid of the process of that module that a deployment has started."""
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return int(pid)
    pytest.fail(f"there is no process of {module}")


def figures(bundle: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((bundle / "deploy.json").read_text())
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_its_policy_the_arm_comes_to_rest_lies_down_and_the_record_is_kept(
    bundle: Path, world: World, number: signal.Signals
) -> None:
    with deployed(bundle, world) as process:
        policy = beside(process, POLICY)
        os.kill(policy, number)
    assert process.returncode == 1
    assert not Path(f"/proc/{policy}").exists()
    told = figures(bundle)
    killed = "the policy process was killed by signal 9"
    why = killed if number == signal.SIGKILL else "the policy has been silent for "
    assert told["fault"].startswith(f"stale_policy: {why}")
    assert (told["parked"], told["safety"]["stale_policy"]) == (True, 1)
    (record,) = Dataset.open(bundle.parent / "data").records
    assert record.meta.end_reason == "fault"
    assert record.length > 0
    assert list((bundle.parent / "data" / "journal").iterdir()) == []


def test_without_its_recorder_the_arm_comes_to_rest_and_the_steps_come_back_from_the_journal(
    bundle: Path, world: World
) -> None:
    with deployed(bundle, world) as process:
        os.kill(beside(process, RECORDER), signal.SIGKILL)
    assert process.returncode == 1
    told = figures(bundle)
    assert told["fault"] == "the recorder process was killed by signal 9"
    assert told["parked"]
    [found] = recover(bundle.parent / "data").found
    assert found.steps > 0
    (episode,) = Dataset.open(bundle.parent / "data").load_all(verify=True)
    assert (len(episode), episode.meta.end_reason) == (found.steps, "crash")
    assert np.allclose(episode.action_policy[:, 0], 0.3)


def test_without_the_robots_process_the_servos_stop_by_themselves_and_the_recorder_keeps_what_there_was(
    bundle: Path, world: World
) -> None:
    with deployed(bundle, world) as process:
        others = [beside(process, module) for module in (POLICY, RECORDER)]
        process.kill()
        process.wait()
        wait_for(lambda: abs(world.do("look")["velocities"]["shoulder_pan"]) < 0.01)
        wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others))
    bus = Bus(f"{bundle.parent}/arm", 1_000_000, {1: "shoulder_pan"}, reply_s=0.05)
    bus.open()
    assert bus.retrying(lambda: bus.read(1, XL330_M288.registers["bus_watchdog"])) == -1
    bus.close()
    assert all(world.do("look")["torque_on"].values())
    (episode,) = Dataset.open(bundle.parent / "data").load_all(verify=True)
    assert episode.meta.end_reason == "crash"
    assert episode.truncated[-1]
    assert len(episode) > 0
    assert recover(bundle.parent / "data").found == ()


def test_ctrl_c_reaches_all_three_and_only_the_robots_process_decides_what_it_means(
    bundle: Path, world: World
) -> None:
    with deployed(bundle, world) as process:
        os.killpg(process.pid, signal.SIGINT)
    assert process.returncode == 130
    told = figures(bundle)
    assert (told["stopped_by"], told["fault"], told["parked"]) == ("interrupt", None, True)
    (record,) = Dataset.open(bundle.parent / "data").records
    assert record.meta.end_reason == "interrupt"
    assert told["ticks"] - record.length in (0, 1)  # an action that was under way has no result
    assert told["servo"]["hz"] == 200
