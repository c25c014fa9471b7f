"""The process that serves the page. It drives nothing, and the loop never waits for it.

python -m data_collection.teleop.browser.server LISTENING MEMORY        two file descriptors

stdin    one line, see `main`; its end is the session's
stdout   a line "." once it serves, and a line of JSON for each order

GET /?token=        the page
GET /hands?token=   the websocket: messages.py up, page.py down
GET /replay?token=&number=   an episode that was played, see `viewer.takes`
"""

import asyncio
import json
import secrets
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from data_collection.teleop.browser.board import Board, Replays
from data_collection.teleop.browser.messages import Malformed, Message, read
from data_collection.teleop.browser.page import Page
from data_collection.teleop.browser.seats import Seats
from data_collection.teleop.browser.serving import run, tell
from data_collection.teleop.browser.shared import Shared, Sizes
from data_collection.teleop.hands import Jog, Order, Verb
from data_collection.viewer.document import TIMELINE, assembled, policy_of
from data_collection.viewer.door import Door, query_of

PAGE = "teleop/browser/page.html"
STYLE = (
    *("viewer/base.css", "viewer/timeline.css"),
    *(f"teleop/browser/{name}.css" for name in ("page", "dashboard", "deployment")),
)
OWN = (
    *("gizmo", "hands", "connection", "picture", "session"),
    *("replay", "review", "dashboard", "deployment", "page"),
)
SCRIPTS = (
    *("viewer/vectors.js", "viewer/view.js", *TIMELINE),
    *(f"teleop/browser/{name}.js" for name in OWN),
)
BEAT_S = 0.1  # the loop hears at least so often of the hands
LINGER_S = 0.3  # after the session, for pages to hear that it is over
MOST_PAGES = 16
MOST_DIGITS = 20  # of an episode's number
TAKEN = 4001  # close code: the same seat is used by another page


