"""What one page is told, at its own pace; the server that it belongs to is `server.HandsServer`."""

import asyncio
import json
import struct
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from data_collection.teleop.browser.board import Board, News, Replays
from data_collection.teleop.browser.pictures import Pictures
from data_collection.teleop.browser.seats import Seats
from data_collection.teleop.browser.shared import Shared

SHOW_S = 1 / 40  # between two looks for something new to show
SAME_S = 0.1  # between two pictures of a world in which nothing moves
TELL_S = 0.25  # and the pages of a session in which nothing changes
MOST_ANSWERS = 16  # that wait for a page


class Server(Protocol):
    """What pages have in common.  hello: what every page is told first.  dropped: messages that were none.
    board: what a learner publishes; None: nobody learns.
    """

    shared: Shared
    seats: Seats
    hello: Mapping[str, Any]
    dropped: int
    board: Board | None
    replays: Replays


class Page:
    """What one page is told: first itself and the scene, then whatever is new; slow ones miss something.

    text    {"say": "hello", "seat": ...}, {"say": "state", ...}, {"say": "over"}, and those of `board.News`
            {"say": "answer", "verb": ..., "why": "" or why an order was not taken}
    bytes   the scene, the first; then pictures: number, uint32, and where things are, see
            `viewer.scene.Scene`, or nothing more where they are as they were
    """

    def __init__(self, server: Server, connection: ServerConnection, seat: str) -> None:
        self._server, self.connection, self.seat = server, connection, seat
        self.at = 0.0  # [ms] by its own clock, when it was last heard of
        self.pictures = Pictures()
        self.answers: deque[dict[str, Any]] = deque(maxlen=MOST_ANSWERS)
        self._news = News(server.board, server.replays) if server.board is not None else None

    async def tell(self) -> None:
        shared = self._server.shared
        seen, sent_s, told, told_s = 0, 0.0, "", 0.0
        with suppress(ConnectionClosed):
            await self.connection.send(json.dumps({"say": "hello", "seat": self.seat, **self._server.hello}))
            await self.connection.send(shared.scene)
            while True:
                moment, now_s = shared.moment.read(), time.monotonic()
                is_new = moment is not None and moment.number != seen
                if self.pictures.may_send and (is_new or now_s - sent_s > SAME_S):
                    seen, sent_s = (moment.number if moment is not None else 0), now_s
                    poses = moment.payload.tobytes() if moment is not None and is_new else b""
                    await self.connection.send(struct.pack("<I", self.pictures.sent(now_s)) + poses)
                while self.answers:
                    await self.connection.send(json.dumps(self.answers.popleft()))
                if self._news is not None and self.pictures.may_send:
                    for message in self._news.messages():
                        await self.connection.send(message)
                state = self._state(now_s)
                may_tell = self.pictures.may_send or now_s - told_s > TELL_S  # on a slow way, less
                if may_tell and ((news := json.dumps(state)) != told or now_s - told_s > TELL_S):
                    told, told_s = news, now_s
                    await self.connection.send(news)
                await asyncio.sleep(SHOW_S)

    def _state(self, now_s: float) -> dict[str, Any]:
        """status: see `hands.Status`, None before the first.  silent_ms: of the loop, rounded."""
        seats, status = self._server.seats, self._server.shared.status.read()
        silent_s = now_s - status.t_ns / 1e9 if status is not None else 0.0
        return {
            "say": "state",
            **(json.loads(status.payload.tobytes()) if status is not None else {"status": None}),
            "silent_s": round(silent_s) if silent_s > 1 else 0,
            "drives": self.seat == seats.driver,
            "driven": seats.is_driven(now_s),
            "asks": self.seat == seats.asking,
            "asked": seats.asking is not None and self.seat == seats.driver,
            "pages": seats.pages,
            "dropped": self._server.dropped,
            "at": self.at,
        }
