"""What a person beside the arm can do, for programs: a Unix socket that takes one line of JSON at a time.

    {"do": "look"}                                where everything is
    {"do": "put_back", "seed": 5}                 things as an episode of that seed begins; the arm stays
    {"do": "hold", "joints": {"gripper": 0.5}}    a hand takes hold of joints and moves them there [rad]
    {"do": "let_go"}
    {"do": "fault", "event": "0.5:missing:3:2"}   as in faults.events, its time counted from now

Every line is answered by one: {"ok": true, ...} or {"ok": false, "error": "..."}. `look` answers with time_s,
joints [rad], velocities [rad/s], torque_on by joint, sites and objects ([x, y, z] in m, of the model's frame)
and what the task says: success, goal. A real arm has no such socket: it is for judging, not for policies.
"""

import contextlib
import json
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from robot_orl.errors import RobotOrlError, UsageError, unknown

LONGEST_LINE = 65_536
Action = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class WorldSocket:
    """Answers lines with what `actions` return, by their name; never blocks."""

    def __init__(self, path: Path, actions: Mapping[str, Action]) -> None:
        self.path = path
        self._actions = actions
        self._server: socket.socket | None = None
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}

    def open(self) -> None:
        """Raises: UsageError: something is at the path, or a socket cannot be made there."""
        if self.path.is_socket() and not _is_alive(self.path):
            self.path.unlink()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.bind(str(self.path))
        except OSError as error:
            server.close()
            raise UsageError(f"cannot make the socket {self.path}: {error.strerror or error}") from error
        server.listen()
        server.setblocking(False)
        self._server = server

    def filenos(self) -> list[int]:
        """To wait for lines at."""
        return [*([] if self._server is None else [self._server.fileno()]), *self._clients]

    def poll(self) -> None:
        """Answer whatever has come."""
        if self._server is None:
            return
        with contextlib.suppress(BlockingIOError):
            client, _ = self._server.accept()
            client.setblocking(False)
            self._clients[client.fileno()] = client, bytearray()
        for number in list(self._clients):
            self._serve(number)

    def close(self) -> None:
        """Works from any state."""
        for number in list(self._clients):
            self._drop(number)
        if self._server is not None:
            self._server.close()
            self._server = None
            self.path.unlink(missing_ok=True)

    def _serve(self, number: int) -> None:
        client, buffer = self._clients[number]
        try:
            data = client.recv(LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        buffer += data
        while b"\n" in buffer:
            line, _, rest = bytes(buffer).partition(b"\n")
            buffer[:] = rest
            with contextlib.suppress(OSError):  # who asked has gone
                client.sendall(json.dumps(self._answer(line)).encode() + b"\n")
        if not data or len(buffer) > LONGEST_LINE:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._clients.pop(number)[0].close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        """Raises nothing: a bad line must not end the arm."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"ok": False, "error": "that line is no JSON"}
        try:
            if not isinstance(request, dict):
                raise UsageError('a line is an object such as {"do": "look"}')
            do = request.get("do")
            if not isinstance(do, str) or do not in self._actions:
                raise unknown("action", do, self._actions)
            return {"ok": True, **self._actions[do](request)}
        except RobotOrlError as error:
            return {"ok": False, "error": str(error)}
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            return {"ok": False, "error": f"cannot do that: {error}"}


class World:
    """The other end: `look`, `put_back` and so on, each a line and its answer."""

    def __init__(self, path: Path) -> None:
        """Raises: UsageError: no virtual arm has a socket there."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10.0)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise UsageError(f"no virtual arm answers at world={path}: {error.strerror or error}") from error
        self._lines = self._socket.makefile("rb")

    def do(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Raises: UsageError: it was refused, or nobody answers any more."""
        try:
            self._socket.sendall(json.dumps({"do": action, **arguments}).encode() + b"\n")
            line = self._lines.readline()
        except OSError:
            line = b""
        answer: dict[str, Any] = (
            json.loads(line) if line else {"ok": False, "error": "the virtual arm has gone"}
        )
        if not answer.pop("ok"):
            raise UsageError(f"{action}: {answer['error']}")
        return answer

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0
