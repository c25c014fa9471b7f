"""Where a camera is: its pose on the robot's base, or on its tool where it moves with it."""

from dataclasses import asdict, dataclass
from pathlib import Path

from robot_orl.deploy.sensors.transforms import pose_from_yaml, pose_to_yaml
from robot_orl.deploy.sensors.yaml_file import read_yaml, write_yaml
from robot_orl.errors import DataError
from robot_orl.types import Array

KIND = "hand-eye"
MADE_BY = "robot-orl camera hand-eye"
MOUNTS = ("fixed", "tool")
VIEWS_KIND, VIEWS_FILE = "views of a marker", "views.yaml"


@dataclass(frozen=True)
class HandEyeQuality:
    """rms_px: of the corners.  offset_mm: root mean square distance between where the robot and where the
    camera says that the marker is.  sigma_mm, sigma_deg: standard deviation of the camera's pose.
    turn_deg: largest rotation of the tool between two views.  second_axis: how much it turned about a second
    axis, of the first."""

    views: int
    rms_px: float
    offset_mm: float
    sigma_mm: float
    sigma_deg: float
    turn_deg: float
    second_axis: float
    advice: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class HandEye:
    """mount: 'fixed' or 'tool'.  pose_mount_camera: (4, 4), in the frame of the base or of the tool."""

    mount: str
    pose_mount_camera: Array

    def pose_base_camera(self, pose_base_tool: Array | None = None) -> Array:
        """pose_base_tool: needed where the camera is on the tool."""
        if self.mount == "fixed":
            return self.pose_mount_camera
        if pose_base_tool is None:
            raise DataError("the camera is on the tool, whose pose is needed")
        return pose_base_tool @ self.pose_mount_camera

    def save(self, path: str | Path, pose_other_marker: Array, quality: HandEyeQuality) -> None:
        figures = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(quality).items()}
        other = "tool" if self.mount == "fixed" else "base"
        write_yaml(
            path,
            KIND,
            {
                "mount": self.mount,
                "camera": pose_to_yaml(self.pose_mount_camera),
                f"marker_on_{other}": pose_to_yaml(pose_other_marker),
                "quality": figures,
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> "HandEye":
        """Raises: DataError: no such file, or not one of a hand-eye calibration."""
        raw = read_yaml(path, KIND, MADE_BY)
        if raw.get("mount") not in MOUNTS:
            raise DataError(f"{path}: 'mount' is not one of: {', '.join(MOUNTS)}")
        return cls(raw["mount"], pose_from_yaml(raw.get("camera"), f"{path}: camera"))


def load_views(path: str | Path) -> list[tuple[Path, Array]]:
    """The frames and the poses of the tool that a file of views lists, (4, 4) in the base's frame.

    Images are named relative to the file. Raises: DataError: names the file and the entry.
    """
    raw = read_yaml(path, VIEWS_KIND, "robot-orl camera record").get("views")
    if not isinstance(raw, list) or not raw:
        raise DataError(f"{path}: no list 'views'")
    found = []
    for number, entry in enumerate(raw, 1):
        where = f"{path}: view {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
            raise DataError(f"{where}: no 'image'")
        found.append((Path(path).parent / entry["image"], pose_from_yaml(entry, where)))
    return found
