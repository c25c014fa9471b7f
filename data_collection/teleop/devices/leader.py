"""A leader arm of Dynamixel servos: without torque, turned by hand, its joints read again and again.

A thread of its own waits for the bus; whoever asks gets the latest. A port that is gone is opened again.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from data_collection.teleop.devices.clutch import Clutch
from data_collection.teleop.hands import Jog, Order
from data_collection.teleop.terminal.keys import PRESSED, Key
from data_collection.teleop.terminal.legend import Piece, row
from robot_orl.deploy.dynamixel.bus import BadPacket, Bus
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.config import ServoConfig
from robot_orl.deploy.dynamixel.port import BusPort, MakePort, choose_port
from robot_orl.deploy.dynamixel.readings import JointState, Readings
from robot_orl.deploy.dynamixel.registers import XL330_M288
from robot_orl.deploy.dynamixel.setup import find_servos, read_tables, set_up
from robot_orl.deploy.timing import RealClock
from robot_orl.errors import RobotOrlError, UsageError

_X = XL330_M288.registers  # all X servos have them at the same addresses
READ_EVERY_S = 0.01
KNOCK_S = 0.5  # between two attempts to open a port that is gone
SILENT_S = 1.0  # without a good answer, after which nobody is there


class LeaderBus:
    """The leader's joints. state: the latest, None before one.  problem: why there is none now, or ""."""

    def __init__(
        self,
        port: str,
        baud: int,
        servos: Mapping[str, ServoConfig],
        calibration: Calibration,
        reply_s: float,
        make_port: MakePort = BusPort,
    ) -> None:
        self.state: JointState | None = None
        self.problem = ""
        self._servos, self._calibration = dict(servos), calibration
        names = {servo.id: joint for joint, servo in servos.items()}
        self._bus = Bus(port, baud, names, reply_s, make_port)
        self._clock = RealClock()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Let all joints go, and begin to read.

        Raises: UsageError: no such port.  RunError: who is missing.
        """
        try:
            self._connect()
        except UsageError as error:
            raise UsageError(_in_our_words(error)) from error
        self._thread = threading.Thread(target=self._read_on, name="leader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Works from any state, more than once. The joints stay as they are: without torque."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._bus.close()

    def _connect(self) -> None:
        try:
            self._bus.open()
            find_servos(self._bus, self._servos)
            for servo in self._servos.values():
                self._bus.retrying(partial(self._bus.write, servo.id, _X["torque_enable"], 0))
            set_up(self._bus, self._servos, self._calibration.joints, let_go=True)
            self._readings = Readings(self._bus, self._servos, self._clock)
            self._readings.excused = {servo.id for servo in self._servos.values()}  # it is only looked at
            raws = [
                table.raw(_X["present_position"]) for table in read_tables(self._bus, self._servos).values()
            ]
            joints = self._calibration.joints.values()
            turns = [joint.turns_of(raw) for joint, raw in zip(joints, raws, strict=True)]
            self._readings.turns = np.array(turns, np.int64)
            self.state = self._bus.retrying(lambda: self._readings.confirmed(None))
        except BaseException:
            self._bus.close()
            raise

    def _read_on(self) -> None:
        while not self._ending.wait(READ_EVERY_S if self._bus.is_open else KNOCK_S):
            try:
                if not self._bus.is_open:
                    self._connect()
                self.state, _ = self._readings.read(self.state)
                self.problem = ""
            except BadPacket as error:  # the next one may be good
                if self._silent_s() > SILENT_S:
                    self.problem, self.state = str(error), None
            except RobotOrlError as error:
                self._bus.close()
                self.problem, self.state = _in_our_words(error), None

    def _silent_s(self) -> float:
        return np.inf if self.state is None else (self._clock.now_ns() - self.state.t_ns) / 1e9


class Leader:
    """A `Device`; and a `console.Movers` of one key, which takes hold of the leader and lets it go."""

    def __init__(self, bus: LeaderBus, clutch: Clutch) -> None:
        self._bus, self._clutch = bus, clutch
        self._is_open = False

    @property
    def missing(self) -> str:
        if self._is_open and self._bus.state is not None:
            return ""
        return f"the leader arm does not answer: {self._bus.problem or 'it was not opened yet'}"

    def open(self) -> None:
        """Raises: UsageError, RunError: in words, what is wrong."""
        self._bus.open()
        self._is_open = True

    def jog(self) -> Jog | None:
        state = self._bus.state
        if state is None:
            self._clutch.begin()
            return None
        turned = self._clutch.turned(state.positions)
        return None if turned is None else Jog(np.zeros(3), np.zeros(3), turned=turned)

    def orders(self) -> Sequence[Order]:
        return []

    def legend(self) -> Sequence[Sequence[Piece]]:
        clutch = self._clutch
        does = "let it go, to move it elsewhere" if not clutch.is_free else "take hold again"
        state = (
            "away" if self.missing else "free" if clutch.is_free else "held" if clutch.is_held else "at rest"
        )
        return [row("leader", [("turn", "its joints as the robot's shall turn"), (state, "")]),
                row("clutch", [("space", does)])]  # fmt: skip

    def begin(self) -> None:
        self._clutch.begin()

    def close(self) -> None:
        self._is_open = False
        self._bus.close()

    # Movers

    def take(self, key: Key, is_typing: bool) -> bool:
        if is_typing or key.name != "space" or key.kind != PRESSED:
            return False
        self._clutch.toggle()
        return True

    def heard(self, now_s: float) -> None:
        """Nothing is held by keys here."""

    def release_all(self) -> None:
        self._clutch.begin()


def chosen_port(name: str | None) -> str:
    """As `choose_port`."""
    try:
        return choose_port(name)
    except UsageError as error:
        raise UsageError(_in_our_words(error)) from error


def _in_our_words(error: RobotOrlError) -> str:
    return str(error).replace("robot.port", "operator.port")
