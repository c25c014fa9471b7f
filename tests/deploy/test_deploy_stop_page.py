"""The page with the STOP button: who may press it, and what happens when a part of it is gone."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from children import child

from robot_orl.config import DeployConfig
from robot_orl.deploy.supervisor import stop_page as module
from robot_orl.deploy.supervisor.stop_page import StopPage, stop_page
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.errors import UsageError

PATIENCE_S = 60.0
S = 1_000_000_000
Answer = tuple[int, str]


def await_that(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.005)


def ask(
    url: str, method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Answer:
    """As any program on the network could: (status, text)."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port or 0, timeout=PATIENCE_S)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def token_of(url: str) -> str:
    """As a browser learns it: from the address, or from a page that only this machine can ask for."""
    found = re.search('name="token" content="([^"]*)"', ask(url, "GET", "/")[1])
    assert found is not None
    return urlsplit(url).fragment or found[1]


class Served:
    """A page and what it sets; `look` is the control loop's part."""

    def __init__(self, stop: StopRequest, page: StopPage) -> None:
        self.stop, self.url, self.page = stop, page.url, page
        self.port, self.token = urlsplit(page.url).port, token_of(page.url)

    def press(self, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.url, "POST", "/stop", {"X-Token": self.token} | named)[0]

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(ask(self.url, "GET", "/state", {"X-Token": self.token})[1])
        return told

    def look(self) -> bool:
        return self.stop.is_set(time.monotonic_ns())


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """To this machine only, and to the whole network."""
    stop = StopRequest()
    with stop_page(stop, 0, request.param) as page:
        assert page is not None
        yield Served(stop, page)


@pytest.mark.e2e
def test_a_press_with_the_token_is_an_emergency_and_none_without(served: Served) -> None:
    own = f"http://127.0.0.1:{served.port}"
    assert served.press(X_Token="") == 403
    assert served.press(X_Token=served.token[:-1]) == 403
    assert served.press(X_Token=served.token[:-1] + "é") == 403
    for origin in ("http://evil.example", "null", f"https://127.0.0.1.evil.example:{served.port}", own + "0"):
        assert served.press(Origin=origin) == 403
    assert ask(served.url, "GET", f"/stop?token={served.token}")[0] == 404  # an image on another page
    assert ask(served.url, "OPTIONS", "/stop", {"Origin": "http://evil.example"})[0] == 501  # no CORS
    assert ask(served.url, "GET", "/state")[0] == 403
    time.sleep(0.1)
    assert not served.look()
    assert served.press(Origin=own) == 200
    await_that(served.look)
    assert served.stop.is_emergency
    assert served.stop.count == 1
    assert served.stop.reason == "STOP was pressed in a browser at 127.0.0.1"


@pytest.mark.e2e
def test_what_a_page_of_the_network_must_know_is_in_the_address_only(served: Served) -> None:
    page = ask(served.url, "GET", "/")[1]
    is_local = served.page._first["is_local"]
    assert (served.token in page) == is_local
    assert ("#" in served.url) != is_local
    assert len(served.token) >= 20
    # A site that has its name pointed to this machine may not read the page that holds the token.
    foreign = {"Host": f"evil.example:{served.port}"}
    assert ask(served.url, "GET", "/", foreign)[0] == (403 if is_local else 200)
    assert ask(served.url, "GET", "/", {"Host": f"localhost:{served.port}"})[0] == 200


@pytest.mark.e2e
def test_the_server_gives_out_one_page_and_takes_no_bodies(served: Served) -> None:
    for path in ("/stop_page.html", "/../stop_server.py", "/etc/passwd", "/%2e%2e/", "/favicon.ico"):
        assert ask(served.url, "GET", path)[0] == 404, path
    right = {"X-Token": served.token}
    assert ask(served.url, "POST", "/stop", right, bytes(1025))[0] == 413
    assert ask(served.url, "POST", "/stop", right | {"Content-Length": "-1"})[0] == 413
    assert ask(served.url, "POST", "/stop", right | {"Transfer-Encoding": "chunked"})[0] == 413
    for method in ("PUT", "DELETE", "HEAD"):
        assert ask(served.url, method, "/stop", right)[0] == 501
    connection = http.client.HTTPConnection("127.0.0.1", served.port or 0)
    connection.request("GET", "/")
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ython" not in answer.headers["Server"]
    assert not served.look()
    assert ask(served.url, "POST", "/stop", right, bytes(1024))[0] == 200
    await_that(served.look)


def gone(connection: socket.socket) -> bool:
    with suppress(ConnectionResetError):
        return connection.recv(1) == b""
    return True


@pytest.mark.e2e
def test_nobody_without_the_token_takes_the_connections_of_who_has_it() -> None:
    stop = StopRequest()
    with stop_page(stop, 0) as page:
        assert page is not None
        served = Served(stop, page)
        at = "127.0.0.1", served.port or 0
        # 72 of 9 addresses, one of them ours: each sends a byte and says no more
        sources = [(f"127.0.0.{number}", 0) for number in range(1, 10) for _ in range(8)]
        idle = [socket.create_connection(at, source_address=source) for source in sources]
        for connection in idle[8:]:
            connection.send(b"P")
        assert all(map(gone, idle[:8]))  # the ninth address took the places of the oldest
        assert served.press() == 200
        await_that(served.look)
        for connection in idle:
            connection.close()


