"""The process that serves the page: who may have it, and what it passes on."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from data_collection.teleop.browser.hands import BrowserHands
from data_collection.teleop.hands import Order, Status, Verb
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
    text = answer.read().decode()
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
        if isinstance(raw, str) and does(message := json.loads(raw)):
            return message
    raise AssertionError(f"it was not said; but {message}")


def say(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def test_the_page_brings_all_of_itself_and_may_run_nothing_else(hands: BrowserHands) -> None:
    status, text = fetch(hands)
    assert status == 200
    assert "{token}" not in text
    assert "src=" not in text
    assert "http://" not in text.replace("location.protocol", "")


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
        say(driver, say="jog", at=7, **(NO_PUSH | {"linear": [0, 0, 0.5]}))
        jog = until(hands.jog)
        assert jog.linear.tolist() == [0.0, 0.0, 0.5]
        assert hands.present()
        before = heard(driver, lambda m: m.get("at") == 7)["dropped"]
        for refused in ("no JSON", json.dumps({"say": "off", "at": "late"})):
            driver.send(refused)
        say(watcher, say="jog", at=1, **(NO_PUSH | {"linear": [1, 0, 0]}))
        say(watcher, say="order", verb="quit", value=None)
        say(watcher, say="grant")
        heard(watcher, lambda m: m.get("dropped") == before + 5)
        say(driver, say="order", verb="note", value="über dem Tisch")
        say(driver, say="order", verb="start", value=None)
        orders: list[Order] = []
        until(lambda: len(orders.extend(hands.orders()) or orders) == 2)
        assert orders == [Order(Verb.NOTE, "über dem Tisch"), Order(Verb.START)]
        say(driver, say="off", at=8)
        until(lambda: hands.jog() is None)
    until(lambda: not hands.present())


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


def test_for_other_machines_the_page_itself_needs_the_token() -> None:
    with served("0.0.0.0") as hands:
        token = hands.url.partition("?token=")[2]
        assert token
        assert fetch(hands)[0] == 403
        assert fetch(hands, "/?token=wrong")[0] == 403
        assert fetch(hands, f"/?token={token}")[0] == 200


def test_without_its_process_nobody_is_there() -> None:
    with served() as hands:
        with page(hands, token_of(hands)) as driver:
            say(driver, say="jog", at=1, **NO_PUSH)
            until(hands.jog)
            assert hands._process is not None
            hands._process.kill()
            until(lambda: hands.jog() is None)
            until(lambda: not hands.present())
        assert hands.orders() == []


def test_a_taken_port_is_named_in_one_line() -> None:
    with served() as hands:
        port = urlsplit(hands.url).port
        with pytest.raises(UsageError, match=rf"operator\.host=127\.0\.0\.1 operator\.port={port}: .*in use"):
            BrowserHands("127.0.0.1", port, {}, action_size=2, tool=None, view={}, grace_s=GRACE_S)
