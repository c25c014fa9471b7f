"""The wizard that finds out how servos are mounted: a person's hands are played by the test."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock
from servo_toys import JOINTS, ServoBench, dropped, toy_config, toy_robot

from robot_orl.cli import main
from robot_orl.commands.calibrate import Terminal
from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.calibrate import calibrate
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.registers import XL330_M288, XL430_W250
from robot_orl.deploy.virtual.mechanics import Mount
from robot_orl.errors import RunError, UsageError

MOUNTS = (
    Mount("pan", 1, XL430_W250, direction=-1, offset=-700),
    Mount("lift", 2, XL330_M288, direction=1, offset=1900),
    Mount("gripper", 3, XL330_M288, direction=-1, offset=310),
)
IDS = {"pan": 1, "lift": 2, "gripper": 3}
RANGES = np.array([[-1.4, 1.3], [-1.1, 1.2], [-0.1, 1.5]])


class Hands:
    """Puts the joints where a step asks for them. poses: of the steps in turn; a list of them for one."""

    def __init__(self, bench: ServoBench, *steps: Sequence[Sequence[float]]) -> None:
        self.bench = bench
        self.steps = list(steps)
        self.said: list[str] = []
        self.shown: list[str] = []

    def wait(self, text: str, live: Callable[[], Sequence[str]]) -> None:
        self.said.append(text)
        for pose in self.steps.pop(0):
            with self.bench.lock:
                self.bench.angles[:] = pose
            self.bench.turn()
            self.shown = list(live())


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[ServoBench]:
    with ServoBench(tmp_path / "arm", clock, MOUNTS).running() as bench:
        yield bench


@pytest.fixture
def bus(bench: ServoBench) -> Iterator[Bus]:
    bus = Bus(str(bench.port.link), 1_000_000, {servo: joint for joint, servo in IDS.items()}, 0.05)
    bus.open()
    yield bus
    bus.close()


GOOD = (
    [],
    [[0.1, 0.2, 0.3]],
    [[0.5, 0.6, 0.7]],
    [[0.0, 0.0, 0.0]],
    [RANGES[:, 0].tolist(), [0, 0, 0.5], RANGES[:, 1].tolist()],
)


def test_it_finds_direction_middle_and_range_of_every_joint(
    bench: ServoBench, bus: Bus, tmp_path: Path
) -> None:
    hands = Hands(bench, *GOOD)
    found = calibrate(toy_config(tmp_path), bus, hands)
    assert [joint.drive_mode for joint in found.joints.values()] == [1, 0, 1]
    assert [joint.homing_offset for joint in found.joints.values()] == [-700, -1900, 310]
    assert found.ranges() == pytest.approx(RANGES, abs=0.001)
    assert bench.is_limp() == [True, True, True]
    assert hands.shown[0] == "pan              -1.40 ..   1.30 rad"


def test_an_arm_calibrated_so_moves_to_the_angles_of_its_model(
    bench: ServoBench, bus: Bus, tmp_path: Path
) -> None:
    calibrate(toy_config(tmp_path), bus, Hands(bench, *GOOD)).save(tmp_path / "arm.yaml")
    bus.close()
    robot = toy_robot(bench, calibration=str(tmp_path / "arm.yaml"), rest_pose={})
    robot.connect()
    robot.home(0)
    assert bench.angles == pytest.approx(robot._model.home_pose, abs=0.01)
    robot._arm.close()


def test_a_joint_that_was_not_moved_is_asked_for_again(bench: ServoBench, bus: Bus, tmp_path: Path) -> None:
    hands = Hands(
        bench,
        *GOOD[:2],
        [[0.5, 0.6, 0.32]],
        [[0.5, 0.6, 0.7]],
        GOOD[3],
        [[-1.4, -1.1, 0.0], [1.3, 1.2, 0.1]],
        [[0, 0, 1.5]],
    )
    found = calibrate(toy_config(tmp_path), bus, hands)
    assert hands.said[3] == "Not moved far enough: gripper. Move them on, too."
    assert hands.said[6] == "Hardly moved: gripper. Move them to both ends."
    assert found.ranges()[2] == pytest.approx([0, 1.5], abs=0.001)


def test_a_joint_that_was_turned_by_more_than_a_turn_is_asked_for_again(
    bench: ServoBench, bus: Bus, tmp_path: Path
) -> None:
    hands = Hands(
        bench, *GOOD[:4], [[-1.4, -1.1, -0.1], [5.0, 1.2, 0.0]], [[1.3, 1.2, 1.5], [-1.4, 0.0, 0.0]]
    )
    found = calibrate(toy_config(tmp_path), bus, hands)
    assert hands.said[5] == (
        "Turned by more than one turn: pan. Keep them within one, to both ends. "
        "Hardly moved: gripper. Move them to both ends."
    )
    assert found.ranges() == pytest.approx(RANGES, abs=0.001)


def test_lost_packets_cost_nothing(bench: ServoBench, bus: Bus, tmp_path: Path) -> None:
    bench.faults.next_answers.extend([dropped, lambda data: (data, 0), dropped])
    found = calibrate(toy_config(tmp_path), bus, Hands(bench, *GOOD))
    assert found.joints["lift"].homing_offset == -1900
    assert bus.counts["timeout"] >= 2


def test_an_arm_that_moves_while_its_middle_is_stored_is_told(
    bench: ServoBench, bus: Bus, tmp_path: Path
) -> None:
    class Shaky(Hands):
        def wait(self, text: str, live: Callable[[], Sequence[str]]) -> None:
            super().wait(text, live)
            if "middle pose" in text:
                bench.faults.next_answers.append(self.slip)

        def slip(self, data: bytes) -> tuple[bytes, int]:
            self.bench.angles[1] = 0.2
            return data, 0

    with pytest.raises(
        RunError, match=r"^lift \(id 2\) shows \d+ in the middle pose, not 2048: hold the arm still"
    ):
        calibrate(toy_config(tmp_path), bus, Shaky(bench, *GOOD))


def test_the_terminal_takes_one_line_for_each_step_however_they_arrive(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"\nsecond\nthi")
    terminal = Terminal(reading)
    terminal.wait("One.", list)
    terminal.wait("Two.", list)
    os.write(writing, b"rd\n")
    terminal.wait("Three.", list)
    os.close(writing)
    with pytest.raises(
        UsageError, match="the input ended before the calibration was done; nothing was written"
    ):
        terminal.wait("Four.", list)
    os.close(reading)
    assert capsys.readouterr().out.splitlines()[:2] == ["One. Then press Enter.", "Two. Then press Enter."]


def test_while_it_waits_the_joints_are_looked_at_again_and_again() -> None:
    reading, writing = os.pipe()
    looks: list[int] = []

    def look() -> list[str]:
        looks.append(1)
        if len(looks) == 3:
            os.write(writing, b"\n")
        return []

    Terminal(reading).wait("Move.", look)
    assert len(looks) == 3
    os.close(writing)
    os.close(reading)


@pytest.mark.e2e
def test_what_cannot_be_calibrated_or_written_is_refused_before_anybody_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", "robot=sim", f"out={tmp_path}/c.yaml"]) == 2
    assert "robot=sim has no servos to calibrate; robot=koch has" in capsys.readouterr().err
    assert main(["calibrate", "robot=koch", f"out={tmp_path}"]) == 2
    assert f"cannot write {tmp_path}; choose another out=" in capsys.readouterr().err
    assert main(["calibrate", "robot=koch", f"robot.port={tmp_path}/none", f"out={tmp_path}/c.yaml"]) == 2
    assert f"no port {tmp_path}/none; " in capsys.readouterr().err


def test_the_command_writes_a_file_that_reads_back_and_tells_how_to_use_it(
    bench: ServoBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The koch arm has other joints, so the command is given the servo table of the bench."""
    from robot_orl.commands import calibrate as command
    from robot_orl.config import CalibrateConfig

    hands = Hands(bench, *GOOD)
    monkeypatch.setattr(command, "Terminal", lambda: hands)
    path = tmp_path / "new" / "arm.yaml"
    command.run(CalibrateConfig(toy_config(bench.port.link), str(path)))
    assert Calibration.load(path, IDS).joints["pan"].homing_offset == -700
    told = capsys.readouterr().out
    assert "pan              -1.40 ..  1.30 rad, offset -700 ticks, reversed" in told
    assert f"written to {path}; deploy with robot.calibration={path}" in told
    assert tuple(IDS) == JOINTS
