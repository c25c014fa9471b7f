"""Commands that make a run again: read back by a shell and by the command line, they ask for the same."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from report_toys import deploy_figures, write_data, write_run

from robot_orl.compose import parse, resolve
from robot_orl.data.store.reader import Dataset
from robot_orl.report.reproduce import collecting, command, commands, shown, written
from robot_orl.report.sources import read_sources


def plain(command: str, words: list[str], base: dict[str, Any] | None = None) -> dict[str, Any]:
    values = OmegaConf.to_container(resolve(command, words, base))
    assert isinstance(values, dict)
    return values


def asked_by(line: str, base: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the command line understands of a printed command."""
    program, name, *words = shlex.split(line)
    assert program == "robot-orl"
    return plain(name, words, base)


def test_only_what_is_not_default_is_named() -> None:
    asked = plain("pretrain", ["agent=awac", "data=data/a", "out=runs/a", "steps=3000", "agent.critics=4"])
    line = command("pretrain", ("agent",), asked, first=("agent", "data", "out"))
    assert line == "robot-orl pretrain agent=awac agent.critics=4 data=data/a out=runs/a steps=3000"


@pytest.mark.parametrize(
    "words",
    [
        ["agent=awac", "data=a", "out=b"],
        ["agent=bc", "data=[a,b]", "out=b", "agent.hidden=[64,64]", "seed=7"],
        ["agent=awac_paper", "data=a", "out=b", "agent.actor_learning_rate=1e-5"],
        ["agent=awac", "data=a", "out=b", "agent.online.n_step=null", "agent.layer_norm=false"],
    ],
)
def test_a_printed_pretrain_command_asks_for_the_same(words: list[str]) -> None:
    asked = plain("pretrain", words)
    line = command("pretrain", ("agent",), asked)
    assert asked_by(line) == asked
    assert f"agent={words[0].partition('=')[2]}" in shlex.split(line)


def test_a_printed_collect_command_asks_for_the_same() -> None:
    asked = plain("collect", ["task=fetch_push", "operator=scripted", "out=a", "task.kwargs.width=64"])
    line = command("collect", ("task", "operator"), asked)
    assert asked_by(line) == asked
    assert "task.kwargs.width=64" in line


def test_finetuning_goes_on_with_the_agent_of_the_run() -> None:
    base = plain("pretrain", ["agent=awac", "data=a", "out=b", "agent.critics=5"])["agent"]
    asked = plain("finetune", ["agent=awac", "run=runs/a", "agent.critics=5", "agent.n_step=1", "noise=0.3"])
    line = command("finetune", ("agent",), asked, first=("run",), base=base)
    assert line == "robot-orl finetune run=runs/a agent.n_step=1 noise=0.3"


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"], blacklist_characters="\\${}"), min_size=1))
def test_any_path_is_quoted_so_that_it_reads_back(path: str) -> None:
    (word,) = shlex.split(shlex.join([f"out={written(path)}"]))
    assert parse([word])[0].value() == path


def test_a_dataset_names_the_commands_that_recorded_it(tmp_path: Path) -> None:
    root = tmp_path / "data"
    config = plain("collect", ["task=fetch_push", "operator=scripted", "out=elsewhere", "episodes=4"])
    write_data(root, "toy", config)
    write_data(root, "toy", config | {"episodes": 8})  # the same command, asked for more
    write_data(root, "toy", config | {"seed": 1, "episodes": 4})
    write_data(root, "toy", {"bundle": "bundles/a"})
    lines = collecting(Dataset.open(root))
    assert lines == [
        f"robot-orl collect task=fetch_push operator=scripted episodes=8 out={root}",
        f"robot-orl collect task=fetch_push operator=scripted episodes=4 out={root} seed=1",
        f"# {root} also holds 4 episodes recorded by scripted",
    ]


def test_the_commands_come_in_the_order_of_the_path(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    tuned = plain("finetune", ["agent=awac", "run=gone", "env_steps=100"])
    run.update_summary({"finetune": tuned | {"data": [str(tmp_path / "data")]}})
    lines = commands(read_sources(run, None))
    assert [shlex.split(line, comments=True)[1:2] for line in lines] == [
        [],
        ["pretrain"],
        ["finetune"],
        ["export"],
        ["deploy"],
        ["report"],
    ]
    assert lines[2] == f"robot-orl finetune run={run.path} env_steps=100"
    assert lines[4] == f"robot-orl deploy bundle={tmp_path / 'bundle'} robot=sim duration_s=10"


def deployed_with(root: Path, words: list[str], **others: object) -> str:
    """The deploy command that a report prints for a deployment that was asked for with these words."""
    run = write_run(root)
    file = root / "bundle" / "deploy.json"
    config = plain("deploy", [f"bundle={root / 'bundle'}", *words])
    file.write_text(json.dumps(deploy_figures("toy") | {"config": config | others}))
    (line,) = (line for line in commands(read_sources(run, None)) if " deploy " in line)
    return line


def test_the_deploy_command_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    words = [
        "duration_s=3.5",
        f"record={tmp_path / 'it is'}",
        "seed=4",
        "priority=0",
        "robot.freeze_after_s=2",
    ]
    line = deployed_with(tmp_path, words)
    assert line.startswith(
        f"robot-orl deploy bundle={tmp_path / 'bundle'} robot=sim robot.freeze_after_s=2.0 "
    )
    assert asked_by(line) == plain("deploy", [f"bundle={tmp_path / 'bundle'}", *words])


def test_a_deployment_on_a_robot_that_is_not_known_here_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    line = deployed_with(tmp_path, ["seed=4"], robot={"name": "gone"})
    assert line == f"robot-orl deploy bundle={tmp_path / 'bundle'} robot=sim duration_s=10"


@pytest.mark.parametrize(
    ("stage", "said"), [("online", ""), ("offline", " stage=offline max_action_delta=0.25")]
)
def test_the_export_command_names_what_an_export_now_would_not_choose(
    tmp_path: Path, stage: str, said: str
) -> None:
    run = write_run(tmp_path)
    exported = plain("export", ["run=elsewhere", "out=elsewhere"]) | {"stage": stage}
    exported |= {"max_action_delta": 0.25} if said else {}
    run.update_summary({"export": exported})
    (line,) = (line for line in commands(read_sources(run, None)) if " export " in line)
    assert line == f"robot-orl export run={run.path} out={tmp_path / 'bundle'}{said}"


def test_paths_below_the_working_folder_are_shown_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "runs" / "a") == "runs/a"
    assert shown("runs/a") == "runs/a"
    assert shown(tmp_path.parent / "x") == str(tmp_path.parent / "x")
