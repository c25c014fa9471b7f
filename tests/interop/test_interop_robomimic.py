"""robomimic files: as its documentation draws them, and our own."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from finite_episodes import assert_returned, exported, imported

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interop.base import Request, reader
from robot_orl.interop.robomimic_export import filter_keys
from robot_orl.types import Camera, Episode, EpisodeMeta

ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"control_freq": 20, "robots": "Panda"}}
FRAMES = np.arange(3 * 2 * 4 * 3, dtype="u1").reshape(3, 2, 4, 3)


def demo(first: float, rewards: list[float]) -> dict[str, Any]:
    """Two steps of a demonstration that starts at `first`."""
    eef = np.array([[first, 0], [first + 1, 0], [first + 2, 0]])
    return {
        "actions": np.array([[0.5, -0.5, 0], [1, -1, 2]]),
        "rewards": np.array(rewards),
        "dones": np.array([0, 1]),
        "states": np.array([[first, 1, 2, 3], [first + 1, 4, 5, 6]]),
        "obs/eef_pos": eef[:2],
        "next_obs/eef_pos": eef[1:],
        "obs/gripper": np.array([first, first + 1]),
        "next_obs/gripper": np.array([first + 1, first + 2]),
        "obs/front_image": FRAMES[:2],
        "next_obs/front_image": FRAMES[1:],
    }


def made(path: Path, env_args: Any = ENV_ARGS, **changes: Any) -> Path:
    """demo_0 fails, demo_2 and demo_10 succeed. changes: of demo_2, `__` for `/`, None for none."""
    demos = {"demo_10": demo(10, [0, 1]), "demo_2": demo(2, [1, 1]), "demo_0": demo(0, [0, 0])}
    demos["demo_2"] |= {name.replace("__", "/"): rows for name, rows in changes.items()}
    with h5py.File(path, "w") as file:
        for name, arrays in demos.items():
            for key, rows in arrays.items():
                if rows is not None:
                    file[f"data/{name}/{key}"] = rows
            file[f"data/{name}"].attrs["num_samples"] = 2
            file[f"data/{name}"].attrs["model_file"] = "<mujoco/>"
        file["data"].attrs["total"] = 6
        if env_args is not None:
            file["data"].attrs["env_args"] = json.dumps(env_args)
        file["mask/train"] = np.array(["demo_0", "demo_2"], "S8")
        file["mask/good"] = np.array(["demo_2"], "S8")
    return path


def test_demonstrations_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    spec, episodes = imported("robomimic", made(tmp_path / "x.hdf5"))
    assert [e.meta.origin for e in episodes] == ["x.hdf5#demo_0", "x.hdf5#demo_2", "x.hdf5#demo_10"]
    assert (spec.task, spec.control_hz, spec.horizon) == ("Lift", 20.0, 2)
    assert {key: len(signals) for key, signals in spec.observation.items()} == {"eef_pos": 2, "gripper": 1}
    assert episodes[1].obs["eef_pos"].tolist() == [[2, 0], [3, 0], [4, 0]]
    assert episodes[1].obs["gripper"].tolist() == [[2], [3], [4]]


def test_frames_become_a_camera(tmp_path: Path) -> None:
    spec, episodes = imported("robomimic", made(tmp_path / "x.hdf5"))
    assert spec.cameras == {"front_image": Camera(height=2, width=4)}
    assert np.array_equal(episodes[0].images["front_image"], FRAMES)


def test_states_are_kept_and_the_unknown_last_one_is_nan(tmp_path: Path) -> None:
    _, episodes = imported("robomimic", made(tmp_path / "x.hdf5"))
    state = episodes[1].sim_state
    assert state is not None
    assert state[:2].tolist() == [[2, 1, 2, 3], [3, 4, 5, 6]]
    assert np.isnan(state[2]).all()


def test_a_done_is_an_end_only_where_the_goal_is_reached_with_it(tmp_path: Path) -> None:
    """All three end in done=1, as done modes 1 and 2 write; the first one was only cut."""
    _, episodes = imported("robomimic", made(tmp_path / "x.hdf5"))
    assert [e.terminated.tolist() for e in episodes] == [[False, False], [False, True], [False, True]]
    assert [e.truncated.tolist() for e in episodes] == [[False, True], [False, False], [False, False]]
    assert [e.meta.success for e in episodes] == [False, True, True]


def test_dense_rewards_tell_no_success(tmp_path: Path) -> None:
    _, episodes = imported("robomimic", made(tmp_path / "x.hdf5", rewards=np.array([0.3, 0.7])))
    assert [e.meta.success for e in episodes] == [None] * 3
    assert not any(e.terminated.any() for e in episodes)


def test_filter_keys_are_noted_and_written_again(tmp_path: Path) -> None:
    spec, episodes = imported("robomimic", made(tmp_path / "x.hdf5"))
    assert [e.meta.notes for e in episodes] == ["mask: train", "mask: good, train", ""]
    with SegmentWriter(tmp_path / "data", spec, "made") as writer:
        for episode in episodes:
            writer.append(episode)
    path = exported("robomimic", Dataset.open(tmp_path / "data"), tmp_path / "y.hdf5")
    with h5py.File(path) as file:
        masks = {key: names[:].tolist() for key, names in file["mask"].items()}
    assert masks == {
        "train": [b"demo_0", b"demo_1"],
        "good": [b"demo_1"],
        "success": [b"demo_1", b"demo_2"],
    }
    _, again = imported("robomimic", path)
    assert [e.meta.notes for e in again] == ["mask: train", "mask: good, train", ""]


def test_an_operator_is_a_filter_key() -> None:
    assert filter_keys(EpisodeMeta(success=True, operator="gamepad 1")) == ["success", "operator_gamepad_1"]
    assert filter_keys(EpisodeMeta(success=None)) == []


def test_without_next_obs_the_last_step_is_kept_only_where_it_is_an_end(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        for name in file["data"]:
            del file[f"data/{name}/next_obs"]
    _, episodes = imported("robomimic", path)
    assert [len(e) for e in episodes] == [1, 2, 2]
    assert episodes[2].obs["eef_pos"].tolist() == [[10, 0], [11, 0], [11, 0]]
    assert "repeats" in episodes[2].meta.notes
    assert "repeats" not in episodes[0].meta.notes


def test_what_the_file_says_is_kept_and_what_is_not_imported_named(tmp_path: Path) -> None:
    depth = np.zeros((2, 4, 4, 1), "f4")
    path = made(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        for name in file["data"]:
            file[f"data/{name}/obs/depth"], file[f"data/{name}/next_obs/depth"] = depth, depth
    source = reader("robomimic")(path, Request())
    assert source.count == 3
    assert source.env_kwargs == {"control_freq": 20, "robots": "Panda"}
    assert source.provenance == {
        "clipped_action_values": 3,
        "env_args": ENV_ARGS,
        "filter_keys": ["good", "train"],
        "left_out": ["model_file", "obs/depth"],
    }


def test_the_control_rate_must_come_from_somewhere(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5", env_args=None)
    with pytest.raises(UsageError, match="add control_hz="):
        imported("robomimic", path)
    spec, _ = imported("robomimic", path, control_hz=10, task="lift")
    assert (spec.task, spec.control_hz) == ("lift", 10.0)


def test_a_task_of_this_stack_is_checked_by_its_keys(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"eef_pos \(2\), gripper \(1\); task fetch_push has 4 and observation"
    ):
        imported("robomimic", made(tmp_path / "x.hdf5"), task="fetch_push")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"actions": np.zeros((3, 3))}, r"expected \(num_samples, n\)"),
        ({"actions": None}, "no readable 'data/demo_2/actions'"),
        ({"rewards": np.zeros(3)}, "has 3 rows; expected 2"),
        ({"rewards": None}, "'rewards' has rows of"),
        (
            {"obs__eef_pos": np.zeros((2, 3)), "next_obs__eef_pos": np.zeros((2, 3))},
            "'obs/eef_pos' has rows of",
        ),
        ({"next_obs__eef_pos": None}, "other keys in 'next_obs'"),
        ({"obs__eef_pos": np.full((2, 2), np.inf)}, "holds inf"),
        ({"states": np.zeros((5, 4))}, "has 5 rows; expected 2"),
        ({"env_args": "{"}, None),
    ],
)
def test_wrong_content_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, Any], message: str | None
) -> None:
    path = made(tmp_path / "x.hdf5", **({} if message is None else changes))
    if message is None:
        with h5py.File(path, "a") as file:
            file["data"].attrs["env_args"] = changes["env_args"]
    with pytest.raises(DataError, match=message or "is not JSON") as raised:
        imported("robomimic", path)
    assert "\n" not in str(raised.value)


def test_a_raw_file_without_observations_is_told_what_to_do(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_0/obs"]
    with pytest.raises(DataError, match="dataset_states_to_obs"):
        imported("robomimic", path)


def test_a_filter_key_of_a_demonstration_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = made(tmp_path / "x.hdf5")
    with h5py.File(path, "a") as file:
        file["mask/bad"] = np.array(["demo_7"], "S8")
    with pytest.raises(DataError, match="'mask/bad' names 'demo_7'"):
        imported("robomimic", path)


def test_an_export_comes_back_bit_for_bit_with_states_and_frames(
    tmp_path: Path, filmed: tuple[Dataset, list[Episode]]
) -> None:
    dataset, episodes = filmed
    spec, found = imported("robomimic", exported("robomimic", dataset, tmp_path / "x.hdf5"))
    assert spec == dataset.spec
    assert_returned(found, episodes)


def test_an_export_is_what_robomimic_documents(tmp_path: Path, filmed: tuple[Dataset, list[Episode]]) -> None:
    dataset, episodes = filmed
    with h5py.File(exported("robomimic", dataset, tmp_path / "x.hdf5")) as file:
        data, first = file["data"], file["data/demo_0"]
        assert data.attrs["total"] == 9
        told = {"env_name": "toy_push", "type": 2, "env_kwargs": {"variant": "würfel"}}
        assert json.loads(data.attrs["env_args"]) == told
        assert [group.attrs["num_samples"] for group in data.values()] == [3, 1, 5]
        assert sorted(first) == ["actions", "dones", "next_obs", "obs", "rewards", "states"]
        assert sorted(first["obs"]) == ["achieved_goal", "front", "observation"]
        assert np.array_equal(first["next_obs/front"][:], episodes[0].images["front"][1:])
        assert np.array_equal(first["states"][:], episodes[0].sim_state[:-1])
        assert first["dones"][:].tolist() == [0, 0, 1]
        assert {key: names[:].tolist() for key, names in file["mask"].items()} == {
            "success": [b"demo_0", b"demo_2"],
            "operator_würfel_1": [b"demo_0", b"demo_2"],
        }


@pytest.mark.parametrize("name", ["data", "data/demo_2", "data/demo_2/obs", "mask"])
def test_links_to_other_files_are_not_followed(tmp_path: Path, name: str) -> None:
    made(tmp_path / "other.hdf5")
    with h5py.File(made(tmp_path / "x.hdf5"), "a") as file:
        del file[name]
        file[name] = h5py.ExternalLink("other.hdf5", name)
    with pytest.raises(DataError, match=f"'{name}' is a link to another file"):
        imported("robomimic", tmp_path / "x.hdf5")
