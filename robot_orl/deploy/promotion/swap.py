"""Another bundle for a robot that runs: a file names it, and what is loaded must fit before it may act.

    echo bundles/new > swap        the line must end, as `echo` ends it
    cat swap.answer                taken, or why not

Whoever watches the file is a thread, which prints nothing: a terminal may be stalled. Whoever loads the
bundle is that thread or one of the policy's process: no tick waits.
"""

import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from robot_orl.deploy.asking import Asking

LOOK_S = 0.1


class Swappable(Asking, Protocol):
    """An `Asking` whose bundle can be swapped while it answers."""

    def swap(self, path: Path) -> None:
        """Let the bundle there act as soon as it is loaded and checked; may be called from a thread."""

    def back(self, number: int) -> None:
        """If bundle `number` acts: from the next question on the one before it, which is still loaded."""

    def swapped(self) -> list[Mapping[str, Any]]:
        """What became of orders to swap since this was asked last, a line each; never waits.

        bundle: its path.  refused: why, or None.  number, policy_hash: of one that acts now.
        """


class SwapFile:
    """Watches a file for the name of another bundle. Context manager.

    What the file says when the run begins has been said to another one, and is not obeyed.
    """

    def __init__(self, file: Path, asking: Swappable) -> None:
        self.told: list[Mapping[str, Any]] = []
        self._file, self._asking = file, asking
        self._seen = self._read()
        self._answer = file.with_name(f"{file.name}.answer")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="swap file", daemon=True)

    def __enter__(self) -> "SwapFile":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5.0)  # a disk that hangs keeps it; it ends with the process
        self._collect()

    def _read(self) -> tuple[int, str]:
        """When it was written and what it says; (0, ""): nothing, or it is just being written."""
        try:
            before = self._file.stat()
            if not stat.S_ISREG(before.st_mode):
                return 0, ""  # to open a pipe is to wait for its writer
            before_ns, text = before.st_mtime_ns, self._file.read_text()
            is_whole = text.endswith("\n") and self._file.stat().st_mtime_ns == before_ns
            return (before_ns, text) if is_whole else (0, "")
        except (OSError, UnicodeDecodeError):
            return 0, ""

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Once; the thread does nothing else."""
        found = self._read()
        if found[1].strip() and found != self._seen:
            self._seen = found
            self._asking.swap(Path(found[1].strip()))
        self._collect()

    def _collect(self) -> None:
        for line in self._asking.swapped():
            self.told.append(line)
            refused = line["refused"]
            said = f"{line['bundle']}: {'taken' if refused is None else f'refused, {refused}'}"
            with suppress(OSError):  # it is told at the end as well
                self._answer.write_text(said + "\n")


@contextmanager
def swaps(file: str | None, asking: Swappable) -> Iterator[list[Mapping[str, Any]]]:
    """Obey the file, if there is one; the list is what became of what it said, whole at the end."""
    if file is None:
        yield []
        return
    with SwapFile(Path(file), asking) as watched:
        yield watched.told
