"""A wrong word is answered in one line with the valid ones, and nothing is made."""

from pathlib import Path

import pytest
from cli_tools import TASKS, Refused

from robot_orl.cli import main
from robot_orl.compose import parse

REACH = ["collect", "task=fetch_reach", "out=made_by_mistake"]
PRETRAIN = ["pretrain", "data=nowhere", "out=made_by_mistake"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_unknown_command_is_answered_with_the_commands(refused: Refused) -> None:
    line = refused("colect", "task=fetch_reach")
    assert line.startswith("no command 'colect'; did you mean 'collect'? valid: collect, pretrain, finetune,")
    assert refused("").startswith("no command ''; valid: collect, ")
    assert refused("--versio").startswith("no command '--versio'; ")
    assert refused("dataset", "inf", "x").startswith("no dataset tool 'inf'; did you mean 'info'? valid: ")


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["collect"], f"collect needs task=..., one of: {TASKS}"),
        (["collect", "task=fetch_reach"], "collect needs out=..."),
        (["collect", "task=fetch_reach", "out=???"], "collect needs out=..."),
        (["collect", "task=fetch_reach", "operator=policy", "out=x"], "collect needs operator.path=..."),
        (["pretrain"], "pretrain needs data=..., out=..."),
        (["finetune"], "finetune needs run=..., a folder made by pretrain"),
        (["finetune", "run=[a]"], "finetune needs run=..., a folder made by pretrain"),
        (["evaluate"], "evaluate needs run=..."),
        (["export"], "export needs out=..., run=..."),
        (["deploy"], "deploy needs bundle=..."),
        (["report"], "report needs run=..."),
        (["dataset", "info"], "dataset info needs PATH"),
        (["dataset", "info", "a", "b"], "dataset info takes one PATH"),
        (["dataset", "info", "a", "--jso"], "no option '--jso'; did you mean '--json'? valid: --json"),
    ],
)
def test_what_is_missing_is_named(refused: Refused, words: list[str], start: str) -> None:
    assert refused(*words).startswith(start)


@pytest.mark.parametrize(
    ("words", "start"),
    [
        ([*REACH[:1], "task=fetch_psh"], f"no task 'fetch_psh'; did you mean 'fetch_push'? valid: {TASKS}"),
        ([*REACH[:1], "task="], f"no task ''; valid: {TASKS}"),
        ([*REACH[:1], "task={name:fetch_push}"], "no task '{'name': 'fetch_push'}'; did you mean "),
        ([*REACH, "operator=scripte"], "no operator 'scripte'; did you mean 'scripted'? valid: browser, "),
        ([*PRETRAIN, "agent=sac"], "no agent 'sac'; valid: awac, awac_paper, awr, bc"),
        (["deploy", "bundle=x", "robot=panda"], "no robot 'panda'; valid: dynamixel, koch, koch_leader, "),
        (["demo", "task=fetch_stack"], "no task 'fetch_stack'; "),
        (["evaluate", "run=x", "stage=last"], "stage=last is not one of: latest, bc, offline, online"),
        ([*PRETRAIN, "agent.weights=max"], "weights=max is not one of: softmax, exp, exp_std"),
        ([*REACH, "task.kwargs.widht=9"], "no task option 'widht'; did you mean 'width'? valid: width, heig"),
        ([*REACH[:1], "task=adroit_door", "out=x"], "operator=scripted has no script for task 'adroit_door'"),
    ],
)
def test_an_unknown_choice_is_answered_with_the_valid_ones(
    refused: Refused, words: list[str], start: str
) -> None:
    assert refused(*words).startswith(start)


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (
            [*REACH, "episods=3"],
            "no field of collect 'episods'; did you mean 'episodes'? valid: task, operator",
        ),
        (
            [*REACH, "operator.skil_low=0"],
            "no field of operator 'skil_low'; did you mean 'skill_low'? valid: ",
        ),
        (
            [*REACH, "operator.skill_low.x=0"],
            "operator.skill_low is a single value, so there is no operator.",
        ),
        ([*PRETRAIN, "agent.online.tempratur=1"], "no field of agent.online 'tempratur'; did you mean 'temp"),
        ([*PRETRAIN, "hydra.verbose=true"], "no field of pretrain 'hydra'; valid: agent, data, where, out"),
        (["deploy", "bundle=x", "robot.port=3"], "no field of robot 'port'; valid: name, limits"),
        ([*REACH, "=3"], "no field of collect ''; valid: "),
        ([*REACH, "operator.name=random"], "operator.name cannot be set; choose with operator=..."),
        ([*REACH, "task.name=fetch_push"], "task.name cannot be set; choose with task=..."),
        ([*PRETRAIN, "agent.name=bc"], "agent.name cannot be set; choose with agent=..."),
    ],
)
def test_an_unknown_key_is_refused_at_any_depth(refused: Refused, words: list[str], start: str) -> None:
    assert refused(*words).startswith(start)


