"""Writes episodes from a thread of its own, so that whoever records them never waits for the disk."""

import sys
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType

from robot_orl.data.store.journal import Journal, Journals
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import RobotOrlError, RunError
from robot_orl.types import Episode, EpisodeMeta

# How long the writing thread may keep the interpreter from the recording one; CPython's default is 5 ms.
SWITCH_INTERVAL_S = 1e-4


class BackgroundWriter:
    """`SegmentWriter` behind a queue. An episode is committed some time after `append`, in order.

    After a failure nothing more is written, and every later `append` and `close` raises it. `close` waits
    until everything queued is written.

    journals: of this session. Then `begin` gives the next episode's journal, which holds its steps from the
    first on, and is removed once the episode is committed; what was not is left in it to `recovery`.
    One thread records, one episode at a time.
    """

    def __init__(self, writer: SegmentWriter, journals: Journals | None = None) -> None:
        self.writer = writer
        self.journals = journals
        self._journal: Journal | None = None
        self._queue: SimpleQueue[tuple[Episode, Journal | None] | Event | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._lost = 0
        self._is_closed = False
        self._switch_interval_s = sys.getswitchinterval()
        sys.setswitchinterval(min(self._switch_interval_s, SWITCH_INTERVAL_S))
        self._thread = Thread(target=self._write, name="episode writer", daemon=True)
        self._thread.start()

    def begin(self, meta: EpisodeMeta) -> Journal | None:
        """The journal of an episode that is about to begin, of which this is known; None: none is kept."""
        self._leave()
        self._journal = self.journals.open(meta) if self.journals is not None else None
        return self._journal

    def drop(self) -> None:
        """The episode that was begun came to nothing."""
        if self._journal is not None:
            self._journal.remove()
            self._journal = None

    def append(self, episode: Episode) -> None:
        """Queue the episode; returns at once. Raises: RunError: an earlier one could not be written."""
        self._raise_failure()
        if self._is_closed:
            raise RunError(f"writer of {self.writer.root} is closed")
        self._queue.put((episode, self._journal))
        self._journal = None

    def settle(self, timeout_s: float) -> bool:
        """Wait until what is queued is written, so that the thread idles; False: it takes longer."""
        return self._is_closed or self._reached().wait(timeout_s)

    def flush(self) -> None:
        """Wait until what is queued is committed. Raises: RunError: something could not be written."""
        if not self._is_closed:
            self._reached().wait()
        self._raise_failure()

    def close(self) -> None:
        """Write what is queued and seal the segment. Raises: RunError: something was not written."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()
        self._leave()
        sys.setswitchinterval(self._switch_interval_s)
        self._raise_failure()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except RunError:
            if error is None:  # else the first failure is the one to tell
                raise

    def _reached(self) -> Event:
        """An event that is set when all that is queued by now has been dealt with."""
        reached = Event()
        self._queue.put(reached)
        return reached

    def _leave(self) -> None:
        """An episode that was begun and not appended: its journal is what remains of it."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _write(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, Event):
                item.set()
            else:
                self._commit(*item)
        try:
            self.writer.close()
        except RobotOrlError as error:
            self._error = self._error or error

    def _commit(self, episode: Episode, journal: Journal | None) -> None:
        if self._error is not None:
            self._lost += 1
        else:
            try:
                self.writer.append(episode, uid=journal.uid if journal else None)
            except Exception as error:  # whatever it is, the recording side must hear of it
                self._error, self._lost = error, 1
        if journal is not None:
            journal.remove() if self._error is None else journal.close()

    def _raise_failure(self) -> None:
        if self._error is not None:
            lost = "1 episode" if self._lost == 1 else f"{self._lost} episodes"
            raise RunError(f"{self._error} ({lost} not recorded)") from self._error