class HandsServer:
    """Pages, who of them drives, and what the loop is told."""

    def __init__(self, told: dict[str, Any], shared: Shared) -> None:
        self.shared, self.seats = shared, Seats(float(told["grace_s"]))
        self.joints = int(told["joints"])
        self.hello = told["hello"]
        self.board = Board(**told["board"]) if told["board"] else None
        self._folder = Path(told["folder"])
        self.replays = Replays(self._folder)
        self.dropped = 0  # messages that were none, or not of the driver
        self._page = assembled(PAGE, STYLE, SCRIPTS, {"token": told["token"]})
        self._door = Door(told["token"], bool(told["is_local"]), told["address"], policy_of(self._page))
        self._pages: dict[str, Page] = {}
        self._closing: asyncio.Task[None] | None = None  # a page that may be gone is not waited for

    # Requests

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """What a request gets; None: the websocket that it asks for."""
        path = urlsplit(request.path).path
        if path not in ("/", "/hands", "/replay"):
            return self._door.text(404, "no such page")
        if (refused := self._door.refusal(request)) is not None:
            return refused
        if path == "/":
            return self._door.text(200, self._page)
        if path == "/replay":
            return self._replay(query_of(request).get("number", ""))
        if len(self._pages) >= MOST_PAGES:
            return self._door.text(503, "too many pages")
        return None

    def _replay(self, number: str) -> Response:
        packed = self.replays.read(int(number)) if number.isdecimal() and len(number) < MOST_DIGITS else None
        return self._door.text(404, "no such episode") if packed is None else self._door.data(packed)

    # Pages

    async def serve_page(self, connection: ServerConnection) -> None:
        """One page, for as long as its connection lasts."""
        assert connection.request is not None
        seat = query_of(connection.request).get("seat", "")
        if (other := self._pages.get(seat)) is not None:
            self.seats.hear(seat, None, time.monotonic())  # what the other page pushed is not this one's
            self._closing = asyncio.create_task(other.connection.close(TAKEN, "opened elsewhere"))
        elif seat != self.seats.driver:
            seat = secrets.token_urlsafe(16)
        page = self._pages[seat] = Page(self, connection, seat)
        if other is None:
            self.seats.join(seat, time.monotonic())
        self.pass_on()
        telling = asyncio.create_task(page.tell())
        try:
            with suppress(ConnectionClosed):
                async for raw in connection:
                    self._hear(page, raw)
        finally:
            telling.cancel()
            if self._pages.get(seat) is page:
                self._leave(page)

    def _leave(self, page: Page) -> None:
        del self._pages[page.seat]
        self.seats.leave(page.seat, time.monotonic())
        self.pass_on()

    def _hear(self, page: Page, raw: str | bytes) -> None:
        if self._pages.get(page.seat) is not page:  # another one has its seat
            self.dropped += 1
            return
        try:
            message = read(raw, self.joints)
        except Malformed as error:
            self.dropped += 1
            if error.verb is not None:
                page.answers.append({"say": "answer", "verb": error.verb, "why": str(error)})
            return
        page.at = message.at or page.at
        if not self._obey(page, message):
            self.dropped += 1

    def _obey(self, page: Page, message: Message) -> bool:
        """Whether the page may say that, and it was taken."""
        seat, now_s = page.seat, time.monotonic()
        if message.say == "got":
            return page.pictures.got(message.number)
        if message.say == "ask":
            self.seats.ask(seat, now_s)
        elif message.say in ("grant", "refuse"):
            return self.seats.answer(seat, message.say == "grant", now_s)
        elif message.order is not None:
            return self._order(page, message.order)
        elif self.seats.hear(seat, message.jog if page.pictures.is_fresh(now_s) else None, now_s):
            self.pass_on()
        else:
            return message.say == "off"  # which every page says, to be heard of
        return True

    def _order(self, page: Page, order: Order) -> bool:
        """To the loop, if the page drives and shows what is so; it is told either way.

        A deployed robot is halted by whoever wants it halted.
        """
        is_for_all = order.verb == Verb.HALT
        if page.seat != self.seats.driver and not is_for_all:
            why = "another page drives"
        elif not is_for_all and not page.pictures.is_fresh(time.monotonic()):
            why = "the picture was too old"
        else:
            said = {"verb": order.verb, "value": order.value}
            why = "" if tell(json.dumps(said, ensure_ascii=False)) else "the session is busy"
        page.answers.append({"say": "answer", "verb": order.verb, "why": why})
        return not why

    # The loop

    def pass_on(self) -> None:
        """The loop is told what the hands do now."""
        now_s = time.monotonic()
        said = {
            "driven": self.seats.is_driven(now_s),
            "heard": self.seats.is_heard(now_s),
            "cut_off": self.seats.is_cut_off(now_s),
            "pages": self.seats.pages,
            "dropped": self.dropped,
            "jog": _plain(self.seats.jog(now_s)),
        }
        self.shared.hands.write(time.monotonic_ns(), np.frombuffer(json.dumps(said).encode(), np.uint8))

    async def beat(self) -> None:
        while True:
            self.seats.tick(time.monotonic())
            self.pass_on()
            await asyncio.sleep(BEAT_S)

    async def say_over(self) -> None:
        """The session has ended. Pages that do not take it in time are not waited for."""
        last = [page.connection.send(json.dumps({"say": "over"})) for page in self._pages.values()]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*last, return_exceptions=True), LINGER_S)
        await asyncio.sleep(LINGER_S)
        shutil.rmtree(self._folder, ignore_errors=True)  # a killed loop does not


def _plain(jog: Jog | None) -> dict[str, Any] | None:
    if jog is None:
        return None
    joints = None if jog.joints is None else jog.joints.tolist()
    return {
        "linear": jog.linear.tolist(),
        "angular": jog.angular.tolist(),
        "gripper": jog.gripper,
        "joints": joints,
    }


def main() -> None:
    """First line of stdin: token, is_local, address, joints, grace_s, sizes, board, folder, and `hello` of
    pages."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the parent, with which this ends
    told = json.loads(sys.stdin.buffer.readline())
    shared = Shared(int(sys.argv[2]), Sizes(**told["sizes"]))
    asyncio.run(run(socket.socket(fileno=int(sys.argv[1])), HandsServer(told, shared)))


if __name__ == "__main__":
    main()
