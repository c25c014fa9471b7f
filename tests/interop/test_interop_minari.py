"""Minari: what its package wrote is read, and what is exported its package opens."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space, Text, Tuple
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

import envs
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interop.base import Request
from robot_orl.interop.converting import convert
from robot_orl.interop.formats import minari as format_minari
from robot_orl.interop.formats import minari_arrow
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Actor, Camera, Episode, EpisodeMeta, Proposal, Spec
from tests.data.made_episodes import assert_same_bits, made_episode, made_spec

Write = Callable[[Dataset, Path, Callable[[int], None]], None]
WRITERS = {"hdf5": format_minari.write, "arrow": minari_arrow.write}
BOTH = pytest.mark.parametrize("data_format", WRITERS)
ONE = Box(-1.0, 1.0, (1,), np.float32)
STEPS = 3


def with_frames() -> Spec:
    return replace(made_spec(), cameras={"front": Camera(40, 36), "wrist cam": Camera(4, 5)})


def made(seed: int, length: int) -> Episode:
    """Arbitrary bits, but actions as tasks execute them."""
    spec, rng = with_frames(), np.random.default_rng(seed)
    frames = {
        name: rng.integers(0, 256, (length + 1, size.height, size.width, 3), np.uint8)
        for name, size in spec.cameras.items()
    }
    action = rng.uniform(-1, 1, (length, 2)).astype(np.float32)
    return replace(made_episode(seed, length, spec=spec), action=action, images=frames)


def dataset_of(root: Path, spec: Spec, episodes: list[Episode], **options: Any) -> Dataset:
    with SegmentWriter(root, spec, "test", **options) as writer:
        for episode in episodes:
            writer.append(episode)
    return Dataset.open(root)


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


# What others wrote


def foreign(
    root: Path,
    observation: Space[Any],
    observations: Any,
    *,
    data_format: str = "hdf5",
    action: Space[Any] = ONE,
    actions: Any = ((0.5,), (-1.0,), (1.0,)),
    metadata: dict[str, Any] | None = None,
    env_spec: Any = None,
    jpeg: bool = True,
    **buffer: Any,
) -> Path:
    """A dataset of one episode of 3 steps, as the package writes it."""
    (root / "made-v0").mkdir()
    storage = MinariStorage.new(
        root / "made-v0/data", observation, action, env_spec, data_format, jpeg_encoding=jpeg
    )
    storage.update_metadata(
        {"dataset_id": "made-v0", "minari_version": minari.__version__, **(metadata or {})}
    )
    content = {
        "rewards": [0.0, 1.0, 2.5],
        "terminations": [False, False, True],
        "truncations": [False] * STEPS,
    }
    buffers = EpisodeBuffer(
        observations=observations, actions=np.array(actions, action.dtype), **{**content, **buffer}
    )
    storage.update_episodes([buffers])
    return root / "made-v0"


def vector(*rows: float) -> Any:
    return np.array(rows, np.float64).reshape(STEPS + 1, -1)


@BOTH
def test_nested_observations_become_named_parts(tmp_path: Path, data_format: str) -> None:
    space = Dict(
        {
            "arm": Dict({"pos/x": Box(-9, 9, (1,), np.float64), "grip": Discrete(5)}),
            "two": Tuple((Box(-9, 9, (2, 2), np.float64), Box(-9, 9, (1,), np.float64))),
        }
    )
    observations = {
        "arm": {"pos/x": vector(0, 1, 2, 3), "grip": np.array([4, 3, 2, 1])},
        "two": (np.arange(16.0).reshape(4, 2, 2), vector(5, 6, 7, 8)),
    }
    if data_format == "hdf5":  # h5py would take the slash for a group
        space.spaces["arm"].spaces["pos:x"] = space.spaces["arm"].spaces.pop("pos/x")
        observations["arm"]["pos:x"] = observations["arm"].pop("pos/x")
    path = foreign(tmp_path, space, observations, data_format=data_format)
    source = format_minari.read(path, Request(control_hz=20))
    (episode,) = source.episodes
    assert {key: len(signals) for key, signals in source.spec.observation.items()} == {
        "arm.grip": 1,
        "arm.pos_x": 1,
        "two.0": 4,
        "two.1": 1,
    }
    assert episode.obs["arm.pos_x"].tolist() == [[0], [1], [2], [3]]
    assert episode.obs["arm.grip"].tolist() == [[4], [3], [2], [1]]
    assert episode.obs["two.0"][1].tolist() == [4, 5, 6, 7]
    assert episode.action.tolist() == [[0.5], [-1.0], [1.0]]
    assert episode.reward.tolist() == [0.0, 1.0, 2.5]
    assert (episode.terminated.tolist(), episode.truncated.any()) == ([False, False, True], False)


@BOTH
@pytest.mark.parametrize("jpeg", [True, False])
def test_frames_become_a_camera(tmp_path: Path, data_format: str, jpeg: bool) -> None:
    space = Dict({"state": ONE, "view": Box(0, 255, (32, 40, 3), np.uint8)})
    view = np.repeat(np.array([0, 80, 160, 250], np.uint8), 32 * 40 * 3).reshape(4, 32, 40, 3)
    observations = {"state": vector(0, 0, 0, 0).astype("f4"), "view": view}
    path = foreign(tmp_path, space, observations, data_format=data_format, jpeg=jpeg)
    source = format_minari.read(path, Request(control_hz=20))
    (episode,) = source.episodes
    assert source.spec.cameras == {"view": Camera(32, 40)}
    assert list(episode.obs) == ["state"]
    assert episode.images["view"].dtype == np.uint8
    assert np.abs(episode.images["view"].astype(int) - view).max() <= (2 if jpeg else 0)


def test_shaped_rewards_become_the_tasks_where_success_is_told(tmp_path: Path) -> None:
    space, action = Box(-np.inf, np.inf, (39,), np.float32), Box(-1, 1, (28,), np.float32)
    actions = np.zeros((3, 28), "f4")
    infos = {"success": [False, False, True, False]}  # after reset and after each step
    path = foreign(tmp_path, space, np.zeros((4, 39), "f4"), action=action, actions=actions, infos=infos)
    source = format_minari.read(path, Request(task="adroit_door"))
    assert next(source.episodes).reward.tolist() == [-1, 0, -1]
    assert source.provenance["rewards"].startswith("as the task pays")
    (tmp_path / "untold").mkdir()
    untold = foreign(tmp_path / "untold", space, np.zeros((4, 39), "f4"), action=action, actions=actions)
    source = format_minari.read(untold, Request(task="adroit_door"))
    assert "rewards" not in source.provenance
    assert next(source.episodes).reward.tolist() == [0, 1, 2.5]
    [other] = format_minari.read(path, Request(control_hz=20)).episodes
    assert set(other.reward.tolist()) != {-1, 0}


@BOTH
def test_what_minari_says_is_kept_and_the_rest_is_unknown(tmp_path: Path, data_format: str) -> None:
    success = [False, False, True, False]  # after reset and after each step
    path = foreign(
        tmp_path,
        ONE,
        vector(0, 1, 2, 3).astype("f4"),
        data_format=data_format,
        seed=123,
        options={"goal": [1.0, 2.0]},
        infos={"success": success},
        terminations=[False] * 3,
        truncations=[False, False, True],
        metadata={"author": {"Somebody"}, "description": "made by hand", "env_spec": None},
    )
    source = format_minari.read(path, Request(control_hz=20))
    (episode,) = source.episodes
    meta = EpisodeMeta(
        seed=123,
        reset_options={"goal": [1.0, 2.0]},
        success=False,
        success_any=True,
        end_reason="unknown",
        origin="made-v0#0",
    )
    assert episode.meta == meta
    assert (episode.actor == Actor.UNKNOWN).all()
    assert (episode.t_ns == -1).all()
    assert np.isnan(episode.action_operator).all()
    assert source.provenance["author"] == ["Somebody"]
    assert source.provenance["description"] == "made by hand"


def test_bounded_actions_are_scaled_and_unbounded_ones_are_not_guessed(tmp_path: Path) -> None:
    rows = vector(0, 1, 2, 3).astype("f4")
    bounds = Box(np.array([-2.0], "f4"), np.array([6.0], "f4"))
    path = foreign(tmp_path, ONE, rows, action=bounds, actions=[[-2.0], [2.0], [5.0]])
    source = format_minari.read(path, Request(control_hz=20))
    assert next(source.episodes).action.tolist() == [[-1.0], [0.0], [0.75]]
    assert (source.provenance["action_low"], source.provenance["action_high"]) == ([-2.0], [6.0])
    (tmp_path / "beyond").mkdir()
    path = foreign(tmp_path / "beyond", ONE, rows, actions=[[1.5], [-3.0], [1.0]])
    episode = next(format_minari.read(path, Request(control_hz=20)).episodes)
    assert episode.action.tolist() == [[1.0], [-1.0], [1.0]]
    assert episode.meta.notes == "2 action values lay outside their bounds and were clipped"
    (tmp_path / "more").mkdir()
    free = Box(-np.inf, np.inf, (1,), np.float32)
    path = foreign(tmp_path / "more", ONE, rows, action=free, actions=[[0.0], [0.0], [3.0]])
    with pytest.raises(DataError, match="actions up to 3, and their space has no bounds"):
        next(format_minari.read(path, Request(control_hz=20)).episodes)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow", "parquet"])
def test_clipped_actions_are_counted_before_anything_is_imported(tmp_path: Path, data_format: str) -> None:
    rows, actions = vector(0, 1, 2, 3).astype("f4"), [[1.5], [-3.0], [1.0]]
    path = foreign(tmp_path, ONE, rows, actions=actions, data_format=data_format)
    assert format_minari.read(path, Request(control_hz=20)).provenance["clipped_action_values"] == 2


def test_what_only_claims_to_be_an_export_of_ours_is_scaled_as_any_other(tmp_path: Path) -> None:
    rows, bounds = vector(0, 1, 2, 3).astype("f4"), Box(-2.0, 2.0, (1,), np.float32)
    claim = {"robot_orl": {"env_kwargs": {}}}
    path = foreign(tmp_path, ONE, rows, action=bounds, actions=[[2.0], [1.0], [0.0]], metadata=claim)
    assert next(format_minari.read(path, Request(control_hz=20)).episodes).action.tolist() == [
        [1],
        [0.5],
        [0],
    ]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"env_spec": '{"id": "x", "max_episode_steps": "many"}'}, "max_episode_steps no number"),
        ({"env_spec": '["x"]'}, "env_spec .* no object"),
        ({"total_episodes": 0}, "'total_episodes' is 0"),
        ({"robot_orl": {"spec": "{}", "env_kwargs": [1]}}, "env_kwargs are no object"),
    ],
)
def test_metadata_that_cannot_be_is_named(tmp_path: Path, metadata: dict[str, Any], said: str) -> None:
    path = foreign(tmp_path, ONE, vector(0, 1, 2, 3).astype("f4"))
    told = path / "data/metadata.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), **metadata}))
    with pytest.raises(DataError, match=said):
        format_minari.read(path, Request(control_hz=20))


@pytest.mark.e2e  # makes a simulation
def test_the_control_rate_is_that_of_a_known_simulation_or_asked_for(tmp_path: Path) -> None:
    rows = vector(0, 1, 2, 3).astype("f4")
    gymnasium.register_envs(__import__("gymnasium_robotics"))
    path = foreign(tmp_path, ONE, rows, env_spec=gymnasium.spec("FetchReach-v4"))
    spec = format_minari.read(path, Request()).spec
    assert (spec.task, spec.control_hz, spec.horizon) == ("FetchReach-v4", 25.0, 50)
    assert format_minari.read(path, Request(control_hz=10)).spec.control_hz == 10
    (tmp_path / "more").mkdir()
    path = foreign(tmp_path / "more", ONE, rows)
    with pytest.raises(UsageError, match="add control_hz="):
        format_minari.read(path, Request())
    assert format_minari.read(path, Request(control_hz=10)).spec.horizon == STEPS


def test_data_of_a_task_of_this_stack_has_its_signals(tmp_path: Path) -> None:
    wide = Box(-np.inf, np.inf, (39,), np.float64)
    hand = Box(-1.0, 1.0, (28,), np.float32)
    path = foreign(tmp_path, wide, np.ones((4, 39)), action=hand, actions=np.zeros((3, 28)))
    source = format_minari.read(path, Request(task="adroit_door"))
    assert source.spec == envs.make("adroit_door").unwrapped.task_spec  # type: ignore[attr-defined]
    assert next(source.episodes).obs["observation"].tolist() == np.ones((4, 39)).tolist()
    with pytest.raises(DataError, match=r"no observation observation \(46\) of task adroit_hammer"):
        format_minari.read(path, Request(task="adroit_hammer"))


NOT_NUMBERS: dict[str, tuple[Space[Any], Any, Space[Any], str]] = {
    "text": (Dict({"say": Text(5)}), {"say": ["a"] * 4}, ONE, "'say' is a Text, not numbers"),
    "choices": (ONE, vector(0, 0, 0, 0).astype("f4"), Discrete(4), r"actions of Discrete\(4\)"),
    "a clash": (
        Dict({"a.b": ONE, "a": Dict({"b": ONE})}),
        {"a.b": np.zeros((4, 1), "f4"), "a": {"b": np.zeros((4, 1), "f4")}},
        ONE,
        "two observations would be called 'a.b'",
    ),
}


@pytest.mark.parametrize("what", NOT_NUMBERS)
def test_what_cannot_be_numbers_is_named(tmp_path: Path, what: str) -> None:
    space, observations, action, said = NOT_NUMBERS[what]
    actions = [0, 1, 2] if what == "choices" else [[0.0]] * 3
    path = foreign(tmp_path, space, observations, action=action, actions=actions)
    with pytest.raises(DataError, match=said):
        format_minari.read(path, Request(control_hz=20))


def test_numbers_that_are_none_are_named(tmp_path: Path) -> None:
    path = foreign(tmp_path, ONE, vector(0, 1, np.nan, 3).astype("f4"))
    with pytest.raises(DataError, match=r"episode 0, 'observation', holds nan in its row 2"):
        next(format_minari.read(path, Request(control_hz=20)).episodes)


def damage_metadata(path: Path, **changes: Any) -> None:
    file = path / "data/metadata.json"
    known = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: value for key, value in known.items() if value is not ...}))


def test_an_environment_that_the_file_names_is_never_made(tmp_path: Path) -> None:
    path = foreign(tmp_path, ONE, vector(0, 1, 2, 3).astype("f4"))
    mark = tmp_path / "mark"
    hostile = {"id": "Any-v0", "entry_point": "os:system", "kwargs": {"command": f"touch {mark}"}}
    damage_metadata(path, env_spec=json.dumps(hostile))
    list(format_minari.read(path, Request(control_hz=20)).episodes)
    damage_metadata(path, observation_space=...)
    with pytest.raises(DataError, match="has no 'observation_space'"):
        format_minari.read(path, Request(control_hz=20))
    assert not mark.exists()


def test_a_huge_declared_shape_is_refused_before_it_is_made(tmp_path: Path) -> None:
    import h5py

    path = foreign(tmp_path, ONE, vector(0, 1, 2, 3).astype("f4"))
    with h5py.File(path / "data/main_data.hdf5", "a") as file:
        del file["episode_0/observations"]
        file["episode_0"].create_dataset("observations", (10**12, 1), "f4", chunks=(1024, 1))
    with pytest.raises(DataError, match=r"episode_0/observations' declares shape \(1000000000000, 1\)"):
        next(format_minari.read(path, Request(control_hz=20)).episodes)
    with h5py.File(path / "data/main_data.hdf5", "a") as file:
        del file["episode_0/observations"]
        file["episode_0/observations"] = h5py.ExternalLink("elsewhere.hdf5", "/a")
    with pytest.raises(DataError, match="'episode_0/observations' is a link"):
        next(format_minari.read(path, Request(control_hz=20)).episodes)


@BOTH
def test_a_damaged_file_is_named_with_its_episode(tmp_path: Path, data_format: str) -> None:
    path = foreign(tmp_path, ONE, vector(0, 1, 2, 3).astype("f4"), data_format=data_format)
    damage_metadata(path, total_episodes=2)
    with pytest.raises(DataError, match=r"made-v0/data: episode 1 cannot be read as Minari's"):
        list(format_minari.read(path, Request(control_hz=20)).episodes)
    (file,) = [f for f in path.rglob("*") if f.suffix in (".arrow", ".hdf5")]
    file.write_bytes(file.read_bytes()[: 2 * file.stat().st_size // 3])
    damage_metadata(path, total_episodes=1)
    with pytest.raises(DataError, match=str(path)) as refusal:
        list(format_minari.read(path, Request(control_hz=20, horizon=3)).episodes)
    assert "\n" not in str(refusal.value)


def test_a_folder_of_several_datasets_names_them(tmp_path: Path) -> None:
    foreign(tmp_path, ONE, vector(0, 1, 2, 3).astype("f4"))
    with pytest.raises(DataError, match="is not the folder of a Minari dataset; below it are: made-v0"):
        format_minari.read(tmp_path, Request(control_hz=20))
    with pytest.raises(DataError, match=r"it has no data/metadata.json"):
        format_minari.read(tmp_path / "none", Request(control_hz=20))


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
