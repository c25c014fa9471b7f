"""The process that serves the page with the STOP button. It imports nothing of the rest, and drives nothing.

    python -m robot_orl.deploy.supervisor.stop_server FD         FD: the socket that listens

    stdin    first line {"token": ..., "is_local": ...}; then ten times a second {"phase": ..., "why": ...}
    stdout   a line "." four times a second while requests are taken, and "stop ADDRESS" for each press

    GET /        the page; it holds the token where it is served to this machine only
    GET /state   what the run does, as JSON: phase, why, heard_s        with the token
    POST /stop   a press                                                with the token

The token travels in a header that no other site may send or read; what comes from another origin, or under
another name of this machine, is refused all the same. It ends when its parent does.
"""

import base64
import hmac
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

BEAT_S = 0.25
LINGER_S = 1.0  # after the run, for pages to hear how it ended
MAX_BODY = 1_024  # bytes of a request that needs none
PER_ADDRESS, IN_ALL = 8, 64  # connections at once
UNKNOWN_S = 5.0  # after which a connection must have shown the token, however it trickles
LOCAL_NAMES = ("127.0.0.1", "localhost", "::1")


@dataclass
class _Connection:
    """is_known: it has shown the token."""

    request: Any
    address: str
    since_s: float
    is_known: bool = False


class StopServer(ThreadingHTTPServer):
    """Requests on a socket that listens already. is_local: nobody else's machine can reach it."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, token: str, is_local: bool) -> None:
        super().__init__(listening.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.own_names = (*LOCAL_NAMES, listening.getsockname()[0])
        self.is_local = is_local
        self.page, self.policy = _page(token if is_local else "")
        self.state: dict[str, Any] = {"phase": "starting", "why": ""}
        self.heard_s = self.asked_s = time.monotonic()  # when the run, and a page, was last heard of
        self._token = token.encode()
        self._parent = os.getppid()
        self._beat_s = 0.0
        self._open: dict[int, _Connection] = {}  # in the order in which they came
        self._lock = threading.Lock()
        os.set_blocking(sys.stdout.fileno(), False)

    def is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self._token)

    def tell(self, line: str) -> bool:
        """A line for the run; whether there was room for it. It never waits."""
        try:
            os.write(sys.stdout.fileno(), line.encode() + b"\n")
            return True
        except BlockingIOError:
            return False
        except OSError:
            os._exit(0)  # the run has gone

    def listen_to_run(self) -> None:
        """What it does, until it has gone."""
        for line in sys.stdin.buffer:
            self.state, self.heard_s = json.loads(line), time.monotonic()
        if self.state["phase"] == "over" and time.monotonic() - self.asked_s < LINGER_S:
            time.sleep(LINGER_S)
        os._exit(0)

    def service_actions(self) -> None:
        """Between requests: a sign of life, which thus comes from the thread that takes them."""
        if os.getppid() != self._parent:  # also where a fork of it still holds our stdin
            os._exit(0)
        if time.monotonic() >= self._beat_s:
            self._beat_s = time.monotonic() + BEAT_S
            self._hang_up_on_the_slow()
            self.tell(".")

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own. Where there are enough, one that has not shown the token makes room."""
        address = client_address[0]
        with self._lock:
            of_address = [own for own in self._open.values() if own.address == address]
            crowd = of_address if len(of_address) >= PER_ADDRESS else list(self._open.values())
            is_full = len(of_address) >= PER_ADDRESS or len(self._open) >= IN_ALL
            unknown = next((own for own in crowd if not own.is_known), None)  # the oldest comes first
            if is_full and unknown is not None:
                self._hang_up(unknown)
            if not is_full or unknown is not None:
                self._open[id(request)] = _Connection(request, address, time.monotonic())
        if is_full and unknown is None:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(id(request), None)

    def knows(self, request: Any) -> None:
        """It has shown the token."""
        with self._lock:
            if (own := self._open.get(id(request))) is not None:
                own.is_known = True

    def _hang_up(self, connection: "_Connection") -> None:
        """Its thread sees the end of it. The lock is held."""
        self._open.pop(id(connection.request), None)
        with suppress(OSError):  # it has gone by itself
            connection.request.shutdown(socket.SHUT_RDWR)

    def _hang_up_on_the_slow(self) -> None:
        end_s = time.monotonic() - UNKNOWN_S
        with self._lock:
            for connection in list(self._open.values()):
                if not connection.is_known and connection.since_s < end_s:
                    self._hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke."""


class _Handler(BaseHTTPRequestHandler):
    server: StopServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "robot-orl", ""
    timeout = 5.0  # of a connection that says nothing [s]
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path not in ("/", "/state"):
            self._answer(404, "no such page")
        elif not self._is_for_us():
            self._answer(403, "not under this name")
        elif path == "/":
            self._answer(200, self.server.page, "text/html; charset=utf-8")
        elif not self._has_token():
            self._answer(403, "not without the token")
        else:
            self.server.asked_s = now_s = time.monotonic()
            state = self.server.state | {"heard_s": round(now_s - self.server.heard_s, 3)}
            self._answer(200, json.dumps(state), "application/json")

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not size.isdecimal() or int(size) > MAX_BODY:
            self.close_connection = True  # what follows is no request
            self._answer(413, "too large")
            return
        self.rfile.read(int(size))
        if self.path != "/stop":
            self._answer(404, "no such page")
        elif not (self._is_for_us() and self._is_from_us() and self._has_token()):
            self._answer(403, "not from there, or not without the token")
        elif self.server.tell(f"stop {self.client_address[0]}"):
            self._answer(200, "{}", "application/json")
        else:
            self._answer(503, "the run does not listen")

    def _is_for_us(self) -> bool:
        """Other names of this machine are those that a foreign site has given to it."""
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return not self.server.is_local or name in self.server.own_names

    def _is_from_us(self) -> bool:
        """A browser says where a press comes from; who says nothing is no browser."""
        origin = self.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == self.headers.get("Host")

    def _has_token(self) -> bool:
        has_token = self.server.is_token(self.headers.get("X-Token", ""))
        if has_token:
            self.server.knows(self.request)
        return has_token

    def _answer(self, code: int, text: str, kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", self.server.policy),
            ("X-Frame-Options", "DENY"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: stdout is for the run."""


def _page(token: str) -> tuple[str, str]:
    """The page, and what of it a browser may run: its own script and style, and nothing else."""
    text = files(__package__).joinpath("stop_page.html").read_text().replace("{token}", token)
    hashes = {
        tag: base64.b64encode(sha256(found[1].encode()).digest()).decode()
        for tag in ("script", "style")
        if (found := re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL))
    }
    own = "; ".join(f"{tag}-src 'sha256-{value}'" for tag, value in hashes.items())
    return text, f"default-src 'none'; connect-src 'self'; img-src data:; frame-ancestors 'none'; {own}"


def main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the parent, with which this ends
    told = json.loads(sys.stdin.buffer.readline())
    server = StopServer(socket.socket(fileno=int(sys.argv[1])), told["token"], told["is_local"])
    threading.Thread(target=server.listen_to_run, daemon=True).start()
    server.serve_forever(poll_interval=BEAT_S / 2)


if __name__ == "__main__":
    main()
