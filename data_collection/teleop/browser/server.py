"""The process that serves the page. It drives nothing, and the loop never waits for it.

python -m data_collection.teleop.browser.server LISTENING MEMORY        two file descriptors

stdin    one line, see `main`; its end is the session's
stdout   a line "." once it serves, and a line of JSON for each order

GET /?token=        the page
GET /hands?token=   the websocket: messages.py up, `_Page` down
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from data_collection.teleop.browser.messages import MAX_BYTES, Malformed, Message, read
from data_collection.teleop.browser.pictures import Pictures
from data_collection.teleop.browser.seats import Seats
from data_collection.teleop.browser.shared import Shared, Sizes
from data_collection.teleop.hands import Jog, Order
from data_collection.viewer.document import assembled, policy_of
from data_collection.viewer.door import Door, query_of

PAGE, STYLE = "teleop/browser/page.html", ("viewer/base.css", "teleop/browser/page.css")
SCRIPTS = (
    *("viewer/vectors.js", "viewer/view.js"),
    *("teleop/browser/gizmo.js", "teleop/browser/hands.js", "teleop/browser/page.js"),
)
SHOW_S = 1 / 40  # between two looks for something new to show
BEAT_S = 0.1  # the loop hears at least so often of the hands
SAME_S = 0.1  # between two pictures of a world in which nothing moves
TELL_S = 0.25  # and the pages of a session in which nothing changes
LINGER_S = 0.3  # after the session, for pages to hear that it is over
MOST_PAGES = 16
MOST_CONNECTIONS = 32  # pages, and those that are still to say what they are
OPENS_S = 5.0  # in which they have to
MOST_ANSWERS = 16  # that wait for a page
TAKEN = 4001  # close code: the same seat is used by another page


class HandsServer:
    """Pages, who of them drives, and what the loop is told."""

    def __init__(self, told: dict[str, Any], shared: Shared) -> None:
        self.shared, self.seats = shared, Seats(float(told["grace_s"]))
        self.joints = int(told["joints"])
        self.hello = told["hello"]
        self.dropped = 0  # messages that were none, or not of the driver
        self._page = assembled(PAGE, STYLE, SCRIPTS, {"token": told["token"]})
        self._door = Door(told["token"], bool(told["is_local"]), told["address"], policy_of(self._page))
        self._pages: dict[str, _Page] = {}
        self._closing: asyncio.Task[None] | None = None  # a page that may be gone is not waited for
        os.set_blocking(sys.stdout.fileno(), False)

    # Requests

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """What a request gets; None: the websocket that it asks for."""
        path = urlsplit(request.path).path
        if path not in ("/", "/hands"):
            return self._door.text(404, "no such page")
        if (refused := self._door.refusal(request)) is not None:
            return refused
        if path == "/":
            return self._door.text(200, self._page)
        if len(self._pages) >= MOST_PAGES:
            return self._door.text(503, "too many pages")
        return None

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
        page = self._pages[seat] = _Page(self, connection, seat)
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

    def _leave(self, page: "_Page") -> None:
        del self._pages[page.seat]
        self.seats.leave(page.seat, time.monotonic())
        self.pass_on()

    def _hear(self, page: "_Page", raw: str | bytes) -> None:
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

    def _obey(self, page: "_Page", message: Message) -> bool:
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

    def _order(self, page: "_Page", order: Order) -> bool:
        """To the loop, if the page drives and shows what is so; it is told either way."""
        if page.seat != self.seats.driver:
            why = "another page drives"
        elif not page.pictures.is_fresh(time.monotonic()):
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


class _Page:
    """What one page is told: first itself and the scene, then whatever is new; slow ones miss something.

    text    {"say": "hello", "seat": ...}, {"say": "state", ...}, {"say": "over"}
            {"say": "answer", "verb": ..., "why": "" or why an order was not taken}
    bytes   the scene, the first; then pictures: number, uint32, and where things are, see
            `viewer.scene.Scene`, or nothing more where they are as they were
    """

    def __init__(self, server: HandsServer, connection: ServerConnection, seat: str) -> None:
        self.server, self.connection, self.seat = server, connection, seat
        self.at = 0.0  # [ms] by its own clock, when it was last heard of
        self.pictures = Pictures()
        self.answers: deque[dict[str, Any]] = deque(maxlen=MOST_ANSWERS)

    async def tell(self) -> None:
        shared = self.server.shared
        seen, sent_s, told, told_s = 0, 0.0, "", 0.0
        with suppress(ConnectionClosed):
            await self.connection.send(json.dumps({"say": "hello", "seat": self.seat, **self.server.hello}))
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
                state = self._state(now_s)
                may_tell = self.pictures.may_send or now_s - told_s > TELL_S  # on a slow way, less
                if may_tell and ((news := json.dumps(state)) != told or now_s - told_s > TELL_S):
                    told, told_s = news, now_s
                    await self.connection.send(news)
                await asyncio.sleep(SHOW_S)

    def _state(self, now_s: float) -> dict[str, Any]:
        """status: see `hands.Status`, None before the first.  silent_ms: of the loop, rounded."""
        seats, status = self.server.seats, self.server.shared.status.read()
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
            "dropped": self.server.dropped,
            "at": self.at,
        }


class _Connection(ServerConnection):
    """One too many is closed before it is heard."""

    open_now = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _Connection.open_now += 1
        super().connection_made(transport)
        if _Connection.open_now > MOST_CONNECTIONS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        _Connection.open_now -= 1
        super().connection_lost(exc)


def tell(line: str) -> bool:
    """A line for the loop; whether there was room for it. It never waits."""
    try:
        os.write(sys.stdout.fileno(), line.encode() + b"\n")
        return True
    except BlockingIOError:
        return False
    except OSError:
        os._exit(0)  # the loop has gone


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


async def _run(listening: socket.socket, server: HandsServer) -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    options: dict[str, Any] = {
        "process_request": server.answer,
        "create_connection": _Connection,
        "open_timeout": OPENS_S,
        "ping_timeout": 10,
        "max_size": 4 * MAX_BYTES,
        "server_header": None,
    }
    async with serve(server.serve_page, sock=listening, **options):
        tell(".")
        beating = asyncio.create_task(server.beat())
        await ended.wait()
        beating.cancel()
        await server.say_over()
    os._exit(0)


def main() -> None:
    """First line of stdin: token, is_local, address, joints, grace_s, sizes, and `hello` of pages."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are for the parent, with which this ends
    told = json.loads(sys.stdin.buffer.readline())
    shared = Shared(int(sys.argv[2]), Sizes(**told["sizes"]))
    asyncio.run(_run(socket.socket(fileno=int(sys.argv[1])), HandsServer(told, shared)))


if __name__ == "__main__":
    main()
