"""The examples run as a reader would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.e2e
def test_the_examples_record_learn_and_deploy(tmp_path: Path) -> None:
    data, trained, bundle = (str(tmp_path / name) for name in ("data", "run", "bundle"))
    assert "10 episodes; the first has actions (50, 4)" in run("examples/collect.py", data)
    assert "update 1000: critic loss" in run("examples/train.py", data)
    cli = ("-m", "robot_orl.cli")
    brief = ("steps=20", "baseline_steps=0", "final_episodes=1", "agent.hidden=[16,16]")
    run(*cli, "pretrain", f"data={data}", f"out={trained}", *brief)
    run(*cli, "export", f"run={trained}", f"out={bundle}")
    assert "100 ticks at 25 Hz" in run("examples/deploy.py", bundle)


@pytest.mark.e2e
def test_the_example_with_frames_draws_every_step_once(tmp_path: Path) -> None:
    said = run("examples/frames.py", str(tmp_path / "data")).splitlines()
    whole = "images (64, 96, 96, 3) uint8, obs (64, 16), action (64, 4)"
    assert said == [whole, whole, whole.replace("64", "22")]  # 3 x 50 steps