@pytest.mark.parametrize(
    "word", ["+foo=1", "+episodes=3", "++episodes=3", "+operator.foo=1", "~episodes", "~operator", "+task=x"]
)
def test_hydras_adding_and_removing_is_refused(refused: Refused, word: str) -> None:
    line = refused(*REACH, word)
    assert line == f"'{word}': fields can be set, not added or removed; write key=value"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([*REACH, "episodes=0"], "episodes=0 is outside 1 .. 499999"),
        ([*REACH, "episodes=99999999999999999999"], "episodes=99999999999999999999 is outside 1 .. 499999"),
        ([*REACH, "seed=-1"], "seed=-1 is outside 0 .. 999"),
        ([*REACH, "operator.skill_low=nan"], "skill_low=nan is outside 0.0 .. 1.0"),
        (
            [*REACH, "operator.skill_low=0.9", "operator.skill_high=0.1"],
            "skill_low=0.9 is above skill_high=0.1",
        ),
        ([*PRETRAIN, "steps=0"], "steps=0 is outside 1 .. 100000000 [updates]"),
        ([*PRETRAIN, "agent.discount=inf"], "discount=inf is outside 0 .. 1"),
        ([*PRETRAIN, "agent.hidden=[16,0]"], "hidden=0 is outside 1 .. 65536"),
        ([*PRETRAIN, "agent.critics=1", "agent.critic_subset=2"], "critic_subset=2 exceeds critics=1"),
        (["evaluate", "run=x", "episodes=10001"], "episodes=10001 is outside 1 .. 10000"),
        (["deploy", "bundle=x", "duration_s=nan"], "duration_s=nan is outside 0.01 .. 10000000.0 [s]"),
        (["deploy", "bundle=x", "duration_s=inf"], "duration_s=inf is outside 0.01 .. 10000000.0 [s]"),
        (["deploy", "bundle=x", "priority=100"], "priority=100 is outside 0 .. 99"),
        (["demo", "duration_s=-1"], "duration_s=-1.0 is outside 0.01 .. 10000000.0 [s]"),
        ([*REACH, "task.kwargs.width=-3"], "width=-3 is not a positive number of pixels"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(
    refused: Refused, words: list[str], line: str
) -> None:
    assert refused(*words) == line


@pytest.mark.parametrize(
    "word",
    [
        *("episodes=ten", "episodes=1.5", "episodes=nan", "episodes=inf", "episodes=null", "episodes="),
        *("episodes=[1]", "episodes={a:1}", "realtime=maybe", "realtime=", "out=[a]", "out=null"),
        *("seed=${foo}", "seed=${oc.env:HOME}", "task.kwargs=3", "operator.skill_low=high"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(refused: Refused, word: str) -> None:
    words = [other for other in REACH if other.partition("=")[0] != word.partition("=")[0]]
    key = word.partition("=")[0]
    assert key in refused(*words, word) or "${" in word


@pytest.mark.parametrize(
    "word", ["episodes", "", "a b=3", "episodes = 3 4", "out=${oc.env:HOME", "out=[a,", "out='a", "out=a=b=["]
)
def test_a_word_that_is_no_assignment_is_quoted_back(refused: Refused, word: str) -> None:
    assert refused(*REACH[:2], word) == f"'{word}' is not of the form key=value"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ([*REACH, "episodes=3", "episodes=4"], "episodes"),
        ([*REACH, "task=fetch_push"], "task"),
        ([*REACH, "operator=random", "operator=scripted"], "operator"),
        ([*PRETRAIN, "agent.discount=0.9", "agent.discount=0.9"], "agent.discount"),
    ],
)
def test_a_key_given_twice_is_refused(refused: Refused, words: list[str], key: str) -> None:
    assert refused(*words) == f"{key}= is given more than once"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["collect", "task=fetch_reach", "out="], "out"),
        (["pretrain", "data=", "out=x"], "data"),
        (["evaluate", "run="], "run"),
        (["export", "run=x", "out="], "out"),
        (["deploy", "bundle="], "bundle"),
        (["deploy", "bundle=x", "record="], "record"),
        (["demo", "out="], "out"),
    ],
)
def test_an_empty_folder_name_is_not_the_current_folder(refused: Refused, words: list[str], key: str) -> None:
    assert refused(*words) == f"{key}= is empty; leave it out or give it a value"


