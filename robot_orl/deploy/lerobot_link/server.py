"""Opens one of LeRobot's robots and serves it at a local socket, for `robot=lerobot`.

Runs in LeRobot's environment, by its path; imports nothing of this project, and LeRobot only in `main`:

    PYTHON server.py --socket=PATH --robot.type=koch_follower --robot.port=/dev/ttyUSB0 --robot.id=my_arm

A frame, little endian, in both directions:

    0 -------- 4 ------ 5 ------- 6 ----- 8 ---------- 12 ------ 20 --------- 20 + length
    |  length  |  kind  |  flags  |  pad  |  sequence  |   t_ns   |  payload  |

    by the client           payload         answered by
    LOOK                                    STATE with a new observation
    GOAL                    goals           STATE with the last one, and with the goals that were sent
    RELEASE                                 GONE: LeRobot disconnected from it

    by the server           payload
    HELLO, first, unasked   JSON: the robot, its features and their units
    STATE                   values of the F features, the F goals; t_ns: before the values were asked for
    GONE                    JSON: what became of the torque, as LeRobot is configured
    FAILED                  a line of text: why not; ends the connection where it takes the place of HELLO

Values and goals are F float64 in LeRobot's own units, t_ns is of CLOCK_MONOTONIC, an answer has the sequence
of what it answers. A goal that another one overtook, or that is older than the watchdog's time, is not sent.

Where the client is silent for the watchdog's time after a WATCHED goal, has gone, or this process is told to
end (SIGTERM, SIGINT), the robot is held where it is, and its torque stays on. After the watchdog's hold only
a goal that is not WATCHED moves it again. RELEASE alone disconnects it as LeRobot does, which for most robots
switches the torque off.
"""

import argparse
import contextlib
import gc
import io
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

PROTOCOL = 1
HEADER = struct.Struct("<IBB2xIq")
LARGEST = 1 << 20  # bytes of a payload; more is no frame of ours
HELLO, LOOK, GOAL, RELEASE, STATE, GONE, FAILED = range(1, 8)
WATCHED = 1  # flag of a GOAL, see above
TRIPPED = 1  # flag of a STATE: the watchdog has held the robot
MENDABLE = 1  # flag of a FAILED: whoever started the server can mend it
POLL_S = 0.02
TRIES = 3  # LeRobot itself asks once
WAKE_S = 0.0005  # an SDK that waits for an answer looks at its deadline as often

T = TypeVar("T")


class ProtocolError(Exception):
    """Bytes that are no frames of this protocol."""


@dataclass(frozen=True)
class Frame:
    """See above."""

    kind: int
    sequence: int
    t_ns: int
    payload: bytes = b""
    flags: int = 0

    def to_bytes(self) -> bytes:
        head = HEADER.pack(len(self.payload), self.kind, self.flags, self.sequence, self.t_ns)
        return head + self.payload

    def numbers(self) -> tuple[float, ...]:
        """The payload as float64. Raises: ProtocolError: it is none."""
        if len(self.payload) % 8:
            raise ProtocolError(f"{len(self.payload)} bytes are no float64")
        return struct.unpack(f"<{len(self.payload) // 8}d", self.payload)

    @staticmethod
    def packed(numbers: Sequence[float]) -> bytes:
        return struct.pack(f"<{len(numbers)}d", *numbers)


class Inbox:
    """Bytes as they come, frames as they are complete."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Raises: ProtocolError: no frame begins there."""
        self._bytes += data
        while len(self._bytes) >= HEADER.size:
            length, kind, flags, sequence, t_ns = HEADER.unpack_from(self._bytes)
            if length > LARGEST or not HELLO <= kind <= FAILED:
                raise ProtocolError(f"a frame of kind {kind} with {length} bytes")
            if len(self._bytes) < HEADER.size + length:
                return
            payload = bytes(self._bytes[HEADER.size : HEADER.size + length])
            del self._bytes[: HEADER.size + length]
            yield Frame(kind, sequence, t_ns, payload, flags)


