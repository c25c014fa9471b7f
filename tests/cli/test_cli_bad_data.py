"""Data that are bad to learn from, given to the real commands: one line, or a warning and a trained run."""

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_tools import TRAIN, TUNE, Made, Refused

from robot_orl.cli import main
from robot_orl.commands import inputs
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.types import Episode, Spec

pytestmark = pytest.mark.e2e
SMALL = [*TRAIN[:2], "steps=4", "baseline_steps=2", "final_episodes=1", "eval_episodes=1"]


def changed(
    made: Made, out: Path, change: Callable[[Episode], Episode], spec: Callable[[Spec], Spec] = lambda it: it
) -> Path:
    """A copy of the reach dataset with other episodes, or of another spec."""
    dataset = Dataset.open(made.reach)
    with SegmentWriter(out, spec(dataset.spec), "changed") as writer:
        for episode in dataset.load_all():
            writer.append(change(episode))
    return out


def relabelled(copy: Path, reward: Callable[[np.ndarray], np.ndarray]) -> Path:
    dataset = Dataset.open(copy)
    records = dataset.episodes
    rewards = [reward(dataset.load(record).reward) for record in records]
    dataset.set_rewards(zip(records, rewards, strict=True), "another scale")
    return copy


def pretrain(data: object, out: Path, *more: str) -> list[object]:
    return ["pretrain", f"data={data}", f"out={out}", *SMALL, *more]


def warnings(err: str) -> list[str]:
    return [line.removeprefix("warning: ") for line in err.splitlines() if line.startswith("warning: ")]


def trained(words: Iterable[object], capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    return warnings(capsys.readouterr().err)


def test_one_failed_episode_trains_and_is_finetuned_with_warnings(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["collect", "task=fetch_push", "operator=random", "episodes=1", f"out={data}"]) == 0
    said = trained(pretrain(data, run), capsys)
    assert said[0] == "there is 1 episode only: at best, a policy repeats it"
    assert said[1].startswith("none of 1 episodes succeeds at its end")
    assert (
        trained(["finetune", f"run={run}", *TUNE[1:-1], "env_steps=50", "final_episodes=1"], capsys) == said
    )
    assert "online" in json.loads((run / "summary.json").read_text())


def test_rewards_on_another_scale_are_mended_by_the_tool_that_is_named(
    made: Made, copy: Callable[[str], Path], refused: Refused, tmp_path: Path
) -> None:
    data, run = relabelled(copy("reach"), lambda reward: reward + 1), tmp_path / "run"
    line = refused(*pretrain(data, run), after_work=True)
    assert line.startswith("the rewards of the data lie in 0 .. 1 and are not what the task pays for these")
    line = refused(*pretrain(data, run, "agent.hindsight_share=0"), after_work=True)
    assert line.startswith("the rewards of the data lie in 0 .. 1, and agent.bound_targets=true is for -1 ..")
    relabel = line.split("`")[1].split()
    assert relabel[:4] == ["robot-orl", "dataset", "relabel", f"path={data}"]
    assert main(["dataset", "relabel", f"path={data}", "where=length > 0", "reason=x", "reward=task"]) == 0
    assert main([str(word) for word in pretrain(data, tmp_path / "mended")]) == 0


def test_dense_positive_rewards_train_without_the_bound(copy: Callable[[str], Path], tmp_path: Path) -> None:
    data = relabelled(copy("reach"), lambda reward: np.linspace(0, 3, len(reward), dtype=np.float32))
    free = ["agent.bound_targets=false", "agent.hindsight_share=0"]
    assert main([str(word) for word in pretrain(data, tmp_path / "run", *free)]) == 0


def test_actions_that_never_change_are_refused(made: Made, refused: Refused, tmp_path: Path) -> None:
    still = changed(made, tmp_path / "data", lambda it: replace(it, action=np.zeros_like(it.action)))
    line = refused(*pretrain(still, tmp_path / "run"), after_work=True)
    assert line == "every action is the same in all 500 steps: nothing can be learned from these data"


def test_data_of_another_rate_or_action_space_are_refused(
    made: Made, refused: Refused, tmp_path: Path
) -> None:
    slow = changed(made, tmp_path / "slow", lambda it: it, lambda spec: replace(spec, control_hz=10.0))
    line = refused(*pretrain(slow, tmp_path / "run"))
    known = Dataset.open(made.reach).spec.control_hz
    assert line == (
        f"dataset {slow} is not of the task 'fetch_reach' as it is now: it runs at 10 Hz, not {known:g}"
    )

    def cut(episode: Episode) -> Episode:
        parts = {
            name: getattr(episode, name)[:, :3] for name in ("action", "action_policy", "action_operator")
        }
        return replace(episode, **parts)

    small = changed(made, tmp_path / "small", cut, lambda spec: replace(spec, action=spec.action[:3]))
    line = refused(*pretrain(small, tmp_path / "run"))
    assert line.endswith("'fetch_reach' as it is now: its action has 3 signals, not 4")
    line = refused("finetune", f"run={made.run}", f"data={small}", *TUNE)
    assert line.endswith("'fetch_reach' as it is now: its action has 3 signals, not 4")


def test_a_number_that_is_none_is_named(made: Made, refused: Refused, tmp_path: Path) -> None:
    def broken(episode: Episode) -> Episode:
        obs = {key: rows.copy() for key, rows in episode.obs.items()}
        obs["observation"][7, 2] = np.nan
        return replace(episode, obs=obs)

    data = changed(made, tmp_path / "data", broken)
    line = refused(*pretrain(data, tmp_path / "run"), after_work=True)
    name = Dataset.open(data).spec.observation["observation"][2].name
    first = Dataset.open(data).episodes[0].id
    assert line.startswith(f"episode {first} of {data}: observation 'observation' {name} is nan at step 7; ")


def test_more_data_than_memory_is_said_before_loading(
    made: Made, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "available_memory", lambda: 99_000)
    line = refused(*pretrain(made.reach, tmp_path / "run"))
    assert line.startswith("the 500 steps of 10 episodes take 0.2 MB of memory and 0.1 MB are free: learn")
    middle = sorted(record.meta.quality or 0.0 for record in Dataset.open(made.reach).episodes)[6]
    assert (
        main([str(word) for word in pretrain(made.reach, tmp_path / "run", f"where=quality > {middle}")]) == 0
    )
