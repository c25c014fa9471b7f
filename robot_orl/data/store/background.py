"""Writes episodes from a thread of its own, so that whoever records them never waits for the disk."""

from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType

from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import RobotOrlError, RunError
from robot_orl.types import Episode


class BackgroundWriter:
    """`SegmentWriter` behind a queue. An episode is committed some time after `append`, in order.

    After a failure nothing more is written, and every later `append` and `close` raises it. `close` waits
    until everything queued is written.
    """

    def __init__(self, writer: SegmentWriter) -> None:
        self.writer = writer
        self._queue: SimpleQueue[Episode | Event | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._lost = 0
        self._is_closed = False
        self._thread = Thread(target=self._write, name="episode writer", daemon=True)
        self._thread.start()

    def append(self, episode: Episode) -> None:
        """Queue an episode; returns at once. Raises: RunError: an earlier one could not be written."""
        self._raise_failure()
        if self._is_closed:
            raise RunError(f"writer of {self.writer.root} is closed")
        self._queue.put(episode)

    def settle(self, timeout_s: float) -> bool:
        """Wait until what is queued is written, so that the thread idles; False: it takes longer."""
        if self._is_closed:
            return True
        reached = Event()
        self._queue.put(reached)
        return reached.wait(timeout_s)

    def close(self) -> None:
        """Write what is queued and seal the segment. Raises: RunError: something was not written."""
        if not self._is_closed:
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()
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

    def _write(self) -> None:
        while (episode := self._queue.get()) is not None:
            if isinstance(episode, Event):
                episode.set()
                continue
            if self._error is not None:
                self._lost += 1
                continue
            try:
                self.writer.append(episode)
            except Exception as error:  # whatever it is, the recording side must hear of it
                self._error, self._lost = error, 1
        try:
            self.writer.close()
        except RobotOrlError as error:
            self._error = self._error or error

    def _raise_failure(self) -> None:
        if self._error is not None:
            raise RunError(f"{self._error} ({self._lost} episodes not recorded)") from self._error
