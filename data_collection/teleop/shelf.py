"""Where a session's episodes go, and how the last of them comes back from there."""

from collections.abc import Mapping
from typing import Any

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journal, Journals
from robot_orl.data.store.place import Location
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.types import Episode, EpisodeMeta, Spec

TAKEN_BACK = "taken back in the session that recorded it"


class Shelf:
    """Context manager around what one session writes into the dataset at `path`.

    operator: its name.  config, env_kwargs: kept with the episodes, see `SegmentWriter`.
    """

    def __init__(
        self,
        path: Location,
        spec: Spec,
        operator: str,
        config: Mapping[str, Any],
        env_kwargs: Mapping[str, Any],
    ) -> None:
        self.operator = operator
        self._path = path
        self._made_by = spec, operator, config, env_kwargs
        self.journals = Journals(path, *self._made_by)
        self._writer = self._open()
        self._kept: list[tuple[str, int | None]] = []  # segment and start seed of what was kept, in its order

    def _open(self) -> BackgroundWriter:
        return BackgroundWriter(SegmentWriter(self._path, *self._made_by), self.journals)

    def __enter__(self) -> "Shelf":
        return self

    def __exit__(self, *failure: Any) -> None:
        self._writer.__exit__(*failure)

    def begin(self, meta: EpisodeMeta) -> Journal | None:
        """The journal of the episode that begins."""
        return self._writer.begin(meta)

    def drop(self) -> None:
        """The episode that was begun is not wanted."""
        self._writer.drop()

    def keep(self, episode: Episode, seed: int | None = None) -> None:
        """Once this returns, it is committed.  seed: of the start of which it is a part; None: its own.

        Raises: RunError: it is not committed, but still is in its journal.
        """
        self._writer.append(episode)
        self._writer.flush()
        segment = self._writer.writer.segment
        assert segment is not None
        self._kept.append((segment, episode.meta.seed if seed is None else seed))

    def holds(self, seed: int) -> bool:
        """Whether an episode from that start is kept."""
        return any(start == seed for _, start in self._kept)

    def undo(self) -> int | None:
        """Delete the episode that was kept last, which the store can undo; returns its start seed.

        A segment is changed by its writer only by adding to it: it is closed first, and another one begins.
        """
        self._writer.close()
        segment, seed = self._kept.pop()
        dataset = Dataset.open(self._path)
        ours = [record for record in dataset.episodes if record.segment == segment]
        dataset.delete(ours[-1:], TAKEN_BACK)
        self._writer = self._open()
        return seed
