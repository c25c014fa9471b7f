"""What is appended comes back bit for bit, lies where the layout says, and plain Zarr reads it."""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from made_episodes import SIM_STATE, assert_same_bits, made_episode, made_spec, segment_folders

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError
from robot_orl.types import Episode

SPEC = made_spec()


def write(root: Path, episodes: list[Episode], source: str = "test") -> None:
    with SegmentWriter(root, SPEC, source, config={"skill": 0.5}, env_kwargs={"camera": None}) as writer:
        for episode in episodes:
            writer.append(episode)


@settings(max_examples=6, deadline=None)
@given(
    segments=st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 2**31),
    sim_state=st.booleans(),
)
def test_any_episodes_in_any_segments_come_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, segments: list[list[int]], seed: int, sim_state: bool
) -> None:
    root = tmp_path_factory.mktemp("data") / "set"
    written: list[Episode] = []
    for lengths in segments:
        made = [made_episode(seed + len(written) + i, n, sim_state) for i, n in enumerate(lengths)]
        write(root, made)
        written += made
    dataset = Dataset.open(root)
    assert len({record.id for record in dataset.episodes}) == len(written)
    for record, found, expected in zip(dataset.episodes, dataset.load_all(), written, strict=True):
        assert_same_bits(found, expected)
        assert_same_bits(dataset.load(record), expected)
        assert record.length == len(expected)
        assert record.episode_return == expected.reward.sum()


def test_episodes_across_chunk_borders_come_back_bit_for_bit(tmp_path: Path) -> None:
    lengths = [8191, 1, 8192, 3, 8190, 1, 17000, 5]  # obs rows: one more each, so borders fall elsewhere
    written = [made_episode(i, n) for i, n in enumerate(lengths)]
    write(tmp_path / "set", written)
    dataset = Dataset.open(tmp_path / "set")
    for record, found, expected in zip(dataset.episodes, dataset.load_all(), written, strict=True):
        assert_same_bits(found, expected)
        assert_same_bits(dataset.load(record), expected)


def test_step_i_of_episode_e_lies_at_i_plus_e_in_the_raw_arrays(tmp_path: Path) -> None:
    written = [made_episode(seed, length) for seed, length in [(1, 3), (2, 1), (3, 4)]]
    write(tmp_path / "set", written)
    [segment] = segment_folders(tmp_path / "set")
    group = zarr.open_group(segment, mode="r")
    obs, action = group["obs/observation"][:], group["steps/action"][:]
    assert (len(obs), len(action)) == (8 + 3, 8)
    i = 0  # counts the segment's steps over its episodes
    for e, episode in enumerate(written):
        for step in range(len(episode)):
            assert obs[i + e].tobytes() == episode.obs["observation"][step].tobytes()
            assert obs[i + e + 1].tobytes() == episode.obs["observation"][step + 1].tobytes()
            assert action[i].tobytes() == episode.action[step].tobytes()
            i += 1


