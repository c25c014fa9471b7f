"""Copies of episodes in new datasets: checked while they are read, and complete or not there at all.

A copy keeps an episode's uid, its labels and rewards as they hold now, and its segment's spec and
`env_kwargs`: each source segment becomes a segment of its own, which says in `config` where it comes from.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any

from robot_orl.data.store import layout, lock
from robot_orl.data.store.place import Location, on_disk
from robot_orl.data.store.places import place_at
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.root import write_dataset_file
from robot_orl.data.store.segment import Segment
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.types import Episode, Spec

LOCK = ".lock"


@dataclass(frozen=True)
class Copying:
    """How to copy. tool: who copies, the source of the new segments.  told: what they say of it besides.

    kept: one line on what there is after an interruption.
    """

    tool: str
    stop: StopFlag
    bar: Bar
    kept: str = "nothing was made"
    told: Mapping[str, Any] = field(default_factory=dict)


class NewFolder:
    """Context manager that yields a draft beside `out`; it becomes `out` at the end, or is removed.

    A draft that a killed process left is begun anew. Raises: UsageError: there is something at `out`, or
    it lies in one of `sources`, or is being made.  RunError: the disk refuses.
    """

    def __init__(self, out: str, sources: Sequence[Location] = ()) -> None:
        self.out = Path(os.path.abspath(on_disk(place_at(out).path)))
        self._draft = draft_beside(self.out, "partial")
        for source in sources:
            require_outside(Path(out), source)
            if isinstance(source, Path) and source.resolve().is_relative_to(self.out.resolve()):
                raise UsageError(f"the dataset {source} lies inside out={out}: choose another folder")
        if os.path.lexists(self.out) and not (self.out.is_dir() and not any(self.out.iterdir())):
            raise UsageError(f"out={out} exists already: choose another folder")

    def __enter__(self) -> Path:
        self._held = take_draft(self._draft, str(self.out))
        return self._draft

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                (self._draft / LOCK).unlink()
                os.rename(self._draft, self.out)
        except OSError as failure:
            raise RunError(f"cannot write {self.out}: {failure.strerror}") from failure
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)  # not there any more where all went well
            os.close(self._held)


def require_outside(out: Path, dataset: Location) -> None:
    """Raises: UsageError: what is to be made would lie in the dataset's folder, or be it."""
    if isinstance(dataset, Path) and out.resolve().is_relative_to(dataset.resolve()):
        raise UsageError(f"{out} lies inside the dataset {dataset}: choose another place")


def draft_beside(folder: Path, suffix: str) -> Path:
    """Where to prepare what becomes a part of a folder: on the same disk, and in nobody's way."""
    return folder.parent / f".{folder.name}.{suffix}"


def take_draft(draft: Path, what: str) -> int:
    """Make the draft's folder, empty, and lock it; returns the descriptor that holds the lock.

    Raises: UsageError: another process has it.  RunError: the disk refuses.
    """
    try:
        draft.mkdir(parents=True, exist_ok=True)
        held = lock.hold(draft, LOCK)
    except BlockingIOError as error:
        raise UsageError(f"{what} is being made by {lock.holder(draft, LOCK)}: wait for it") from error
    except OSError as error:
        raise RunError(f"cannot write {draft.parent}: {error.strerror}") from error
    for entry in draft.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != LOCK:
            entry.unlink()
    return held


def copy(
    dataset: Dataset, records: Sequence[EpisodeRecord], root: Path, how: Copying, spec: Spec | None = None
) -> int:
    """Append episodes to the dataset at `root`; returns how many.

    spec: keep only what it names; None: all that each segment has.
    Raises: DataError: names the file that is damaged and the episode.  Interrupted: between two episodes.
    """
    chosen = {record.id for record in records}
    write_dataset_file(place_at(root), spec or dataset.spec)
    count = 0
    for segment in dataset.segments:
        found = [record for record in segment.records if record.id in chosen]
        if not found:
            continue
        own = Spec.from_dict(segment.attributes["spec"])
        config = {**how.told, "copied_from": provenance(dataset, segment)}
        kwargs = segment.attributes["env_kwargs"]
        made_with = {name: segment.attributes[name] for name in ("packages", "git_revision")}
        with SegmentWriter(root, spec or own, how.tool, config, kwargs, made_with) as writer:
            whole = Dataset(dataset.place, own, [segment])  # with what later segments may lack
            episodes = read(whole, found, how)
            pairs = zip((narrowed(e, spec) for e in episodes), map(identity, found), strict=True)
            for _ in writer.extend(pairs):
                how.bar.advance()
                count += 1
    return count


def read(dataset: Dataset, records: Sequence[EpisodeRecord], how: Copying) -> Iterator[Episode]:
    """Episodes, each checksum verified. Raises: DataError: damaged.  Interrupted: between two of them."""
    for episode in dataset.load_many(records, images=True):
        how.stop.check(how.kept)
        yield episode


def narrowed(episode: Episode, spec: Spec | None) -> Episode:
    """The episode with only the observations and cameras of `spec`; None: with all."""
    if spec is None:
        return episode
    obs = {key: episode.obs[key] for key in spec.observation}
    return replace(episode, obs=obs, images={camera: episode.images[camera] for camera in spec.cameras})


def provenance(dataset: Dataset, segment: Segment) -> dict[str, Any]:
    """What a copy tells of the segment it comes from."""
    kept = ("source", "created", "config")
    told = {name: segment.attributes.get(name) for name in kept}
    return {"dataset": str(dataset.path), "segment": segment.path.name, **told}


def content(record: EpisodeRecord, arrays: frozenset[str] | None = None) -> str:
    """Equal for episodes of the same content, wherever they lie: what was seen, done and when.

    arrays: compare only these. Rewards do not count: a copy holds them as they were relabelled.
    """
    sums = sorted((k, v) for k, v in record.crc32c.items() if arrays is None or k in arrays)
    told = [record.length, [pair for pair in sums if pair[0] != "steps/reward"]]
    return sha256(layout.to_json(told)).hexdigest()[:32]


def identity(record: EpisodeRecord) -> str:
    """The uid; for an episode of format version 1, which has none, one that follows from its content."""
    return record.uid or content(record)