class Served:
    """A LeRobot robot, connected, as the protocol sees it. robot: see `lerobot.robots.Robot`."""

    def __init__(self, robot: Any, watchdog_s: float, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """Raises: ValueError: an action of it is no single number that it also observes."""
        observed = robot.observation_features
        self.features = list(robot.action_features)
        for name, kind in robot.action_features.items():
            if kind not in (float, int) or observed.get(name) not in (float, int):
                raise ValueError(f"its action '{name}' is no single number that it observes, too")
        self.left_out = [name for name in observed if name not in self.features]
        self.robot = robot
        self.is_released = False
        self._watchdog_s = watchdog_s
        self._now_ns = now_ns
        self._values = self._goals = [math.nan] * len(self.features)
        self._taken_ns = 0
        self._heard_ns: int | None = None  # of the client, since a watched goal; None: not watched
        self._is_tripped = False

    def hello(self) -> dict[str, Any]:
        units = [{"name": name, **unit_of(self.robot, name)} for name in self.features]
        return {
            "protocol": PROTOCOL,
            "robot": str(getattr(self.robot, "name", type(self.robot).__name__)),
            "features": units,
            "left_out": self.left_out,
            "torque_off_on_release": self._lets_go(),
        }

    def answer(self, frame: Frame) -> Frame:
        """What a frame of the client asks for; raises nothing: a robot that fails is a FAILED."""
        try:
            return self._answer(frame)
        except Exception as error:  # whatever LeRobot, its drivers or a plugin raise
            return Frame(FAILED, frame.sequence, self._now_ns(), in_words(error).encode())

    def watch(self) -> None:
        """Hold the robot if nobody has said anything for too long since a watched goal."""
        if self._heard_ns is None or self._now_ns() - self._heard_ns <= self._watchdog_s * 1e9:
            return
        self._is_tripped = True
        with contextlib.suppress(Exception):  # tried again at the next look
            self.hold()

    def look(self) -> None:
        taken_ns = self._now_ns()
        found = tried(lambda: cleared(self.robot).get_observation())
        self._values, self._taken_ns = [float(found[name]) for name in self.features], taken_ns

    def hold(self) -> None:
        """Send it to where it is."""
        self.look()
        self._send(self._values)
        self._heard_ns = None

    def leave(self) -> str:
        """Disconnect, and let it hold on where it is. Returns what became of it, in words."""
        told = []
        try:
            self.hold()
        except Exception as error:
            told.append(f"it could not be held ({in_words(error)})")
        if self._lets_go():
            self.robot.config.disable_torque_on_disconnect = False
        if self._lets_go() is None:
            told.append("torque as it was: what LeRobot's disconnect does with it is not known")
            return "; ".join(told)  # so it is not called
        try:
            self.robot.disconnect()
            told.append("torque stays on")
        except Exception as error:
            told.append(f"not disconnected ({in_words(error)})")
        return "; ".join(told)

    def _answer(self, frame: Frame) -> Frame:
        if self._heard_ns is not None:
            self._heard_ns = self._now_ns()
        if frame.kind == LOOK:
            self.look()
        elif frame.kind == GOAL:
            self._goal(frame)
        elif frame.kind == RELEASE:
            return self._release(frame)
        else:
            raise ProtocolError(f"a frame of kind {frame.kind} is none of a client's")
        flags = TRIPPED if self._is_tripped else 0
        payload = Frame.packed([*self._values, *self._goals])
        return Frame(STATE, frame.sequence, self._taken_ns, payload, flags)

    def _goal(self, frame: Frame) -> None:
        goals = frame.numbers()
        if len(goals) != len(self.features) or not all(map(math.isfinite, goals)):
            raise ProtocolError(f"goals {goals} are not {len(self.features)} finite numbers")
        is_watched = bool(frame.flags & WATCHED) and self._watchdog_s > 0
        self._is_tripped = self._is_tripped and is_watched
        if self._is_tripped:
            return  # which the flag of the answer tells
        age_s = (self._now_ns() - frame.t_ns) / 1e9
        if age_s > self._watchdog_s > 0:
            raise TimeoutError(f"a goal came {age_s * 1e3:.0f} ms late and was not sent")
        self._send(list(goals))
        self._heard_ns = self._now_ns() if is_watched else None

    def _send(self, goals: list[float]) -> None:
        action = dict(zip(self.features, goals, strict=True))
        sent = tried(lambda: cleared(self.robot).send_action(action))
        self._goals = [float(sent[name]) for name in self.features]

    def _release(self, frame: Frame) -> Frame:
        lets_go = self._lets_go()
        tried(self.robot.disconnect)
        self.is_released = True
        told = json.dumps({"torque_off": lets_go})
        return Frame(GONE, frame.sequence, self._now_ns(), told.encode())

    def _lets_go(self) -> bool | None:
        """Whether LeRobot's disconnect switches the torque off; None: its configuration does not say."""
        told = getattr(getattr(self.robot, "config", None), "disable_torque_on_disconnect", None)
        return None if told is None else bool(told)


def unit_of(robot: Any, feature: str) -> dict[str, Any]:
    """What LeRobot's calibration makes of a motor: shaft [rad] = zero_rad + rad_per_unit * value.

    The shaft's 0 is half a turn of its encoder (tick 2048 of 4096); low, high: the values at the ends of the
    calibrated range, beyond which normalised values do not go. All None where this robot has no such motors.
    Source: `lerobot/motors/motors_bus.py: _normalize`, where degrees are of resolution - 1 ticks a turn.
    """
    bus, motor = getattr(robot, "bus", None), feature.removesuffix(".pos")
    calibration = (getattr(bus, "calibration", None) or {}).get(motor)
    if bus is None or calibration is None or motor not in bus.motors or feature == motor:
        return dict.fromkeys(("unit", "zero_rad", "rad_per_unit", "low", "high"))
    unit = str(bus.motors[motor].norm_mode.value)
    turn = bus.model_resolution_table[bus.motors[motor].model]
    first, last = (tick - turn // 2 for tick in (calibration.range_min, calibration.range_max))
    degree = (turn - 1) / 360  # in ticks
    reach = (last - first) / 2 / degree
    zero, ticks_per_unit, low, high = {
        "degrees": ((first + last) / 2, degree, -reach, reach),
        "range_m100_100": ((first + last) / 2, (last - first) / 200, -100.0, 100.0),
        "range_0_100": (float(first), (last - first) / 100, 0.0, 100.0),
    }[unit]
    if unit != "degrees" and bus.apply_drive_mode and calibration.drive_mode:
        zero, ticks_per_unit = (last if unit == "range_0_100" else zero), -ticks_per_unit
    rad = 2 * math.pi / turn
    return {
        "unit": unit,
        "zero_rad": zero * rad,
        "rad_per_unit": ticks_per_unit * rad,
        "low": low,
        "high": high,
    }


def tried(action: Callable[[], T]) -> T:
    """LeRobot asks its motors once; a lost packet is no reason to give up."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(ConnectionError):
            return action()
    return action()


def sleep_while_waiting(robot: Any) -> None:
    """Let the port of the motors wait for bytes asleep, once it is open.

    The makers' SDKs ask for them over and over; with real-time priority that keeps the processor from the
    kernel's own workers, who bring them.
    """
    port = getattr(getattr(robot, "bus", None), "port_handler", None)
    if port is None or not hasattr(port, "setupPort"):
        return
    set_up = port.setupPort

    def setup(*rate: Any) -> Any:
        found = set_up(*rate)
        port.ser.timeout = WAKE_S
        return found

    port.setupPort = setup


def cleared(robot: Any) -> Any:
    """The robot, when what came too late for an earlier question is gone from the port of its motors.

    Else it would be taken for the answer to the next one, and so on for ever: every position would be one
    tick old. The clearPort of the Dynamixel SDK only waits until all has been sent.
    """
    port = getattr(getattr(robot, "bus", None), "port_handler", None)
    if port is not None and port.is_open:
        port.ser.reset_input_buffer()
    return robot


def in_words(error: BaseException) -> str:
    """One line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]


def serve(link: socket.socket, served: Served, should_end: Callable[[], bool]) -> None:
    """Answer one client until it goes, releases the robot, or this is to end; what it leaves is held."""
    try:
        _answer_all(link, served, should_end)
    finally:
        if not served.is_released:
            with contextlib.suppress(Exception):  # `leave` tries again, and says so
                served.hold()


def _answer_all(link: socket.socket, served: Served, should_end: Callable[[], bool]) -> None:
    inbox = Inbox()
    link.setblocking(False)
    _send(link, Frame(HELLO, 0, time.monotonic_ns(), json.dumps(served.hello()).encode()))
    while not should_end() and not served.is_released:
        served.watch()
        if not select.select([link], [], [], POLL_S)[0]:
            continue
        try:
            data = link.recv(1 << 16)
            frames = list(inbox.feed(data))
        except (OSError, ProtocolError):
            return
        if not data:
            return
        for number, frame in enumerate(frames):
            overtaken = any(later.kind == GOAL for later in frames[number + 1 :])
            if frame.kind == GOAL and overtaken:
                continue
            if not _send(link, served.answer(frame)):
                return


def _send(link: socket.socket, frame: Frame) -> bool:
    """Whether it went: a client that reads nothing is none, and must not keep us."""
    data = frame.to_bytes()
    try:
        return link.send(data) == len(data)
    except OSError:
        return False


# --- LeRobot, from here on -----------------------------------------------------------------------------


def make_robot(words: list[str]) -> Any:
    """As LeRobot's own commands do: `--robot.type=... --robot.port=...`; nothing is opened.

    Raises: ValueError: no such robot, or a bad option.  ImportError: it lacks a package.
    """
    import draccus
    from lerobot.robots import RobotConfig, make_robot_from_config
    from lerobot.utils.import_utils import register_third_party_plugins

    _register_types()
    register_third_party_plugins()

    @dataclass
    class Words:
        robot: RobotConfig

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = draccus.parse(Words, args=words).robot
    except SystemExit:
        raise ValueError((said.getvalue().strip().splitlines() or ["bad options"])[-1]) from None
    return make_robot_from_config(config)


def write_registers(robot: Any, words: Sequence[str]) -> None:
    """After LeRobot has configured its motors. words: MOTOR.REGISTER=NUMBER, by LeRobot's names.

    Raises: ValueError: no such motor or register, or this robot has no bus of motors.
    """
    for word in words:
        try:
            place, value = word.split("=")
            motor, register = place.split(".")
            write = partial(robot.bus.write, register, motor, int(value), normalize=False)
        except (ValueError, AttributeError) as error:
            raise ValueError(f"register {word} is none of this robot's") from error
        try:
            tried(write)
        except KeyError as error:
            raise ValueError(f"register {word} is none of this robot's: {error}") from error


def _register_types() -> None:
    """Import every robot of LeRobot, so that each registers its type, where its packages are there."""
    import importlib
    import pkgutil

    import lerobot.robots

    for module in pkgutil.iter_modules(lerobot.robots.__path__):
        if module.ispkg:
            with contextlib.suppress(ImportError):
                importlib.import_module(f"lerobot.robots.{module.name}")


def connect(robot: Any) -> None:
    """Connect without a question, and bring the motors in line with the calibration file where they are not.

    Raises: ValueError: it was not calibrated.  Others: as the robot.
    """
    for attempt in range(TRIES):
        try:
            robot.connect(calibrate=False)
            break
        except (ConnectionError, RuntimeError):  # a motor did not answer
            with contextlib.suppress(Exception):
                robot.disconnect()
            if attempt == TRIES - 1:
                raise
    try:
        _calibrate(robot)
    except BaseException:
        with contextlib.suppress(Exception):
            robot.disconnect()
        raise


def _calibrate(robot: Any) -> None:
    if tried(lambda: robot.is_calibrated):
        return
    if not robot.calibration:
        raise ValueError(
            f"{robot.name} with id {robot.id} was not calibrated: no {robot.calibration_fpath}; run "
            f"`lerobot-calibrate --robot.type={robot.name} --robot.id={robot.id} ...` first"
        )

    def calibrate() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            sys.stdin = io.StringIO("\n")  # Enter: "use provided calibration file"
            robot.calibrate()
        robot.configure()

    tried(calibrate)
    if not tried(lambda: robot.is_calibrated):
        raise ValueError(f"the motors do not take the calibration of {robot.calibration_fpath}")


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="serve one of LeRobot's robots", allow_abbrev=False)
    parser.add_argument("--socket", required=True, help="path of the socket; made here, removed at the end")
    parser.add_argument("--watchdog-s", type=float, default=0.2, help="silent clients stop the robot [s]")
    parser.add_argument("--priority", type=int, default=0, help="of SCHED_FIFO; 0: none is asked for")
    parser.add_argument(
        "--register", action="append", default=[], help="MOTOR.REGISTER=NUMBER, written once it is connected"
    )
    parser.add_argument("--once", action="store_true", help="end with the first client")
    own, rest = parser.parse_known_args(words)
    if own.once and hasattr(os, "sched_setaffinity"):  # our client may have a processor of its own
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: stopped.append(number))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(own.socket)
        try:
            os.chmod(own.socket, 0o600)
            listener.listen(1)
            return _open_and_serve(listener, own, rest, lambda: bool(stopped))
        finally:
            Path(own.socket).unlink(missing_ok=True)


