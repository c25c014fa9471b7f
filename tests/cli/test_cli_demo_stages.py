"""The stages of the demo on an arm: an order that makes sense, and what is finished of it."""

import json
from pathlib import Path

import pytest

from robot_orl.commands.demo import run
from robot_orl.commands.demo.done import Done
from robot_orl.commands.demo.stages import ARM_EPISODES, Stage, stages
from robot_orl.config import DemoConfig
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig
from robot_orl.types import Signal, Spec

ACTION = (Signal("a", "1", -1.0, 1.0),)
SPEC = Spec("arm_lift", {"observation": (Signal("object_pos_x", "m"),)}, ACTION, 50.0, 150)
CFG = DemoConfig(task=TaskConfig("arm_lift"), robot="koch", episodes=20, steps=300, env_steps=400)


@pytest.fixture(scope="module")
def path() -> list[Stage]:
    return stages(CFG, Path("demo/arm_lift_koch"), SPEC)


def words_of(stage: Stage) -> dict[str, str]:
    return dict(word.split("=", 1) for word in stage.words[1:])


def test_each_round_is_measured_in_simulation_and_then_through_the_serial_port(path: list[Stage]) -> None:
    measured = ["evaluate", "export", "deploy"]
    commands = ["collect", "pretrain", "finetune", *measured, "finetune", *measured, "report"]
    assert [stage.words[0] for stage in path] == commands
    assert len({stage.key for stage in path}) == len(path)  # the same words twice are two stages


def test_the_second_round_learns_from_what_was_deployed_in_the_first_and_measures_anew(
    path: list[Stage],
) -> None:
    first, second = (words_of(stage) for stage in path if stage.words[0] == "deploy")
    learned = words_of(path[6])
    assert learned["data"] == f"[{words_of(path[0])['out']},{first['record']}]"
    assert learned["env_steps"] == "800"  # as many again, but no more than 2,500
    assert "record" not in second
    assert first["bundle"] != second["bundle"]


def test_a_deployment_lasts_as_long_as_its_episodes_and_one_more(path: list[Stage]) -> None:
    """The last one is not judged: nobody homes the arm after it. 31 episodes of 150 steps at 50 Hz: 93 s."""
    assert ARM_EPISODES == 30
    assert {words_of(stage)["duration_s"] for stage in path if stage.words[0] == "deploy"} == {"93"}


def test_a_deployment_finds_what_the_virtual_arm_beside_it_makes(path: list[Stage]) -> None:
    for stage in path:
        assert (stage.beside is not None) == (stage.words[0] == "deploy")
        if stage.beside is not None:
            arm = dict(word.split("=", 1) for word in stage.beside.words[1:])
            words = words_of(stage)
            assert words["robot.port"] == arm["port"]
            assert words["robot.world"] == arm["world"]
            assert words["robot.object.source"] == f"{arm['camera']}/stream"
            assert words["robot.object.intrinsics"] == f"{arm['camera']}/camera.yaml"
            assert words["robot.object.hand_eye"] == f"{arm['camera']}/hand_eye.yaml"


def test_a_task_without_an_object_needs_no_camera() -> None:
    spec = Spec("arm_reach", {"observation": (Signal("tool_pos_x", "m"),)}, ACTION, 50.0, 100)
    for stage in stages(CFG, Path("demo"), spec):
        assert "object" not in stage.line
        assert stage.beside is None or "camera" not in stage.beside.line


def test_the_same_words_are_done_once_for_each_stage_and_figures_are_kept(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"online": 1}')
    one, other = (
        Stage(name, ["evaluate", "run=x"], tmp_path / "summary.json", 1.0, keeps=tmp_path / "summary.json")
        for name in ("evaluate", "evaluate again")
    )
    done = Done(tmp_path / "stages.json", {"seed": 0}, {})
    done.add(one, 2.04)
    assert done.has(one)
    assert not done.has(other)
    (tmp_path / "summary.json").write_text('{"online": 2}')
    done.add(other, 3.0)
    again = Done(tmp_path / "stages.json", {"seed": 0, "robot": "sim"}, {"robot": "sim"})
    assert again.has(other)
    assert again.kept == {"evaluate": {"online": 1}, "evaluate again": {"online": 2}}
    assert again.spent_s == pytest.approx(5.0)
    (tmp_path / "summary.json").unlink()
    assert not again.has(one)  # what it made is gone
    with pytest.raises(UsageError, match="holds a demo with other values of: robot; choose another out="):
        Done(tmp_path / "stages.json", {"seed": 0, "robot": "koch"}, {})
    assert json.loads((tmp_path / "stages.json").read_text())["settings"] == {"seed": 0, "robot": "sim"}


def test_a_task_that_moves_no_joints_is_refused_and_those_that_do_are_named(tmp_path: Path) -> None:
    fitting = "tasks that fit: arm_lift, arm_push, arm_reach"
    with pytest.raises(UsageError, match=f"robot koch cannot run fetch_push: .*; {fitting}"):
        run(DemoConfig(task=TaskConfig("fetch_push"), robot="koch", out=str(tmp_path / "made")))
    assert not (tmp_path / "made").exists()
