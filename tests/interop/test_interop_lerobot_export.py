"""Laws of writing LeRobotDataset v3.0: its documented layout field by field, and our own way back."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interop import base
from robot_orl.interop.base import Request
from robot_orl.interop.lerobot.export import export
from robot_orl.types import Actor, Camera, Episode, EpisodeMeta, Signal, Spec
from tests.data.made_episodes import assert_same_bits, made_episode, made_spec

SPEC = Spec(
    task="reach",
    observation={"tip": (Signal("x", "m"), Signal("y", "m")), "goal": (Signal("x", "m"),)},
    action=(Signal("vx"),),
    control_hz=20.0,
    horizon=5,
    cameras={"top": Camera(16, 32)},
)
LENGTHS = (3, 2)
DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.top/chunk-000/file-000.mp4"


def level(number: int, step: int) -> int:
    return 40 + 100 * number + 20 * step


def episode(number: int) -> Episode:
    """tip [number, step], goal [9], action 0.1 * step, reward -1 but 0 at the end; the second one is cut."""
    length = LENGTHS[number]
    end = np.arange(length) == length - 1
    steps = np.arange(length + 1, dtype="f4")
    frames = [np.full((16, 32, 3), level(number, i), "u1") for i in range(length + 1)]
    return Episode(
        obs={
            "tip": np.stack([np.full(length + 1, number, "f4"), steps], 1),
            "goal": np.full((length + 1, 1), 9, "f4"),
        },
        action=(0.1 * steps[:-1, np.newaxis]).astype("f4"),
        action_policy=np.full((length, 1), np.nan, "f4"),
        action_operator=np.zeros((length, 1), "f4"),
        reward=np.where(end, 0.0, -1.0).astype("f4"),
        terminated=end & (number == 0),
        truncated=end & (number == 1),
        t_ns=np.arange(length) * 50_000_001,
        actor=np.full(length, Actor.HUMAN, "u1"),
        sim_state=np.full((length + 1, 2), np.pi),
        meta=EpisodeMeta(seed=number, success=number == 0, instruction="reach it" if number == 0 else None),
        images={"top": np.stack(frames)},
    )


def made(root: Path, spec: Spec, episodes: list[Episode], **env_kwargs: Any) -> Dataset:
    with SegmentWriter(root, spec, "made", env_kwargs=env_kwargs) as writer:
        for one in episodes:
            writer.append(one)
    return Dataset.open(root)


def write(dataset: Dataset, out: Path) -> Path:
    base.writer("lerobot")(dataset, out, lambda _: None)
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lerobot")
    return write(made(root / "data", SPEC, [episode(0), episode(1)], variant="b"), root / "set")


def test_info_says_version_counts_paths_and_features(exported: Path) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    features = info.pop("features")
    assert info == {
        "codebase_version": "v3.0",
        "robot_type": None,
        "total_episodes": 2,
        "total_frames": 5,
        "total_tasks": 2,
        "chunks_size": 1000,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": 20,
        "splits": {"train": "0:2"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    names = ["tip.x", "tip.y", "goal.x"]
    assert features["observation.state"] == {"dtype": "float32", "shape": [3], "names": names}
    assert features["action"] == {"dtype": "float32", "shape": [1], "names": ["vx"]}
    picture = features["observation.images.top"]
    assert (picture["dtype"], picture["shape"]) == ("video", [16, 32, 3])
    assert picture["names"] == ["height", "width", "channels"]
    assert picture["info"]["video.codec"] == "h264"
    others = {k: v["dtype"] for k, v in features.items() if v["shape"] == [1] and v["names"] is None}
    assert others == {
        "next.reward": "float32",
        "next.done": "bool",
        "next.truncated": "bool",
        "next.success": "bool",
        "timestamp": "float32",
        "frame_index": "int64",
        "episode_index": "int64",
        "index": "int64",
        "task_index": "int64",
    }


def test_frames_are_the_steps_on_the_grid_of_the_rate(exported: Path) -> None:
    file = pq.ParquetFile(exported / DATA)
    assert file.num_row_groups == 2  # one per episode
    table = file.read()
    types = {field.name: field.type for field in table.schema}
    assert types["observation.state"] == pa.list_(pa.float32(), 3)
    assert types["action"] == pa.float32()  # a feature of shape [1] is no list
    assert types["next.done"] == pa.bool_()
    columns = table.to_pydict()
    assert columns["observation.state"] == [[0, 0, 9], [0, 1, 9], [0, 2, 9], [1, 0, 9], [1, 1, 9]]
    assert columns["action"] == pytest.approx([0, 0.1, 0.2, 0, 0.1])
    assert columns["next.reward"] == [-1, -1, 0, -1, 0]
    assert columns["next.done"] == [False, False, True, False, True]
    assert columns["next.truncated"] == [False, False, False, False, True]
    assert columns["next.success"] == [False, False, True, False, False]
    assert columns["timestamp"] == pytest.approx([0, 0.05, 0.1, 0, 0.05])
    assert columns["frame_index"] == [0, 1, 2, 0, 1]
    assert columns["episode_index"] == [0, 0, 0, 1, 1]
    assert columns["index"] == [0, 1, 2, 3, 4]
    assert columns["task_index"] == [0, 0, 0, 1, 1]


def test_episodes_say_where_their_frames_and_videos_lie(exported: Path) -> None:
    first, second = pq.read_table(exported / EPISODES).to_pylist()
    told = {key: value for key, value in second.items() if not key.startswith("stats/")}
    assert told == {
        "episode_index": 1,
        "tasks": ["reach"],  # without an instruction, the task's name
        "length": 2,
        "data/chunk_index": 0,
        "data/file_index": 0,
        "dataset_from_index": 3,
        "dataset_to_index": 5,
        "videos/observation.images.top/chunk_index": 0,
        "videos/observation.images.top/file_index": 0,
        "videos/observation.images.top/from_timestamp": 0.2,  # behind the first one's four frames
        "videos/observation.images.top/to_timestamp": 0.3,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }
    assert first["tasks"] == ["reach it"]
    assert first["stats/next.reward/mean"] == pytest.approx([-2 / 3])
    assert second["stats/observation.state/max"] == [1, 1, 9]
    assert second["stats/index/count"] == [2]
    assert np.shape(first["stats/observation.images.top/mean"]) == (3, 1, 1)


def test_tasks_are_indexed_by_their_words_as_pandas_does(exported: Path) -> None:
    table = pq.read_table(exported / "meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["reach it", "reach"]}
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_are_those_of_all_frames(exported: Path) -> None:
    stats = json.loads((exported / "meta/stats.json").read_text())
    state = stats["observation.state"]
    assert (state["min"], state["max"], state["count"]) == ([0, 0, 9], [1, 2, 9], [5])
    assert state["mean"] == pytest.approx([0.4, 0.8, 9])
    assert state["std"] == pytest.approx([np.sqrt(0.24), np.sqrt(0.56), 0])
    assert state["q50"] == [0, 1, 9]
    assert stats["action"]["q90"] == pytest.approx([0.16])  # of 0 0 0.1 0.1 0.2: 3.6th of 4 gaps
    picture = stats["observation.images.top"]
    levels = [level(0, 0), level(0, 1), level(0, 2), level(1, 0), level(1, 1)]
    assert np.ravel(picture["mean"]) == pytest.approx([np.mean(levels) / 255] * 3)
    assert np.ravel(picture["max"]) == pytest.approx([160 / 255] * 3)
    assert picture["count"] == [5]


def test_videos_hold_one_frame_more_per_episode_on_the_same_grid(exported: Path) -> None:
    with av.open(str(exported / VIDEO)) as container:
        shown = [
            (f.time, int(f.to_ndarray(format="rgb24").mean().round())) for f in container.decode(video=0)
        ]
    assert [time for time, _ in shown] == pytest.approx([i / 20 for i in range(7)], abs=1e-9)
    expected = [level(0, i) for i in range(4)] + [level(1, i) for i in range(3)]
    assert [value for _, value in shown] == pytest.approx(expected, abs=2)


def test_our_own_way_there_and_back_keeps_every_bit_but_those_of_pictures(tmp_path: Path) -> None:
    spec = made_spec()
    episodes = [made_episode(seed, length) for seed, length in ((0, 5), (1, 1), (2, 12))]
    out = write(made(tmp_path / "data", spec, episodes, variant="b"), tmp_path / "set")
    source = base.reader("lerobot")(out, Request())
    assert source.spec == spec
    assert source.env_kwargs == {"variant": "b"}
    found = list(source.episodes)
    assert [one.meta.origin for one in found] == ["set#0", "set#1", "set#2"]
    for one, expected in zip(found, episodes, strict=True):
        assert_same_bits(replace(one, meta=replace(one.meta, origin=None)), expected)


@pytest.mark.e2e
def test_states_of_the_simulator_that_only_some_episodes_have_are_left_out(tmp_path: Path) -> None:
    made(tmp_path / "data", made_spec(), [made_episode(0, 2)])
    dataset = made(tmp_path / "data", made_spec(), [made_episode(1, 2, sim_state=False)])
    found = base.reader("lerobot")(write(dataset, tmp_path / "set"), Request()).episodes
    assert [one.sim_state for one in found] == [None, None]


def test_pictures_come_back_near_with_the_last_one(exported: Path) -> None:
    found = list(base.reader("lerobot")(exported, Request()).episodes)
    for number, one in enumerate(found):
        difference = one.images["top"].astype(int) - episode(number).images["top"]
        assert np.abs(difference).max() <= 3
        assert_same_bits(
            replace(one, images={}, meta=replace(one.meta, origin=None)), replace(episode(number), images={})
        )


def test_what_nobody_knows_is_left_out_of_the_frames(tmp_path: Path) -> None:
    spec = replace(SPEC, cameras={})
    unknown = [
        replace(
            episode(n), reward=np.full(LENGTHS[n], np.nan, "f4"), images={}, meta=EpisodeMeta(success=None)
        )
        for n in (0, 1)
    ]
    out = write(made(tmp_path / "data", spec, unknown), tmp_path / "set")
    names = pq.read_schema(out / DATA).names
    assert "next.reward" not in names
    assert "next.success" not in names
    assert json.loads((out / "meta/info.json").read_text())["video_path"] is None


@pytest.mark.e2e
def test_a_file_that_would_outgrow_its_limit_is_followed_by_another(tmp_path: Path) -> None:
    spec = made_spec()
    episodes = [made_episode(seed, 4) for seed in range(5)]
    dataset = made(tmp_path / "data", spec, episodes)
    (tmp_path / "set").mkdir()
    export(dataset, tmp_path / "set", lambda _: None, data_bytes=10_000)
    files = sorted(path.name for path in (tmp_path / "set/data/chunk-000").iterdir())
    assert files == ["file-000.parquet", "file-001.parquet", "file-002.parquet"]
    rows = [
        row
        for path in sorted((tmp_path / "set/meta/episodes").rglob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]
    assert [row["data/file_index"] for row in rows] == [0, 0, 1, 1, 2]
    for one, expected in zip(
        base.reader("lerobot")(tmp_path / "set", Request()).episodes, episodes, strict=True
    ):
        assert_same_bits(replace(one, meta=replace(one.meta, origin=None)), expected)


def test_videos_are_divided_into_files_at_episodes(tmp_path: Path) -> None:
    dataset = made(tmp_path / "data", SPEC, [episode(0), episode(1)])
    (tmp_path / "set").mkdir()
    export(dataset, tmp_path / "set", lambda _: None, video_bytes=1)
    rows = pq.read_table(tmp_path / "set" / EPISODES).to_pylist()
    assert [row["videos/observation.images.top/file_index"] for row in rows] == [0, 1]
    assert [row["videos/observation.images.top/from_timestamp"] for row in rows] == [0.0, 0.0]
    found = list(base.reader("lerobot")(tmp_path / "set", Request()).episodes)
    assert found[1].images["top"][0].mean() == pytest.approx(level(1, 0), abs=2)


def test_the_name_and_rate_that_the_user_gives_are_those_of_the_import(exported: Path) -> None:
    spec = base.reader("lerobot")(exported, Request("other", control_hz=10.0)).spec
    assert (spec.task, spec.control_hz, list(spec.observation)) == ("other", 10.0, ["tip", "goal"])


def test_frames_that_were_changed_since_are_not_taken_for_ours(exported: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(exported, tmp_path / "set"))
    table = pq.read_table(root / DATA)
    at = table.schema.get_field_index("action")
    pq.write_table(table.set_column(at, "action", pa.array([0.5] * 5, pa.float32())), root / DATA)
    with pytest.raises(DataError, match=r"meta/robot_orl does not belong to episode 0 .*remove that folder"):
        list(base.reader("lerobot")(root, Request()).episodes)
    shutil.rmtree(root / "meta/robot_orl")
    first, second = base.reader("lerobot")(root, Request()).episodes
    assert (len(first), len(second)) == (3, 1)
    shown = [frame.mean() for frame in second.images["top"]]  # without the last one of the first episode
    assert shown == pytest.approx([level(1, 0), level(1, 1)], abs=2)


def test_a_state_of_a_tasks_width_is_split_into_its_observations(tmp_path: Path) -> None:
    spec = base.task_spec(Request("fetch_push"))
    assert spec is not None
    one = made_episode(3, 4, sim_state=False, spec=spec)
    finite = {key: np.nan_to_num(rows).clip(-1, 1) for key, rows in one.obs.items()}
    one = replace(one, obs=finite, action=np.zeros_like(one.action), truncated=np.zeros(4, bool))
    one = replace(one, terminated=np.zeros(4, bool))
    out = write(made(tmp_path / "data", spec, [one]), tmp_path / "set")
    shutil.rmtree(out / "meta/robot_orl")
    source = base.reader("lerobot")(out, Request("fetch_push"))
    assert source.spec == spec
    found = next(source.episodes)
    assert list(found.obs) == list(spec.observation)
    for key, rows in finite.items():
        assert found.obs[key].tolist() == rows[:4].tolist()
    with pytest.raises(UsageError, match="runs at 25 Hz"):
        base.reader("lerobot")(out, Request("fetch_push", control_hz=10.0))
