"""The calibration file: numbers by hand, round trips, and one line for what is wrong."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_orl.deploy.dynamixel.calibration import Calibration, JointCalibration, angles_of, ticks_of
from robot_orl.errors import DataError, RunError

IDS = {"pan": 1, "gripper": 6}
ARM = Calibration(
    "toy",
    {"pan": JointCalibration(1, -312, 0, 1024, 3072), "gripper": JointCalibration(6, 40, 1, 2048, 2700)},
)


def test_a_quarter_turn_is_1024_ticks() -> None:
    assert angles_of(2048) == 0
    assert angles_of(3072) == pytest.approx(math.pi / 2)
    assert ticks_of(-math.pi / 2) == 1024
    assert ARM.ranges()[0] == pytest.approx([-math.pi / 2, math.pi / 2])


@given(st.integers(-2048, 6144))
def test_ticks_survive_the_way_to_angles_and_back(tick: int) -> None:
    assert ticks_of(angles_of(tick)) == tick


@given(st.integers(1024, 3072), st.integers(-200, 200))
def test_whole_turns_beside_the_range_are_recognised(tick: int, turns: int) -> None:
    assert ARM.joints["pan"].turns_of(tick + 4096 * turns) == turns


def test_a_saved_file_reads_back_as_it_was_and_a_person_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arm.yaml"
    ARM.save(path)
    assert Calibration.load(path, IDS) == ARM
    assert (
        "  pan:     {id: 1, homing_offset: -312, drive_mode: 0, ticks: [1024, 3072], rad: [-1.5708, 1.5708]}"
        in path.read_text().splitlines()
    )


def test_the_old_file_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    for arm in ("first", "second", "third"):
        Calibration(arm, ARM.joints).save(path)
    assert Calibration.load(path, IDS).arm == "third"
    assert Calibration.load(tmp_path / "arm.yaml.bak", IDS).arm == "second"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["arm.yaml", "arm.yaml.bak"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    ARM.save(path)
    (tmp_path / "arm.yaml.partial").mkdir()
    with pytest.raises(RunError, match=r"^cannot write .*arm\.yaml: Is a directory$"):
        Calibration("other", ARM.joints).save(path)
    assert Calibration.load(path, IDS) == ARM


def test_servos_mounted_as_in_the_model_need_no_offset() -> None:
    made = Calibration.as_in_model("toy", IDS, np.array([[-1.0, 1.0], [0.0, 1.5]]))
    assert made.joints["pan"] == JointCalibration(1, 0, 0, 2048 - 652, 2048 + 652)  # 1 rad = 651.9 ticks
    assert made.joints["gripper"] == JointCalibration(6, 0, 0, 2048, 3026)  # 1.5 rad = 977.8 ticks


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: 6", "id: 300", "gripper: id 300 is no whole number in 0 .. 252"),
        ("id: 6", "id: 5", "gripper has id 5, the robot's servo table says 6"),
        ("drive_mode: 1", "drive_mode: true", "gripper: drive_mode True is no whole number in 0 .. 1"),
        (
            "homing_offset: 40",
            "homing_offset: 2000000",
            "homing_offset 2000000 is no whole number in -1044479",
        ),
        ("[2048, 2700]", "[2700, 2048]", "gripper: ticks [2700, 2048] is no range of a joint around 2048"),
        ("[2048, 2700]", "[2048, 2700.5]", "gripper: ticks [2048, 2700.5] is not [lowest, highest]"),
        ("[0.0000, 1.0002]", "[0.0, 1.1]", "gripper: tick 2700 is 1.0002 rad, not 1.1"),
        ("[0.0000, 1.0002]", "[0.0, .nan]", "gripper: tick 2700 is 1.0002 rad, not nan"),
        ("homing_offset: 40, ", "", "gripper: has id, drive_mode, ticks, rad; it needs id, homing_offset"),
        ("  gripper:", "  griper:", "has joints pan, griper, the arm has pan, gripper"),
        ("joints:", "things:", "is no calibration: it needs `arm` and `joints`"),
        ("{id: 6", "{id: 6, [", "is not YAML"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_names_what_is_wrong(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    path = tmp_path / "arm.yaml"
    assert old in ARM.to_text()
    path.write_text(ARM.to_text().replace(old, new))
    with pytest.raises(DataError) as caught:
        Calibration.load(path, IDS)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such calibration; make it with `robot-orl calibrate`"):
        Calibration.load(tmp_path / "arm.yaml", IDS)


def test_a_calibration_that_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    good = Calibration("koch", {"wrist_roll": JointCalibration(5, 0, 0, 500, 3500)})
    good.save(path)
    with pytest.raises(
        DataError, match=r"^wrist_roll: ticks \[-400, 4300\] is no range of a joint around 2048"
    ):
        Calibration("koch", {"wrist_roll": JointCalibration(5, 0, 0, -400, 4300)}).save(path)
    assert Calibration.load(path, {"wrist_roll": 5}) == good
    assert list(tmp_path.iterdir()) == [path]
