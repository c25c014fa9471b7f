"""What pages are told of learning, and the episodes that they can see again."""

import json
import os
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from data_collection.teleop.browser.board import MOST_REPLAYS, Board, News, Replays
from data_collection.teleop.browser.hands import BrowserHands
from robot_orl.training.online.desk import Desk, Seat


@pytest.fixture
def desk() -> Desk:
    return Desk(3)


def told(news: News) -> list[dict[str, object]]:
    return [json.loads(message) for message in news.messages()]


def test_each_page_is_told_what_is_new_once(desk: Desk, tmp_path: Path) -> None:
    memory, orders = desk.descriptors
    seat = Seat(memory, orders, 3)
    board, replays = Board(seat.board, seat.board_bytes), Replays(tmp_path)
    page = News(board, replays)
    assert told(page) == []
    desk.publish({"said": "é"})
    desk.publish_value(-2.0)
    first = [{"say": "board", "replays": [], "board": {"said": "é"}}, {"say": "value", "value": -2.0}]
    assert told(page) == first
    assert told(page) == []
    desk.publish_value(None)
    assert told(page) == [{"say": "value", "value": None}]
    replays.keep(7, b"take")
    assert told(page) == [{"say": "board", "replays": [7], "board": {"said": "é"}}]
    late = told(News(board, replays))
    assert late == [{"say": "board", "replays": [7], "board": {"said": "é"}}, {"say": "value", "value": None}]


def test_the_latest_episodes_are_kept_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    writes, reads = Replays(tmp_path), Replays(tmp_path)
    for i in range(MOST_REPLAYS + 2):
        writes.keep(100 - i, bytes([i]))
        path = tmp_path / f"{100 - i}.take"
        os.utime(path, ns=(i, i))  # a clock may be too coarse to tell them apart
        os.utime(tmp_path, ns=(i, i))
    assert reads.numbers() == [100 - i for i in range(2, MOST_REPLAYS + 2)]
    assert reads.read(98) == b"\x02"
    assert reads.read(100) is None
    assert reads.read(1) is None


def test_a_board_may_be_as_long_as_it_gets(desk: Desk, tmp_path: Path) -> None:
    memory, orders = desk.descriptors
    seat = Seat(memory, orders, 3)
    values = np.linspace(-50, 0, 1_000).round(2).tolist()
    board = {"curve": [[i * 2_000, 0.512, 0.2346, 0.8123] for i in range(500)], "recent": [values] * 8}
    desk.publish(board)
    (found,) = told(News(Board(seat.board, seat.board_bytes), Replays(tmp_path)))
    assert found["board"] == board


@pytest.mark.e2e
def test_an_episode_is_had_with_the_token_and_by_its_number_only() -> None:
    hands = BrowserHands("127.0.0.1", 0, {"task": "toy"}, action_size=2, tool=None, view={}, grace_s=1.0)
    try:
        hands.open()
        assert hands._folder is not None
        folder = Path(hands._folder.name)
        Replays(folder).keep(7, b"an episode")
        (folder / "secret").write_bytes(b"no episode")

        def answer(path: str) -> tuple[int, bytes]:
            connection = HTTPConnection("127.0.0.1", urlsplit(hands.url).port, timeout=60.0)
            connection.request("GET", path)
            found = connection.getresponse()
            return found.status, found.read()

        token = hands._told["token"]
        assert answer(f"/replay?token={token}&number=7") == (200, b"an episode")
        assert answer("/replay?number=7")[0] == 403
        for number in ("", "8", "-7", "..%2Fsecret", "secret", "7" * 400, "%C2%B2"):
            assert answer(f"/replay?token={token}&number={number}") == (404, b"no such episode"), number
    finally:
        hands.close()
    assert not folder.exists()
