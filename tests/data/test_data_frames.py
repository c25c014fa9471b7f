"""Frames for learners: the right ones for every step, each once per pass, mixed, checked, and cached."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from children import child
from learning_toys import point_spec, points
from numcodecs import zstd

from robot_orl.data.sampling import blocks, frame_cache
from robot_orl.data.sampling.frame_cache import MappedFrames, open_frames
from robot_orl.data.sampling.frames import FrameBatch, FrameStream
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.types import Camera, Episode

# 270 kB a frame of `wide`, so that a chunk holds 4 of them, and small ones beside them
SPEC = replace(point_spec(), cameras={"wide": Camera(300, 300), "small": Camera(2, 3)})
LENGTHS = (5, 1, 9, 3, 30, 2)


def filmed(number: int, length: int) -> Episode:
    """Position t of episode e is 100 e + t; every pixel of the frames there says e and t."""
    e, t = np.full(length + 1, number), np.arange(length + 1)
    color = np.stack([e, t, 255 - t], axis=1).astype(np.uint8)[:, None, None]
    images = {
        name: np.broadcast_to(color, (length + 1, size.height, size.width, 3)).copy()
        for name, size in SPEC.cameras.items()
    }
    values = [float(100 * number + i) for i in t]
    return replace(points(values, [-1.0] * length), images=images)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes in two segments."""
    root = tmp_path_factory.mktemp("film") / "data"
    for group in (range(4), range(4, 6)):
        with SegmentWriter(root, SPEC, "test") as writer:
            for number in group:
                writer.append(filmed(number, LENGTHS[number]))
    return root


@pytest.fixture
def copy(film: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(film, tmp_path / "data"))


def stream(dataset: Dataset, folder: Path, n_step: int = 1) -> FrameStream:
    return FrameStream(dataset, n_step=n_step, buffer_frames=20, block_chunks=2)


def mapped(dataset: Dataset, folder: Path, n_step: int = 1) -> MappedFrames:
    return MappedFrames(dataset, folder, n_step=n_step, spare_bytes=0)


Source = Callable[[Dataset, Path, int], FrameStream | MappedFrames]
both = pytest.mark.parametrize("source", [stream, mapped])


def check(batch: FrameBatch, dataset: Dataset, n_step: int) -> None:
    """Frames belong to the steps that a replay of the same episodes knows by these numbers."""
    replay = Replay(dataset.spec).extend(dataset.load_all())
    rows = replay.gather(batch.step, Sampling(1, n_step), np.random.default_rng(0))
    for images, position in ((batch.images, rows.obs[:, 0]), (batch.next_images, rows.next_obs[:, 0])):
        for camera, size in SPEC.cameras.items():
            frames = images[camera]
            assert frames.shape == (len(batch.step), size.height, size.width, 3)
            assert (frames == frames[:, :1, :1]).all()
            np.testing.assert_array_equal(frames[:, 0, 0, 0], position // 100)
            np.testing.assert_array_equal(frames[:, 0, 0, 1], position % 100)


@both
@pytest.mark.parametrize("n_step", [1, 3])
def test_every_step_comes_once_per_pass_with_its_own_frames(
    source: Source, n_step: int, film: Path, tmp_path: Path
) -> None:
    dataset = Dataset.open(film)
    found = list(source(dataset, tmp_path, n_step).batches(8, np.random.default_rng(0), epochs=2))
    assert [len(batch.step) for batch in found] == [8] * 12 + [4]
    steps, counts = np.unique(np.concatenate([batch.step for batch in found]), return_counts=True)
    np.testing.assert_array_equal(steps, np.arange(50))
    assert (counts == 2).all()
    for batch in found:
        check(batch, dataset, n_step)


@both
def test_only_episodes_in_use_are_shown(source: Source, film: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(film)
    some = dataset.choose(dataset.episodes[i] for i in (0, 3, 5))
    (batch,) = source(some, tmp_path, 1).batches(100, np.random.default_rng(0), epochs=1)
    assert set(batch.images["small"][:, 0, 0, 0]) == {0, 3, 5}
    assert len(batch.step) == 5 + 3 + 2
    check(batch, some, 1)


@both
def test_the_same_random_numbers_give_the_same_batches(source: Source, film: Path, tmp_path: Path) -> None:
    dataset, orders = Dataset.open(film), []
    for seed in (1, 1, 2):
        batches = source(dataset, tmp_path, 1).batches(7, np.random.default_rng(seed), epochs=3)
        orders.append(np.concatenate([batch.step for batch in batches]))
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] != orders[2]).any()


