"""Appends episodes to a dataset, each writer to a segment of its own: arrays first, then one commit line.

A kill, a full disk or a lost permission at any instant leaves every committed episode readable: chunks
and metadata are replaced by renaming a complete new file (Zarr's LocalStore), rows past the last commit
line are nobody's, and the line itself counts only once it is complete and synced. Syncing each of some
25 files too would cost 40-90 ms an episode; what a power cut leaves is the file system's promise (ext4
as shipped writes a file that was renamed over another before the log's sync returns) and is checksummed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from robot_orl.data.store import layout
from robot_orl.data.store.layout import SEGMENTS, Field
from robot_orl.data.store.open_segment import OpenSegment, Prepared
from robot_orl.data.store.place import Location, Url
from robot_orl.data.store.places import place_at
from robot_orl.data.store.provenance import git_revision, package_versions
from robot_orl.data.store.records import EpisodeRecord, checked_meta
from robot_orl.data.store.root import check_writable, write_dataset_file
from robot_orl.errors import DataError, RunError
from robot_orl.types import Episode, EpisodeMeta, Spec

MOMENT = "%Y%m%dT%H%M%S.%fZ"
GROUP_BYTES, GROUP_EPISODES = 2**23, 512  # that `extend` commits at once


class SegmentWriter:
    """One recording session. Nothing is made on disk before the first `append`.

    root: the dataset's folder, new or of the same spec.  source: who writes, a word for the folder's
    name.  config, env_kwargs: kept in the segment's attributes.  made_with: the `packages` and
    `git_revision` that episodes were recorded with of which these are copies; None: those of now.
    Raises: DataError: root holds something else, or episodes of another task.
    """

    def __init__(
        self,
        root: Path | Url | str,
        spec: Spec,
        source: str,
        config: Mapping[str, Any] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        self.place = place_at(root)
        self.spec = spec
        self._source = re.sub(r"[^A-Za-z0-9-]+", "-", source).strip("-") or "unnamed"
        self._attributes = {"config": dict(config or {}), "env_kwargs": dict(env_kwargs or {})}
        self._made_with = made_with
        self._segment: OpenSegment | None = None
        self._fields: Mapping[str, Field] | None = None  # known with the first episode
        self._is_closed = False
        check_writable(self.place, spec)

    @property
    def root(self) -> Location:
        return self.place.path

    @property
    def segment(self) -> str | None:
        """Name of the segment's folder; None before the first append."""
        return self._segment.place.path.name if self._segment else None

    def append(self, episode: Episode, uid: str | None = None) -> EpisodeRecord:
        """Commit an episode; once this returns, it survives whatever happens to this process.

        uid: that of the episode which this is a copy of; None: it is a new one.
        Raises: DataError: it does not fit the spec.  RunError: the disk is full or refuses.
        """
        return self._commit([self._prepared(episode, uid)])[0]

    def extend(self, episodes: Iterable[tuple[Episode, str | None]]) -> Iterator[EpisodeRecord]:
        """Commit many episodes in groups, which is much faster than one by one where they are short.

        episodes: each with its uid, see `append`.  Yields: the record of each once its group is committed.
        Raises: as `append`; the groups before stay.
        """
        group: list[Prepared] = []
        size = 0
        for episode, uid in episodes:
            if group and self._needs_another(episode):
                yield from self._commit(group)
                group, size = [], 0
            group.append(self._prepared(episode, uid))
            size += sum(rows.nbytes for rows in group[-1].columns.values())
            if size >= GROUP_BYTES or len(group) >= GROUP_EPISODES:
                yield from self._commit(group)
                group, size = [], 0
        if group:
            yield from self._commit(group)

    def _prepared(self, episode: Episode, uid: str | None) -> Prepared:
        if self._is_closed:
            raise RunError(f"writer of {self.root} is closed")
        _check_meta(episode.meta)
        if self._needs_another(episode):
            self._seal()
            self._fields = None
        if self._fields is None:
            sim_state_size = None if episode.sim_state is None else episode.sim_state.shape[-1]
            fields = layout.fields_of(self.spec, sim_state_size, episode.safety is not None)
            columns = layout.to_columns(episode, fields)
            self._fields = fields
        else:
            columns = layout.to_columns(episode, self._fields)
        return Prepared(episode, columns, uid or uuid4().hex)

    def _needs_another(self, episode: Episode) -> bool:
        """Whether it cannot lie in the segment under way, of which only one of both was supervised."""
        return self._fields is not None and (layout.SAFETY in self._fields) != (episode.safety is not None)

    def _commit(self, group: list[Prepared]) -> list[EpisodeRecord]:
        try:
            if self._segment is not None and not self._segment.is_ours():
                self._segment.release()
                self._segment = None
            if self._segment is None:
                assert self._fields is not None
                self._segment = self._open(self._fields)
            return self._segment.append(group)
        except BaseException as error:
            self._abandon()
            if isinstance(error, OSError):
                raise self._failure(error) from error
            raise

    def close(self) -> None:
        """Seal the segment: complete, and nobody will write it again."""
        self._is_closed = True
        self._seal()

    def _seal(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            segment.seal()
        except OSError as error:
            raise self._failure(error) from error
        finally:
            segment.release()

    def __enter__(self) -> "SegmentWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(RunError):  # the first failure is the one to tell
                self.close()

    def _failure(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.root}: {error.strerror or error}; committed episodes are safe")

    def _abandon(self) -> None:
        """Leave the segment as a kill would; another append begins a new one.

        After a failure or Ctrl-C one of Zarr's own threads may still be writing a chunk, which must not
        land upon later rows.
        """
        segment, self._segment = self._segment, None
        self._fields = None
        if segment is not None:
            segment.release()

    def _open(self, fields: Mapping[str, Field]) -> OpenSegment:
        write_dataset_file(self.place, self.spec)
        check_writable(self.place, self.spec)  # somebody else may have begun it meanwhile
        held, now = self.place.child(SEGMENTS), datetime.now(UTC)
        moment = behind(held.folders() if held.exists() else [], now)
        place = held.child(f"{moment}_{self._source}_{uuid4().hex[:8]}")
        place.make()
        attributes = {
            "format_version": layout.FORMAT_VERSION,
            "task": self.spec.task,
            "spec": self.spec.to_dict(),
            "control_hz": self.spec.control_hz,
            "source": self._source,
            **(self._made_with or {"packages": package_versions(), "git_revision": git_revision()}),
            "created": now.strftime(MOMENT),
            "sealed": False,
            "sim_state_size": fields["sim/state"].row[0] if "sim/state" in fields else None,
            **({"safety_bits": layout.SAFETY_BITS} if layout.SAFETY in fields else {}),
            **self._attributes,
        }
        try:
            return OpenSegment(place, fields, attributes)
        except BaseException:
            place.remove()  # nothing was committed in it
            raise


def behind(segments: Sequence[str], now: datetime) -> str:
    """What the name of a new segment begins with: now, or just later than all that are there.

    Their order is that of their names, and a clock may have been set back meanwhile.
    """
    with suppress(ValueError, OverflowError):  # there is none, or one that somebody else named
        last = datetime.strptime(max(segments, default="").split("_")[0], MOMENT).replace(tzinfo=UTC)
        now = max(now, last + timedelta(microseconds=1))
    return now.strftime(MOMENT)


def _check_meta(meta: EpisodeMeta) -> None:
    """Raises: DataError: its line could not be read again."""
    try:
        checked_meta(json.loads(layout.to_json(asdict(meta))))
    except ValueError as error:
        raise DataError(f"an episode whose {error} cannot be recorded") from error
