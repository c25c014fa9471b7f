"""A run folder: one writer, metrics that match the checkpoint, a summary that grows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.training.runs.run import Run, StageClock, read_metrics

HOLD = """
import sys
from pathlib import Path
from robot_orl.training.runs.run import Run
with Run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def steps(path: Path) -> list[tuple[str, int]]:
    return [(row["stage"], row["step"]) for row in read_metrics(path)]


# the lock


def test_a_second_writer_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        message = rf"^run {run.path} is being written by process {os.getpid()}$"
        with pytest.raises(UsageError, match=message), Run(run.path):
            pass
    with Run(run.path):  # free again
        pass


@pytest.mark.e2e
def test_a_killed_writer_leaves_no_lock_behind(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match=f"is being written by process {holder.pid}$"), Run(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with Run(tmp_path) as run:
        assert (run.path / ".lock").read_text() == str(os.getpid())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"^cannot write run folder .*file/run: Not a directory$"):
        Run(tmp_path / "file" / "run").__enter__()


# metrics


def test_a_line_holds_stage_step_time_and_metrics(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.start_log("online", 0)
        run.log("online", 250, 250, 1.23456, {"critic/loss": torch.tensor(0.5), "episode/return": -50})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {
        "stage": "online",
        "step": 250,
        "env_steps": 250,
        "wall_s": 1.235,
        "critic/loss": 0.5,
        "episode/return": -50.0,
    }
    assert list((tmp_path / "tensorboard" / "online").glob("events.out.tfevents.*"))


def test_lines_beyond_the_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.start_log("bc", 0)
        run.log("bc", 30, 0, 0.0, {})
        run.start_log("offline", 0)
        for step in (10, 20, 30):
            run.log("offline", step, 0, 0.0, {"x": step})
    with Run(tmp_path) as run:
        run.start_log("offline", 20)  # its checkpoint knows 20 updates
        assert steps(tmp_path) == [("bc", 30), ("offline", 10), ("offline", 20)]
        run.log("offline", 30, 0, 0.0, {"x": -30})
    assert steps(tmp_path) == [("bc", 30), ("offline", 10), ("offline", 20), ("offline", 30)]
    assert read_metrics(tmp_path)[-1]["x"] == -30


def test_a_torn_last_line_is_ignored_and_mended(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.start_log("offline", 0)
        run.log("offline", 10, 0, 0.0, {})
        run.log("offline", 20, 0, 0.0, {})
    file = tmp_path / "metrics.jsonl"
    file.write_text(file.read_text()[:-9])
    assert steps(tmp_path) == [("offline", 10)]
    with Run(tmp_path) as run:
        run.start_log("offline", 20)
        run.log("offline", 30, 0, 0.0, {})
    assert steps(tmp_path) == [("offline", 10), ("offline", 30)]
    assert file.read_text().count("\n") == 2


def test_a_run_without_metrics_has_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


# summary and configuration


def test_the_summary_is_merged_stage_by_stage(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.summary == {}
    run.update_summary({"task": "fetch_reach", "bc": {"success": 0.5}, "wall_s": {"bc": 1.0}})
    run.update_summary({"offline": {"success": 0.8}, "wall_s": {"offline": 2.0}})
    run.update_summary({"offline": {"success": 0.9}})
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "task": "fetch_reach",
        "bc": {"success": 0.5},
        "offline": {"success": 0.9},
        "wall_s": {"bc": 1.0, "offline": 2.0},
    }
    run.update_summary({"wall_s": {"bc": 3.0}})
    assert run.summary["wall_s"] == {"bc": 3.0, "offline": 2.0}
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(DataError, match=r"summary\.json is damaged: "):
        _ = run.summary


def test_a_leftover_of_a_killed_write_does_not_matter(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.update_summary({"task": "fetch_reach"})
    (tmp_path / "summary.json.partial").write_text("{")
    assert run.summary["task"] == "fetch_reach"
    run.update_summary({"agent": "awac"})
    assert (run.summary["task"], run.summary["agent"]) == ("fetch_reach", "awac")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "summary.json.partial").mkdir()
    with pytest.raises(RunError, match=rf"^cannot write {tmp_path}/summary\.json: Is a directory$"):
        Run(tmp_path).update_summary({})


def test_the_configuration_is_kept_and_a_damaged_one_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^no run at '.*': it has no config\.yaml; `pretrain out="):
        Run.open(tmp_path)
    Run(tmp_path).save_config({"seed": 3, "agent": {"name": "awac", "hidden": [8]}})
    run = Run.open(str(tmp_path))
    assert (run.config.seed, run.config.agent.hidden) == (3, [8])
    (tmp_path / "config.yaml").write_text("seed: [1\n")
    with pytest.raises(DataError, match=r"config\.yaml cannot be read: ") as caught:
        _ = run.config
    assert "\n" not in str(caught.value)


def test_the_latest_stage_is_the_last_that_was_trained(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(UsageError, match=r"has no checkpoint yet; run `pretrain out="):
        run.latest_stage()
    for stage in ("bc", "offline", "online"):
        run.save(stage, {"format": 1})
        assert run.latest_stage() == stage
        assert run.has(stage)
    assert run.load("offline") == {"format": 1}


def test_the_clock_of_a_stage_counts_earlier_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("robot_orl.training.runs.run.time.monotonic", lambda: now[0])
    clock = StageClock(before_s=7.0)
    now[0] = 102.5
    assert clock() == 9.5
