"""A camera in a process of its own: real processes, a folder of images as the device."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from children import child

from robot_orl.deploy.sensors.camera import Camera
from robot_orl.deploy.sensors.source import CameraConfig
from robot_orl.errors import RunError

pytestmark = pytest.mark.e2e
PATIENCE_S = 20.0


def until(is_so: Callable[[], bool]) -> None:
    """Raises where it does not become so; how long that takes is not tested."""
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    folder = tmp_path / "device"
    folder.mkdir()
    for number in range(40):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((48, 64, 3), number, np.uint8))
    return folder


@pytest.fixture
def camera(device: Path) -> Iterator[Camera]:
    with Camera(CameraConfig(str(device), 64, 48, fps=200, loop=True)) as camera:
        camera.wait()
        yield camera


def open_files() -> set[str]:
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return {f"{link} {os.readlink(link)}" for link in links if os.path.lexists(link)}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_frames_come_whole_in_order_and_stamped(camera: Camera) -> None:
    start_ns = time.monotonic_ns()
    frames = [camera.next() for _ in range(20)]
    assert all(f.image.shape == (48, 64, 3) and f.image.min() == f.image.max() for f in frames)
    assert [f.number for f in frames] == sorted({f.number for f in frames})
    stamps = [f.t_ns for f in frames]
    assert stamps == sorted(set(stamps))
    assert start_ns <= stamps[0]
    assert stamps[-1] <= time.monotonic_ns()
    status = camera.status()
    assert (status.state, status.reconnects) == ("streaming", 0)
    assert status.frames >= frames[-1].number


def test_a_device_that_vanishes_is_told_and_comes_back(camera: Camera, device: Path) -> None:
    device.rename(device.with_name("unplugged"))
    until(lambda: camera.status().state == "lost")
    kept = camera.latest()
    assert kept is not None
    assert "that can be read" in camera.status().message or "no camera" in camera.status().message
    device.with_name("unplugged").rename(device)
    until(lambda: camera.status().state == "streaming")
    assert camera.status().reconnects == 1
    assert camera.next().number > kept.number


def test_a_killed_process_is_noticed_and_its_last_frame_ages(camera: Camera) -> None:
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    until(lambda: camera.status().state == "dead")
    assert camera.status().message == "the camera's process ended with -9"
    kept = camera.latest()
    assert kept is not None
    assert camera.latest().t_ns == kept.t_ns  # type: ignore[union-attr]
    before = camera.status()
    with pytest.raises(RunError, match="ended with -9"):
        camera.next()
    camera.start()
    assert camera.next().number > kept.number
    assert camera.status().frames > before.frames
    assert camera.status().reconnects == 1


def test_a_process_that_hangs_leaves_an_old_frame_and_can_be_closed(camera: Camera) -> None:
    pid = camera.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
    kept = camera.latest()
    assert kept is not None
    time.sleep(0.05)  # ten frames
    assert camera.latest().number == kept.number  # type: ignore[union-attr]
    camera.close()
    assert not is_running(pid)


def test_nothing_is_left_behind(device: Path) -> None:
    files, shared = open_files(), set(os.listdir("/dev/shm"))
    for _ in range(2):
        camera = Camera(CameraConfig(str(device), 64, 48, fps=200, loop=True))
        camera.start()
        camera.wait()
        pid = camera.pid
        assert pid is not None
        camera.close()
        camera.close()
        assert not is_running(pid)
    assert open_files() == files
    assert set(os.listdir("/dev/shm")) == shared


PARENT = """
import sys, time
from robot_orl.deploy.sensors.camera import Camera
from robot_orl.deploy.sensors.source import CameraConfig
camera = Camera(CameraConfig(sys.argv[1], 64, 48, fps=200, loop=True))
camera.start()
camera.wait()
print(camera.pid, flush=True)
time.sleep(1000)
"""


def test_a_camera_does_not_outlive_its_killed_parent(device: Path) -> None:
    shared = set(os.listdir("/dev/shm"))
    with child([sys.executable, "-c", PARENT, device], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    until(lambda: not is_running(pid))
    assert set(os.listdir("/dev/shm")) == shared


def test_a_video_file_is_a_device_too_and_ends(tmp_path: Path) -> None:
    file = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    with Camera(CameraConfig(file, 64, 48, fps=100)) as camera:
        camera.wait()
        until(lambda: camera.status().state == "ended")
        status = camera.status()
        assert status.frames + status.dropped == 12
        brightness = float(camera.latest().image.mean())  # type: ignore[union-attr]
        assert 20 * (status.frames - 1) - 2 <= brightness <= 222  # later where frames were dropped


def test_a_camera_that_is_not_there_says_so_at_once(tmp_path: Path) -> None:
    for source, said in (
        ("/dev/video99", "no camera at '/dev/video99'"),
        (str(tmp_path / "x"), "no camera, video"),
    ):
        with Camera(CameraConfig(source)) as camera, pytest.raises(RunError, match=said):
            camera.wait()
