"""Laws of the recording session."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import envs
from data_collection.operators.scripted import ScriptedConfig, ScriptedOperator
from data_collection.record import missing_seeds, record_episode, unrecorded_seeds
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.seeds import collection_seed
from robot_orl.tasks import spec_of
from robot_orl.types import EpisodeMeta


@pytest.mark.e2e
def test_skill_does_not_depend_on_where_things_lie() -> None:
    env = envs.make("fetch_reach")
    operator = ScriptedOperator(ScriptedConfig(), spec_of(env))
    episodes = [record_episode(env, operator, collection_seed(0, i)) for i in range(60)]
    skill = [episode.meta.quality for episode in episodes]
    goals = np.stack([episode.obs["desired_goal"][0] for episode in episodes])
    # One stream for both gives 1.0 for x. Of 60 independent pairs, fewer than 1 in 1,000 reach 0.42.
    assert all(abs(np.corrcoef(skill, goals[:, axis])[0, 1]) < 0.42 for axis in range(3))


def test_an_episode_follows_from_its_seed_alone() -> None:
    env = envs.make("fetch_reach")
    operator = ScriptedOperator(ScriptedConfig(), spec_of(env))
    first = record_episode(env, operator, 3)
    record_episode(env, operator, 4)
    again = record_episode(env, operator, 3)
    np.testing.assert_array_equal(first.action, again.action)
    assert first.meta == again.meta


def test_all_seeds_are_missing_where_there_is_no_dataset() -> None:
    assert missing_seeds(None, "scripted", 2, 3) == [2_000_000, 2_000_001, 2_000_002]


def test_a_start_is_recorded_even_where_only_its_end_was_kept() -> None:
    before = [EpisodeMeta(seed=1_000_001), EpisodeMeta(origin="seed 1000000, steps 2 to 5 of 11")]
    starts = unrecorded_seeds(before, 1)
    assert [next(starts), next(starts)] == [1_000_002, 1_000_003]


def test_an_episode_that_a_crash_or_a_fault_cut_off_is_recorded_again(tmp_path: Path) -> None:
    env = envs.make("fetch_reach")
    spec = spec_of(env)
    operator = ScriptedOperator(ScriptedConfig(), spec)
    with SegmentWriter(tmp_path, spec, "test") as writer:
        for number, end_reason in enumerate(["horizon", "crash", "fault"]):
            episode = record_episode(env, operator, collection_seed(0, number))
            writer.append(replace(episode, meta=replace(episode.meta, end_reason=end_reason)))
    missing = missing_seeds(Dataset.open(tmp_path), "scripted", 0, 4)
    assert missing == [collection_seed(0, 1), collection_seed(0, 2), collection_seed(0, 3)]
