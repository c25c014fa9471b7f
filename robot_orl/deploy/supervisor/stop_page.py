"""A page with a STOP button for a browser, a phone's too; this is the run's end of it.

The page is served by a process of its own (stop_server.py), so that no request is ever answered by the one
that moves the robot. A thread here reads presses from a pipe and tells the page what the run does; the pipe
takes what fits and is never waited for.

A way to stop that was promised and is gone is a reason to stop: where that process ends, or gives no sign of
life for `SILENT_S`, the robot stops at once, and nothing moves any more.
"""

import json
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from robot_orl.deploy.supervisor.listening import address_of, listen, named
from robot_orl.deploy.supervisor.stops import POLL_S, StopRequest
from robot_orl.errors import RunError

SERVER = "robot_orl.deploy.supervisor.stop_server"
TELL_S = 0.1
MAX_WHY = 300  # characters, each up to 12 bytes as JSON: a line stays below PIPE_BUF
STARTS_S = 60.0
SILENT_S = 3.0  # without a sign of life, and the page is lost
LOOKED_S = 1.0  # a loop that did not look at the button for longer is not there for it


class StopPage:
    """url: where the button is; it may hold a secret, so it is printed once and kept nowhere."""

    def __init__(
        self, stop: StopRequest, host: str, port: int, now_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """Raises: UsageError: nothing can be served there."""
        self._stop, self._now_ns = stop, now_ns
        self._listening = listen(host, port, "estop_")
        address = address_of(self._listening)
        token = secrets.token_urlsafe(16)
        self._first = {"token": token, "is_local": address.is_loopback}
        self.url = f"http://{named(address)}:{self._listening.getsockname()[1]}/"
        if not address.is_loopback:
            self.url += f"#{token}"  # what follows a # stays in the browser, and in no log on the way
        self._over = ""
        self._ended = threading.Event()

    def start(self) -> None:
        """Returns once the page is there, or a stop is asked for. Raises: RunError: it does not come."""
        with self._listening:
            self._process = subprocess.Popen(
                [sys.executable, "-m", SERVER, str(self._listening.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=(self._listening.fileno(),),
                start_new_session=True,  # a terminal's Ctrl-C is for us
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._down, self._up = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._down, False)
        self._write(self._first)
        until_ns = self._now_ns() + round(STARTS_S * 1e9)
        while not self._is_readable() and self._stop.reason is None:
            if self._process.poll() is not None or self._now_ns() > until_ns:
                self._end()
                raise RunError("the page with the STOP button did not come up; nothing was moved")
        self._thread = threading.Thread(target=self._watch, name="stop page", daemon=True)
        self._thread.start()

    def over(self, why: str) -> None:
        """The robot was stopped, and why: the page says so from now on, however long the record takes."""
        self._over = why

    def close(self) -> None:
        """Tell the pages that the run is over, and end the process."""
        self._ended.set()
        self._thread.join(1.0)
        self._write({"phase": "over", "why": (self._over or self._stop.reason or "")[:MAX_WHY]})
        self._end()

    def _end(self) -> None:
        """Its stdin ends first: while it tells the pages, it still talks to us."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(SILENT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _watch(self) -> None:
        heard_ns = now_ns = self._now_ns()
        tell_ns, rest = now_ns, b""
        while not self._ended.is_set():
            is_readable, now_ns = self._is_readable(), self._now_ns()
            if is_readable:
                raw = os.read(self._up, 4096)
                if not raw:
                    return self._lost("its process has ended")
                *lines, rest = (rest + raw).split(b"\n")
                heard_ns = now_ns
                for line in lines:
                    if line.startswith(b"stop "):
                        who = line.removeprefix(b"stop ").decode(errors="replace")
                        self._stop.emergency(f"STOP was pressed in a browser at {who}")
                        tell_ns = now_ns  # the page waits for it
            elif now_ns - heard_ns > SILENT_S * 1e9:
                return self._lost(f"no sign of life for {SILENT_S:g} s")
            if now_ns >= tell_ns:
                self._write(self._state(now_ns))
                tell_ns = now_ns + round(TELL_S * 1e9)

    def _lost(self, why: str) -> None:
        if not self._ended.is_set():
            self._stop.emergency(f"the page with the STOP button is lost: {why}")

    def _state(self, now_ns: int) -> dict[str, str]:
        """As the page shows it. What nobody has looked at has stopped nothing."""
        stop = self._stop
        if self._over:
            return {"phase": "over", "why": self._over[:MAX_WHY]}
        if stop.is_seen:
            return {"phase": "stopping", "why": (stop.reason or "")[:MAX_WHY]}
        if stop.looked_ns is None:
            return {"phase": "starting", "why": ""}
        age_s = (now_ns - stop.looked_ns) / 1e9
        if age_s > LOOKED_S:
            return {"phase": "deaf", "why": f"it has not looked at this button for {age_s:.0f} s"}
        return {"phase": "running", "why": ""}

    def _is_readable(self) -> bool:
        return bool(select.select([self._up], [], [], POLL_S)[0])

    def _write(self, told: Mapping[str, object]) -> None:
        """A line small enough for a pipe to take it whole or not at all; what it does not take is lost."""
        with suppress(OSError):
            os.write(self._down, json.dumps(told).encode() + b"\n")


@contextmanager
def stop_page(stop: StopRequest, port: int | None, host: str = "127.0.0.1") -> Iterator[StopPage | None]:
    """The page while the body runs; None where no port is given.

    port: 0: any that is free.  host: the address to serve it at; 0.0.0.0: to the whole network.
    Raises: UsageError, RunError: it cannot be served.
    """
    if port is None:
        yield None
        return
    page = StopPage(stop, host, port)
    page.start()
    try:
        yield page
    except Exception as error:
        page.over(str(error))
        raise
    finally:
        page.close()
