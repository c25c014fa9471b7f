"""A folder of videos: frames as they are, and nothing else that is known."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, UsageError
from robot_orl.interop import video_files
from robot_orl.interop.base import Request, Source, imported_episode
from robot_orl.interop.converting import convert
from robot_orl.interop.formats import video
from robot_orl.types import Actor, Array, Camera, EpisodeMeta, Signal, Spec

ASK = Request()


def frames_of(seed: int, count: int, height: int = 6, width: int = 8) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def write(
    path: Path, frames: Array, rate: Fraction | int = 30, codec: str = "ffv1", pixels: str = "bgr0"
) -> Path:
    """ffv1 keeps every bit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for rows in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rows, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def stored(root: Path, source: Source) -> Dataset:
    with SegmentWriter(root, source.spec, "video") as writer:
        for episode in source.episodes:
            writer.append(episode)
    return Dataset.open(root)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".AVI"])
def test_frames_come_back_bit_for_bit_and_the_rest_is_unknown(tmp_path: Path, suffix: str) -> None:
    expected = [frames_of(0, 5), frames_of(1, 3)]
    for name, frames in zip(("take10", "take2"), expected, strict=True):
        write(tmp_path / f"{name}{suffix}", frames, rate=25)
    (tmp_path / "notes.txt").write_text("not a video")
    source = video.read(tmp_path, ASK)
    assert (source.count, source.spec.control_hz, source.spec.task) == (2, 25.0, "video")
    assert source.spec.cameras == {"camera": Camera(6, 8)}
    assert source.spec.observation == {}
    second, first = source.episodes  # take2 comes before take10
    for episode, frames in ((first, expected[0]), (second, expected[1])):
        assert episode.images["camera"].tobytes() == frames.tobytes()
        assert len(episode) == len(frames) - 1
        assert np.isnan(episode.action).all()
        assert np.isnan(episode.reward).all()
        assert (episode.actor == Actor.UNKNOWN).all()
        assert (episode.meta.success, episode.meta.seed) == (None, None)
        assert episode.truncated.tolist() == [False] * (len(frames) - 2) + [True]
    assert first.t_ns.tolist() == [0, 40_000_000, 80_000_000, 120_000_000]
    assert second.meta.origin == f"{tmp_path.name}#0"


def test_a_folder_per_camera_gives_episodes_of_several(tmp_path: Path) -> None:
    for camera, width in (("front", 8), ("wrist cam", 10)):
        for index in range(2):
            write(tmp_path / camera / f"{index}.mkv", frames_of(index, 3 + index, width=width))
    source = video.read(tmp_path, ASK)
    assert source.spec.cameras == {"front": Camera(6, 8), "wrist cam": Camera(6, 10)}
    _, episode = source.episodes
    for camera, width in (("front", 8), ("wrist cam", 10)):
        assert episode.images[camera].tobytes() == frames_of(1, 4, width=width).tobytes()


def test_what_is_imported_can_be_stored_and_read(tmp_path: Path) -> None:
    write(tmp_path / "videos/a.mkv", frames_of(0, 4))
    source = video.read(tmp_path / "videos", Request(task="pour", control_hz=10))
    assert (source.spec.task, source.spec.control_hz, source.spec.horizon) == ("pour", 10, 3)
    (found,) = stored(tmp_path / "ours", source).load_all(images=True)
    assert found.images["camera"].tobytes() == frames_of(0, 4).tobytes()
    assert np.isnan(found.action).all()


def test_one_video_is_one_episode_in_the_usual_codec(tmp_path: Path) -> None:
    flat = np.repeat(np.array([20, 120, 220], np.uint8), 16 * 16 * 3).reshape(3, 16, 16, 3)
    path = write(tmp_path / "a.mp4", flat, Fraction(30000, 1001), codec="libx264", pixels="yuv420p")
    source = video.read(path, ASK)
    assert source.spec.control_hz == pytest.approx(29.97, abs=0.001)
    (episode,) = source.episodes
    assert np.abs(episode.images["camera"].astype(int) - flat).max() <= 4
    assert episode.t_ns.tolist() == [0, 33_366_667]


