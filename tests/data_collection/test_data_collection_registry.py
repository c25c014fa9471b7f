from pathlib import Path

import pytest

from data_collection.operators.random import RandomOperator
from data_collection.operators.scripted import ScriptedOperator
from robot_orl.compose import config_folder
from robot_orl.errors import UsageError
from robot_orl.registry import factory


def test_operators_are_found_by_name() -> None:
    assert factory("operator", "scripted") is ScriptedOperator
    assert factory("operator", "random") is RandomOperator


def test_every_operator_file_has_its_yaml() -> None:
    folder = Path(__file__).parents[2] / "data_collection" / "operators"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules <= {path.stem for path in (config_folder() / "operator").glob("*.yaml")}


def test_unknown_operator_names_the_valid_ones() -> None:
    valid = "browser, expert, gamepad, keyboard, leader, mixed, policy, random, replay, scripted, spacemouse"
    with pytest.raises(UsageError, match=rf"did you mean 'scripted'\?.*{valid}"):
        factory("operator", "scriptd")
