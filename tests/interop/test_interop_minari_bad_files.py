"""Minari's files that are damaged, hostile or not what they say are refused by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Dict, Discrete, Space, Text
from minari_toys import BOTH, ONE, foreign, vector

from robot_orl.errors import DataError
from robot_orl.interop.base import Request
from robot_orl.interop.formats import minari as format_minari


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
