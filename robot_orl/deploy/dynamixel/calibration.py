"""What ties an arm of servos to its model: one readable YAML per arm.

arm: koch
joints:
  shoulder_pan: {id: 1, homing_offset: -312, drive_mode: 0, ticks: [615, 3480], rad: [-2.198, 2.197]}

tick  what the servo shows, which adds `homing_offset` to its own reading and turns the other way round
      where `drive_mode` is 1
rad   (tick - 2048) * 2 pi / 4096, so the middle pose, where every angle of the model is 0, is 2048
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from robot_orl.deploy.dynamixel.registers import CENTRE_TICK, MAX_ID, RAD_PER_TICK, TICKS_PER_TURN
from robot_orl.errors import DataError, RunError
from robot_orl.types import Array

MAX_OFFSET = 1_044_479  # the register's range
FIELDS = ("id", "homing_offset", "drive_mode", "ticks", "rad")
HEADER = """\
# Calibration of an arm, written by `robot-orl calibrate`; what its fields mean: docs/hardware.md
# angle [rad] = (tick - 2048) * 2 pi / 4096; ticks and rad say the same range, lowest and highest
"""


def ticks_of(angle: Array | float) -> Any:
    """rad -> the nearest tick, int64."""
    return np.rint(np.asarray(angle, float) / RAD_PER_TICK).astype(np.int64) + CENTRE_TICK


def angles_of(tick: Array | float) -> Any:
    """Ticks -> rad, float64."""
    return (np.asarray(tick, float) - CENTRE_TICK) * RAD_PER_TICK


@dataclass(frozen=True)
class JointCalibration:
    """Of one joint. homing_offset [ticks].  drive_mode: 1 turns the other way round.  low, high [ticks]."""

    id: int
    homing_offset: int
    drive_mode: int
    low: int
    high: int

    def turns_of(self, tick: int) -> int:
        """By how many whole turns a reading lies beside the range: servos count on over a turn."""
        return round((tick - (self.low + self.high) / 2) / TICKS_PER_TURN)


@dataclass(frozen=True)
class Calibration:
    """Of an arm; joints in the order of its servo table."""

    arm: str
    joints: Mapping[str, JointCalibration]

    def ranges(self) -> Array:
        """(J, 2) rad: lowest and highest angle of each joint."""
        return np.array([angles_of(np.array([j.low, j.high])) for j in self.joints.values()])

    @classmethod
    def as_in_model(cls, arm: str, ids: Mapping[str, int], ranges: Array) -> "Calibration":
        """Of servos that were mounted as in the model, such as virtual ones. ranges: (J, 2) rad."""
        return cls(
            arm,
            {
                name: JointCalibration(servo, 0, 0, *map(int, ticks_of(span)))
                for (name, servo), span in zip(ids.items(), ranges, strict=True)
            },
        )

    def save(self, path: Path) -> None:
        """Whole or not at all; what was there is kept as PATH.bak.

        Raises: DataError: it could not be loaded again; nothing was written.  RunError: it cannot be written.
        """
        _checked(yaml.safe_load(self.to_text()), {name: joint.id for name, joint in self.joints.items()})
        partial = path.with_name(f"{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w", encoding="utf-8") as stream:
                stream.write(self.to_text())
                stream.flush()
                os.fsync(stream.fileno())
            if path.exists():
                backup = path.with_name(f"{path.name}.bak")
                backup.unlink(missing_ok=True)
                os.link(path, backup)  # so there is a file at `path` at every moment
            partial.replace(path)
        except OSError as error:
            raise RunError(f"cannot write {path}: {error.strerror}") from error

    def to_text(self) -> str:
        """The YAML, one line per joint."""
        width = max(map(len, self.joints), default=0) + 1
        lines = [HEADER + f"arm: {self.arm}", "joints:"]
        for (name, joint), span in zip(self.joints.items(), self.ranges(), strict=True):
            lines.append(
                f"  {name + ':':<{width}} {{id: {joint.id}, homing_offset: {joint.homing_offset}, "
                f"drive_mode: {joint.drive_mode}, ticks: [{joint.low}, {joint.high}], "
                f"rad: [{span[0]:.4f}, {span[1]:.4f}]}}"
            )
        return "\n".join(lines) + "\n"

    @classmethod
    def load(cls, path: Path, ids: Mapping[str, int]) -> "Calibration":
        """Read and check. ids: of the servos by joint. Raises: DataError: one line, names file and joint."""
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(f"{path}: no such calibration; make it with `robot-orl calibrate`") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error})") from error
        except yaml.YAMLError as error:
            raise DataError(f"{path}: is not YAML ({' '.join(str(error).split())})") from error
        try:
            return _checked(raw, ids)
        except DataError as error:
            raise DataError(f"{path}: {error}; mend it, or run `robot-orl calibrate` again") from None


def _checked(raw: Any, ids: Mapping[str, int]) -> Calibration:
    if not isinstance(raw, dict) or not isinstance(raw.get("joints"), dict) or "arm" not in raw:
        raise DataError("is no calibration: it needs `arm` and `joints`")
    found, missing = raw["joints"], [name for name in ids if name not in raw["joints"]]
    if missing or len(found) != len(ids):
        raise DataError(f"has joints {', '.join(map(str, found))}, the arm has {', '.join(ids)}")
    joints = {}
    for name, servo in ids.items():
        try:
            joints[name] = _joint(found[name])
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        if joints[name].id != servo:
            raise DataError(f"{name} has id {joints[name].id}, the robot's servo table says {servo}")
    return Calibration(str(raw["arm"]), joints)


def _joint(raw: Any) -> JointCalibration:
    if not isinstance(raw, dict) or set(raw) != set(FIELDS):
        names = ", ".join(map(str, raw)) if isinstance(raw, dict) else raw
        raise DataError(f"has {names}; it needs {', '.join(FIELDS)}")
    servo = _whole("id", raw["id"], 0, MAX_ID)
    offset = _whole("homing_offset", raw["homing_offset"], -MAX_OFFSET, MAX_OFFSET)
    mode = _whole("drive_mode", raw["drive_mode"], 0, 1)
    low, high = _pair("ticks", raw["ticks"], int)
    angles = _pair("rad", raw["rad"], (int, float))
    reach = CENTRE_TICK + TICKS_PER_TURN
    if not -reach + 2 * CENTRE_TICK <= low < high <= reach or high - low > TICKS_PER_TURN:
        raise DataError(f"ticks {[low, high]} is no range of a joint around {CENTRE_TICK}")
    for tick, angle in zip((low, high), angles, strict=True):
        if not math.isclose(angles_of(tick), angle, abs_tol=RAD_PER_TICK):
            raise DataError(f"tick {tick} is {angles_of(tick):.4f} rad, not {angle}")
    return JointCalibration(servo, offset, mode, int(low), int(high))


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{name} {value} is no whole number in {low} .. {high}")
    return value


def _pair(name: str, value: Any, kind: Any) -> Sequence[Any]:
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(part, kind) for part in value):
        raise DataError(f"{name} {value} is not [lowest, highest]")
    return value