def test_videos_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "v/a.mkv", frames_of(0, 3)).parent
    write(folder / "b.mkv", frames_of(0, 3, width=10))
    with pytest.raises(DataError, match=r"v/b.mkv is 10x6; a.mkv is 8x6"):
        video.read(folder, ASK)
    write(folder / "b.mkv", frames_of(0, 3), rate=15)
    with pytest.raises(UsageError, match=r"v/b.mkv has 15 frames per second, a.mkv 30: add control_hz="):
        video.read(folder, ASK)
    assert video.read(folder, Request(control_hz=30)).count == 2
    write(folder / "b.mkv", frames_of(0, 1))
    with pytest.raises(DataError, match=r"v/b.mkv has 1 frame; an episode needs at least two"):
        list(video.read(folder, ASK).episodes)
    write(folder / "b.avi", frames_of(0, 2))
    with pytest.raises(DataError, match=r"b.mkv and b.avi would be the same episode"):
        video.read(folder, ASK)


def test_cameras_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    write(tmp_path / "front/a.mkv", frames_of(0, 3))
    write(tmp_path / "wrist/a.mkv", frames_of(0, 4))
    with pytest.raises(DataError, match=r"wrist/a.mkv has 4 frames; .*front/a.mkv has 3"):
        list(video.read(tmp_path, ASK).episodes)
    write(tmp_path / "front/b.mkv", frames_of(0, 3))
    with pytest.raises(DataError, match=r"wrist has no video of 'b', which other cameras have"):
        video.read(tmp_path, ASK)
    write(tmp_path / "c.mkv", frames_of(0, 3))
    with pytest.raises(DataError, match=r"holds videos and folders of videos, front, wrist"):
        video.read(tmp_path, ASK)


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"holds no video; they end in \.mp4"):
        video.read(tmp_path, ASK)
    (tmp_path / "a.mp4").write_bytes(b"nothing at all")
    with pytest.raises(DataError, match=r"a.mp4 cannot be read as video"):
        video.read(tmp_path, ASK)


def test_a_playlist_that_calls_itself_a_video_opens_nothing_else(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/a.ts", frames_of(0, 3, 16, 16), codec="mpeg2video", pixels="yuv420p")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.mp4").write_text(playlist.format(tmp_path / "elsewhere/a.ts"))
    with pytest.raises(DataError, match=r"a.mp4 cannot be read as video"):
        video.read(tmp_path / "v", ASK)


def test_a_video_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", frames_of(0, 40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"a.mkv was cut off: \d+ of about 40 frames are there"):
        list(video.read(tmp_path, ASK).episodes)


def test_a_video_too_large_for_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.mkv", frames_of(0, 5))
    monkeypatch.setattr(video_files, "MAX_BYTES", 4 * 6 * 8 * 3)
    with pytest.raises(DataError, match=r"a.mkv has about 5 frames of 8x6: .* cut it into episodes"):
        list(video.read(tmp_path, ASK).episodes)


def test_frames_of_a_dataset_become_a_video_per_episode_and_camera(tmp_path: Path) -> None:
    for index, level in enumerate((40, 200)):
        flat = np.full((3 + index, 16, 18, 3), level, np.uint8)
        flat[-1] = 120
        write(tmp_path / f"front/{index}.mkv", flat, rate=20)
        write(tmp_path / f"odd/{index}.mkv", flat[:, :15, :17], rate=20)
    dataset = stored(tmp_path / "ours", video.read(tmp_path, ASK))
    written: list[int] = []
    convert(dataset, video.write, tmp_path / "out", written.append)
    assert written == [1, 1]
    again = video.read(tmp_path / "out", ASK)
    assert again.spec.control_hz == 20
    for found, expected in zip(again.episodes, dataset.load_all(images=True), strict=True):
        for camera, frames in expected.images.items():
            assert found.images[camera].shape == frames.shape
            assert np.abs(found.images[camera].astype(int) - frames).max() <= 4
    names = sorted(file.name for file in (tmp_path / "out/odd").iterdir())
    assert names == ["episode_000000.mp4", "episode_000001.mp4"]


def test_a_dataset_without_cameras_has_no_videos(tmp_path: Path) -> None:
    spec = Spec("toy", {"x": (Signal("x"),)}, (Signal("a"),), 10.0, 5)
    episode = imported_episode({"x": np.zeros((2, 1))}, np.zeros((1, 1)), EpisodeMeta())
    dataset = stored(tmp_path / "ours", Source(spec, 1, iter([episode])))
    with pytest.raises(UsageError, match="has no camera"):
        convert(dataset, video.write, tmp_path / "out", lambda count: None)