@pytest.mark.e2e
def test_a_request_that_trickles_is_hung_up_on() -> None:
    stop = StopRequest()
    with stop_page(stop, 0) as page:
        assert page is not None
        served = Served(stop, page)
        with socket.create_connection(("127.0.0.1", served.port or 0), timeout=0.1) as connection:

            def is_over() -> bool:
                with suppress(TimeoutError):
                    connection.send(b"P")
                    return gone(connection)
                return False

            with suppress(BrokenPipeError):
                await_that(is_over)
        assert served.press() == 200


@pytest.mark.e2e
def test_a_page_that_was_killed_stops_the_robot() -> None:
    stop = StopRequest()
    with stop_page(stop, 0) as page:
        assert page is not None
        os.kill(page._process.pid, signal.SIGKILL)
        await_that(lambda: stop.is_set(0))
    assert stop.is_emergency
    assert stop.reason == "the page with the STOP button is lost: its process has ended"


@pytest.mark.e2e
def test_a_page_that_hangs_stops_the_robot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 1.0)
    stop = StopRequest()
    with stop_page(stop, 0) as page:
        assert page is not None
        os.kill(page._process.pid, signal.SIGSTOP)
        await_that(lambda: stop.is_set(0))
    assert stop.is_emergency
    assert stop.reason == "the page with the STOP button is lost: no sign of life for 1 s"
    assert page._process.poll() is not None


@pytest.mark.e2e
def test_the_page_says_what_the_run_does_and_how_it_ended() -> None:
    stop = StopRequest()
    told: list[dict[str, Any]] = [{"phase": "", "why": ""}]
    with stop_page(stop, 0) as page:
        assert page is not None
        served = Served(stop, page)

        def poll() -> None:
            with suppress(OSError):  # it has ended
                while True:
                    told.append(served.state())
                    time.sleep(0.02)

        browser = threading.Thread(target=poll)
        browser.start()
        await_that(lambda: told[-1]["phase"] == "starting")
        served.look()
        await_that(lambda: told[-1]["phase"] == "running")
        stop.set("interrupt")
        served.look()
        await_that(lambda: told[-1]["phase"] == "stopping")
        assert told[-1]["why"] == "interrupt"
        page.over("the robot is parked")
    browser.join()
    assert (told[-1]["phase"], told[-1]["why"]) == ("over", "the robot is parked")


PARENT = """
import os, sys, time
from robot_orl.deploy.supervisor.stop_page import stop_page
from robot_orl.deploy.supervisor.stops import StopRequest
with stop_page(StopRequest(), 0) as page:
    other = os.fork()  # it holds both ends of all pipes, as a process of the run would
    if other:
        print(page._process.pid, other, flush=True)
    time.sleep(1000)
"""


@pytest.mark.e2e
def test_the_page_does_not_outlive_a_killed_run() -> None:
    with child([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        server, other = map(int, run.stdout.readline().split())
        try:
            assert Path(f"/proc/{server}").exists()
            run.kill()
            await_that(lambda: not Path(f"/proc/{server}").exists())
        finally:
            os.kill(other, signal.SIGKILL)


def test_what_nobody_looks_at_is_not_said_to_work() -> None:
    stop = StopRequest()
    page = StopPage(stop, "127.0.0.1", 0)
    page._listening.close()
    assert page._state(0) == {"phase": "starting", "why": ""}
    stop.is_set(5 * S)
    assert page._state(6 * S)["phase"] == "running"
    assert page._state(9 * S) == {"phase": "deaf", "why": "it has not looked at this button for 4 s"}
    stop.emergency("STOP was pressed in a browser at 10.0.0.7")
    assert page._state(6 * S)["phase"] == "running"  # the loop has yet to look
    assert page._state(9 * S)["phase"] == "deaf"
    stop.is_set(9 * S)
    assert page._state(20 * S) == {"phase": "stopping", "why": "STOP was pressed in a browser at 10.0.0.7"}


def test_a_run_that_is_over_is_not_called_deaf_while_its_record_is_committed() -> None:
    stop = StopRequest()
    page = StopPage(stop, "127.0.0.1", 0)
    page._listening.close()
    stop.is_set(5 * S)
    page.over("all of its time was used")
    assert page._state(60 * S) == {"phase": "over", "why": "all of its time was used"}


def test_a_place_where_nothing_can_be_served_is_named_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = f"^no page can be served at estop_host=127.0.0.1 estop_port={port}: Address already in use$"
        with pytest.raises(UsageError, match=said):
            StopPage(StopRequest(), "127.0.0.1", port)
    with pytest.raises(UsageError, match=r"Cannot assign requested address$"):
        StopPage(StopRequest(), "192.0.2.77", 0)
    with pytest.raises(UsageError, match="estop_host= needs estop_port="):
        DeployConfig(bundle="b", robot=None, estop_host="0.0.0.0")


@pytest.mark.e2e
@pytest.mark.parametrize(("host", "named"), [("::", None), ("127.0.0.2", "127.0.0.2")])
def test_the_address_that_is_printed_leads_to_the_page(host: str, named: str | None) -> None:
    with suppress(UsageError), stop_page(StopRequest(), 0, host) as page:  # no IPv6 here: nothing to be seen
        assert page is not None
        address = urlsplit(page.url)
        assert named is None or address.hostname == named
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PATIENCE_S)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