def _open_and_serve(
    listener: socket.socket, own: argparse.Namespace, words: list[str], should_end: Callable[[], bool]
) -> int:
    try:
        robot = make_robot(words)
        if should_end():  # which may have been said while LeRobot was loaded
            return 1
        sleep_while_waiting(robot)
        _prefer_over_others(own.priority)  # LeRobot's buses give up where they have to wait for a processor
        connect(robot)
        served = Served(robot, own.watchdog_s)
        write_registers(robot, own.register)
        served.look()
    except Exception as error:
        is_mendable = isinstance(error, (ValueError, ImportError))
        told = " ".join(str(error).split()) if is_mendable else in_words(error)
        print(told, file=sys.stderr)
        if (link := _accept(listener, should_end)) is not None:
            flags = MENDABLE if is_mendable else 0
            _send(link, Frame(FAILED, 0, time.monotonic_ns(), told.encode(), flags))
            link.close()
        return 1
    gc.collect()
    gc.freeze()  # all of LeRobot and PyTorch: looking through it would take longer than a tick
    print(f"{served.robot}: {', '.join(served.features)} at {own.socket}", flush=True)
    while not served.is_released and (link := _accept(listener, should_end)) is not None:
        with link:
            serve(link, served, should_end)
        if own.once:
            break
    if served.is_released:
        print("released")
        return 0
    print(f"the client has gone or this was ended: {served.leave()}", flush=True)
    os._exit(0)  # a LeRobot robot that is collected disconnects, and with it the torque may go


def _prefer_over_others(priority: int) -> None:
    if priority:
        with contextlib.suppress(OSError, AttributeError):  # not allowed here, or not on this system
            flags = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, flags, os.sched_param(priority))


def _accept(listener: socket.socket, should_end: Callable[[], bool]) -> socket.socket | None:
    while not should_end():
        if select.select([listener], [], [], POLL_S)[0]:
            return listener.accept()[0]
    return None


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder: its neighbours must not be taken for packages
    sys.exit(main(sys.argv[1:]))
