"""What comes from a camera, and when: stamps, drops, losses and returns."""

import tracemalloc
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from camera_toys import SMALL, PlayedCamera, draw, filled, new_memory, opening
from deploy_toys import FakeClock

from robot_orl.cli import main
from robot_orl.deploy.sensors.aruco import Marker, MarkerTracker, Sighting
from robot_orl.deploy.sensors.boards import Board
from robot_orl.deploy.sensors.camera_process import (
    FIRST_RETRY_S,
    LAST_RETRY_S,
    State,
    Streaming,
    pack_status,
    unpack_status,
)
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.source import (
    CameraConfig,
    Player,
    UsbCamera,
    capture_time_ns,
    missed_frames,
    open_source,
    require_size,
)
from robot_orl.deploy.sensors.stored_frames import ImageFolder, all_frames
from robot_orl.deploy.sensors.transforms import rigid
from robot_orl.deploy.sensors.yaml_file import numbers, read_yaml
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.errors import DataError, RunError, UsageError

PERIOD_NS = NS_PER_S // 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images 0.png .. 11.png; each is as bright as its number."""
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"{number}.png"), filled(number))
    return tmp_path


def test_the_kernels_stamp_is_taken_where_it_is_one() -> None:
    now_ns = 50 * NS_PER_S
    assert capture_time_ns(49_967.0, now_ns) == 49_967_000_000
    for stamp_ms in (
        0.0,
        -1.0,
        48_000.0,
        50_001.0,
        1.8e12,
        float("nan"),
    ):  # unknown, too old, future, wall clock
        assert capture_time_ns(stamp_ms, now_ns) == now_ns


@pytest.mark.parametrize(("gap_ms", "missed"), [(33, 0), (20, 0), (49, 0), (67, 1), (133, 3)])
def test_gaps_between_stamps_tell_how_many_frames_were_dropped(gap_ms: int, missed: int) -> None:
    assert missed_frames(5_000_000, 5_000_000 + gap_ms * 1_000_000, NS_PER_S / 30) == missed
    assert missed_frames(None, gap_ms * 1_000_000, NS_PER_S / 30) == 0


def test_frames_of_another_size_are_refused_with_theirs() -> None:
    with pytest.raises(RunError, match=r"'toy' gives 32x48, not 64x48; set width=32 height=48"):
        require_size(np.zeros((48, 32, 3), np.uint8), SMALL)


def test_a_format_has_four_letters() -> None:
    with pytest.raises(UsageError, match="fourcc=MPEG4 is not four letters"):
        CameraConfig("0", fourcc="MPEG4")


def test_a_device_gives_frames_red_first_counts_what_it_dropped_and_is_gone_in_the_end(
    tmp_path: Path,
) -> None:
    """No USB camera is here: OpenCV reads a film in its place, through the same calls."""
    film = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(film, cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (20, 60, 200), np.uint8))  # blue, green, red
    writer.release()
    clock = FakeClock()
    camera = UsbCamera(CameraConfig(film, 64, 48, fps=10), clock, cv2.CAP_FFMPEG)
    for late_periods in (1, 1, 4):
        clock.time_ns += late_periods * PERIOD_NS
        read = camera.read()
        assert read is not None
        frame, t_ns = read
        assert t_ns == clock.now_ns(), "a film's stamp is not the kernel's"
        np.testing.assert_allclose(frame[24, 32], (200, 60, 20), atol=6)
    assert camera.dropped == 3
    with pytest.raises(RunError, match=r"camera '.*film\.avi' is gone"):
        camera.read()
    camera.close()
    with pytest.raises(RunError, match="gives 64x48, not 640x480; set width=64 height=48"):
        UsbCamera(CameraConfig(film), clock, cv2.CAP_FFMPEG).read()


def test_images_come_in_the_order_of_their_numbers(folder: Path) -> None:
    assert [int(frame[0, 0, 0]) for _, frame in all_frames(str(folder))] == list(range(12))


def test_stored_frames_come_red_first(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((48, 64, 3), (10, 20, 30), np.uint8))  # blue, green, red
    assert [tuple(frame[0, 0]) for _, frame in all_frames(str(tmp_path))] == [(30, 20, 10)]


