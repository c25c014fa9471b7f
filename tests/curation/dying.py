"""Kills its own process just before it changes the file system: at a change, or around a move."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CHANGES = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR


def die_at(moment: str, is_a_move: Callable[[Path, Path], bool]) -> None:
    """moment: '12', 'move1' (before that move) or 'after1'.  is_a_move: of a rename's two ends."""
    changes = moves = 0
    moved = ""

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal changes, moves, moved
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING > 0
        if event not in CHANGES and not writes:
            return
        is_move = event == "os.rename" and is_a_move(Path(str(arguments[0])), Path(str(arguments[1])))
        if moment in (str(changes), f"move{moves}" if is_move else None, moved):
            os.kill(os.getpid(), signal.SIGKILL)
        moved = f"after{moves}" if is_move else ""
        changes, moves = changes + 1, moves + is_move

    sys.addaudithook(count)
