"""Where an object is, in the frame of the robot's base, from a camera and the markers on the object.

    with ObjectPose(ObjectPoseConfig("0", intrinsics="camera.yaml", hand_eye="hand_eye.yaml")) as sensor:
        sensor.wait()
        reading = sensor.read()                      # microseconds; never waits
        obs = task.observation_of(..., object_position=reading.position_m)
        t_ns = min(t_joints_ns, reading.t_ns)        # so an object that is lost makes the observation stale

The markers are found in the camera's process. What is not seen keeps its last pose, whose age grows.
"""

import time
from dataclasses import dataclass

from robot_orl.deploy.sensors.aruco import DICTIONARIES, Marker, MarkerTracker
from robot_orl.deploy.sensors.camera import Camera, CameraStatus
from robot_orl.deploy.sensors.hand_eye import HandEye
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.marker_cube import cube_markers
from robot_orl.deploy.sensors.source import CameraConfig
from robot_orl.deploy.sensors.transforms import rigid
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.errors import RunError, UsageError
from robot_orl.schema import Schema, setting
from robot_orl.types import Array

POLL_S = 0.005


@dataclass
class ObjectPoseConfig(Schema):
    """A camera that sees an object with an ArUco marker on it, or with five of them."""

    source: str = setting(
        "0", "USB camera (0, /dev/v4l/by-id/...), http://..., a video or a folder of images."
    )
    fps: float = setting(30.0, "Frames per second.", unit="Hz", low=0.1, high=1000)
    intrinsics: str = setting(help="File made by `robot-orl camera intrinsics`.")
    hand_eye: str = setting(help="File made by `robot-orl camera hand-eye`.")
    marker: int = setting(0, "Number of the marker on the object.", low=0)
    size_mm: float = setting(30.0, "Edge of the marker's black square.", unit="mm", low=1, high=1000)
    dictionary: str = setting("4X4_50", "Family of the marker.", choices=DICTIONARIES)
    depth_mm: float = setting(
        0.0, "How far below the marker the object's middle lies.", unit="mm", low=-1000, high=1000
    )
    cube_mm: float = setting(
        0.0,
        "Edge of a cube with markers marker .. marker + 4 on its front, left, back, right and top; 0: there "
        "is one marker.",
        unit="mm",
        low=0,
        high=1000,
    )
    max_error_px: float = setting(
        1.0,
        "A pose that explains the marker's corners worse is not believed.",
        unit="pixels",
        low=0.05,
        high=10,
    )


@dataclass(frozen=True, eq=False)
class ObjectReading:
    """position_m: the object's middle in the frame of the base, (3,).  pose_base_object: (4, 4), turned as
    the marker is.  t_ns: when the frame was taken that showed it [ns, CLOCK_MONOTONIC].
    error_px, is_ambiguous: see `aruco.Sighting`."""

    position_m: Array
    pose_base_object: Array
    t_ns: int
    error_px: float
    is_ambiguous: bool

    def age_s(self, now_ns: int) -> float:
        return (now_ns - self.t_ns) / NS_PER_S


class ObjectPose:
    """Context manager around the camera's process."""

    def __init__(self, cfg: ObjectPoseConfig) -> None:
        """Raises: DataError: a file is not there or not what it should be.  UsageError: no such marker."""
        lens = Intrinsics.load(cfg.intrinsics)
        self.hand_eye = HandEye.load(cfg.hand_eye)
        tracker = MarkerTracker(lens, _markers(cfg), cfg.dictionary, cfg.max_error_px)
        camera = CameraConfig(source=cfg.source, width=lens.width, height=lens.height, fps=cfg.fps)
        self.cfg = cfg
        self._camera = Camera(camera, tracker.to_dict())

    def __enter__(self) -> "ObjectPose":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the camera's process, or a new one where it has died. Returns at once."""
        self._camera.start()

    def wait(self, timeout_s: float = 10.0, pose_base_tool: Array | None = None) -> ObjectReading:
        """The first reading. Raises: RunError: the camera gives no frames, or the object is not seen."""
        end_ns = time.monotonic_ns() + round(timeout_s * NS_PER_S)
        self._camera.wait(timeout_s)
        while (reading := self.read(pose_base_tool)) is None:
            if time.monotonic_ns() > end_ns or self.status().state in ("dead", "ended"):
                raise RunError(f"camera '{self.cfg.source}' does not see marker {self.cfg.marker}")
            time.sleep(POLL_S)
        return reading

    def read(self, pose_base_tool: Array | None = None) -> ObjectReading | None:
        """Where the object was seen last, None before the first time.

        pose_base_tool: of a camera on the tool, the tool's pose when the frame was taken, (4, 4).
        Raises: UsageError: it is needed and not given.
        """
        if (seen := self._camera.sighting()) is None:
            return None
        if self.hand_eye.mount == "tool" and pose_base_tool is None:
            raise UsageError("the camera is on the tool: read needs pose_base_tool")
        pose = self.hand_eye.pose_base_camera(pose_base_tool) @ seen.pose_camera_object
        return ObjectReading(pose[:3, 3].copy(), pose, seen.t_ns, seen.error_px, seen.is_ambiguous)

    def status(self) -> CameraStatus:
        return self._camera.status()

    def close(self) -> None:
        """Works in any state, more than once."""
        self._camera.close()


def _markers(cfg: ObjectPoseConfig) -> list[Marker]:
    size_m = cfg.size_mm / 1e3
    if cfg.cube_mm:
        return cube_markers(cfg.marker, size_m, cfg.cube_mm / 1e3)
    return [Marker(cfg.marker, size_m, rigid((0, 0, 0), (0, 0, cfg.depth_mm / 1e3)))]
