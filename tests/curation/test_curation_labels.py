"""Labels change by lines in the log: the last holds, all of them are told, and no array is touched."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from curation_toys import files, numbers, toy_dataset, toy_episode, toy_spec

import envs  # noqa: F401  registers the tasks
from robot_orl.curation.labels import (
    Change,
    changed,
    history,
    matching,
    parse_labels,
    require_unwritten,
    stamp,
)
from robot_orl.curation.rewards import paid, recomputed
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Actor, Episode, Observation, Proposal

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_every_change_is_told_with_who_when_and_why(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2], [3])
    before = {
        name: content for name, content in files(tmp_path / "a").items() if "episodes.jsonl" not in name
    }
    first, second, third = dataset.episodes
    dataset.relabel([first, third], "video", stamp(NOW, "ann"), quality=0.5, notes="slipped")
    dataset.set_rewards([(first, np.array([0, -1, 0], "f4"))], "task", stamp(NOW, "bob"))
    dataset.relabel([first], "again", quality=0.75)
    dataset = Dataset.open(tmp_path / "a")
    told = history(dataset, dataset.episodes)
    assert told[first.id] == [
        Change("2026-01-02T03:04:05Z", "ann", "video", {"quality": 0.5, "notes": "slipped"}),
        Change("2026-01-02T03:04:05Z", "bob", "task", {"reward": "recomputed"}),
        Change("", "", "again", {"quality": 0.75}),
    ]
    assert told[second.id] == []
    assert [change.by for change in told[third.id]] == ["ann"]
    now = dataset.episodes[0]
    assert (now.meta.quality, now.meta.notes, now.episode_return) == (0.75, "slipped", -1.0)
    assert dataset.load(now).reward.tolist() == [0, -1, 0]
    assert next(e.reward.tolist() for e in dataset.load_all()) == [0, -1, 0]
    after = {name: content for name, content in files(tmp_path / "a").items() if "episodes.jsonl" not in name}
    assert after == before


def test_rewards_of_another_length_are_refused_before_the_log_is_touched(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1])
    before = files(tmp_path / "a")
    with pytest.raises(DataError, match=r"has 3 steps, not rewards of shape \(2,\)"):
        dataset.set_rewards([(dataset.episodes[0], np.zeros(2, "f4"))], "why")
    assert files(tmp_path / "a") == before


def test_queries_choose_from_those_in_use_or_from_the_deleted(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2, 3, 4])
    dataset.delete(dataset.episodes[:2], "bad")
    assert numbers(matching(dataset, None)) == [3, 4]
    assert numbers(matching(dataset, "success")) == [4]
    assert numbers(matching(dataset, "success", deleted=True)) == [2]
    with pytest.raises(UsageError, match="0 of 2 episodes match where=quality > 1"):
        matching(dataset, "quality > 1")
    with pytest.raises(UsageError, match="0 of 2 deleted episodes match where=seed == 4"):
        matching(dataset, "seed == 4", deleted=True)
    dataset.delete(dataset.episodes, "all")
    with pytest.raises(UsageError, match="/a has no episode in use"):
        matching(dataset, None)


def test_labels_are_read_as_typed() -> None:
    typed = {"success": "false", "quality": ".5", "operator": "unknown", "notes": "null", "instruction": None}
    assert parse_labels(typed) == {"success": False, "quality": 0.5, "operator": "unknown", "notes": "null"}
    assert parse_labels({"success": "unknown", "quality": "unknown", "instruction": "unknown"}) == {
        "success": None,
        "quality": None,
        "instruction": None,
    }
    for name, text in (
        ("success", "yes"),
        ("quality", "1.5"),
        ("quality", "nan"),
        ("quality", "-0"),
        ("quality", ""),
    ):
        with pytest.raises(UsageError, match=f"{name}={text} is n"):
            parse_labels({name: text})


def test_only_labels_that_differ_are_changed(tmp_path: Path) -> None:
    dataset = toy_dataset(tmp_path / "a", [1, 2, 3])
    assert numbers(changed(dataset.episodes, {"success": True})) == [1, 3]
    assert numbers(changed(dataset.episodes, {"success": True, "notes": "x"})) == [1, 2, 3]
    assert changed(dataset.episodes, {"operator": "ann"}) == []


@pytest.mark.e2e
def test_nothing_is_changed_while_one_of_the_segments_is_written(tmp_path: Path) -> None:
    toy_dataset(tmp_path / "a", [1])
    with SegmentWriter(tmp_path / "a", toy_spec(), "toy") as writer:
        writer.append(toy_episode(2, toy_spec()))
        dataset = Dataset.open(tmp_path / "a")
        with pytest.raises(DataError, match=r"is being written by process \d+: wait for it"):
            require_unwritten(dataset, dataset.episodes)
        require_unwritten(dataset, dataset.episodes[:1])


# Rewards by the task


def waved(task: str, steps: int) -> tuple[Episode, TaskConfig]:
    """A short recording of a simulated task."""
    config = TaskConfig(task)
    env = make_env(config)
    size, count = spec_of(env).action_size, iter(range(10**6))

    def choose(obs: Observation) -> Proposal:
        return Proposal(np.full(size, np.sin(next(count)), "f4"), Actor.SCRIPT)

    episode = rollout(env, choose, seed=4)
    env.close()
    cut = slice(0, steps)
    short = {n: getattr(episode, n)[cut] for n in ("action", "action_policy", "action_operator", "reward")}
    short |= {n: getattr(episode, n)[cut] for n in ("terminated", "truncated", "t_ns", "actor")}
    obs = {key: rows[: steps + 1] for key, rows in episode.obs.items()}
    state = episode.sim_state
    assert state is not None
    return Episode(obs=obs, sim_state=state[: steps + 1], meta=episode.meta, **short), config


@pytest.mark.e2e
@pytest.mark.parametrize("task", ["fetch_reach", "adroit_door"])
def test_the_task_pays_again_what_it_paid(tmp_path: Path, task: str) -> None:
    episode, config = waved(task, 20)
    env = make_env(config)
    assert paid(env, episode).tobytes() == episode.reward.tobytes()
    with SegmentWriter(tmp_path / "a", spec_of(env), "toy") as writer:
        writer.append(episode)
    env.close()
    dataset = Dataset.open(tmp_path / "a")
    dataset.set_rewards([(dataset.episodes[0], np.full(20, 5, "f4"))], "wrong")
    ((record, before, rewards),) = recomputed(dataset, dataset.episodes)
    assert (before.tolist(), rewards.tobytes()) == ([5] * 20, episode.reward.tobytes())
    dataset.set_rewards([(record, rewards)], "by the task")
    assert Dataset.open(tmp_path / "a").episodes[0].episode_return == episode.reward.sum()


@pytest.mark.e2e
def test_goal_tasks_pay_by_the_goals_alone() -> None:
    """Hand-made: reached within 5 cm counts."""
    env = make_env(TaskConfig("fetch_reach"))
    achieved = np.array([[0, 0, 0], [0, 0, 0.04], [0, 0, 0.06], [1, 1, 1]], "f4")
    goals = {"achieved_goal": achieved, "desired_goal": np.zeros((4, 3), "f4")}
    toy = toy_episode(1, toy_spec(), sim_state=False)
    assert paid(env, Episode(**{**vars(toy), "obs": {**toy.obs, **goals}})).tolist() == [0, -1, -1]
    env.close()


@pytest.mark.e2e
def test_without_states_or_goals_rewards_cannot_be_recomputed(tmp_path: Path) -> None:
    env = make_env(TaskConfig("adroit_door"))
    with SegmentWriter(tmp_path / "a", spec_of(env), "toy") as writer:
        writer.append(toy_episode(1, spec_of(env), sim_state=False))
    env.close()
    dataset = Dataset.open(tmp_path / "a")
    with pytest.raises(DataError, match="has no simulator states, and adroit_door has no goals to pay by"):
        list(recomputed(dataset, dataset.episodes))
    toy = toy_dataset(tmp_path / "b", [1])
    with pytest.raises(UsageError, match="no task 'toy'"):
        list(recomputed(toy, toy.episodes))
