"""What to do about a damaged dataset, before anything is done: a plan that a dry run prints as it is.

Nothing is ever removed: what is damaged, foreign or left over goes to `<root>/quarantine/<utc>/`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from robot_orl.curation.checking.findings import Finding, count
from robot_orl.curation.checking.segment_scan import Scan, State, scan_arrays
from robot_orl.curation.checking.survey import Survey, survey
from robot_orl.data.store.journal import QUARANTINE, SUFFIX, folder_of
from robot_orl.data.store.layout import DATASET_FILE, SEGMENTS
from robot_orl.data.store.place import on_disk
from robot_orl.data.store.places import place_at
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.recovery import pending
from robot_orl.errors import DataError, RunError
from robot_orl.types import Spec

DRAFT = "draft"


@dataclass(frozen=True)
class MoveAway:
    """paths: relative to the dataset. segment: the one whose lock it takes, or None."""

    paths: tuple[str, ...]
    why: str
    segment: str | None = None

    def __str__(self) -> str:
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"move {self.paths[0]}{more} to quarantine: {self.why}"


@dataclass(frozen=True)
class RebuildRoot:
    """dataset.json from a spec."""

    spec: Spec
    source: str

    def __str__(self) -> str:
        return f"write {DATASET_FILE} anew from {self.source}"


@dataclass(frozen=True)
class Rewrite:
    """The intact episodes of a damaged segment become a new one, which replaces it."""

    scan: Scan

    def __str__(self) -> str:
        kept, lost = len(self.scan.intact), missing(self.scan)
        told = f"keep {count(kept, 'intact episode')} of {SEGMENTS}/{self.scan.name} in a new segment"
        gone = f"{count(lost, 'episode')} cannot be saved" if lost else "none is lost"
        labels = "" if self.scan.attributes is not None else "; its config, env_kwargs and versions are lost"
        return f"{told}, and move it to quarantine: {gone}{labels}"


@dataclass(frozen=True)
class CutTail:
    """The torn line behind the last complete one."""

    scan: Scan

    def __str__(self) -> str:
        return f"cut {len(self.scan.log.torn)} torn bytes off the log of {SEGMENTS}/{self.scan.name}"


@dataclass(frozen=True)
class Seal:
    """A segment whose writer was cut off is complete as it is."""

    scan: Scan

    def __str__(self) -> str:
        return f"seal {SEGMENTS}/{self.scan.name} with {count(len(self.scan.log.records), 'episode')}"


@dataclass(frozen=True)
class RemoveDraft:
    """A copy that an earlier repair had not finished; what it copies is still there."""

    path: str

    def __str__(self) -> str:
        return f"remove {self.path}, an unfinished copy of an earlier repair"


@dataclass(frozen=True)
class RecoverJournals:
    """told: what is known of them before the rest is mended."""

    told: tuple[str, ...]

    def __str__(self) -> str:
        return f"recover {count(len(self.told), 'interrupted episode')}: {'; '.join(self.told)}"


Step = MoveAway | RebuildRoot | Rewrite | CutTail | Seal | RemoveDraft | RecoverJournals


@dataclass(frozen=True)
class Plan:
    """steps: in order.  kept: intact episodes.  lost: those that are damaged, as far as the logs tell them.

    unlisted: how many more the sealed segments had.  findings: why.
    """

    root: Path
    steps: Sequence[Step]
    kept: int
    lost: Sequence[EpisodeRecord]
    unlisted: int
    findings: Sequence[Finding]

    def summary(self) -> str:
        """`keeps 498 of 500 episodes`."""
        gone = len(self.lost) + self.unlisted
        return f"{self.kept:,} of {count(self.kept + gone, 'episode')} intact"


def make_plan(
    path: Path | str,
    begin: Callable[[int], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Plan:
    """Reads the whole dataset and changes nothing. begin, advance: as of `verify.verify`.

    Raises: UsageError: it lies in an object store.  DataError: no dataset; one of a newer format; one that is
    being written; or none of whose files tells the spec.  RunError: a file may not be read.
    """
    root = on_disk(place_at(path).path)
    found = survey(place_at(root))
    _check_idle(found)
    begin(sum(len(scan.log.records) for scan in found.scans if scan.state is State.NORMAL))
    for scan in found.scans:
        scan_arrays(scan, None, advance)
    _check_permitted(found)
    steps: list[Step] = [*_of_drafts(root), *_of_root(found)]
    for scan in found.scans:
        steps += _of_segment(scan)
    steps += [MoveAway((name,), "a draft that a killed writer left") for name in found.leftovers]
    steps += _of_journals(root)
    in_force = [scan for scan in found.scans if scan.state in (State.NORMAL, State.LOST)]
    intact = {record.id for scan in in_force for record in scan.intact}
    lost = [record for scan in in_force for record in scan.log.records if record.id not in intact]
    return Plan(
        root=root,
        steps=steps,
        kept=len(intact),
        lost=lost,
        unlisted=sum(missing(scan) for scan in in_force) - len(lost),
        findings=[*found.findings, *(finding for scan in found.scans for finding in scan.findings)],
    )


def missing(scan: Scan) -> int:
    """Episodes that a segment had and that are not intact; some of them its log may not name any more."""
    had = max(scan.log.episodes, len(scan.log.records))
    if scan.is_sealed and scan.attributes is not None:
        had = max(had, scan.attributes["episodes"])
    return had - len(scan.intact)


def _check_idle(found: Survey) -> None:
    for scan in found.scans:
        if scan.writer:
            raise DataError(f"{scan.place.path} is being written by {scan.writer}: wait for it")
        if scan.state is State.NEWER:
            raise DataError(f"{scan.place.path} is of a newer format version: repair it with its robot_orl")
    if found.is_root_damaged and found.spec is None:
        why = "no intact segment tells its spec, or they disagree"
        raise DataError(f"{found.place.path / DATASET_FILE} is damaged and cannot be written anew: {why}")


def _check_permitted(found: Survey) -> None:
    """What may not be read is not damaged: nobody wants it moved away."""
    forbidden = [*found.forbidden, *(name for scan in found.scans for name in scan.forbidden)]
    if forbidden:
        more = f" and {len(forbidden) - 1} more" if len(forbidden) > 1 else ""
        raise RunError(
            f"may not read {found.place.path / forbidden[0]}{more}: repair needs to read everything"
        )


def _of_drafts(root: Path) -> list[Step]:
    drafts = sorted((root / QUARANTINE).glob(f"*/{DRAFT}"))
    return [RemoveDraft(str(draft.relative_to(root))) for draft in drafts]


def _of_root(found: Survey) -> list[Step]:
    if not found.is_root_damaged:
        return []
    assert found.spec is not None
    same = [scan.name for scan in found.scans if scan.attributes is not None and scan.spec == found.spec]
    return [RebuildRoot(found.spec, f"the spec of {SEGMENTS}/{same[0]}" if same else "its own spec")]


def _of_segment(scan: Scan) -> list[Step]:
    path = (f"{SEGMENTS}/{scan.name}",)
    if Path(str(scan.place.path)).is_symlink():  # what it points to belongs to somebody else
        if scan.is_damaged:
            raise DataError(f"{scan.place.path} is a symbolic link to a damaged segment: repair it there")
        return []
    if scan.state is not State.NORMAL:
        why = scan.findings[-1].message if scan.findings else "nothing of it can be read"
        return [MoveAway(path, why, scan.name)]
    if not scan.intact:
        why = "none of its episodes is intact" if scan.log.records else "it holds no episode"
        return [] if scan.is_sealed and not scan.is_damaged else [MoveAway(path, why, scan.name)]
    if scan.is_damaged:
        return [Rewrite(scan)]
    steps: list[Step] = []
    if scan.log.torn:
        steps.append(CutTail(scan))
    if scan.beyond:
        files = tuple(f"{path[0]}/{name}" for name in scan.beyond)
        steps.append(MoveAway(files, "beyond the committed rows", scan.name))
    if not scan.is_sealed:
        steps.append(Seal(scan))
    return steps


def _of_journals(root: Path) -> list[Step]:
    try:
        told = tuple(str(item) for item in pending(root))
    except DataError:  # the dataset cannot be opened before the rest is done
        told = tuple(path.name for path in sorted(folder_of(root).glob(f"*{SUFFIX}")))
    return [RecoverJournals(told)] if told else []
