"""Laws of reading a LeRobotDataset that somebody else made."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import envs  # noqa: F401  registers the tasks
from robot_orl.errors import DataError, RobotOrlError, UsageError
from robot_orl.interop import base
from robot_orl.interop.base import Request
from robot_orl.interop.lerobot import tables
from robot_orl.types import Actor, Camera
from tests.interop.made_lerobot import CAMERA, SIZE, grey, write_json, write_v3, write_v21

DATA = "data/chunk-000/file-000.parquet"
VIDEO = f"videos/{CAMERA}/chunk-000/file-000.mp4"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def read(root: Path, **request: Any) -> base.Source:
    return base.reader("lerobot")(root, Request(**request))


@pytest.mark.parametrize("write", [write_v3, write_v21])
def test_frames_become_steps_but_for_the_last_whose_next_observation_nobody_knows(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    source = read(write(tmp_path / "set"), task="my_arm")
    spec = source.spec
    assert (spec.task, spec.control_hz, spec.horizon, source.count) == ("my_arm", 10.0, 3, 2)
    assert [signal.name for signal in spec.observation["state"]] == ["shoulder", "elbow"]
    assert [signal.name for signal in spec.observation["force"]] == ["force_0"]
    assert [signal.name for signal in spec.action] == ["a", "b"]
    assert spec.cameras == {"top": Camera(*SIZE)}
    first, second = source.episodes
    assert first.obs["state"].tolist() == [[0, 0], [0, 1], [0, 2]]
    assert first.obs["force"].tolist() == [[0], [10], [20]]
    assert first.action.tolist() == [[0.0, -0.5], [np.float32(0.1), -0.5]]
    assert second.obs["state"].tolist() == [[1, 0], [1, 1]]
    assert first.t_ns.tolist() == pytest.approx([0, 100_000_000], abs=10)  # a float32 of 0.1 s
    assert (first.meta.instruction, second.meta.instruction) == ("open the door", "close the door")
    assert (first.meta.origin, second.meta.origin) == ("set#0", "set#1")
    for episode, number in ((first, 0), (second, 1)):
        shown = [int(frame.mean().round()) for frame in episode.images["top"]]
        assert shown == pytest.approx([grey(number, i) for i in range(len(episode) + 1)], abs=2)


@pytest.mark.parametrize("seconds", [[0.0] * 5, [0.2, 0.1, 0.0, 0.1, 0.0], [-1.0, 0.0, 1.0, -2.0, 0.0]])
def test_times_that_do_not_rise_from_zero_are_unknown(tmp_path: Path, seconds: list[float]) -> None:
    root = write_v3(tmp_path / "set", video=None)
    table = pq.read_table(root / DATA)
    place = table.schema.names.index("timestamp")
    pq.write_table(table.set_column(place, "timestamp", pa.array(seconds, pa.float32())), root / DATA)
    assert next(read(root).episodes).t_ns.tolist() == [-1, -1]


def test_a_few_bytes_that_stand_for_gigabytes_are_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "UNPACKED_BYTES", 10**6)
    root = write_v3(tmp_path / "set", video=None)
    table = pq.read_table(root / DATA)
    count, place = 10**6, table.schema.names.index("action")
    lists = pa.ListArray.from_arrays(
        pa.array([0] + [count] * len(table), pa.int32()), pa.nulls(count, pa.float32())
    )
    pq.write_table(table.set_column(place, "action", lists), root / DATA)
    assert (root / DATA).stat().st_size < 10_000
    with pytest.raises(DataError, match=r"a row group of 'action\..*' unpacks to 80000\d\d bytes"):
        read(root)


def test_what_the_frames_do_not_say_is_unknown(tmp_path: Path) -> None:
    episode = next(read(write_v3(tmp_path / "set", video=None)).episodes)
    assert np.isnan(episode.reward).all()
    assert np.isnan(episode.action_policy).all()
    assert set(episode.actor.tolist()) == {Actor.UNKNOWN}
    assert (episode.meta.success, episode.meta.quality, episode.meta.end_reason) == (None, None, "unknown")
    assert episode.terminated.tolist() == [False, False]
    assert episode.truncated.tolist() == [False, True]


def test_rewards_and_success_are_read_and_done_alone_is_no_termination(tmp_path: Path) -> None:
    root = write_v3(
        tmp_path / "set",
        video=None,
        next_reward=["float32", [1], [0.25, 0.5, 1.0, 0.0, 0.0]],
        next_done=["bool", [1], [False, False, True, False, True]],
        next_success=["bool", [1], [False, False, True, False, False]],
    )
    first, second = read(root).episodes
    assert first.reward.tolist() == [0.25, 0.5]
    assert (first.meta.success, first.meta.success_any) == (True, True)
    assert (second.meta.success, second.meta.success_any) == (False, False)
    assert not first.terminated.any()


def test_a_step_that_terminated_is_kept_and_its_next_observation_repeats(tmp_path: Path) -> None:
    root = write_v3(
        tmp_path / "set",
        video=None,
        next_done=["bool", [1], [False, False, True, False, True]],
        next_truncated=["bool", [1], [False, False, False, False, True]],
    )
    first, second = read(root).episodes
    assert first.terminated.tolist() == [False, False, True]
    assert first.obs["state"][-2:].tolist() == [[0, 2], [0, 2]]
    assert (first.meta.end_reason, second.meta.end_reason) == ("terminated", "horizon")
    assert "unknown" in first.meta.notes
    assert len(second) == 1


def test_pictures_within_parquet_are_read_with_red_first(tmp_path: Path) -> None:
    episode = next(read(write_v3(tmp_path / "set", video="image")).episodes)
    assert [frame[0, 0].tolist() for frame in episode.images["top"]] == [[grey(0, i), 0, 0] for i in range(3)]


def test_actions_in_a_robots_units_are_refused_unless_they_are_to_be_scaled(tmp_path: Path) -> None:
    root = write_v3(tmp_path / "set", video=None)
    table = pq.read_table(root / DATA)
    degrees = [[0.0, 7.0], [90.0, 7.0], [45.0, 7.0], [-90.0, 7.0], [0.0, 7.0]]
    at = table.schema.get_field_index("action")
    pq.write_table(table.set_column(at, "action", [degrees]), root / DATA)
    with pytest.raises(UsageError, match=r"actions lie in -90 .. 90, not in \[-1, 1\]; --scale-actions"):
        read(root)
    source = read(root, scale_actions=True)
    assert source.provenance["action_scaled_from"] == {"low": [-90.0, 6.0], "high": [90.0, 8.0]}
    assert next(source.episodes).action.tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_features_that_have_no_place_are_named_in_the_provenance(tmp_path: Path) -> None:
    root = write_v3(tmp_path / "set", video=None, note_text=["string", [1], list("abcde")])
    assert read(root).provenance["left_out"] == ["note.text"]


def test_a_task_of_this_stack_must_fit_in_rate_and_widths(tmp_path: Path) -> None:
    root = write_v3(tmp_path / "set", video=None)
    with pytest.raises(DataError, match="says 10 Hz; task fetch_push runs at 25 Hz"):
        read(root, task="fetch_push")


def edit(root: Path, **changes: Any) -> None:
    path = root / "meta/info.json"
    write_json(path, {**json.loads(path.read_text()), **changes})


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without(path: Path, *columns: str) -> None:
    pq.write_table(pq.read_table(path).drop_columns(list(columns)), path)


def relabel(root: Path) -> None:
    table = pq.read_table(root / DATA)
    at = table.schema.get_field_index("episode_index")
    pq.write_table(table.set_column(at, "episode_index", [[0, 0, 7, 1, 1]]), root / DATA)


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no info": (lambda r: (r / "meta/info.json").unlink(), "meta/info.json is missing"),
    "no JSON": (lambda r: (r / "meta/info.json").write_text("{"), "meta/info.json is damaged"),
    "old": (lambda r: edit(r, codebase_version="v1.6"), "version 'v1.6'; read are v3.x, v2.1 and v2.0"),
    "new": (lambda r: edit(r, codebase_version="v4.0"), "version 'v4.0'"),
    "fps": (lambda r: edit(r, fps=0), "fps is 0"),
    "no features": (lambda r: edit(r, features={}), "has no feature 'action'"),
    "count": (lambda r: edit(r, total_episodes=3), "tells of 3 episodes; there are 2"),
    "outside": (lambda r: edit(r, data_path="../{chunk_index}.parquet"), "leaves the dataset's folder"),
    "absolute": (lambda r: edit(r, video_path="/etc/{video_key}"), "leaves the dataset's folder"),
    "field": (lambda r: edit(r, data_path="{chunk_index.real}"), "leaves the dataset's folder or is malf"),
    "unknown field": (lambda r: edit(r, data_path="{home}"), "unknown field 'home'"),
    "no data": (lambda r: (r / DATA).unlink(), f"{DATA} is missing"),
    "cut data": (lambda r: cut(r / DATA), f"{DATA} is damaged"),
    "no column": (lambda r: without(r / DATA, "observation.state"), "no column 'observation.state'"),
    "other episode": (relabel, "has episode 7 where episode 0 should be"),
    "no episodes": (lambda r: (r / EPISODES).unlink(), f"{EPISODES} is missing"),
    "no place": (lambda r: without(r / EPISODES, "length"), f"{EPISODES} has no column 'length'"),
    "no tasks": (lambda r: (r / "meta/tasks.parquet").unlink(), "meta/tasks.parquet is missing"),
    "no video": (lambda r: (r / VIDEO).unlink(), f"{VIDEO} is missing"),
    "cut video": (lambda r: cut(r / VIDEO), f"{VIDEO} is damaged"),
    "other file": (lambda r: (r / VIDEO).write_bytes(b"ffconcat version 1.0"), f"{VIDEO} is damaged"),
}


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v3(tmp_path_factory.mktemp("lerobot") / "set")


@pytest.mark.parametrize("damage", BAD)
def test_damage_is_told_in_one_line_that_names_the_file(intact: Path, tmp_path: Path, damage: str) -> None:
    root = Path(shutil.copytree(intact, tmp_path / "set"))
    spoil, message = BAD[damage]
    spoil(root)
    with pytest.raises(RobotOrlError) as caught:
        list(read(root).episodes)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_declared_size_of_frames_is_not_believed(intact: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(intact, tmp_path / "set"))
    features = json.loads((root / "meta/info.json").read_text())["features"]
    features[CAMERA]["shape"] = [10**5, 10**5, 3]
    edit(root, features=features)
    with pytest.raises(DataError, match=r"shows 16x32 pixels; info\.json says 100000x100000"):
        list(read(root).episodes)


def test_a_file_is_not_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="is a file; a LeRobotDataset is the folder"):
        read(tmp_path / "file")
