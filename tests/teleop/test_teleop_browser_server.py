"""The process that serves the page: who may have it, and what it passes on."""

import http.client
import json
import os
import select
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import mujoco
import numpy as np
import pytest
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from data_collection.teleop.browser.hands import BrowserHands
from data_collection.teleop.hands import Jog, Order, Status, Verb
from data_collection.viewer.connections import MOST_CONNECTIONS
from data_collection.viewer.takes import Take
from robot_orl.errors import UsageError

pytestmark = pytest.mark.e2e
PATIENCE_S = 60.0
GRACE_S = 2.0
NO_PUSH = {"linear": [0, 0, 0], "angular": [0, 0, 0], "gripper": 0, "joints": None}


@contextmanager
def served(host: str = "127.0.0.1") -> Iterator[BrowserHands]:
    hands = BrowserHands(host, 0, {"task": "toy"}, action_size=2, tool=None, view={}, grace_s=GRACE_S)
    try:
        hands.open()
        yield hands
    finally:
        hands.close()


@pytest.fixture(scope="module")
def hands() -> Iterator[BrowserHands]:
    with served() as opened:
        yield opened


def until(does: Callable[[], Any]) -> Any:
    """What it gives, once that is something."""
    end_s = time.monotonic() + PATIENCE_S
    while not (found := does()):
        assert time.monotonic() < end_s, "it did not happen"
    return found


def fetch(hands: BrowserHands, path: str = "/", host: str = "") -> tuple[int, str]:
    at = urlsplit(hands.url)
    connection = http.client.HTTPConnection("127.0.0.1", at.port, timeout=PATIENCE_S)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{at.port}"})
    answer = connection.getresponse()
    text = answer.read().decode(errors="surrogateescape")
    connection.close()
    return answer.status, text


def token_of(hands: BrowserHands) -> str:
    """As its own page holds it."""
    return fetch(hands)[1].partition('name="token" content="')[2].partition('"')[0]


def page(hands: BrowserHands, token: str, seat: str = "", **headers: str) -> ClientConnection:
    at = f"ws://127.0.0.1:{urlsplit(hands.url).port}/hands?token={token}&seat={seat}"
    return connect(at, additional_headers=headers, open_timeout=PATIENCE_S)


