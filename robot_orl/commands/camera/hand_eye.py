"""`robot-orl camera hand-eye`: where a camera is on the robot."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robot_orl.commands.tables import out, print_rows
from robot_orl.deploy.sensors.aruco import DICTIONARIES, Marker, MarkerTracker
from robot_orl.deploy.sensors.calibrate_hand_eye import ArmError, HandEyeView, solve
from robot_orl.deploy.sensors.hand_eye import MOUNTS, HandEye, HandEyeQuality, load_views
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.stored_frames import read_image
from robot_orl.deploy.sensors.transforms import to_quaternion
from robot_orl.errors import DataError, RunError
from robot_orl.progress import track
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """Find where a camera is, from frames of a marker in different poses of the tool.

    mount=fixed: the camera stands still and the marker is on the tool, anywhere. mount=tool: the camera is on
    the tool and the marker lies still, anywhere.
    """

    views: str = setting(
        help="File of frames and poses of the tool: views.yaml of `robot-orl camera record`."
    )
    intrinsics: str = setting("camera.yaml", "File made by `robot-orl camera intrinsics`.")
    out: str = setting("hand_eye.yaml", "Where the camera's pose goes.")
    mount: str = setting("fixed", "Where the camera is.", choices=MOUNTS)
    marker: int = setting(0, "Number of the marker.", low=0)
    size_mm: float = setting(40.0, "Edge of the marker's black square.", unit="mm", low=1, high=1000)
    dictionary: str = setting("4X4_50", "Family of the marker.", choices=DICTIONARIES)
    arm_mm: float = setting(
        1.0, "How exact the tool's place is, one standard deviation per axis.", unit="mm", low=0.001, high=100
    )
    arm_deg: float = setting(0.3, "How exact its rotation is.", unit="deg", low=0.001, high=30)
    max_error_px: float = setting(
        1.0, "A view that explains the marker's corners worse is left out.", unit="pixels", low=0.05, high=10
    )


def run(cfg: Config) -> None:
    lens = Intrinsics.load(cfg.intrinsics)
    arm = ArmError(cfg.arm_mm / 1e3, float(np.radians(cfg.arm_deg)))
    marker = Marker(cfg.marker, cfg.size_mm / 1e3, np.eye(4))
    listed = load_views(cfg.views)
    views, left_out = [], []
    for image, pose_base_tool in track(listed, "frames"):
        tracker = MarkerTracker(lens, [marker], cfg.dictionary, cfg.max_error_px)
        try:
            frame = read_image(image)
        except RunError as error:
            raise DataError(f"{cfg.views}: {error}") from error
        lens.require_size(frame.shape[1], frame.shape[0], str(image))
        corners = tracker.corners(frame)
        seen = tracker.locate(corners, 0) if corners else None
        if seen is None or seen.is_ambiguous:
            left_out.append(f"{Path(image).name} ({'ambiguous' if seen else 'not seen'})")
            continue
        square = corners[cfg.marker]
        views.append(HandEyeView(str(image), pose_base_tool, seen.pose_camera_object, square))
    found, other, quality = solve(views, cfg.mount, marker, lens, arm)
    found.save(cfg.out, other, quality)
    print_rows(_rows(found, quality, left_out))
    out.print(f"written to {cfg.out}")


def _rows(found: HandEye, quality: HandEyeQuality, left_out: list[str]) -> Iterator[tuple[str, str]]:
    pose = found.pose_mount_camera
    frame = "base" if found.mount == "fixed" else "tool"
    yield f"camera in the {frame} [m]", ", ".join(f"{x:.4f}" for x in pose[:3, 3])
    yield "turned (quaternion, w first)", ", ".join(f"{x:.4f}" for x in to_quaternion(pose))
    yield "known to", f"{quality.sigma_mm:.2f} mm, {quality.sigma_deg:.2f} deg (one standard deviation)"
    yield "robot and camera disagree by", f"{quality.offset_mm:.2f} mm rms, {quality.rms_px:.3f} px rms"
    yield "views", f"{quality.views}, turned by up to {quality.turn_deg:.0f} deg"
    if left_out:
        yield "left out", ", ".join(left_out)
    for advice in quality.advice:
        yield "better", advice
