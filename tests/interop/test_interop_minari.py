"""Episodes go to Minari and come back with every bit."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest
from minari_toys import BOTH, WRITERS, dataset_of, made, with_frames

from robot_orl.data.store import Dataset
from robot_orl.errors import UsageError
from robot_orl.interop.base import Request
from robot_orl.interop.converting import convert
from robot_orl.interop.formats import minari as format_minari
from robot_orl.interop.formats import minari_arrow
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Actor, Proposal
from tests.data.made_episodes import assert_same_bits, made_episode, made_spec


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return dataset_of(tmp_path_factory.mktemp("data") / "ours", with_frames(), [made(0, 6), made(1, 2)])


@BOTH
def test_a_round_trip_through_minari_keeps_every_bit(tmp_path: Path, data_format: str) -> None:
    episodes, written = [made(0, 6), made(1, 1), made(2, 4)], []
    dataset = dataset_of(tmp_path / "ours", with_frames(), episodes)
    WRITERS[data_format](dataset, tmp_path / "pick-v0", written.append)
    assert written == [1, 1, 1]
    source = format_minari.read(tmp_path / "pick-v0", Request())
    assert (source.spec, source.count) == (with_frames(), 3)
    assert source.provenance["data_format"] == data_format
    for index, (found, expected) in enumerate(zip(source.episodes, episodes, strict=True)):
        origin = replace(expected.meta, origin=f"pick-v0#{index}")
        assert_same_bits(found, replace(expected, meta=origin))
        assert list(found.images) == list(expected.images)
        for name, frames in expected.images.items():
            assert found.images[name].tobytes() == frames.tobytes()


def test_episodes_that_are_not_in_use_are_not_exported(tmp_path: Path, dataset: Dataset) -> None:
    format_minari.write(dataset.choose(dataset.episodes[1:]), tmp_path / "pick-v3", lambda count: None)
    (episode,) = format_minari.read(tmp_path / "pick-v3" / "data", Request()).episodes
    assert len(episode) == 2


@pytest.mark.parametrize("name", ["pick", "pick-v0.h5"])
def test_a_name_that_minari_does_not_take_is_refused(name: str, tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=r"wants names that end in a version: out=.../pick-v0"):
        convert(dataset, format_minari.write, tmp_path / name, lambda count: None)
    assert not list(tmp_path.iterdir())


def test_a_converted_dataset_has_the_id_of_its_folder(tmp_path: Path, dataset: Dataset) -> None:
    convert(dataset, format_minari.write, tmp_path / "pick-v7", lambda count: None)
    assert minari.MinariDataset(tmp_path / "pick-v7/data").id == "pick-v7"


def test_an_episode_that_minaris_arrow_reader_would_lose_is_refused(tmp_path: Path) -> None:
    spec = made_spec()
    long = replace(made_episode(0, 32_768, sim_state=False), action=np.zeros((32_768, 2), np.float32))
    dataset = dataset_of(tmp_path / "ours", spec, [long])
    with pytest.raises(UsageError, match="has 32768 steps; Minari's Arrow reader loses"):
        minari_arrow.write(dataset, tmp_path / "long-v0", lambda count: None)


def test_actions_that_were_not_recorded_come_back_as_such(tmp_path: Path) -> None:
    unknown = replace(made(0, 6), action=np.full((6, 2), np.nan, np.float32))
    dataset = dataset_of(tmp_path / "ours", with_frames(), [unknown])
    format_minari.write(dataset, tmp_path / "pick-v0", lambda count: None)
    (episode,) = format_minari.read(tmp_path / "pick-v0", Request()).episodes
    assert np.isnan(episode.action).all()


OPEN_IT = """
import hashlib, json, socket, sys
def refuse(*args, **kwargs): raise SystemExit("asked the network")
socket.socket.connect = socket.getaddrinfo = refuse
import minari
dataset = minari.load_dataset("reach-v1")
episode = dataset[1]
env = dataset.recover_environment(disable_env_checker=True)
obs, _ = env.reset(seed=int(episode.id) + 10)
print(json.dumps({
    "id": dataset.id, "episodes": dataset.total_episodes, "steps": int(dataset.total_steps),
    "keys": sorted(episode.observations), "success": episode.infos["success"].tolist(),
    "sha": hashlib.sha256(episode.observations["achieved_goal"].tobytes()).hexdigest(),
    "type": str(episode.actions.dtype), "action_space": str(dataset.action_space),
    "same": bool((obs["achieved_goal"] == episode.observations["achieved_goal"][0]).all()),
    "width": env.spec.kwargs["width"], "local": sorted(minari.list_local_datasets()),
}))
"""


@pytest.mark.e2e
@BOTH
def test_the_package_opens_an_export_in_a_process_of_its_own(tmp_path: Path, data_format: str) -> None:
    import hashlib

    config = TaskConfig("fetch_reach", {"width": 64})
    env = make_env(config)

    def toward_goal(obs: Any) -> Proposal:
        offset = np.clip(10 * (obs["desired_goal"] - obs["achieved_goal"]), -1, 1)
        return Proposal(np.append(offset, 0).astype(np.float32), Actor.SCRIPT)

    episodes = [rollout(env, toward_goal, seed=seed) for seed in (10, 11)]
    spec = env.unwrapped.task_spec  # type: ignore[attr-defined]
    dataset = dataset_of(tmp_path / "ours", spec, episodes, env_kwargs=config.kwargs)
    WRITERS[data_format](dataset, tmp_path / "minari/reach-v1", lambda count: None)
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning:minari", "-c", OPEN_IT],
        env={**os.environ, "MINARI_DATASETS_PATH": str(tmp_path / "minari"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found == {
        "id": "reach-v1",
        "episodes": 2,
        "steps": 100,
        "keys": ["achieved_goal", "desired_goal", "observation"],
        "success": [False, *(episodes[1].reward == 0).tolist()],
        "sha": hashlib.sha256(episodes[1].obs["achieved_goal"].tobytes()).hexdigest(),
        "type": "float32",
        "action_space": "Box(-1.0, 1.0, (4,), float32)",
        "same": True,
        "width": 64,
        "local": ["reach-v1"],
    }
    again = format_minari.read(tmp_path / "minari/reach-v1", Request(task="fetch_reach"))
    assert again.spec == spec
    assert again.env_kwargs == {"width": 64}
    for found_episode, expected in zip(again.episodes, episodes, strict=True):
        assert_same_bits(replace(found_episode, meta=replace(found_episode.meta, origin=None)), expected)