def test_a_file_is_played_at_its_rate_and_late_frames_are_dropped(folder: Path) -> None:
    clock = FakeClock()
    start_ns = clock.now_ns()
    player = Player(SMALL, clock, ImageFolder(str(folder)))
    seen = []
    for late_ns in (0, 0, 2 * PERIOD_NS + 1, 0):  # the work after the second takes three slots
        read = player.read()
        assert read is not None
        seen.append((int(read[0][0, 0, 0]), (read[1] - start_ns) // PERIOD_NS))
        clock.time_ns += late_ns
    assert seen == [(0, 1), (1, 2), (2, 3), (5, 6)]
    assert player.dropped == 2


def test_frames_after_the_last_one_are_not_dropped(folder: Path) -> None:
    clock = FakeClock()
    player = Player(SMALL, clock, ImageFolder(str(folder)))
    for _ in range(10):
        player.read()
    clock.time_ns += 30 * PERIOD_NS
    assert player.read() is None
    assert player.dropped == 2


def test_a_file_ends_or_begins_again(folder: Path) -> None:
    once = Player(SMALL, FakeClock(), ImageFolder(str(folder)))
    assert [once.read() is None for _ in range(14)] == [False] * 12 + [True] * 2
    cfg = CameraConfig("toy", 64, 48, 10, loop=True)
    again = Player(cfg, FakeClock(), ImageFolder(str(folder)))
    assert [int(again.read()[0][0, 0, 0]) for _ in range(14)][-3:] == [11, 0, 1]  # type: ignore[index]


def test_what_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no camera, video or folder of images at"):
        open_source(CameraConfig(str(tmp_path / "none")), FakeClock())
    with pytest.raises(RunError, match=r"no images in '.*'; it takes \.png, "):
        open_source(CameraConfig(str(tmp_path)), FakeClock())
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(RunError, match="is not a video that can be read"):
        open_source(CameraConfig(str(tmp_path / "text.mp4")), FakeClock())


def test_a_lost_device_is_opened_again_ever_more_slowly_and_counted() -> None:
    clock, memory, tried = FakeClock(), new_memory(), list[int]()
    first = PlayedCamera([filled(1), filled(2)], clock, dropped=3)
    last = PlayedCamera([filled(3)], clock, dropped=1, ends=True)
    steps = ["gone", *["gone"] * 6, first, "gone", last]
    Streaming(SMALL, memory, None, clock).run(opening(steps, clock, tried))
    waits = [round((b - a) / NS_PER_S, 6) for a, b in pairwise(tried)]
    expected = [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert waits[:7] == expected
    assert (expected[0], expected[-1]) == (FIRST_RETRY_S, LAST_RETRY_S)
    assert waits[7:] == [0.3, 0.2], "two frames of 0.1 s; then it begins with the short wait again"
    status = memory.status.read()
    assert status is not None
    assert unpack_status(status.payload) == (State.ENDED, 3, 4, 1, "")


def test_the_last_frame_outlives_the_device() -> None:
    clock, memory = FakeClock(), new_memory()
    cameras = [PlayedCamera([filled(9)], clock), PlayedCamera([], clock, ends=True)]
    Streaming(SMALL, memory, None, clock).run(opening(cameras, clock, []))
    frame = memory.frames.read()
    assert frame is not None
    assert (frame.number, frame.shape, int(frame.payload[0])) == (1, (48, 64), 9)
    assert clock.now_ns() - frame.t_ns >= FIRST_RETRY_S * NS_PER_S


def test_counts_go_on_in_the_process_that_follows_a_dead_one() -> None:
    clock, memory = FakeClock(), new_memory()
    memory.status.write(clock.now_ns(), pack_status(State.STREAMING, 10, 4, 2, ""))
    steps = [PlayedCamera([filled(1)], clock, dropped=1, ends=True)]
    Streaming(SMALL, memory, None, clock).run(opening(steps, clock, []))
    assert unpack_status(memory.status.read().payload)[:4] == (State.ENDED, 11, 5, 3)  # type: ignore[union-attr]


def test_a_message_longer_than_its_field_is_cut_between_letters() -> None:
    state, *_, text = unpack_status(pack_status(State.LOST, 1, 2, 3, "ä" * 200))
    assert (state, text) == (State.LOST, "ä" * 128)


def test_an_object_that_is_no_longer_seen_keeps_its_last_pose_and_its_stamp() -> None:
    lens = Intrinsics.of(160, 120, (150.0, 150.0), (80.0, 60.0))
    marker = Marker(3, 0.03, np.eye(4))
    pose = rigid((2.7, 0.3, 0.2), (0.01, 0.005, 0.12))
    seen, empty = draw(marker, pose, lens, (160, 120)), np.full((120, 160, 3), 128, np.uint8)
    cfg = CameraConfig("toy", 160, 120)
    clock, memory = FakeClock(), new_memory(cfg)
    start_ns = clock.now_ns()
    steps = [PlayedCamera([empty, seen, empty, empty], clock, ends=True)]
    Streaming(cfg, memory, MarkerTracker(lens, [marker]), clock).run(opening(steps, clock, []))
    value = memory.sightings.read()
    assert value is not None
    assert value.number == 1
    sighting = Sighting.from_array(value.payload, value.t_ns)
    assert sighting.t_ns == start_ns + 2 * PERIOD_NS
    np.testing.assert_allclose(sighting.pose_camera_object[:3, 3], pose[:3, 3], atol=5e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pose", "source=nothere"], "there is nothing at source=nothere"),
        (["record", "source=nothere", "out=new"], "there is nothing at source=nothere"),
        (["record", "source=.", "out=file/x"], "cannot make the folder out=file/x: "),
        (["pose", "source=.", "draw=seen"], "draw=seen does not end with .png"),
        (["pose", "source=.", "draw=none/seen.png"], "there is no folder none for draw="),
    ],
)
def test_wrong_words_are_said_before_a_camera_starts(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "file").write_text("mine")
    before = sorted(folder.iterdir())
    assert main(["camera", *words]) == 2
    assert said in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_all_frames_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="there is nothing at source=nothere"):
        list(all_frames("nothere"))


@pytest.mark.parametrize("text", ["9" * 400, "-" + "9" * 400, ".nan", ".inf", "true", "1e+15"])
def test_a_number_that_is_none_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(f"kind: thing\nsize: {text}\n")
    with pytest.raises(DataError, match="'size' is not a finite number"):
        numbers(read_yaml(tmp_path / "x.yaml", "thing", "make"), "size", 1, "x.yaml")


def test_a_chessboard_is_drawn_in_bytes() -> None:
    board = Board("chessboard", 6, 4)
    tracemalloc.start()
    drawn = board.draw(10.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (drawn.dtype, drawn.shape) == (np.uint8, (1400, 2100))
    assert (drawn[0, 0], drawn[0, 350], drawn[350, 0], drawn[350, 350]) == (0, 255, 255, 0)
    assert peak < 4 * drawn.nbytes
