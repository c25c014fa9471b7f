"""Serves the page. What it asks for is read by one thread, so that the pages stay connected meanwhile.

GET /?token=        the page
GET /asks?token=    the websocket: messages.py up; down

    text    {"say": "answer", "number": of the question, "why": "" or why there is none, "found": ...}
            of labels that could be written half way only, both: why, and the rows that are otherwise now
            {"say": "changed", "rows": [...]}       what another page, or this one, has changed
    bytes   number of the question, uint32, and what was asked for; nothing more: there is none
"""

import asyncio
import json
import secrets
import socket
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from data_collection.browse.library import COLUMNS, HalfLabelled, Labels, Library
from data_collection.browse.messages import MAX_BYTES, Malformed, Question, read
from data_collection.browse.pictures import jpeg, packed
from data_collection.browse.worlds import Worlds, has_states
from data_collection.viewer.connections import Connection
from data_collection.viewer.document import assembled, policy_of
from data_collection.viewer.door import Door
from robot_orl.deploy.supervisor.listening import address_of, named
from robot_orl.errors import RobotOrlError

PAGE, STYLE = "browse/page.html", ("viewer/base.css", "viewer/timeline.css", "browse/page.css")
SCRIPTS = (
    *("viewer/vectors.js", "viewer/view.js", "viewer/curves.js", "viewer/timeline.js"),
    *(f"browse/{name}.js" for name in ("asking", "table", "thumbnails", "player", "labels")),
    *(f"browse/{name}.js" for name in ("listing", "episode", "page")),
)
OPENS_S, CLOSES_S = 10.0, 2.0  # in which a connection says what it wants, and goes
THUMBNAIL = 240  # pixels
REASON, UNDONE = "seen in dataset browse", "undone"


@dataclass(eq=False)
class _Page:
    """listed: ids of the episodes in its table, in its order.  before: what its latest labels replaced."""

    connection: ServerConnection
    listed: list[str] = field(default_factory=list)
    before: Labels = field(default_factory=dict)