@pytest.mark.filterwarnings("ignore:Object at")  # Zarr sees the log and the lock beside its own files
def test_plain_zarr_opens_a_segment_and_finds_the_documented_names(tmp_path: Path) -> None:
    write(tmp_path / "set", [made_episode(0, 10)], source="my collector/1")
    [segment] = segment_folders(tmp_path / "set")
    assert segment.name.split("_")[1] == "my-collector-1"
    group = zarr.open_group(segment, mode="r")
    kinds = {name: (array.shape, str(array.dtype)) for name, array in _arrays(group)}
    assert kinds == {
        "obs/observation": ((11, 5), "float32"),
        "obs/achieved_goal": ((11, 3), "float32"),
        "sim/state": ((11, SIM_STATE), "float64"),
        "steps/action": ((10, 2), "float32"),
        "steps/action_policy": ((10, 2), "float32"),
        "steps/action_operator": ((10, 2), "float32"),
        "steps/reward": ((10,), "float32"),
        "steps/terminated": ((10,), "bool"),
        "steps/truncated": ((10,), "bool"),
        "steps/t_ns": ((10,), "int64"),
        "steps/actor": ((10,), "uint8"),
    }
    action = json.loads((segment / "steps/action/zarr.json").read_text())
    assert action["chunk_grid"]["configuration"]["chunk_shape"] == [8192, 2]
    assert [codec["name"] for codec in action["codecs"]] == ["bytes", "blosc", "crc32c"]
    assert action["fill_value"] == "NaN"
    attributes = dict(group.attrs)
    assert attributes["sealed"] is True
    assert (attributes["task"], attributes["control_hz"]) == ("toy_push", 25.0)
    assert (attributes["config"], attributes["env_kwargs"]) == ({"skill": 0.5}, {"camera": None})
    assert attributes["packages"]["zarr"] == zarr.__version__
    lines = [json.loads(line) for line in (segment / "episodes.jsonl").read_text().splitlines()]
    assert (lines[0]["start"], lines[0]["length"], lines[0]["operator"]) == (0, 10, "made")


def _arrays(group: zarr.Group) -> list[tuple[str, zarr.Array]]:
    return [(f"{name}/{key}", array) for name, part in group.groups() for key, array in part.arrays()]


def test_the_order_of_observation_keys_survives_because_flatten_depends_on_it(tmp_path: Path) -> None:
    write(tmp_path / "set", [made_episode(0, 3)])
    spec = Dataset.open(tmp_path / "set").spec
    assert spec == SPEC
    assert list(spec.observation) == ["observation", "achieved_goal"]


def test_simulator_states_can_be_left_out_when_loading(tmp_path: Path) -> None:
    write(tmp_path / "set", [made_episode(0, 3)])
    dataset = Dataset.open(tmp_path / "set")
    assert next(dataset.load_all(sim_state=False)).sim_state is None
    assert next(dataset.load_all()).sim_state is not None


def test_nothing_is_made_on_disk_before_the_first_episode(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "set", SPEC, "test"):
        pass
    assert not (tmp_path / "set").exists()


def test_several_writers_add_to_one_dataset_each_in_its_own_segment(tmp_path: Path) -> None:
    episodes = [made_episode(seed, 4) for seed in range(4)]
    with SegmentWriter(tmp_path / "set", SPEC, "a") as a, SegmentWriter(tmp_path / "set", SPEC, "b") as b:
        for writer, episode in zip([a, b, a, b], episodes, strict=True):
            writer.append(episode)
    found = sorted(Dataset.open(tmp_path / "set").load_all(), key=lambda episode: episode.meta.seed)
    for left, right in zip(found, episodes, strict=True):
        assert_same_bits(left, right)


def test_an_episode_of_another_shape_is_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    good, wrong = made_episode(0, 4), made_episode(1, 4, spec=made_spec())
    narrow = {**wrong.obs, "observation": wrong.obs["observation"][:, :4]}
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        writer.append(good)
        with pytest.raises(DataError, match=r"obs/observation has shape \(5, 4\); expected \(5, 5\)"):
            writer.append(Episode(**{**vars(wrong), "obs": narrow}))
        with pytest.raises(DataError, match="0 steps"):
            writer.append(made_episode(2, 0))
        with pytest.raises(DataError, match="sim/state"):
            writer.append(made_episode(3, 4, sim_state=False))
    [found] = Dataset.open(tmp_path / "set").load_all()
    assert_same_bits(found, good)


def test_an_unknown_reward_gives_an_unknown_return(tmp_path: Path) -> None:
    episode = made_episode(0, 4)
    write(tmp_path / "set", [Episode(**{**vars(episode), "reward": np.full(4, np.nan, "f4")})])
    dataset = Dataset.open(tmp_path / "set")
    assert np.isnan(dataset.episodes[0].episode_return)
    assert dataset.info().returns is None