@pytest.mark.parametrize("flag", ["--fast", "-x", "--episodes=3", "--multi-run"])
def test_an_unknown_flag_is_answered_with_the_flags(refused: Refused, flag: str) -> None:
    line = refused(*REACH, flag)
    assert line.startswith(f"no option '{flag}'; ")
    assert line.endswith("valid: --config, --help, --multirun, -h, -m")


@pytest.mark.parametrize("words", [["seed=0,1"], ["seed=range(0,3)"], ["operator=random,scripted"]])
def test_several_values_need_multirun(refused: Refused, words: list[str]) -> None:
    line = "several values for one field: add --multirun to run every combination"
    assert refused(*REACH, *words) == line
    assert refused(*REACH, *words, "--config", "-m") == line


@pytest.mark.parametrize("word", ["seed=interval(0,1)", "seed=glob(*)"])
def test_a_sweep_without_a_list_of_values_is_refused(refused: Refused, word: str) -> None:
    assert refused(*REACH, word, "-m").startswith(f"'{word}': a sweep is a list of values such as 0,1,2")


def test_a_sweep_is_checked_as_a_whole_before_it_starts(refused: Refused, empty_folder: Path) -> None:
    assert refused(*REACH, "episodes=1", "seed=0,1000", "-m") == "seed=1000 is outside 0 .. 999"
    assert refused(*REACH, "episodes=1", "operator=random,foo", "-m").startswith("no operator 'foo'; ")
    line = refused("finetune", "run=x", "noise=0.1,0.2", "-m")
    assert line == "finetune writes into its run: each combination needs a run= of its own"
    assert list(empty_folder.iterdir()) == []


def test_nothing_is_made_by_a_command_that_is_refused(refused: Refused, empty_folder: Path) -> None:
    for word in ("episodes=0", "operator=foo", "+a=1", "task.kwargs.x=1", "episodes=a", "a=1", "--x", "a"):
        refused(*REACH, word)
    assert list(empty_folder.iterdir()) == []


def test_config_prints_what_would_run_and_runs_nothing(
    capsys: pytest.CaptureFixture[str], empty_folder: Path
) -> None:
    import yaml

    assert main([*REACH, "--config", "operator.skill_low=0.5", "seed=3"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown == {
        "task": {"name": "fetch_reach", "kwargs": {}},
        "operator": {"name": "scripted", "skill_low": 0.5, "skill_high": 1.0},
        "out": "made_by_mistake",
        "episodes": 100,
        "seed": 3,
        "realtime": False,
    }
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("name", ["data/würfel", "日本", "a(b)", "p=q", "x#y", "sp ace", "a:b", "it's", "~x"])
def test_a_folder_is_taken_as_it_was_typed(name: str) -> None:
    [override] = parse([f"out={name}"])
    assert (override.key_or_group, override.value()) == ("out", name)