class BrowseServer:
    """Of one dataset, for every page that is open."""

    def __init__(self, library: Library, token: str, is_local: bool, address: str, where: str) -> None:
        """where: the query that pages begin with.  token, is_local, address: see `Door`."""
        self._library, self._worlds, self._where = library, Worlds(library.dataset.spec), where
        self._page = assembled(PAGE, STYLE, SCRIPTS, {"token": token})
        self._door = Door(token, is_local, address, policy_of(self._page))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="browse")
        self._pages: set[_Page] = set()
        self._is_fresh = True  # the library was opened a moment ago, for the first page
        self._answers: Mapping[str, Callable[[Question, _Page], Any]] = {
            "list": self._list,
            "match": lambda asked, page: library.matching(asked.where, page.listed),
            "shares": lambda asked, page: library.shares(),
            "about": lambda asked, page: library.about(asked.episode),
            "scene": self._scene,
            "moment": self._moment,
            "take": self._take,
            "picture": self._picture,
            "frames": lambda asked, page: packed(
                library.frames(asked.episode, asked.camera, slice(*asked.frames))
            ),
            "relabel": self._relabel,
            "undo": self._undo,
        }

    async def serve(self, listening: socket.socket) -> None:
        """Until it is cancelled."""
        options: dict[str, Any] = {
            "process_request": self.answer,
            "create_connection": Connection,
            "open_timeout": OPENS_S,
            "close_timeout": CLOSES_S,
            "max_size": 2 * MAX_BYTES,
            "compression": None,  # poses and pictures hardly become smaller
            "server_header": None,
        }
        try:
            async with serve(self.serve_page, sock=listening, **options):
                await asyncio.Future()
        finally:
            self._worker.shutdown(wait=True, cancel_futures=True)  # labels that are being written stay whole
            self._worlds.close()

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """What a request gets; None: the websocket that it asks for."""
        path = urlsplit(request.path).path
        if path not in ("/", "/asks"):
            return self._door.text(404, "no such page")
        if (refused := self._door.refusal(request)) is not None:
            return refused
        return self._door.text(200, self._page) if path == "/" else None

    async def serve_page(self, connection: ServerConnection) -> None:
        """One page, for as long as its connection lasts."""
        page = _Page(connection)
        self._pages.add(page)
        try:
            with suppress(ConnectionClosed):
                async for raw in connection:
                    await self._hear(page, raw)
        finally:
            self._pages.discard(page)

    async def _hear(self, page: _Page, raw: str | bytes) -> None:
        number: int | None = None
        found: Any = None
        why = ""
        try:
            asked = read(raw)
            number = asked.number
            loop, make = asyncio.get_running_loop(), self._answers[asked.say]
            found = await loop.run_in_executor(self._worker, make, asked, page)
        except Malformed as error:
            number, why = error.number, str(error)
        except (RobotOrlError, OSError) as error:
            found, why = error.rows if isinstance(error, HalfLabelled) else None, str(error)
        if isinstance(found, bytes):
            await page.connection.send(struct.pack("<I", number) + found)
            return
        await page.connection.send(_text({"say": "answer", "number": number, "why": why, "found": found}))
        if found and asked.say in ("relabel", "undo"):
            news = _text({"say": "changed", "rows": found})
            for other in self._pages - {page}:
                asyncio.create_task(_told(other.connection, news))  # noqa: RUF006  a page that does not take it is gone

    # Answers, in the thread that reads

    def _list(self, asked: Question, page: _Page) -> dict[str, Any]:
        library = self._library
        if not self._is_fresh:
            library.refresh()
        self._is_fresh = False
        page.listed = library.ids()
        spec = library.dataset.spec
        return {
            "path": library.path,
            "task": spec.task,
            "hz": spec.control_hz,
            "where": self._where,
            "cameras": list(spec.cameras),
            "worlds": {s.path.name: self._worlds.name(s) for s in library.segments},
            "observed": [s.path.name for s in library.segments if not has_states(s)],
            "writers": {s.path.name: s.writer for s in library.segments if s.writer},
            "columns": COLUMNS,
            "rows": [library.row(episode) for episode in page.listed],
        }

    def _scene(self, asked: Question, page: _Page) -> bytes:
        segment = self._library.segment(self._library.record(asked.episode))
        return self._worlds.of(segment).scene.packed

    def _moment(self, asked: Question, page: _Page) -> bytes:
        """Where everything was at the end; nothing where that is not known."""
        library = self._library
        world = self._worlds.of(segment := library.segment(library.record(asked.episode)))
        if not has_states(segment):
            moment = world.observed(library.last_observation(asked.episode))
        elif (state := library.last_state(asked.episode)) is None:
            return b""
        else:
            moment = world.moment(state)
        return moment.tobytes() if np.isfinite(moment).all() else b""

    def _take(self, asked: Question, page: _Page) -> bytes:
        library = self._library
        episode, segment = library.load(asked.episode), library.segment(library.record(asked.episode))
        return self._worlds.take(segment, episode, asked.episode).packed()

    def _picture(self, asked: Question, page: _Page) -> bytes:
        """What a camera saw at the end."""
        end = self._library.record(asked.episode).length
        frames = self._library.frames(asked.episode, asked.camera, slice(end, end + 1))
        return jpeg(np.asarray(frames[0]), THUMBNAIL)

    def _relabel(self, asked: Question, page: _Page) -> list[list[Any]]:
        """The rows that are otherwise now."""
        try:
            page.before = self._library.relabel(asked.episodes, asked.values, asked.reason or REASON)
        except HalfLabelled as error:
            page.before = error.before
            raise
        return [self._library.row(episode) for episode in page.before]

    def _undo(self, asked: Question, page: _Page) -> list[list[Any]]:
        """Of what this page relabelled last; once. What fails of it can be undone later."""
        undone = self._library.label(page.before, UNDONE)
        page.before = {}
        return [self._library.row(episode) for episode in undone]


async def _told(page: ServerConnection, news: str) -> None:
    with suppress(ConnectionClosed):
        await page.send(news)


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def browse(library: Library, listening: socket.socket, where: str) -> None:
    """Serves it until Ctrl-C."""
    address = address_of(listening)
    token = secrets.token_urlsafe(16)
    server = BrowseServer(library, token, address.is_loopback, str(address), where)
    url = f"http://{named(address)}:{listening.getsockname()[1]}/"
    if not address.is_loopback:
        url += f"?token={token}"
    print(f"browse at {url}   (Ctrl-C ends it)", flush=True)
    with listening, suppress(KeyboardInterrupt):
        asyncio.run(server.serve(listening))
