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
from data_collection.viewer.connections import Connection

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
        "create_connection": Connection,
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
