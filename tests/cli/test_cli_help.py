"""Help names every command, field, default, unit, range and choice."""

import pytest
from cli_tools import TASKS, Refused

from robot_orl.cli import main


def test_no_words_at_all_show_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    usage = capsys.readouterr().out
    for flag in ("-h", "--help"):
        assert main([flag]) == 0
        assert capsys.readouterr().out == usage
    names = ("collect", "pretrain", "finetune", "evaluate", "export", "deploy", "dataset", "report", "demo")
    assert all(f"\n  {name} " in usage for name in names)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"robot-orl {version('robot-orl')}\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_of_dataset_shows_its_usage(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    assert main(["dataset", flag]) == 0
    tools = capsys.readouterr().out
    assert tools.startswith("usage: robot-orl dataset TOOL PATH ... key=value ...\n")
    assert "\n  info " in tools
    assert main(["dataset", "info", flag]) == 0
    assert capsys.readouterr().out.startswith("usage: robot-orl dataset info PATH key=value ...\n")


def help_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*words, "--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert max(map(len, out.splitlines())) <= 110
    return out


@pytest.mark.parametrize(
    "command", ["collect", "pretrain", "finetune", "evaluate", "export", "deploy", "report", "demo"]
)
def test_help_shows_every_field_with_a_sentence_and_its_default(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    from dataclasses import fields, is_dataclass

    from omegaconf import MISSING

    from robot_orl.compose import GROUPS_OF
    from robot_orl.config import COMMANDS

    lines = help_of(capsys, command).splitlines()
    assert lines[0] == f"usage: robot-orl {command} key=value ..."
    defaults = COMMANDS[command]()
    for item in fields(COMMANDS[command]):
        if item.name in GROUPS_OF.get(command, ()):
            continue
        value = getattr(defaults, item.name)
        (at,) = (n for n, line in enumerate(lines) if line.split()[:1] == [item.name])
        if not is_dataclass(value):  # one of those has its fields below
            assert (" (required)" if value == MISSING else " = ") in lines[at]
        assert len(item.metadata["help"].split()) >= 2
        assert item.metadata["help"].split()[0] in " ".join(lines[at : at + 2])


def test_help_shows_defaults_units_ranges_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of(capsys, "finetune").split())
    assert (
        "env_steps = 10000 Environment steps in all; a finished run goes on with more. [steps, 1 .. " in text
    )
    assert "noise = 0.15 Standard deviation of the exploration noise on actions in [-1, 1]. [0 .. 2]" in text
    assert "data = null Offline dataset" in text
    text = " ".join(help_of(capsys, "evaluate").split())
    assert "stage = latest Which stage of the run. [latest | bc | offline | online]" in text
    assert "which = last The policy at the end of the stage, or that of the best point of its " in text
    text = " ".join(help_of(capsys, "deploy").split())
    assert "duration_s = 20.0 How long to run the policy, homing not counted. [s, " in text


def test_help_follows_the_choice_of_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert "operator.skill_low = 0.0" in help_of(capsys, "collect")
    text = help_of(capsys, "collect", "operator=random")
    assert "fields of operator=random:" in text
    assert "operator.correlation = 0.0" in text
    assert "skill_low" not in text
    assert f"task=NAME, one of: {TASKS}" in " ".join(text.split())
    awac, cloning = help_of(capsys, "pretrain"), help_of(capsys, "pretrain", "agent=bc")
    assert "agent.online.temperature = null" in awac
    assert "agent.discount" not in cloning
    assert "agent.with_goals.discount = 0.97" in awac  # the YAML's value, not the dataclass's
    assert "agent.discount = 0.99" in help_of(capsys, "pretrain", "agent=awac_paper")


def test_help_of_an_unknown_choice_names_the_valid_ones(refused: Refused) -> None:
    assert (
        refused("collect", "--help", "operator=foo")
        == "no operator 'foo'; valid: browser, expert, gamepad, keyboard, leader, mixed, policy, "
        "random, replay, scripted, spacemouse"
    )
