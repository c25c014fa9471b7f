"""`robot-orl camera pose`: where a marker is, live."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_orl.commands.tables import out, print_rows
from robot_orl.deploy.sensors.aruco import DICTIONARIES, Marker, MarkerTracker, Sighting
from robot_orl.deploy.sensors.camera import Camera, Frame
from robot_orl.deploy.sensors.hand_eye import HandEye
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.source import CameraConfig, is_device
from robot_orl.deploy.sensors.stored_frames import require_stored
from robot_orl.deploy.sensors.transforms import rotation_vector
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.schema import Schema, setting

POLL_S, SHOWN_EVERY_S = 0.003, 0.5


@dataclass
class Config(Schema):
    """Show where a marker is: in the frame of the robot's base with hand_eye=, else in the camera's."""

    source: str = setting(help="A USB camera (0, /dev/v4l/by-id/...), a video or a folder of images.")
    intrinsics: str = setting("camera.yaml", "File made by `robot-orl camera intrinsics`.")
    hand_eye: str | None = setting(None, "File made by `robot-orl camera hand-eye` with mount=fixed.")
    marker: int = setting(0, "Number of the marker.", low=0)
    size_mm: float = setting(30.0, "Edge of the marker's black square.", unit="mm", low=1, high=1000)
    dictionary: str = setting("4X4_50", "Family of the marker.", choices=DICTIONARIES)
    max_error_px: float = setting(
        1.0,
        "A pose that explains the marker's corners worse is not believed.",
        unit="pixels",
        low=0.05,
        high=10,
    )
    fps: float = setting(30.0, "Frames per second.", unit="Hz", low=0.1, high=1000)
    duration_s: float = setting(10.0, "How long to look.", unit="s", low=0.1, high=86_400)
    draw: str | None = setting(None, "PNG of the last frame that shows the marker, with its axes drawn.")
    json: bool = setting(False, "Print plain JSON at the end instead of tables.")


def run(cfg: Config) -> None:
    _check(cfg)
    lens = Intrinsics.load(cfg.intrinsics)
    place = np.eye(4) if cfg.hand_eye is None else _fixed(HandEye.load(cfg.hand_eye), cfg.hand_eye)
    marker = Marker(cfg.marker, cfg.size_mm / 1e3, np.eye(4))
    tracker = MarkerTracker(lens, [marker], cfg.dictionary, cfg.max_error_px)
    camera_config = CameraConfig(cfg.source, lens.width, lens.height, cfg.fps)
    with Camera(camera_config, tracker.to_dict()) as camera, StopFlag() as stop:
        camera.wait()
        seen, drawn = _watch(cfg, camera, place, stop)
        status = camera.status()
    figures = _figures(seen, place) | {k: v for k, v in asdict(status).items() if k != "t_ns"}
    if cfg.json:
        print(json.dumps(figures))
    elif not seen:
        raise RunError(f"marker {cfg.marker} of {cfg.dictionary} was not seen in {status.frames} frames")
    else:
        print_rows(_rows(figures, "camera" if cfg.hand_eye is None else "base"))
    if drawn is not None and cfg.draw is not None:
        _draw(cfg.draw, drawn[0], drawn[1], lens, cfg.size_mm / 1e3)


def _check(cfg: Config) -> None:
    """Raises: UsageError: nothing to look at, or draw= cannot be written, said before the camera starts."""
    if not is_device(cfg.source):
        require_stored(cfg.source)
    if cfg.draw is not None:
        if not cfg.draw.lower().endswith(".png"):
            raise UsageError(f"draw={cfg.draw} does not end with .png")
        if not Path(cfg.draw).parent.is_dir():
            raise UsageError(f"there is no folder {Path(cfg.draw).parent} for draw={cfg.draw}")


def _fixed(found: HandEye, path: str) -> Any:
    if found.mount != "fixed":
        raise UsageError(f"{path} is of a camera on the tool; leave hand_eye= out to see the camera's frame")
    return found.pose_mount_camera


def _watch(
    cfg: Config, camera: Camera, place: Any, stop: StopFlag
) -> tuple[list[Sighting], tuple[Frame, Sighting] | None]:
    """All sightings, and the last one whose frame was caught."""
    seen: list[Sighting] = []
    drawn = None
    end_ns = time.monotonic_ns() + round(cfg.duration_s * NS_PER_S)
    shown_ns = 0
    while (now_ns := time.monotonic_ns()) < end_ns and not stop.requested:
        sighting, frame = camera.sighting(), camera.latest()
        if sighting is not None and (not seen or sighting.t_ns > seen[-1].t_ns):
            seen.append(sighting)
        if sighting is not None and frame is not None and frame.t_ns == sighting.t_ns:
            drawn = frame, sighting
        if now_ns - shown_ns > SHOWN_EVERY_S * NS_PER_S and not cfg.json:
            out.print(_line(camera, sighting, place, now_ns))
            shown_ns = now_ns
        if camera.status().state in ("ended", "dead"):
            break
        time.sleep(POLL_S)
    return seen, drawn


def _line(camera: Camera, sighting: Sighting | None, place: Any, now_ns: int) -> str:
    status = camera.status()
    counts = f"{status.state}, {status.dropped} dropped, {status.reconnects} reconnects"
    if sighting is None:
        return f"not seen yet ({counts})"
    x, y, z = (place @ sighting.pose_camera_object)[:3, 3]
    age_ms = (now_ns - sighting.t_ns) / 1e6
    told = f"x {x:+.4f}  y {y:+.4f}  z {z:+.4f} m  age {age_ms:.0f} ms  error {sighting.error_px:.2f} px"
    return f"{told}{'  ambiguous' if sighting.is_ambiguous else ''}  ({counts})"


def _figures(seen: list[Sighting], place: Any) -> dict[str, Any]:
    poses = np.array([place @ s.pose_camera_object for s in seen]).reshape(-1, 4, 4)
    errors = [s.error_px for s in seen]
    return {
        "sightings": len(seen),
        "position_m": poses[:, :3, 3].mean(axis=0).tolist() if seen else None,
        "jitter_mm": (poses[:, :3, 3].std(axis=0) * 1e3).tolist() if seen else None,
        "error_px": float(np.median(errors)) if seen else None,
        "ambiguous": sum(s.is_ambiguous for s in seen),
    }


def _rows(figures: dict[str, Any], frame: str) -> Iterator[tuple[str, str]]:
    yield f"mean place in the {frame} [m]", ", ".join(f"{x:+.4f}" for x in figures["position_m"])
    yield "standard deviation [mm]", ", ".join(f"{x:.2f}" for x in figures["jitter_mm"])
    yield "reprojection error [px]", f"{figures['error_px']:.3f} in the median"
    yield (
        "seen",
        f"{figures['sightings']} times in {figures['frames']} frames, {figures['ambiguous']} ambiguous",
    )
    yield "camera", f"{figures['state']}, {figures['dropped']} dropped, {figures['reconnects']} reconnects"


def _draw(path: str, frame: Frame, seen: Sighting, lens: Intrinsics, length_m: float) -> None:
    image = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
    pose = seen.pose_camera_object
    turn, move = rotation_vector(pose), pose[:3, 3].copy()
    cv2.drawFrameAxes(image, lens.matrix, lens.distortion, turn, move, length_m)
    if not cv2.imwrite(path, image):
        raise RunError(f"cannot write {path}")