@both
def test_batches_go_on_without_end_and_can_be_left_at_any_time(
    source: Source, film: Path, tmp_path: Path
) -> None:
    batches = source(Dataset.open(film), tmp_path, 1).batches(16, np.random.default_rng(0))
    assert [len(next(batches).step) for _ in range(20)] == [16] * 20
    batches.close()


def test_the_stream_mixes_what_the_buffer_holds(film: Path) -> None:
    dataset = Dataset.open(film)
    drawn = []
    for seed in range(30):
        batches = FrameStream(dataset, ["small"], buffer_frames=100).batches(
            1, np.random.default_rng(seed), epochs=1
        )
        drawn.append(next(batches).step[0])
        batches.close()
    assert len(set(drawn)) > 15  # all 50 steps are in the buffer: 23 distinct ones are expected


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "older"])
def test_a_damaged_chunk_is_named_and_never_shown(copy: Path, harm: str, tmp_path: Path) -> None:
    segment = sorted((copy / "segments").iterdir())[0]
    chunk = segment / "obs/images/wide/c/1/0/0/0"
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 4
    if harm == "remove":
        chunk.unlink()
    elif harm == "older":  # intact, but not what was committed here
        chunk.write_bytes((segment / "obs/images/wide/c/0/0/0/0").read_bytes())
    else:
        chunk.write_bytes(content if harm == "flip" else content[:50])
    dataset = Dataset.open(copy)
    with pytest.raises(DataError, match=r"obs/images/wide.*(missing|damaged|checksum).*episode \d"):
        list(stream(dataset, tmp_path).batches(8, np.random.default_rng(0), epochs=1))
    with pytest.raises(DataError, match=r"obs/images/wide.*episode \d"):
        mapped(dataset, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("wide*"))


def test_a_chunk_in_the_middle_of_a_cut_episode_is_checked_too(copy: Path, tmp_path: Path) -> None:
    segment = sorted((copy / "segments").iterdir())[1]
    chunk = segment / "obs/images/wide/c/2/0/0/0"
    content = chunk.read_bytes()
    frames = bytearray(zstd.decompress(content[:-4]))
    frames[1000] ^= 1
    chunk.write_bytes(zstd.compress(bytes(frames), 1) + content[-4:])
    with pytest.raises(DataError, match=r"wide/c/2/0/0/0 is damaged: episode 0"):
        list(stream(Dataset.open(copy), tmp_path).batches(8, np.random.default_rng(0), epochs=1))


