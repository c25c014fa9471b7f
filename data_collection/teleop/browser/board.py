"""What a learner publishes, for pages that show it; and episodes that they can see again.

The board is read from memory that the learner writes (see `training.online.desk`, which is not imported here:
its layout is that of `Channel`). Episodes lie in a folder that only this user may enter, a file each.
"""

import json
import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from robot_orl.deploy.sensors.channel import Channel, size_of

VALUE_BYTES = 8
MOST_REPLAYS = 8


class Board:
    """descriptor: of the memory, where a channel of `board_bytes` comes first, and one of a float64 next."""

    def __init__(self, descriptor: int, board_bytes: int) -> None:
        memory = mmap.mmap(descriptor, size_of(board_bytes) + size_of(VALUE_BYTES))
        self.board = Channel(memory, 0, board_bytes)
        self.value = Channel(memory, size_of(board_bytes), VALUE_BYTES)


class Replays:
    """The latest episodes by number, in `folder`; written and read by two processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listed: tuple[int, list[int]] = (-1, [])  # when the folder changed last, and what was in it

    def keep(self, number: int, take: bytes) -> None:
        partial = self._folder / f"{number}.partial"
        partial.write_bytes(take)
        partial.replace(self._path(number))
        for old in self.numbers()[:-MOST_REPLAYS]:
            self._path(old).unlink(missing_ok=True)

    def numbers(self) -> list[int]:
        """Those that are there, the oldest first."""
        changed = self._folder.stat().st_mtime_ns
        if changed != self._listed[0]:
            self._listed = changed, self._list()
        return self._listed[1]

    def _list(self) -> list[int]:
        found = []
        for path in self._folder.glob("*.take"):
            with suppress(FileNotFoundError):  # it has just been replaced by a later one
                found.append((path.stat().st_mtime_ns, int(path.stem)))
        return [number for _, number in sorted(found)]

    def read(self, number: int) -> bytes | None:
        """None: it is not there, or not any more."""
        try:
            return self._path(number).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.take"


class News:
    """What one page has not been told yet of a board."""

    def __init__(self, board: Board, replays: Replays) -> None:
        self._board, self._replays = board, replays
        self._told = self._told_value = 0
        self._seen: list[int] = []

    def messages(self) -> Iterator[str]:
        """{"say": "board", "board": ..., "replays": [numbers]} and {"say": "value", "value": ... or null}"""
        board, value, replays = self._board.board.read(), self._board.value.read(), self._replays.numbers()
        if board is not None and (board.number != self._told or replays != self._seen):
            self._told, self._seen = board.number, replays
            yield f'{{"say": "board", "replays": {replays}, "board": {board.payload.tobytes().decode()}}}'
        if value is not None and value.number != self._told_value:
            self._told_value = value.number
            worth = float(value.payload.view(np.float64)[0])
            yield json.dumps({"say": "value", "value": worth if np.isfinite(worth) else None})
