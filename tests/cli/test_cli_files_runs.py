"""What is given as a run and cannot be used is named and left alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_tools import TRAIN, TUNE, Made, Refused, contents, flip_byte, truncate

from robot_orl.cli import main
from robot_orl.training.runs.checkpoint import save_checkpoint
from robot_orl.training.runs.run import Run

pytestmark = pytest.mark.e2e  # works on a dataset, a run and a bundle that commands made
Copy = Callable[[str], Path]


def new_line(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


CKPT = "checkpoints/online.ckpt"
RUN_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda run: shutil.rmtree(run), "no run at '{run}': it has no config.yaml; `pretrain out="),
    "no config": (lambda run: (run / "config.yaml").unlink(), "no run at '{run}': it has no config.yaml; "),
    "config cut": (
        lambda run: (run / "config.yaml").write_text("a: ["),
        "{run}/config.yaml cannot be read: ",
    ),
    "config bytes": (
        lambda run: (run / "config.yaml").write_bytes(b"\xff\0"),
        "config.yaml cannot be read: ",
    ),
    "config list": (
        lambda run: (run / "config.yaml").write_text("- 1"),
        "config.yaml is damaged: it is not a",
    ),
    "config empty": (
        lambda run: (run / "config.yaml").write_text(""),
        "config.yaml is damaged: it has no whole",
    ),
    "task gone": (
        lambda run: new_line(run / "config.yaml", "name: fetch_reach", "name: fetch_rech"),
        "no task 'fetch_rech'; ",
    ),
    "other task": (
        lambda run: new_line(run / "config.yaml", "name: fetch_reach", "name: fetch_push"),
        "is of task 'fetch_reach', not 'fetch_push'",
    ),
    "summary cut": (lambda run: truncate(run / "summary.json"), "{run}/summary.json is damaged: "),
    "summary list": (lambda run: (run / "summary.json").write_text("[]"), "{run}/summary.json is damaged: "),
    "no checkpoint": (lambda run: shutil.rmtree(run / "checkpoints"), "run {run} has no "),
    "flipped": (lambda run: flip_byte(run / CKPT), "checkpoint {run}/checkpoints/online.ckpt is damaged "),
    "cut": (lambda run: truncate(run / CKPT), "checkpoint {run}/checkpoints/online.ckpt is damaged "),
    "nothing": (
        lambda run: (run / CKPT).write_bytes(b""),
        "{run}/checkpoints/online.ckpt is not a robot_orl c",
    ),
    "another file": (
        lambda run: shutil.copy(run / "config.yaml", run / CKPT),
        "is not a robot_orl checkpoint",
    ),
    "newer": (
        lambda run: save_checkpoint(run / CKPT, {"format": 9}),
        "checkpoint format 9; this version reads",
    ),
    "no mapping": (lambda run: save_checkpoint(run / CKPT, [1]), "is not a robot_orl checkpoint"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("damage", RUN_DAMAGES)
@pytest.mark.parametrize("command", ["evaluate", "finetune", "export"])
def test_a_run_that_cannot_be_used_is_named_and_left_alone(
    command: str, damage: str, copy: Copy, refused: Refused, tmp_path: Path
) -> None:
    run = copy("run")
    (run / CKPT).with_suffix(".previous.ckpt").unlink()  # which would be used for a damaged last one
    hurt, expected = RUN_DAMAGES[damage]
    hurt(run)
    before = contents(run) if run.exists() else {}
    more = {"evaluate": ["episodes=1"], "finetune": TUNE, "export": [f"out={tmp_path / 'bundle'}"]}[command]
    line = refused(command, f"run={run}", *more, after_work=True)
    assert expected.format(run=run) in line
    assert (contents(run) if run.exists() else {}) == before


def test_a_checkpoint_of_another_task_is_refused(
    copy: Copy, made: Made, refused: Refused, tmp_path: Path
) -> None:
    run = copy("run")
    shutil.copy(made.push_run / "checkpoints" / "offline.ckpt", run / CKPT)
    expected = f"checkpoint 'online' of run {run} is of task 'fetch_push', not 'fetch_reach'"
    assert refused("evaluate", f"run={run}", "episodes=1") == expected
    assert refused("export", f"run={run}", f"out={tmp_path / 'bundle'}") == expected
    assert refused("finetune", f"run={run}", *TUNE) == expected
    line = refused(
        "collect", "task=fetch_push", "operator=policy", f"operator.path={made.run}", f"out={tmp_path / 'x'}"
    )
    assert line == f"{made.run / CKPT} was trained for task 'fetch_reach', not for 'fetch_push'"


def test_finetuning_needs_an_offline_stage_and_its_own_agent(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    for path in (run / "checkpoints").glob("o*line.*ckpt"):
        path.unlink()
    before = contents(run)
    line = refused("finetune", f"run={run}")
    assert line == f"run {run} has no finished offline agent to finetune; pretrain it first"
    line = refused("finetune", f"run={run}", "agent=bc")
    assert line.startswith("finetune goes on with the agent of the run; single fields can be set: agent.")
    assert refused("finetune", f"run={run}", "agent.discont=0.9").startswith("no field of agent 'discont'; ")
    assert contents(run) == before


def test_weights_that_do_not_fit_are_named(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    line = refused("finetune", f"run={run}", "agent.hidden=[32]", *TUNE, after_work=True)
    assert line.startswith("the checkpoint does not fit agent 'awac': ")
    assert "actor.net" in line


def test_a_run_that_is_being_written_is_not_written(copy: Copy, made: Made, refused: Refused) -> None:
    import os

    run = copy("run")
    with Run(run):
        expected = f"run {run} is being written by process {os.getpid()}"
        assert refused("pretrain", f"data={made.reach}", f"out={run}", *TRAIN) == expected
        assert refused("finetune", f"run={run}", *TUNE) == expected
        assert refused("evaluate", f"run={run}") == expected  # before it plays


def test_lost_metrics_and_summary_do_not_stop_finetuning(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy("run")
    (run / "summary.json").unlink()
    (run / "metrics.jsonl").write_bytes(b'\xff\xfe\n[1]\n{"stage": "offline"}\n{"sta')
    assert main(["finetune", f"run={run}", *TUNE, "noise=0.1"][:-1]) == 0
    assert json.loads((run / "summary.json").read_text())["online"]["env_steps"] == 100
    assert "Traceback" not in capsys.readouterr().err


def unfinished(run: Path, stage: str, target: int) -> None:
    """As an interruption leaves it: the stage was asked for more than it has."""
    saved = Run(run).load(stage)
    saved["progress"]["target"] = target
    save_checkpoint(run / "checkpoints" / f"{stage}.ckpt", saved)


def test_a_half_trained_agent_is_not_finetuned(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    (run / "checkpoints" / "online.ckpt").unlink()
    unfinished(run, "offline", 30)
    before = contents(run)
    line = refused("finetune", f"run={run}", *TUNE)
    expected = f"pretraining of run {run} is not finished (20 of 30 updates): run the same pretrain again"
    assert line == expected
    assert contents(run) == before


def test_a_half_trained_stage_is_measured_but_not_as_a_result(
    copy: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy("run")
    unfinished(run, "online", 500)
    before = contents(run)
    assert main(["evaluate", f"run={run}", "episodes=1"]) == 0
    said = "; training is not finished (100 of 500), so this is not kept in the summary\n"
    assert capsys.readouterr().out.endswith(f" 1 episodes{said}")
    assert contents(run) == before


def test_the_offline_agent_of_a_finetuned_run_is_not_replaced(
    copy: Copy, made: Made, refused: Refused
) -> None:
    run = copy("run")
    before = contents(run)
    words = [word for word in TRAIN if not word.startswith("steps=")]
    line = refused("pretrain", f"data={made.reach}", f"out={run}", *words, "steps=21")
    assert line == f"run {run} was finetuned from its 20 offline updates; choose another out= for 21"
    assert contents(run) == before


def test_other_settings_for_unfinished_finetuning_are_named(copy: Copy, refused: Refused) -> None:
    run = copy("run")
    unfinished(run, "online", 500)
    before = contents(run)
    words = ["env_steps=500", *TUNE[1:], "noise=0.3", "agent.discount=0.5"]
    line = refused("finetune", f"run={run}", *words, after_work=True)
    assert line == (
        f"finetuning of run {run} began with other values of: noise, agent.discount; finish it with the "
        "same, then it can go on with others"
    )
    assert contents(run) == before


def test_cloning_is_not_finetuned(made: Made, refused: Refused, tmp_path: Path) -> None:
    words = ["agent=bc", "agent.hidden=[8]", "steps=2", "final_episodes=1"]
    assert main(["pretrain", *words, f"data={made.reach}", f"out={tmp_path / 'bc'}"]) == 0
    line = refused("finetune", f"run={tmp_path / 'bc'}")
    assert line == "bc has no online phase; pretrain agent=awac"