def test_wrong_cameras_and_datasets_without_any_are_told(film: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no camera 'wrist'; valid: wide, small"):
        FrameStream(Dataset.open(film), ["wrist"])
    with SegmentWriter(tmp_path / "blind", point_spec(), "test") as writer:
        writer.append(points([1, 2], [-1]))
    with pytest.raises(DataError, match="without cameras"):
        FrameStream(Dataset.open(tmp_path / "blind"))


def test_a_long_episode_is_cut_and_no_step_or_successor_is_lost(film: Path) -> None:
    dataset = Dataset.open(film)
    planned = blocks.plan(dataset, 2, block_rows=8)
    assert max(block.frames for block in planned) <= 8
    assert sum(len(block.pieces) for block in planned if block.pieces[0].record.length == 30) == 5
    found = {}
    for block in planned:
        rows = block.rows()
        for step, frame, next_frame in zip(*block.steps(), strict=True):
            found[int(step)] = (int(rows[frame]), int(rows[next_frame]))
    assert len(found) == 50
    assert [found[i] for i in range(6)] == [(0, 2), (1, 3), (2, 4), (3, 5), (4, 5), (6, 7)]
    assert [found[i] for i in (18, 24, 46, 47, 48)] == [(0, 2), (6, 8), (28, 30), (29, 30), (31, 33)]


# the cache


def cached(folder: Path) -> dict[str, float]:
    return {file.name: file.stat().st_mtime_ns for file in folder.rglob("*.u1")}


def test_a_cache_is_built_once_and_again_only_for_segments_that_changed(copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    mapped(Dataset.open(copy), folder)
    first = cached(folder)
    assert len(first) == 4  # 2 segments, 2 cameras
    dataset = Dataset.open(copy)
    dataset.relabel(dataset.episodes[:1], "seen", success=True)
    dataset.delete(dataset.episodes[1:2], "bad")
    mapped(dataset, folder)
    assert cached(folder) == first
    with SegmentWriter(copy, SPEC, "test") as writer:
        writer.append(filmed(7, 4))
    grown = Dataset.open(copy)
    (batch,) = mapped(grown, folder).batches(100, np.random.default_rng(0), epochs=1)
    check(batch, grown, 1)
    assert cached(folder).items() > first.items()
    assert len(cached(folder)) == 6


def test_a_cache_of_other_frames_under_the_same_name_is_stale(film: Path, tmp_path: Path) -> None:
    """A segment that is still written grows under its own name."""
    folder, root = tmp_path / "cache", tmp_path / "grows"
    writer = SegmentWriter(root, SPEC, "test")
    for number in range(2):
        writer.append(filmed(number, 3))
        dataset = Dataset.open(root)
        (batch,) = mapped(dataset, folder).batches(100, np.random.default_rng(0), epochs=1)
        assert len(batch.step) == 3 * (number + 1)
        check(batch, dataset, 1)
        assert len(cached(folder)) == 2
    writer.close()


def test_what_a_killed_builder_left_is_not_used_and_goes(film: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    mapped(Dataset.open(film), folder)
    whole = next(folder.rglob("wide.*.u1"))
    draft = whole.with_name(f".{whole.name}")
    draft.write_bytes(whole.read_bytes()[:1000])
    os.truncate(whole, 1000)
    (batch,) = mapped(Dataset.open(film), folder).batches(100, np.random.default_rng(0), epochs=1)
    check(batch, Dataset.open(film), 1)
    assert not draft.exists()
    assert whole.stat().st_size > 1000


def test_without_room_or_permission_frames_are_streamed(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, folder = Dataset.open(film), tmp_path / "cache"
    with pytest.raises(RunError, match=r"cache has no room for .* GB of frames: 0 GB may be taken"):
        MappedFrames(dataset, folder, spare_bytes=2**62)
    assert not cached(folder)
    (tmp_path / "file").touch()
    assert isinstance(open_frames(dataset, tmp_path / "file"), FrameStream)
    monkeypatch.setattr(frame_cache, "SPARE_BYTES", 0)
    assert isinstance(open_frames(dataset, folder), MappedFrames)


def test_a_second_builder_does_not_wait(film: Path, tmp_path: Path) -> None:
    dataset, folder = Dataset.open(film), tmp_path / "cache"
    (folder / dataset.segments[0].path.name).mkdir(parents=True)
    held = frame_cache.lock.hold(folder / dataset.segments[0].path.name)
    with pytest.raises(RunError, match="is being built by another process"):
        mapped(dataset, folder)
    os.close(held)
    assert len(mapped(dataset, folder)) == 50


@pytest.mark.e2e
def test_builders_that_are_killed_leave_nothing_wrong(tmp_path: Path) -> None:
    root, folder = tmp_path / "data", tmp_path / "cache"
    with SegmentWriter(root, SPEC, "test") as writer:
        for number in range(10):
            writer.append(filmed(number, 30))
    program = (
        "import sys; from pathlib import Path; from robot_orl.data.store import Dataset\n"
        "from robot_orl.data.sampling.frame_cache import MappedFrames\n"
        "MappedFrames(Dataset.open(sys.argv[1]), Path(sys.argv[2]), spare_bytes=0)"
    )
    dataset = Dataset.open(root)
    for _ in range(3):
        with child([sys.executable, "-c", program, root, folder]) as builder:
            while builder.poll() is None and not list(folder.rglob(".wide*")):
                pass
            builder.kill()
    (batch,) = mapped(dataset, folder).batches(1000, np.random.default_rng(0), epochs=1)
    check(batch, dataset, 1)
    assert len(batch.step) == 300
    assert sorted(file.name[:5] for file in folder.rglob("*.u1")) == ["small", "wide."]
