"""What pages are told of labels, by a real server, and what they can take back."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

from browse_toys import SIGNED, episode, recorded
from websockets.asyncio.client import ClientConnection, connect

from data_collection.browse.library import COLUMNS, Library
from data_collection.browse.server import BrowseServer

PATIENCE_S = 60.0
SUCCESS = COLUMNS.index("success")


class Wire:
    """A page's connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.number = 0

    async def hear(self) -> dict[str, Any]:
        return json.loads(await asyncio.wait_for(self.connection.recv(), PATIENCE_S))  # type: ignore[no-any-return]

    async def ask(self, say: str, **fields: Any) -> tuple[str, Any]:
        """Why there is no answer, and the answer."""
        self.number += 1
        await self.connection.send(json.dumps({"say": say, "number": self.number, **fields}))
        answer = await self.hear()
        assert (answer["say"], answer["number"]) == ("answer", self.number)
        return answer["why"], answer["found"]

    async def says_success(self, value: str, *episodes: str) -> tuple[str, Any]:
        groups: dict[str, list[int]] = {}
        for segment, _, number in (name.rpartition(":") for name in episodes):
            groups.setdefault(segment, []).append(int(number))
        return await self.ask("relabel", episodes=groups, values={"success": value}, reason="")


def test_of_labels_that_failed_half_way_every_page_hears_and_an_undo_takes_back_just_them(
    tmp_path: Path,
) -> None:
    path = recorded(tmp_path / "a", [episode(n, success=None) for n in range(2)], [episode(2, success=None)])

    async def story() -> None:
        server = BrowseServer(Library(str(path), lambda: SIGNED), "token", True, "127.0.0.1", "")
        listening = socket.create_server(("127.0.0.1", 0))
        served = asyncio.create_task(server.serve(listening))
        address = f"ws://127.0.0.1:{listening.getsockname()[1]}/asks?token=token"
        async with connect(address) as one, connect(address) as two:
            await _half_way(Wire(one), Wire(two), path)
        served.cancel()
        await asyncio.wait([served])

    asyncio.run(story())


async def _half_way(person: Wire, other: Wire, path: Path) -> None:
    _, listed = await person.ask("list")
    await other.ask("list")
    first, second, third = (row[0] for row in listed["rows"])

    async def told() -> dict[str, Any]:
        news = await other.hear()
        assert news["say"] == "changed"
        return {row[0]: row[SUCCESS] for row in news["rows"]}

    await person.says_success("false", second)
    assert await told() == {second: False}
    log = path / "segments" / third.rpartition(":")[0] / "episodes.jsonl"
    log.rename(path / "kept")
    log.mkdir()
    why, rows = await person.says_success("true", first, third)
    assert why.endswith("; 1 of 2 episodes were changed before")
    assert [(row[0], row[SUCCESS]) for row in rows] == [(first, True)]
    assert await told() == {first: True}
    assert await person.ask("undo") == ("", [listed["rows"][0]])
    assert await told() == {first: None}
    assert await person.ask("undo") == ("", []), "not what was said before that"

    log.rmdir()
    (path / "kept").rename(log)
    await person.says_success("true", first, third)
    await told()
    log.rename(path / "kept")
    log.mkdir()
    why, rows = await person.ask("undo")
    assert "1 of 2" in why
    assert [row[0] for row in rows] == [first]
    assert await told() == {first: None}
    why, rows = await person.ask("undo")
    assert why
    assert rows is None
    log.rmdir()
    (path / "kept").rename(log)
    assert await person.ask("undo") == ("", [listed["rows"][2]]), "the other half, once it can be"
