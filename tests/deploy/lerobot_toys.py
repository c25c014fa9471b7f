"""A robot as LeRobot's own are, without LeRobot, and a server of it at the other end of a socket."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from robot_orl.deploy.lerobot_link.link import Link
from robot_orl.deploy.lerobot_link.server import Served, serve

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


class ToyLeRobot:
    """Its motors are at once where they are sent, in degrees; none goes beyond `reach`.

    sent: every action that it got.  failing: so many of the next calls raise.
    """

    name = "toy"

    def __init__(self, joints: Sequence[str] = ("a", "b"), reach: float = 170.0) -> None:
        names = [f"{joint}.pos" for joint in joints]
        self.action_features: dict[str, Any] = dict.fromkeys(names, float)
        self.observation_features: dict[str, Any] = {**self.action_features, "wrist": (480, 640, 3)}
        self.bus: Any = None
        self.config = SimpleNamespace(disable_torque_on_disconnect=True)
        self.position = dict.fromkeys(names, 0.0)
        self.reach = reach
        self.sent: list[dict[str, float]] = []
        self.failing = 0
        self.is_torque_on = True
        self.is_connected = True

    def get_observation(self) -> dict[str, Any]:
        self._fail()
        return {**self.position, "wrist": None}

    def send_action(self, action: dict[str, float]) -> dict[str, float]:
        self._fail()
        self.sent.append(dict(action))
        self.position = {name: max(-self.reach, min(self.reach, goal)) for name, goal in action.items()}
        return dict(self.position)

    def disconnect(self) -> None:
        self._fail()
        self.is_connected = False
        self.is_torque_on = not self.config.disable_torque_on_disconnect

    def _fail(self) -> None:
        if self.failing:
            self.failing -= 1
            raise ConnectionError("There is no status packet!")


def wait_for(is_true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


@contextmanager
def served(robot: Any, watchdog_s: float = 0.0) -> Iterator[Link]:
    """A client of a server in a thread, over a real socket. When the body ends the server has ended, too."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ended = threading.Event()

    def run() -> None:
        with theirs:
            serve(theirs, Served(robot, watchdog_s), ended.is_set)

    server = threading.Thread(target=run)
    server.start()
    link = Link(ours)
    try:
        yield link
    finally:
        link.close()
        ended.set()
        server.join()


@contextmanager
def listening(path: str, robot: Any, watchdog_s: float = 0.0) -> Iterator[None]:
    """A server of one client after the other at a path."""
    ended = threading.Event()
    known = Served(robot, watchdog_s)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(0.02)

        def run() -> None:
            while not ended.is_set():
                try:
                    link, _ = listener.accept()
                except TimeoutError:
                    continue
                with link:
                    serve(link, known, ended.is_set)

        server = threading.Thread(target=run)
        server.start()
        try:
            yield
        finally:
            ended.set()
            server.join()
