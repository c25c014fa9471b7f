"""What a check of a dataset found: one line each, and what that means for whoever asked."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

EXAMPLES = 3  # episodes that a line names; JSON has them all


class Severity(StrEnum):
    """damage: something that was written is not there any more, or not as it was.
    misleading: intact, but a learner would be taught something false; only `--strict` looks for it.
    warning: does not belong into a dataset.  note: nothing is wrong.
    """

    DAMAGE = "damage"
    MISLEADING = "misleading"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """file: relative to the dataset.  array: its name in the segment.  episodes: ids that it concerns."""

    severity: Severity
    message: str
    file: str | None = None
    array: str | None = None
    episodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: `damage      segments/X/steps/reward/c/0: is missing (steps/reward; episodes 0, 1)`."""
        where = f"{self.file}: " if self.file else ""
        about = "; ".join(part for part in (self.array, self._named()) if part)
        return printable(f"{self.severity:<11} {where}{self.message}" + (f" ({about})" if about else ""))

    def _named(self) -> str:
        if not self.episodes:
            return ""
        ids = list(self.episodes[:EXAMPLES])
        if self.file and all(f"segments/{name.rpartition(':')[0]}" in self.file for name in self.episodes):
            ids = [name.rpartition(":")[2] for name in ids]  # the file names the segment already
        more = len(self.episodes) - len(ids)
        noun = "episode" if len(self.episodes) == 1 else f"{len(self.episodes):,} episodes:"
        return f"{noun} {', '.join(ids)}" + (f" and {more:,} more" if more else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Report:
    """All that was found, worst first. size_bytes: how much was read and compared."""

    path: str
    findings: Sequence[Finding]
    episodes: int
    segments: int
    size_bytes: int

    @property
    def is_clean(self) -> bool:
        """Neither damage nor, if it was looked for, anything misleading."""
        bad = (Severity.DAMAGE, Severity.MISLEADING)
        return all(finding.severity not in bad for finding in self.findings)

    def counts(self) -> dict[str, int]:
        """How many findings of each severity."""
        return {kind.value: sum(f.severity is kind for f in self.findings) for kind in Severity}

    def summary(self, seconds: float) -> str:
        """`OK: 500 episodes in 3 segments, 51.2 MB verified in 2.1 s`, with the counts of what was found."""
        amount = f"{count(self.episodes, 'episode')} in {count(self.segments, 'segment')}"
        size = f"{self.size_bytes / 1e6:,.1f} MB verified in {seconds:.1f} s"
        told = ", ".join(f"{number:,} {name}" for name, number in self.counts().items() if number)
        state = "OK" if self.is_clean else "NOT OK"
        return f"{state}: {amount}, {size}" + (f"; findings: {told}" if told else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        found = [finding.to_dict() for finding in self.findings]
        return {
            "path": self.path,
            "ok": self.is_clean,
            "episodes": self.episodes,
            "segments": self.segments,
            "size_bytes": self.size_bytes,
            "counts": self.counts(),
            "findings": found,
        }


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Worst first, otherwise as they were found."""
    return sorted(findings, key=lambda finding: list(Severity).index(finding.severity))


def printable(text: str) -> str:
    """One line, whatever the names of files in it hold."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
