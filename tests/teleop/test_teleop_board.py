"""What pages are told of learning, and the episodes that they can see again."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_collection.teleop.browser.board import MOST_REPLAYS, Board, News, Replays
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
