"""What commands do with the kept checkpoints of a run: damaged ones, best ones, figures that are better."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_tools import TRAIN, TUNE, Made, Refused, contents, flip_byte, start, stop_when

from robot_orl.cli import main
from robot_orl.training.runs.run import Run

pytestmark = pytest.mark.e2e
Copy = Callable[[str], Path]


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return found


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def test_workers_change_nothing_but_the_time(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy("run")
    alone = said(capsys, "evaluate", f"run={run}", "episodes=3", "workers=1")
    before = contents(run)
    assert said(capsys, "evaluate", f"run={run}", "episodes=3", "workers=2") == alone
    assert contents(run) == before


def test_figures_of_more_episodes_stay_in_the_summary(copy: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy("run")
    said(capsys, "evaluate", f"run={run}", "episodes=4")
    before = contents(run)
    line = said(capsys, "evaluate", f"run={run}", "episodes=3")
    assert line.endswith("; 3 episodes; the summary keeps the figures of 4 episodes\n")
    assert contents(run) == before
    entry = summary(run)["online"]
    Run(run).update_summary({"online": entry | {"env_steps": 50}})  # those of an earlier policy
    said(capsys, "evaluate", f"run={run}", "episodes=3")
    assert (summary(run)["online"]["episodes"], summary(run)["online"]["env_steps"]) == (3, 100)


def test_the_best_policy_is_measured_and_exported_by_name(
    copy: Copy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run, bundle = copy("run"), tmp_path / "bundle"
    before = summary(run)
    step = before["best"]["offline"]["step"]
    assert step in (10, 20)
    line = said(capsys, "evaluate", f"run={run}", "stage=offline", "which=best", "episodes=3")
    assert line.startswith("best of offline: success ")
    after = summary(run)
    measured = after["best"]["offline"].pop("measured")
    assert (measured["episodes"], measured["updates"]) == (3, step)
    assert after == before
    line = said(capsys, "export", f"run={run}", "stage=offline", "which=best", f"out={bundle}")
    assert line.startswith(f"{bundle}: policy 'best of offline' of {run} as a bundle; alarm set on ")
    assert summary(run)["export"]["which"] == "best"


def test_a_stage_without_a_best_policy_says_what_there_is(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    folder = run / "checkpoints"
    (folder / "bc.best.ckpt").unlink()
    expected = f"no checkpoint {folder / 'bc.best.ckpt'}; of 'bc' there is: bc.ckpt, bc.previous.ckpt"
    assert refused("evaluate", f"run={run}", "stage=bc", "which=best") == expected


def test_a_damaged_offline_agent_of_a_finetuned_run_is_made_once_more(
    copy: Copy, made: Made, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy("run")
    last, before = run / "checkpoints" / "offline.ckpt", contents(run)
    flip_byte(last)
    line = refused("finetune", f"run={run}", *TUNE, after_work=True)
    assert line.startswith(f"pretraining of run {run} is not finished (15 of 20 updates): ")
    assert main(["pretrain", f"data={made.reach}", f"out={run}", *TRAIN]) == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warned == [
        f"warning: checkpoint {last} is damaged (its checksum does not match); offline.previous.ckpt, saved "
        "before it, is used"
    ]
    assert main(["finetune", f"run={run}", *TUNE]) == 0  # it belongs to just this agent
    assert Run(run).load("offline")["progress"]["updates"] == 20
    assert contents(run)["checkpoints/online.ckpt"] == before["checkpoints/online.ckpt"]


def test_more_updates_are_refused_for_a_finetuned_run_though_its_agent_is_damaged(
    copy: Copy, made: Made, refused: Refused
) -> None:
    run = copy("run")
    flip_byte(run / "checkpoints" / "offline.ckpt")
    words = [word.replace("steps=20", "steps=25") for word in TRAIN]
    line = refused("pretrain", f"data={made.reach}", f"out={run}", *words, after_work=True)
    assert line == f"run {run} was finetuned from its 20 offline updates; choose another out= for 25"


def test_a_target_that_no_point_can_show_is_refused(refused: Refused, tmp_path: Path) -> None:
    line = refused("pretrain", "data=x", f"out={tmp_path / 'run'}", "stop_at_success=0.9", "eval_episodes=20")
    assert line == (
        "stop_at_success=0.9 is never reached: 20 of 20 episodes show 0.839 at most; ask for more "
        "eval_episodes="
    )


def children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(number) for number in found.stdout.split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_stopping_an_evaluation_leaves_no_process_behind(number: int, made: Made) -> None:
    process = start(["evaluate", f"run={made.run}", "episodes=10000", "workers=2"])
    seen: list[int] = []

    def is_playing() -> bool:
        for child in children(process.pid):
            grandchildren = children(child)
            if len(grandchildren) >= 2:
                seen.extend([child, *grandchildren])
        return bool(seen)

    code, err = stop_when(process, is_playing, number)
    assert code == (130 if number == signal.SIGINT else -signal.SIGKILL), err
    assert "Traceback" not in err
    deadline = time.monotonic() + 30
    while not all(map(is_gone, seen)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(is_gone, seen))
