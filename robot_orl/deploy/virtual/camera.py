"""A camera beside a virtual arm: what it would see of the arm and of a cube with markers, at a socket.

    folder/stream           a Unix socket that sends what it sees, see sensors/network.py
    folder/camera.yaml      its lens
    folder/hand_eye.yaml    where it stands

A process of its own draws (camera_process.py), so that the arm keeps its time. The lens is ideal and the
calibration exact, as the model has them: what a real one is off by is in benchmarks/camera_pose.py.
"""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from robot_orl.deploy.sensors.channel import Channel, create_memory, size_of
from robot_orl.deploy.sensors.hand_eye import KIND
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.transforms import pose_to_yaml
from robot_orl.deploy.sensors.yaml_file import write_yaml
from robot_orl.errors import RunError, UsageError
from robot_orl.types import Array

WIDTH, HEIGHT, FOVY_DEG = 640, 480, 36.0
POSITION_M, LOOKS_AT_M = (0.50, 0.0, 0.30), (0.14, 0.0, 0.05)  # before the arm, over the bench
FIRST_MARKER, MARKER_M, CUBE_M = 0, 0.022, 0.030
STREAM, LENS_FILE, PLACE_FILE = "stream", "camera.yaml", "hand_eye.yaml"
CLOSING_S = 2.0


def lens() -> Intrinsics:
    focal = HEIGHT / 2 / np.tan(np.radians(FOVY_DEG) / 2)
    return Intrinsics.of(WIDTH, HEIGHT, (focal, focal), ((WIDTH - 1) / 2, (HEIGHT - 1) / 2))


def pose_base_camera() -> Array:
    """(4, 4); x right, y down, z forward."""
    forward = np.subtract(LOOKS_AT_M, POSITION_M)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, POSITION_M], axis=1)
    return pose


class VirtualCamera:
    def __init__(self, folder: Path, scene: Path, size: int, fps: float) -> None:
        """scene: file of the model.  size: of its qpos.  fps: frames per second [Hz]."""
        self.folder = folder
        self._order = [str(scene), str(folder / STREAM), f"{fps:g}"]
        self._size = size
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises: UsageError: the folder cannot be made.  RunError: nothing can be drawn here."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / STREAM).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"cannot use {self.folder} for the camera: {error.strerror}") from error
        lens().save(self.folder / LENS_FILE)
        place = {"mount": "fixed", "camera": pose_to_yaml(pose_base_camera())}
        write_yaml(self.folder / PLACE_FILE, KIND, place)
        descriptor = create_memory(size_of(8 * self._size))
        try:
            memory = mmap.mmap(descriptor, size_of(8 * self._size))
            self._channel = Channel(memory, 0, 8 * self._size)
            words = [sys.executable, "-m", "robot_orl.deploy.virtual.camera_process"]
            self._process = subprocess.Popen(
                [*words, str(descriptor), str(self._size), *self._order],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[descriptor],
            )
        finally:
            os.close(descriptor)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            self.close()
            raise RunError("the camera beside the arm cannot be drawn here; without camera= there is none")

    def show(self, qpos: Array, t_ns: int) -> None:
        """The model is there now; takes microseconds."""
        self._channel.write(t_ns, qpos)

    def close(self) -> None:
        """Works in any state, more than once."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        (self.folder / STREAM).unlink(missing_ok=True)
