"""What others wrote with Minari becomes episodes."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from minari_toys import BOTH, ONE, STEPS, foreign, vector

import envs
from robot_orl.errors import DataError, UsageError
from robot_orl.interop.base import Request
from robot_orl.interop.formats import minari as format_minari
from robot_orl.types import Actor, Camera, EpisodeMeta


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
