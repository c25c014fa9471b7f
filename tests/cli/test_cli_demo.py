"""The demo, stopped where it hurts: the same command goes on, and finished stages are not repeated."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from cli_tools import committed, metrics, run, start, stop_when

pytestmark = pytest.mark.e2e
DEMO = ["demo", "task=fetch_reach", "episodes=10", "steps=50", "env_steps=100", "duration_s=2", "out=made"]


def is_alive(words: str) -> bool:
    """Whether a stage of the demo, known by its words, still runs."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.encode() in entry.read_bytes().replace(b"\0", b" "):
                return True
        except OSError:
            continue
    return False


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="looks for processes in /proc")
def test_the_demo_goes_on_after_ctrl_c_and_kill_9(tmp_path: Path) -> None:
    root = tmp_path / "made" / "fetch_reach"
    demo: list[object] = [*DEMO[:-1], f"out={tmp_path / 'made'}"]

    def is_collecting() -> bool:
        return committed(root / "data") >= 2

    process = start(demo, stdout=subprocess.DEVNULL)
    code, said = stop_group_when(process, is_collecting, signal.SIGINT)
    assert code == 130, said
    last = said.splitlines()[-1]
    assert last == "robot-orl: the demo is interrupted; the same command goes on where it was"
    assert not is_alive(str(root))

    process = start(demo, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    code, _ = stop_when(process, lambda: bool(metrics(root / "run")), signal.SIGKILL)
    assert code == -signal.SIGKILL
    before = json.loads((root / "stages.json").read_text())["seconds"]
    assert [words.split()[0] for words in before] == ["collect"]
    episodes = committed(root / "data")

    result = run(demo)
    assert result.returncode == 0, result.stderr
    assert committed(root / "data") == episodes == 10
    assert result.stdout.count("done before") == 1
    assert json.loads((root / "run" / "summary.json").read_text())["online"]["env_steps"] == 100
    assert (root / "run" / "report.html").stat().st_size > 10_000
    assert f"report: {root / 'run' / 'report.html'}" in result.stdout.replace("\n", "")

    result = run(demo)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("done before") == 8


def test_a_demo_of_other_settings_and_a_task_without_a_script_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "made" / "fetch_reach"
    root.mkdir(parents=True)
    settings = {"task": {"name": "fetch_reach", "kwargs": {}}, "episodes": 10, "steps": 50}
    settings |= {"env_steps": 100, "duration_s": 2.0, "seed": 0}
    (root / "stages.json").write_text(json.dumps({"settings": settings, "seconds": {}}))
    demo: list[object] = [*DEMO[:-1], f"out={tmp_path / 'made'}"]
    result = run([word if word != "episodes=10" else "episodes=20" for word in demo])
    assert (result.returncode, result.stdout) == (2, "")
    expected = f"{root} holds a demo with other values of: episodes; choose another out= or remove it"
    assert result.stderr == f"robot-orl: {expected}\n"
    result = run(["demo", "task=adroit_door", f"out={tmp_path / 'door'}"])
    assert (result.returncode, result.stdout) == (2, "")
    line = "robot-orl: operator=scripted has no script for task 'adroit_door'; it has: arm_lift, "
    assert result.stderr.startswith(line)
    assert not (tmp_path / "door").exists()


def test_a_stage_that_is_used_wrongly_ends_the_demo_with_its_own_line(tmp_path: Path) -> None:
    data = tmp_path / "fetch_reach" / "data"
    data.mkdir(parents=True)
    (data / "notes.txt").write_text("mine")
    result = run([*DEMO[:-1], f"out={tmp_path}"])
    assert result.returncode == 2
    assert result.stderr == f"robot-orl: {data} is not empty and not a dataset: choose another folder\n"


def stop_group_when(process: subprocess.Popen[str], is_time: object, number: int) -> tuple[int, str]:
    """As a terminal does on Ctrl-C: the signal goes to every process of the group."""
    import time

    deadline = time.monotonic() + 60
    try:
        while not is_time():  # type: ignore[operator]
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=60)[1]
        return process.returncode, said
    finally:
        process.kill()
