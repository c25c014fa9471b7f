"""Network cameras: frames off a stream of JPEG as they come, with their times, never late behind others."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from deploy_toys import FakeClock

from robot_orl.deploy.sensors.network import NetworkCamera, is_network
from robot_orl.deploy.sensors.source import CameraConfig, is_device, open_source
from robot_orl.errors import RunError
from robot_orl.types import Array

HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"


def jpeg(grey: int) -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes()


def part(grey: int, stamp: str = "") -> bytes:
    image = jpeg(grey)
    told = f"X-Timestamp: {stamp}\r\n" if stamp else ""
    return f"--b\r\nContent-Length: {len(image)}\r\n{told}\r\n".encode() + image + b"\r\n"


@contextmanager
def camera_that_sends(path: Path, *chunks: bytes) -> Iterator[tuple[list[bytes], threading.Semaphore]]:
    """A socket that answers one viewer, a chunk at a time as the semaphore is released; what it was asked."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    asked: list[bytes] = []
    go = threading.Semaphore(0)

    def serve() -> None:
        viewer, _ = server.accept()
        with viewer:
            asked.append(viewer.recv(4096))
            for chunk in chunks:
                go.acquire()
                viewer.sendall(chunk)
            go.acquire()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked, go
    finally:
        for _ in range(len(chunks) + 1):
            go.release()
        thread.join()
        server.close()


def grey_of(read: tuple[Array, int] | None) -> int:
    assert read is not None
    assert read[0].shape == (48, 64, 3)
    return round(float(read[0].mean()))


def test_frames_come_with_the_time_that_the_camera_tells_and_else_with_ours(tmp_path: Path) -> None:
    clock = FakeClock()
    clock.time_ns = 5_000_000_000
    chunks = HEAD + part(50, "4.750000"), part(90), part(130, "1700000000.5"), part(170, "soon")
    with camera_that_sends(tmp_path / "eye", *chunks) as (asked, go):
        go.release()
        camera = NetworkCamera(str(tmp_path / "eye"), clock)
        times = []
        for grey in (50, 90, 130, 170):
            read = camera.read()
            assert grey_of(read) == grey
            times.append(read[1] if read else None)
            go.release()
        camera.close()
    assert asked[0].startswith(b"GET / HTTP/1.0\r\n")
    now = 5_000_000_000
    assert times == [4_750_000_000, now, now, now]  # then none, one of another clock, none at all
    assert camera.dropped == 0


def test_a_frame_behind_which_another_has_come_is_skipped_and_counted(tmp_path: Path) -> None:
    half = part(200)
    chunks = HEAD + part(50), part(90) + part(130) + part(170) + half[:100], half[100:]
    with camera_that_sends(tmp_path / "eye", *chunks) as (_, go):
        go.release()
        camera = NetworkCamera(str(tmp_path / "eye"), FakeClock())
        assert grey_of(camera.read()) == 50
        go.release()
        assert grey_of(camera.read()) == 170  # the one behind it is not whole yet
        assert camera.dropped == 2
        go.release()
        assert grey_of(camera.read()) == 200
        camera.close()


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"HTTP/1.0 404 Not Found\r\nContent-Type: text/html\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n", "not with a stream of JPEG"),
        (HEAD + b"--b\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8", "does not tell its length"),
        (HEAD + b"--b\r\nContent-Length: 99999999999\r\n\r\n", "does not tell its length"),
        (HEAD + b"--b\r\nContent-Length: 4\r\n\r\nJPEG\r\n", "cannot be decoded"),
    ],
)
def test_what_is_no_stream_of_jpeg_is_said_in_one_line(tmp_path: Path, sent: bytes, said: str) -> None:
    with camera_that_sends(tmp_path / "eye", sent) as (_, go):
        go.release()
        with pytest.raises(RunError, match=said):
            NetworkCamera(str(tmp_path / "eye"), FakeClock()).read()


def test_a_stream_that_ends_is_a_camera_that_is_gone(tmp_path: Path) -> None:
    with camera_that_sends(tmp_path / "eye", HEAD + part(50)) as (_, go):
        go.release()
        camera = NetworkCamera(str(tmp_path / "eye"), FakeClock())
        assert grey_of(camera.read()) == 50
        go.release()
        with pytest.raises(RunError, match=r"is gone: the stream has ended"):
            camera.read()
        camera.close()


def test_nobody_at_an_address_is_said_in_one_line() -> None:
    with pytest.raises(RunError, match=r"no camera answers at 'http://127\.0\.0\.1:9/'"):
        NetworkCamera("http://127.0.0.1:9/", FakeClock())


def test_a_socket_or_an_address_is_a_network_camera_and_its_frames_have_the_size_that_was_asked_for(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "eye")
    assert not is_network(path)
    with camera_that_sends(tmp_path / "eye", HEAD + part(50)) as (_, go):
        assert is_network(path)
        assert is_device(path)
        go.release()
        camera = open_source(CameraConfig(path), FakeClock())
        with pytest.raises(RunError, match="gives 64x48, not 640x480"):
            camera.read()
        camera.close()
    assert is_network("http://192.168.1.20:8080/video")
    assert not is_network("film.mp4")
