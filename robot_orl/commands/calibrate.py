"""`robot-orl calibrate`: a person's hands and Enter key, and the file that comes of it."""

import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.live import Live
from rich.text import Text

from robot_orl.commands.tables import out
from robot_orl.config import CalibrateConfig
from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.calibrate import calibrate
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.config import DynamixelConfig
from robot_orl.deploy.dynamixel.port import choose_port, latency_hint
from robot_orl.errors import RunError, UsageError

LOOK_S = 0.05  # between two looks at the joints


def run(cfg: CalibrateConfig) -> None:
    """Raises: UsageError: nothing to calibrate, or nowhere to write. RunError: the arm fails."""
    robot = cfg.robot
    if not isinstance(robot, DynamixelConfig) or not robot.servos:
        raise UsageError(f"robot={robot.name} has no servos to calibrate; robot=koch has")
    path = Path(cfg.out)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {path}; choose another out=")  # before somebody's arms get tired
    port = choose_port(robot.port)
    bus = Bus(port, robot.baud, {servo: joint for joint, servo in robot.ids.items()}, robot.reply_s)
    bus.open()
    try:
        if hint := latency_hint(port):
            out.print(hint)
        found = calibrate(robot, bus, Terminal())
    finally:
        bus.close()
    found.save(path)
    if Calibration.load(path, robot.ids) != found:
        raise RunError(f"{path} does not read back as it was written")
    for (joint, servo), (low, high) in zip(found.joints.items(), found.ranges(), strict=True):
        turned = ", reversed" if servo.drive_mode else ""
        out.print(
            f"{joint:<15} {low:6.2f} .. {high:5.2f} rad, offset {servo.homing_offset:+d} ticks{turned}",
        )
    out.print(f"written to {path}; deploy with robot.calibration={path}")


class Terminal:
    """Text on standard output, Enter on standard input; what is live is shown on a terminal only."""

    def __init__(self, descriptor: int | None = None) -> None:
        """descriptor: of the input; None: standard input."""
        self._input = sys.stdin.fileno() if descriptor is None else descriptor
        self._typed = b""

    def wait(self, text: str, live: Callable[[], Sequence[str]]) -> None:
        """Until Enter. Raises: UsageError: the input ended before."""
        out.print(f"{text} Then press Enter.")
        sys.stdout.flush()
        if not out.is_terminal:
            while not self._is_entered():
                live()
            return
        with Live(console=out, transient=True, auto_refresh=False) as shown:
            while not self._is_entered():
                shown.update(Text("\n".join(live())), refresh=True)

    def _is_entered(self) -> bool:
        """Whether a line is there within LOOK_S; not through a buffer that would keep the lines behind it."""
        while b"\n" not in self._typed:
            if not select.select([self._input], [], [], LOOK_S)[0]:
                return False
            if not (typed := os.read(self._input, 1024)):
                raise UsageError("the input ended before the calibration was done; nothing was written")
            self._typed += typed
        self._typed = self._typed.split(b"\n", 1)[1]
        return True
