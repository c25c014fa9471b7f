"""`robot-orl camera record`: frames into a folder, for calibration."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_orl.commands.tables import out
from robot_orl.deploy.sensors.camera import Camera
from robot_orl.deploy.sensors.hand_eye import VIEWS_FILE, VIEWS_KIND
from robot_orl.deploy.sensors.source import CameraConfig, is_device
from robot_orl.deploy.sensors.stored_frames import require_stored
from robot_orl.deploy.sensors.transforms import from_quaternion, pose_to_yaml
from robot_orl.deploy.sensors.yaml_file import write_yaml
from robot_orl.errors import DataError, RunError, UsageError, printable, unknown
from robot_orl.schema import Schema, setting
from robot_orl.types import Array


@dataclass
class Config(Schema):
    """Save a frame for every line on stdin, until it ends: press Enter, then Ctrl-D.

    A line may say where the tool is in the base's frame: seven numbers, x y z [m] and a quaternion, w first;
    or with model= the angles of the arm's joints [rad]. Those frames are listed with the tool's poses in
    views.yaml, which `camera hand-eye` takes. The tool must stand still while a frame is taken.
    """

    source: str = setting(help="A USB camera (0, /dev/v4l/by-id/...), a video or a folder of images.")
    out: str = setting(help="A new folder.")
    width: int = setting(640, "Of a frame.", unit="pixels", low=16, high=3840)
    height: int = setting(480, "Of a frame.", unit="pixels", low=16, high=2160)
    fps: float = setting(30.0, "Frames per second.", unit="Hz", low=0.1, high=1000)
    model: str | None = setting(None, "MuJoCo model of the arm, whose joints are those that a line tells.")
    site: str = setting("tool", "The tool in that model.")


def run(cfg: Config) -> None:
    folder = Path(cfg.out)
    if not is_device(cfg.source):
        require_stored(cfg.source)
    _require_new(folder)
    pose_of, size = (_told_pose, 7) if cfg.model is None else _kinematics(cfg.model, cfg.site)
    views: list[dict[str, Any]] = []
    count = 0
    with Camera(CameraConfig(cfg.source, cfg.width, cfg.height, cfg.fps, loop=True)) as camera:
        camera.wait()
        _make(folder)
        for pose in _poses(pose_of, size):
            name = f"{count:04d}.png"
            _save(camera, folder / name)
            count += 1
            if pose is not None:
                views.append({"image": name, **pose_to_yaml(pose)})
                write_yaml(folder / VIEWS_FILE, VIEWS_KIND, {"views": views})
            out.print(f"{folder / name}" + ("" if pose is None else f", tool at {_told(pose)} m"))
    out.print(f"{cfg.out}: {count} frames, {len(views)} with a pose of the tool")


def _require_new(folder: Path) -> None:
    try:
        is_taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
        above = next(path for path in folder.absolute().parents if path.exists())
    except OSError as error:
        raise UsageError(f"cannot look into out={folder}: {error.strerror}") from error
    if is_taken:
        raise UsageError(f"out={folder} is there already; choose a new folder")
    if not above.is_dir():
        raise UsageError(f"cannot make the folder out={folder}: {above} is a file")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder out={folder}: {error.strerror}") from error


def _poses(pose_of: Callable[[Array], Array], count: int) -> Iterator[Array | None]:
    """For every line of stdin the pose that its `count` numbers say, or None where it is empty."""
    for number, line in enumerate(sys.stdin, 1):
        words = line.split()
        if not words:
            yield None
            continue
        try:
            values = np.array(words, np.float64)
        except ValueError:
            values = np.full(0, np.nan)
        if values.shape != (count,) or not np.isfinite(values).all():
            told = "x y z and a quaternion, w first" if pose_of is _told_pose else "the joints' angles"
            raise UsageError(f"line {number} is not {count} numbers: {told}")
        yield pose_of(values)


def _told_pose(values: Array) -> Array:
    if not values[3:].any():
        raise UsageError("a quaternion of zeros is no rotation")
    return from_quaternion(values[:3], values[3:])


def _kinematics(path: str, site: str) -> tuple[Callable[[Array], Array], int]:
    """The tool's pose from the joints of a model, and how many these are."""
    import mujoco

    try:
        model = mujoco.MjModel.from_xml_path(path)
    except ValueError as error:
        raise DataError(f"{path} is not a model: {printable(str(error).splitlines()[0])}") from error
    names = [model.site(k).name for k in range(model.nsite)]
    if site not in names:
        raise unknown(f"site in {path}", site, names)
    data = mujoco.MjData(model)

    def pose_of(values: Array) -> Array:
        data.qpos[:] = values
        mujoco.mj_kinematics(model, data)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = data.site(site).xmat.reshape(3, 3), data.site(site).xpos
        return pose

    return pose_of, model.nq


def _save(camera: Camera, path: Path) -> None:
    """The next frame, not one taken before it was asked for."""
    frame = camera.next()
    if not cv2.imwrite(str(path), cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)):
        raise RunError(f"cannot write {path}")


def _told(pose: Array) -> str:
    return ", ".join(f"{x:.3f}" for x in pose[:3, 3])
