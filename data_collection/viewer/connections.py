"""A bound on how many connections a process that serves pages holds open."""

import asyncio

from websockets.asyncio.server import ServerConnection

MOST_CONNECTIONS = 32  # pages, what they fetch, and those that are still to say what they are


class Connection(ServerConnection):
    """One too many is closed before it is heard."""

    open_now = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Connection.open_now += 1
        super().connection_made(transport)
        if Connection.open_now > MOST_CONNECTIONS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        Connection.open_now -= 1
        super().connection_lost(exc)
