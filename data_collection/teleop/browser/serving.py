"""What any process does that serves pages for a loop: it listens, tells the loop, and ends with it."""

import asyncio
import os
import socket
import sys
import threading
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from data_collection.teleop.browser.messages import MAX_BYTES

MOST_CONNECTIONS = 32  # pages, and those that are still to say what they are
OPENS_S = 5.0  # in which they have to


class Server(Protocol):
    """What is served."""

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """What a request gets; None: the websocket that it asks for."""

    async def serve_page(self, connection: ServerConnection) -> None:
        """One page, for as long as its connection lasts."""

    async def beat(self) -> None:
        """For as long as the session lasts."""

    async def say_over(self) -> None:
        """The session has ended."""


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
    """A line for the loop, at stdout; whether there was room for it. It never waits."""
    try:
        os.write(sys.stdout.fileno(), line.encode() + b"\n")
        return True
    except BlockingIOError:
        return False
    except OSError:
        os._exit(0)  # the loop has gone


async def run(listening: socket.socket, server: Server) -> None:
    """Until the end of stdin; then the process ends."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def wait_for_end() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    os.set_blocking(sys.stdout.fileno(), False)
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
