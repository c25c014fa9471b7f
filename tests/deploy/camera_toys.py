"""What the tests of cameras share: memory, a camera that a test plays, markers drawn without OpenGL."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from deploy_toys import FakeClock

from robot_orl.deploy.sensors.aruco import Marker
from robot_orl.deploy.sensors.boards import draw_marker
from robot_orl.deploy.sensors.camera_process import CameraMemory, memory_size
from robot_orl.deploy.sensors.channel import create_memory
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.source import CameraConfig
from robot_orl.deploy.sensors.transforms import rotation_vector
from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.errors import RunError
from robot_orl.types import Array

SMALL = CameraConfig("toy", width=64, height=48, fps=10)
LENS = Intrinsics.of(640, 480, (520.0, 525.0), (324.0, 236.0), (-0.28, 0.09, 0.0008, -0.0005, 0.0))


def new_memory(cfg: CameraConfig = SMALL) -> CameraMemory:
    return CameraMemory(create_memory(memory_size(cfg)), cfg)


class PlayedCamera:
    """Gives its frames at the rate of the clock, then is gone, or has ended where `ends`."""

    def __init__(
        self, frames: Sequence[Array], clock: FakeClock, dropped: int = 0, ends: bool = False
    ) -> None:
        self.frames, self.clock, self.dropped, self.ends = list(frames), clock, dropped, ends

    def read(self) -> tuple[Array, int] | None:
        if not self.frames:
            if self.ends:
                return None
            raise RunError("the toy is gone")
        self.clock.time_ns += NS_PER_S // 10
        return self.frames.pop(0), self.clock.time_ns

    def close(self) -> None:
        pass


def opening(steps: Sequence[PlayedCamera | str], clock: FakeClock, tried: list[int]) -> Callable:
    """What opens the toy: a camera, or an error's text, one after the other; `tried` gets the times [ns]."""
    left = list(steps)

    def open_it(cfg: CameraConfig, _: Clock) -> PlayedCamera:
        tried.append(clock.time_ns)
        step = left.pop(0)
        if isinstance(step, str):
            raise RunError(step)
        return step

    return open_it


def filled(value: int) -> Array:
    return np.full((48, 64, 3), value, np.uint8)


def project(points: Array, pose: Array, lens: Intrinsics = LENS) -> Array:
    """Where a camera sees points of something at `pose`, (n, 2) pixels."""
    return cv2.projectPoints(
        np.float64(points), rotation_vector(pose), pose[:3, 3], lens.matrix, lens.distortion
    )[0].reshape(-1, 2)


def draw(marker: Marker, pose: Array, lens: Intrinsics, size: tuple[int, int] = (640, 480)) -> Array:
    """A frame (H, W, 3) of one marker on grey paper, seen without a lens's distortion, four samples a pixel.

    The print is 60 pixels a module with a margin of one module, so 480 across; its pixel (x, y) covers
    [x, x + 1) of it, which warpPerspective has at x.
    """
    printed = np.pad(draw_marker(marker.number, "4X4_50", 360), 60, constant_values=230)
    printed[printed == 0] = 30
    half = marker.size_m / 2 * 480 / 360
    flat = np.array([[-half, half, 0], [half, half, 0], [half, -half, 0], [-half, -half, 0]])
    there = project(flat, pose, Intrinsics.of(*size, np.diag(lens.matrix)[:2], lens.matrix[:2, 2]))
    print_corners = np.float32([[0, 0], [480, 0], [480, 480], [0, 480]]) - 0.5
    fine = np.float32((there + 0.5) * 4 - 0.5)
    matrix = cv2.getPerspectiveTransform(print_corners, fine)
    big = (size[0] * 4, size[1] * 4)
    warped = cv2.warpPerspective(printed, matrix, big, flags=cv2.INTER_LINEAR, borderValue=128)
    grey = cv2.resize(warped, size, interpolation=cv2.INTER_AREA)
    return np.repeat(cv2.GaussianBlur(grey, (0, 0), 0.8)[..., None], 3, axis=2)
