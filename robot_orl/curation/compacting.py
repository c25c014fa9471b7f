"""Deleted episodes leave the disk: their segments are rewritten without them.

Killed at any moment, no episode is lost or there twice. For each segment, one after the other:

    1  <parent>/.<dataset>.compact/...     the new segment, complete, synced, with the history of its labels
    2  segments/<new>                      renamed to here; it says `replaces: [old]`, so the old one is not
                                           read any more (`Dataset.open`)
    3  <parent>/.<dataset>.compact/old/    the old one, renamed to here, then removed

Whoever has the dataset open reads on from files that are gone, and is told so.
"""

import os
import shutil
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from robot_orl.curation.copying import Copying, copy, draft_beside, take_draft
from robot_orl.curation.labels import is_change, log_lines
from robot_orl.data.store.journal import SUFFIX, folder_of
from robot_orl.data.store.layout import SEGMENTS
from robot_orl.data.store.local import sync, sync_below
from robot_orl.data.store.place import Hold, on_disk
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import Segment, override
from robot_orl.errors import DataError, RunError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar

OLD = "old"


@dataclass(frozen=True)
class Rewrite:
    """One segment with deleted episodes. kept: those that are not."""

    segment: Segment
    kept: list[EpisodeRecord]
    deleted: int
    size_bytes: int


def plan(dataset: Dataset) -> list[Rewrite]:
    """What compacting would rewrite.

    Raises: UsageError: it lies in an object store.  DataError: somebody is writing, or there are journals of
    interrupted episodes, whose recovery must know which episodes were committed.
    """
    root = on_disk(dataset.path)
    for segment in dataset.segments:
        if segment.writer:
            raise DataError(f"{segment.path} is being written by {segment.writer}: wait for it")
    if journals := len(list(folder_of(root).glob(f"*{SUFFIX}"))):
        raise DataError(f"{folder_of(root)} holds {journals} journals of episodes: repair the dataset first")
    return _rewrites(dataset)


def compact(path: str, stop: StopFlag) -> tuple[int, int]:
    """Returns how many episodes are gone, and how many bytes were freed, those of a killed one included.

    Raises: as `plan`; DataError: an episode that stays is damaged.  RunError: the disk refuses.
    Interrupted: between two episodes. The segments that are done by then stay so.
    """
    root = on_disk(Dataset.open(path).path).resolve()
    draft = draft_beside(root, "compact")
    draft_lock = take_draft(draft, f"{root} without its deleted episodes")
    try:
        (draft / OLD).mkdir()
        before = _size(root)
        for name in _left_over(Dataset.open(root)):
            _retire(root, draft, name)
        names = [rewrite.segment.path.name for rewrite in plan(Dataset.open(root))]
        with ExitStack() as stack:
            for name in names:
                stack.enter_context(closing(_hold(root, name)))
            dataset = Dataset.open(root)  # as it is now that nobody can change it
            rewrites = [one for one in _rewrites(dataset) if one.segment.path.name in names]
            with Bar("compact", sum(len(rewrite.kept) for rewrite in rewrites)) as bar:
                for done, rewrite in enumerate(rewrites):
                    kept = f"{done} of {len(rewrites)} segments are compacted; the same command goes on"
                    _rewrite(root, draft, dataset, rewrite, Copying("compact", stop, bar, kept))
        return sum(rewrite.deleted for rewrite in rewrites), before - _size(root)
    except OSError as error:
        raise RunError(f"cannot write {error.filename or root}: {error.strerror}; nothing is lost") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(draft_lock)


def _rewrites(dataset: Dataset) -> list[Rewrite]:
    rewrites = []
    for segment in dataset.segments:
        kept = [record for record in segment.records if not record.deleted]
        if len(kept) < len(segment.records):
            size = sum(segment.place.sizes())
            rewrites.append(Rewrite(segment, kept, len(segment.records) - len(kept), size))
    return rewrites


def _rewrite(root: Path, draft: Path, dataset: Dataset, rewrite: Rewrite, how: Copying) -> None:
    old = rewrite.segment
    how.stop.check(how.kept)
    if rewrite.kept:
        folder = draft / old.path.name
        stored = [replace(record, reward=None) for record in rewrite.kept]  # the history brings the others
        source = Dataset(dataset.place, dataset.spec, [replace(old, records=stored)])
        copy(source, stored, folder, replace(how, told={"replaces": [old.path.name]}))
        (new,) = Dataset.open(folder).segments
        if lines := _history(old, new, rewrite.kept):
            override(new, lines)
        sync_below(folder)
        os.rename(on_disk(new.path), root / SEGMENTS / new.path.name)
        sync(root / SEGMENTS)
    _retire(root, draft, old.path.name)


def _history(old: Segment, new: Segment, kept: list[EpisodeRecord]) -> list[dict[str, Any]]:
    """The changes of labels and rewards in the old segment's log, under the new ids.

    The new lines of the episodes hold their labels of now already; the last of the changes says the same.
    """
    ids = {record.index: copied.id for record, copied in zip(kept, new.records, strict=True)}
    lines = []
    for line in filter(is_change, log_lines(old)):
        index = int(line["id"].rpartition(":")[2])
        if index in ids:
            lines.append({k: v for k, v in line.items() if k != "line_crc32c"} | {"id": ids[index]})
    return lines


def _left_over(dataset: Dataset) -> list[str]:
    """Segments that were compacted by a process that was killed before it could remove them."""
    root = on_disk(dataset.path)
    replaced = [n for s in dataset.segments for n in (s.attributes.get("config") or {}).get("replaces", ())]
    return [name for name in replaced if (root / SEGMENTS / name).exists()]


def _hold(root: Path, name: str) -> Hold:
    """Be the segment's writer, so that nobody changes its labels meanwhile."""
    place = place_at(root).child(SEGMENTS).child(name)
    try:
        return place.hold()
    except BlockingIOError as error:
        raise DataError(f"{place.path} is being written by {place.holder()}: wait for it") from error


def _retire(root: Path, draft: Path, name: str) -> None:
    """Take a whole segment away at once; its files go with the draft."""
    os.rename(root / SEGMENTS / name, draft / OLD / name)
    sync(root / SEGMENTS)


def _size(root: Path) -> int:
    return sum(place_at(root).sizes())
