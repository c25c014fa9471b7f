"""`where=` in training: the text as it was typed decides what is learned from; nothing is copied."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from cli_tools import TRAIN, TUNE, Refused, contents

from robot_orl.cli import main
from robot_orl.compose import build, parse, sweep
from robot_orl.data.query import FIELDS, select
from robot_orl.data.query.fields import ACTORS
from robot_orl.data.query.parser import OPERATORS
from robot_orl.data.store import Dataset

TYPED = [
    "success and quality > 0.5",
    "operator in ('a','b') and notes has \"it's\"",
    r"notes has '\'' and notes has 'a\\'",
    "notes == '${now:}'",
    "notes == 'würfel {x: [1, 2]}'",
    "success",
    "not success",
    "a,b",
    "success and 'open",
]


@pytest.mark.parametrize("text", TYPED)
def test_a_query_is_taken_as_it_was_typed(text: str) -> None:
    (found,) = parse([f"where={text}"])
    assert str(found.value()).replace("\\${", "${") == text  # so that OmegaConf looks nothing up
    (again,) = parse([str(found.input_line)])  # as a sweep hands it on
    assert again.value() == found.value()
    assert [job[0] for job, _ in sweep([f"where={text}", "seed=1,2"])] == [found.input_line] * 2


@pytest.mark.parametrize("text", TYPED[3:5])
def test_a_query_reaches_the_command_as_it_was_typed(text: str) -> None:
    assert build("pretrain", ["data=x", "out=y", f"where={text}"]).where == text


def test_null_is_no_query() -> None:
    assert parse(["where=null"])[0].value() is None


def summary(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.e2e
def test_training_sees_only_what_its_query_selects(tmp_path: Path, refused: Refused) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["collect", "task=fetch_reach", "episodes=6", f"out={data}"]) == 0
    qualities = sorted(record.meta.quality for record in Dataset.open(data).episodes)
    where = f"quality >= {qualities[3]} and operator == 'scripted'"  # three of the six
    before = contents(data)
    small = ["baseline_steps=0", "final_episodes=1", "eval_episodes=1"]
    words = ["pretrain", f"data={data}", f"out={run}", *TRAIN[:3], *TRAIN[4:5], *small]
    line = refused(*words, "where=quality > 2")
    assert line == "0 of 6 episodes match where=quality > 2"
    assert refused(*words, "where=qualty > 2").startswith(
        "where, column 1: no episode field 'qualty'; did you"
    )
    assert not run.exists()

    assert main([*words, f"where={where}"]) == 0
    chosen = select(Dataset.open(data), where)
    facts = summary(run)["data"]
    assert (facts["episodes"], facts["transitions"]) == (3, 150)
    assert facts["fingerprint"] == chosen.fingerprint() != Dataset.open(data).fingerprint()
    assert contents(data) == before
    assert "with other values of: where" in refused(*words, "where=success")
    assert "with other values of: where" in refused(*words)
    assert main([*words, f"where={where}"]) == 0  # complete: nothing to do

    assert main(["finetune", f"run={run}", *TUNE]) == 0  # on the selection of the run
    assert summary(run)["finetune"]["where"] == where


@pytest.mark.e2e
def test_a_run_made_before_there_were_queries_goes_on(tmp_path: Path, refused: Refused) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["collect", "task=fetch_reach", "episodes=2", f"out={data}"]) == 0
    words = ["pretrain", f"data={data}", f"out={run}", "agent.hidden=[8]", "baseline_steps=0"]
    words += ["final_episodes=1", "eval_episodes=1"]
    assert main([*words, "steps=2"]) == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    del config["where"]
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    assert main([*words, "steps=4"]) == 0
    assert summary(run)["offline"]["updates"] == 4


def test_help_names_every_field_actor_and_operator(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "filter", "--help"]) == 0
    words = set(re.findall(r"[a-z_]+|[=!<>]+", capsys.readouterr().out))
    assert {*FIELDS, *ACTORS, *OPERATORS, "has", "in", "known", "unknown", "and", "or", "not"} <= words