def heard(connection: ClientConnection, does: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The first message of which that is so."""
    end_s, message = time.monotonic() + PATIENCE_S, {}
    while time.monotonic() < end_s:
        raw = connection.recv(timeout=PATIENCE_S)
        if isinstance(raw, bytes) and raw:  # the first, without any: there is no scene here
            say(connection, say="got", number=int.from_bytes(raw[:4], "little"))
        elif raw and does(message := json.loads(raw)):
            return message
    raise AssertionError(f"it was not said; but {message}")


def say(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def ordered(connection: ClientConnection, verb: str, value: Any = None) -> str:
    """Why the order was not taken; "" when it was."""
    say(connection, say="order", verb=verb, value=value)
    return str(heard(connection, lambda m: m["say"] == "answer" and m["verb"] == verb)["why"])


def jogged(hands: BrowserHands, connection: ClientConnection, at: int, **push: Any) -> Jog:
    """What arrives of it, once the page has got what it was shown."""

    def push_on() -> Jog | None:
        heard(connection, lambda m: m["say"] == "state")
        say(connection, say="jog", at=at, **(NO_PUSH | push))
        return hands.jog()

    return until(push_on)  # type: ignore[no-any-return]


def test_the_page_brings_all_of_itself_and_may_run_nothing_else(hands: BrowserHands) -> None:
    status, text = fetch(hands)
    assert status == 200
    assert "{token}" not in text
    assert "src=" not in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), "which is a name, and no address"


def test_an_episode_that_is_reviewed_can_be_had_with_the_token_and_by_its_number_only() -> None:
    take = Take(None, np.zeros(2), np.zeros((2, 1)), np.ones(2), names=("x",), hz=25.0)
    with served() as hands:
        token = token_of(hands)
        hands.review(take)
        with page(hands, token) as opened:
            hands.show(Status("reviewing"), list(Verb))
            number = heard(opened, lambda m: m["say"] == "state" and m["status"])["take"]
        status, text = fetch(hands, f"/replay?token={token}&number={number}")
        assert (status, text) == (200, take.packed().decode(errors="surrogateescape"))
        assert fetch(hands, f"/replay?number={number}")[0] == 403
        assert fetch(hands, f"/replay?token={token}&number={number}", host="attacker.example")[0] == 403
        for other in ("", "7", "-1", "1e0", "../1", "%31%00", "9" * 40, "²"):
            assert fetch(hands, f"/replay?token={token}&number={quote(other)}")[0] == 404, other
        folder = Path(hands._folder.name)  # type: ignore[union-attr]
        (folder / "2.partial").mkdir()  # whatever keeps it from being written
        hands.review(take)
        with page(hands, token) as opened:
            hands.show(Status("reviewing"), list(Verb))
            assert heard(opened, lambda m: m["say"] == "state" and m["take"] != number)["take"] is None
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "nobody else on this machine sees them"
    assert not folder.exists()


def test_another_name_of_this_machine_is_refused(hands: BrowserHands) -> None:
    assert fetch(hands, host="attacker.example")[0] == 403
    assert fetch(hands, path="/etc/passwd")[0] == 404


@pytest.mark.parametrize(
    ("token", "headers"),
    [("", {}), ("wrong", {}), (None, {"Origin": "http://attacker.example"}), (None, {"Origin": "null"})],
)
def test_hands_need_the_token_and_the_pages_own_origin(
    hands: BrowserHands, token: str | None, headers: dict[str, str]
) -> None:
    given = token_of(hands) if token is None else token
    with pytest.raises(InvalidStatus) as refused:
        page(hands, given, **headers)
    assert refused.value.response.status_code == 403


def test_jogs_and_orders_of_the_driver_arrive_and_others_are_counted(hands: BrowserHands) -> None:
    token = token_of(hands)
    with page(hands, token) as driver, page(hands, token) as watcher:
        heard(driver, lambda m: m["say"] == "state" and m["drives"])
        jog = jogged(hands, driver, at=7, linear=[0, 0, 0.5])
        assert jog.linear.tolist() == [0.0, 0.0, 0.5]
        assert hands.present()
        before = heard(driver, lambda m: m.get("at") == 7)["dropped"]
        for refused in ("no JSON", json.dumps({"say": "off", "at": "late"})):
            driver.send(refused)
        say(watcher, say="jog", at=1, **(NO_PUSH | {"linear": [1, 0, 0]}))
        say(watcher, say="order", verb="quit", value=None)
        say(watcher, say="grant")
        heard(watcher, lambda m: m.get("dropped") == before + 5)
        until(lambda: ordered(driver, "note", "über dem Tisch") == "")
        until(lambda: ordered(driver, "start") == "")
        orders: list[Order] = []
        until(lambda: len(orders.extend(hands.orders()) or orders) == 2)
        assert orders == [Order(Verb.NOTE, "über dem Tisch"), Order(Verb.START)]
        say(driver, say="off", at=8)
        until(lambda: hands.jog() is None)
    until(lambda: not hands.present())


def test_what_is_done_at_an_old_picture_is_hands_off_and_no_order(hands: BrowserHands) -> None:
    with page(hands, token_of(hands)) as driver:
        heard(driver, lambda m: m["say"] == "hello")
        until(lambda: not hands.present())  # whoever drove before
        jogged(hands, driver, at=1, linear=[0, 0, 1])
        while hands.jog() is not None:  # it goes on pushing, and draws no more
            say(driver, say="jog", at=2, **NO_PUSH)
            driver.recv(timeout=PATIENCE_S)
        assert hands.present()
        say(driver, say="order", verb="start", value=None)
        said: dict[str, Any] = {}
        while said.get("say") != "answer":
            raw = driver.recv(timeout=PATIENCE_S)
            said = json.loads(raw) if isinstance(raw, str) else {}
        assert said == {"say": "answer", "verb": "start", "why": "the picture was too old"}
        assert hands.orders() == []


def test_pages_are_told_what_the_session_shows(hands: BrowserHands) -> None:
    hands.show(Status("recording", step=3, warning="late"), [Verb.STOP])
    with page(hands, token_of(hands)) as opened:
        assert heard(opened, lambda m: m["say"] == "hello")["task"] == "toy"
        told = heard(opened, lambda m: m["say"] == "state" and m["status"])
        assert told["status"]["step"] == 3
        assert told["status"]["warning"] == "late"
        assert told["allowed"] == ["stop"]


def test_the_same_seat_is_taken_by_the_page_that_came_last(hands: BrowserHands) -> None:
    token = token_of(hands)
    with page(hands, token) as first:
        seat = heard(first, lambda m: m["say"] == "hello")["seat"]
        until(lambda: not hands.present())  # whoever drove before
        say(first, say="ask")
        heard(first, lambda m: m["say"] == "state" and m["drives"])
        with page(hands, token, seat) as again:
            assert heard(again, lambda m: m["say"] == "hello")["seat"] == seat
            assert heard(again, lambda m: m["say"] == "state")["drives"]
            with page(hands, token, "of-my-own-making") as other:
                assert heard(other, lambda m: m["say"] == "hello")["seat"] != "of-my-own-making"
                assert not heard(other, lambda m: m["say"] == "state")["drives"]


def test_a_page_whose_seat_another_has_taken_neither_drives_nor_orders(hands: BrowserHands) -> None:
    token, at = token_of(hands), urlsplit(hands.url)
    protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{at.port}/hands?token={token}"))
    with socket.create_connection(("127.0.0.1", at.port), timeout=PATIENCE_S) as wire:

        def exchange() -> dict[str, Any]:
            """What goes out, and the first state or greeting that comes back."""
            for sent in protocol.data_to_send():
                wire.sendall(sent)
            protocol.receive_data(wire.recv(65_536))
            texts = [event.data for event in protocol.events_received() if isinstance(event, Frame)]
            return next((json.loads(text) for text in texts if text.startswith(b'{"say": "hello')), {})

        protocol.send_request(protocol.connect())
        seat = until(exchange)["seat"]
        with page(hands, token, seat) as again:
            before = heard(again, lambda m: m["say"] == "state")["dropped"]
            for message in (
                {"say": "jog", "at": 9, **NO_PUSH},
                {"say": "order", "verb": "quit", "value": None},
            ):
                protocol.send_text(json.dumps(message).encode())  # it has not heard yet that it is closed
            for sent in protocol.data_to_send():
                wire.sendall(sent)
            heard(again, lambda m: m.get("dropped") == before + 2)
            assert hands.jog() is None
            assert hands.orders() == []


def test_for_other_machines_the_page_itself_needs_the_token() -> None:
    with served("0.0.0.0") as hands:
        token = hands.url.partition("?token=")[2]
        assert token
        assert fetch(hands)[0] == 403
        assert fetch(hands, "/?token=wrong")[0] == 403
        assert fetch(hands, f"/?token={token}")[0] == 200


def test_without_its_process_nobody_is_there_and_what_waits_for_no_terminal_says_so_at_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = "the page was lost: the process that serves it ended before this did"
    with served() as hands:
        with page(hands, token_of(hands)) as driver:
            jogged(hands, driver, at=1)
            assert hands._process is not None
            hands._process.kill()
            until(lambda: hands.jog() is None)
            until(lambda: not hands.present())
        assert hands.orders() == [Order(Verb.QUIT)], "nobody can come back"
        assert hands.orders() == [], "that is ordered once"
        assert lost not in capsys.readouterr().out
    hands.close()
    assert capsys.readouterr().out.count(lost) == 1


def test_hands_that_are_on_when_their_page_or_its_process_falls_silent_are_cut_off() -> None:
    with served() as hands, page(hands, token_of(hands)) as first:

        def is_heard(connection: ClientConnection) -> bool:
            jogged(hands, connection, at=1, gripper=1.0)
            return hands.heard()

        until(lambda: is_heard(first))
        assert hands._process is not None
        os.kill(hands._process.pid, signal.SIGSTOP)
        until(hands.cut_off)
        assert not hands.heard()
        os.kill(hands._process.pid, signal.SIGCONT)
        until(lambda: is_heard(first))
        assert not hands.cut_off()
        first.close()
        until(hands.cut_off)
        assert not hands.heard()


def test_of_a_world_that_cannot_be_drawn_nothing_is_left_open() -> None:
    hands = BrowserHands("127.0.0.1", 0, {}, action_size=2, tool="no such site", view={}, grace_s=GRACE_S)
    port = urlsplit(hands.url).port
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    with pytest.raises(KeyError):
        hands.watch(model, mujoco.MjData(model))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def test_the_page_is_told_which_text_was_not_taken_and_why(hands: BrowserHands) -> None:
    with page(hands, token_of(hands)) as driver:
        heard(driver, lambda m: m["say"] == "hello")
        assert ordered(driver, "note", "two\nlines").startswith("it has a character that is no text")


def test_a_connection_that_says_nothing_is_closed_and_there_are_no_more_than_32() -> None:
    with served() as hands, ExitStack() as held:
        at = ("127.0.0.1", urlsplit(hands.url).port)
        silent = [
            held.enter_context(socket.create_connection(at, timeout=PATIENCE_S))
            for _ in range(MOST_CONNECTIONS + 1)
        ]
        assert select.select(silent, [], [], PATIENCE_S)[0] == [silent[-1]], "the one too many, at once"
        for wire in silent:
            with suppress(ConnectionResetError):
                assert wire.recv(1) == b""
        assert fetch(hands)[0] == 200


def test_a_taken_port_is_named_in_one_line() -> None:
    with served() as hands:
        port = urlsplit(hands.url).port
        with pytest.raises(UsageError, match=rf"operator\.host=127\.0\.0\.1 operator\.port={port}: .*in use"):
            BrowserHands("127.0.0.1", port, {}, action_size=2, tool=None, view={}, grace_s=GRACE_S)
