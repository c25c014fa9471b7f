"""What a supervisor did, step by step: an array that only some episodes have."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_episodes import assert_same_bits, made_episode, made_spec

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.recovery import recover
from robot_orl.errors import DataError
from robot_orl.types import Actor, Episode, EpisodeMeta, Proposal, Safety

SPEC = made_spec()
VERSION_1 = Path(__file__).with_name("version_1")
OBS = {key: np.zeros(len(signals), np.float32) for key, signals in SPEC.observation.items()}


def supervised(seed: int, length: int = 4) -> Episode:
    return replace(made_episode(seed, length), safety=np.arange(seed, seed + length).astype("u2") << 11)


def test_a_bit_has_one_meaning_for_ever() -> None:
    assert {bit.name: int(bit) for bit in Safety} == {
        "CLIPPED": 1,
        "RATE_LIMITED": 2,
        "POSITION": 4,
        "SPEED": 8,
        "ACCELERATION": 16,
        "JERK": 32,
        "WORKSPACE": 64,
        "START_RAMP": 128,
        "NON_FINITE": 256,
        "BAD_OBSERVATION": 512,
        "STALE": 1024,
        "STALE_POLICY": 2048,
        "OUT_OF_BOUNDS": 4096,
        "TRACKING": 8192,
        "OVERLOAD": 16384,
    }


def test_supervised_episodes_come_back_and_their_segment_names_the_bits(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, SPEC, "deploy") as writer:
        for seed in (1, 2):
            writer.append(supervised(seed))
    dataset = Dataset.open(tmp_path)
    for found, seed in zip(dataset.load_all(), (1, 2), strict=True):
        assert_same_bits(found, supervised(seed))
    assert_same_bits(dataset.load(dataset.episodes[1]), supervised(2))
    (segment,) = dataset.segments
    assert segment.attributes["safety_bits"][:2] == ["clipped", "rate_limited"]
    assert dataset.info().supervised == 2
    assert ("supervised", "2 (episodes)") in dataset.info().rows()


def test_episodes_with_and_without_one_lie_in_segments_of_their_own(tmp_path: Path) -> None:
    episodes = [supervised(1), supervised(2), made_episode(3, 4), supervised(4)]
    with SegmentWriter(tmp_path, SPEC, "import") as writer:
        writer.append(episodes[0])
        assert len(list(writer.extend((episode, None) for episode in episodes[1:]))) == 3
    dataset = Dataset.open(tmp_path)
    assert [len(segment.records) for segment in dataset.segments] == [2, 1, 1]
    assert all(segment.is_sealed for segment in dataset.segments)
    for found, expected in zip(dataset.load_all(), episodes, strict=True):
        assert_same_bits(found, expected)
    assert "safety_bits" not in dataset.segments[1].attributes
    assert dataset.info().supervised == 3


def test_data_from_before_there_were_supervisors_has_none() -> None:
    dataset = Dataset.open(VERSION_1)
    assert all(episode.safety is None for episode in dataset.load_all())
    assert dataset.info().supervised == 0
    assert "supervised" not in dict(dataset.info().rows())


def test_a_mask_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"steps/safety has shape \(3,\); expected \(4,\)"):
        SegmentWriter(tmp_path, SPEC, "deploy").append(replace(supervised(1), safety=np.zeros(3, "u2")))


def step(buffer: EpisodeBuffer, number: int, safety: int) -> None:
    action = np.zeros(SPEC.action_size, np.float32)
    sim_state = np.zeros(2)
    buffer.append(
        Proposal(action, Actor.POLICY), OBS, -1.0, False, False, number * 1000, sim_state, safety=safety
    )


def test_a_killed_recording_comes_back_with_its_masks(tmp_path: Path) -> None:
    journal = Journals(tmp_path, SPEC, "deploy").open(EpisodeMeta(seed=4))
    assert journal is not None
    buffer = EpisodeBuffer(SPEC, 2, has_safety=True)
    buffer.begin(OBS, np.zeros(2), journal=journal)
    masks = [0, int(Safety.OVERLOAD), 3]  # one more than fits at first
    for number, mask in enumerate(masks):
        step(buffer, number, mask)
    journal.close()  # as a kill would
    recover(tmp_path)
    (episode,) = Dataset.open(tmp_path).load_all(verify=True)
    assert episode.safety is not None
    assert episode.safety.dtype == np.uint16
    assert episode.safety.tolist() == masks


def test_a_mark_is_added_to_the_last_step_of_the_episode_if_there_is_one() -> None:
    buffer = EpisodeBuffer(SPEC, 2, has_safety=True)
    buffer.begin(OBS)
    buffer.mark(1)
    step(buffer, 0, 2)
    step(buffer, 1, 2)
    buffer.mark(4)
    first = buffer.finish(EpisodeMeta()).safety
    buffer.begin(OBS)
    step(buffer, 0, 0)
    second = buffer.finish(EpisodeMeta()).safety
    assert first is not None
    assert second is not None
    assert (first.tolist(), second.tolist()) == ([2, 6], [0])


def test_a_recording_without_a_supervisor_has_no_masks() -> None:
    buffer = EpisodeBuffer(SPEC, 2)
    buffer.begin(OBS)
    step(buffer, 0, 0)
    buffer.mark(1)
    assert buffer.finish(EpisodeMeta()).safety is None
