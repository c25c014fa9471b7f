"""Every byte of a dataset against its checksums: all that is wrong is found, not only the first of it."""

from collections import defaultdict
from collections.abc import Callable, Iterator

from robot_orl.curation.checking.findings import Finding, Report, Severity, count, in_order
from robot_orl.curation.checking.plausibility import Plausibility
from robot_orl.curation.checking.segment_scan import State, scan_arrays
from robot_orl.curation.checking.survey import Survey, survey
from robot_orl.data.store.place import Place
from robot_orl.data.store.recovery import pending
from robot_orl.errors import DataError, RunError


def verify(
    root: Place,
    strict: bool = False,
    begin: Callable[[int], None] = lambda _: None,
    advance: Callable[[int], None] = lambda _: None,
) -> Report:
    """Reads all there is; a dataset that is being written is verified up to what was committed.

    strict: look for data that would mislead a learner, too.  begin: gets the number of episodes once it is
    known; advance: of those that were read since.
    Raises: DataError: no dataset, or one of a newer format version.
    """
    found = survey(root)
    begin(sum(len(scan.log.records) for scan in found.scans if scan.state is State.NORMAL))
    looks = Plausibility()
    for scan in found.scans:
        scan_arrays(scan, looks.see if strict else None, advance)
    findings = found.findings + list(_told(found)) + _twice(found) + journals(root) + looks.findings()
    size = found.size_bytes + sum(scan.size_bytes for scan in found.scans)
    in_force = [scan for scan in found.scans if scan.state is State.NORMAL]
    episodes = sum(len(scan.intact) for scan in in_force)
    return Report(str(root.path), in_order(findings), episodes, len(in_force), size)


def _told(found: Survey) -> Iterator[Finding]:
    """The segments' findings, without those of a segment that was compacted away meanwhile."""
    for scan in found.scans:
        if not scan.is_damaged or scan.place.exists():
            yield from scan.findings


def _twice(found: Survey) -> list[Finding]:
    """Episodes under one uid: they are the same, and would count twice."""
    ids = defaultdict(list)
    for scan in found.scans:
        for record in scan.log.records if scan.state is State.NORMAL else ():
            if record.uid is not None and not record.deleted:
                ids[record.uid].append(record.id)
    return [
        Finding(Severity.WARNING, f"{len(same)} episodes have the uid {uid}", episodes=tuple(same))
        for uid, same in ids.items()
        if len(same) > 1
    ]


def journals(root: Place) -> list[Finding]:
    """Interrupted episodes that `repair`, or the next recording, brings back."""
    try:
        waiting = pending(root.path)
    except (DataError, RunError):  # what is damaged is told already
        return []
    notes = []
    for item in waiting:
        severity = Severity.DAMAGE if item.problem else Severity.NOTE
        steps = f"holds {count(item.steps, 'step')} of an interrupted episode" if item.steps else item.state
        message = f"{steps}; {item.problem}" if item.problem else steps
        notes.append(Finding(severity, message, f"{item.path.parent.name}/{item.path.name}"))
    return notes
