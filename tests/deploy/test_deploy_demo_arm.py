"""The demo's deployment on a virtual arm: seen by a camera, judged by the world, stopped by Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from children import child
from deploy_toys import write_bundle

from robot_orl.commands.demo.done import Done
from robot_orl.commands.demo.stages import stages
from robot_orl.config import DemoConfig
from robot_orl.data.store.reader import Dataset
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.virtual.world import World
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig, make_env, spec_of

pytestmark = pytest.mark.e2e
WORDS = ["demo", "task=arm_lift", "robot=koch", "episodes=10", "steps=50", "env_steps=100"]
EPISODE_S = 3.0


def demo(folder: Path, duration_s: float) -> list[str]:
    """A demo that has come up to its first deployment, by the hand of the test: the policy holds still."""
    cfg = DemoConfig(
        TaskConfig("arm_lift"), "koch", str(folder), 10, steps=50, env_steps=100, duration_s=duration_s
    )
    root = folder / "arm_lift_koch"
    spec = spec_of(make_env(cfg.task))
    write_bundle(root / "bundle", spec, Limits.neutral(), np.zeros((spec.observation_size, 6)), np.zeros(6))
    settings = asdict(cfg)
    del settings["out"]
    done = Done(root / "stages.json", settings, {})
    for stage in stages(cfg, root, spec)[:5]:
        stage.makes.parent.mkdir(parents=True, exist_ok=True)
        if not stage.makes.exists():
            stage.makes.write_text("{}")
        done.add(stage, 0.0)
    return [sys.executable, "-m", "robot_orl.cli", *WORDS, f"duration_s={duration_s}", f"out={folder}"]


def is_alive(words: str) -> bool:
    """Whether a process that was started with them still runs."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in entry.read_bytes() and entry.parent.name != str(os.getpid()):
                return True
        except OSError:
            continue
    return False


def wait_for(is_true: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    end_s = time.monotonic() + 60
    while not is_true():
        assert process.poll() is None
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_an_episode_begins_where_its_seed_says_and_the_world_judges_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("arm")
    root = folder / "arm_lift_koch"
    with child(demo(folder, EPISODE_S + 0.5), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said = process.communicate(timeout=100)
    assert b"[6/11] deploy through the serial protocol" in said[0]
    assert process.returncode == 2, said[1]  # of the next stage: there is no run to finetune
    deployed = json.loads((root / "bundle" / "deploy.json").read_text())
    assert (deployed["stopped_by"], deployed["parked"]) == ("duration", True)
    assert deployed["connection"]["judged_episodes"] == 1
    assert deployed["connection"]["judged_successes"] == 0
    env = make_env(TaskConfig("arm_lift"))
    dataset = Dataset.open(root / "deployed")
    episode = dataset.load(dataset.records[0])
    begins, _ = env.reset(seed=episode.meta.seed)
    assert np.linalg.norm(episode.obs["achieved_goal"][0] - begins["achieved_goal"]) < 0.003
    np.testing.assert_array_equal(episode.obs["desired_goal"][0], begins["desired_goal"])
    assert not (root / "arm" / "port").is_symlink()
    assert "simulated" in (root / "arm" / "virtual-arm.log").read_text()


@pytest.mark.slow
def test_the_whole_path_is_gone_twice_round_and_not_again(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("arm")
    command = [
        sys.executable,
        "-m",
        "robot_orl.cli",
        *WORDS,
        f"duration_s={EPISODE_S + 0.5}",
        f"out={folder}",
    ]
    first = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("  on the virtual arm") == 2
    kept = json.loads((folder / "arm_lift_koch" / "stages.json").read_text())["kept"]
    assert [summary["online"]["env_steps"] for summary in kept.values()] == [150, 300]
    again = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("done before") == 11


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_ctrl_c_lays_the_arm_down_before_its_world_ends(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("arm")
    root = folder / "arm_lift_koch"
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with child(demo(folder, 60.0), start_new_session=True, **pipes) as process:
        wait_for(lambda: _holds(root / "arm" / "world"), process)
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1].endswith("the demo is interrupted; the same command goes on where it was")
    deployed = json.loads((root / "bundle" / "deploy.json").read_text())
    assert (deployed["stopped_by"], deployed["parked"], deployed["fault"]) == ("interrupt", True, None)
    assert not is_alive(str(root))


def _holds(world: Path) -> bool:
    """Whether somebody has switched the arm's torque on."""
    try:
        found = World(world)
    except UsageError:
        return False
    try:
        return all(found.do("look")["torque_on"].values())
    finally:
        found.close()
