"""What a dataset holds, from its logs alone."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from robot_orl.data.store.layout import FORMAT_VERSION

if TYPE_CHECKING:
    from robot_orl.data.store.reader import Dataset


@dataclass(frozen=True)
class Range:
    """Smallest, mean and largest value of a column."""

    min: float
    mean: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Range | None":
        """The range of the known values; None where there is none."""
        known = [value for value in values if value is not None and not math.isnan(value)]
        return cls(min(known), math.fsum(known) / len(known), max(known)) if known else None

    def __str__(self) -> str:
        return f"{self.min:g} .. {self.max:g}, mean {self.mean:.4g}"


@dataclass(frozen=True)
class DatasetInfo:
    """Figures of the episodes in use.

    success: share at the last step, of the episodes where it is known; success_any: at any step.
    writers: who adds episodes now.  unsealed: segments whose writer was killed or failed.
    size_bytes: on disk.
    """

    path: str
    task: str
    format_version: int
    episodes: int
    transitions: int
    success: float | None
    success_any: float | None
    control_hz: float
    horizon: int
    segments: int
    writers: tuple[str, ...]
    unsealed: int
    deleted: int
    operators: dict[str, int]
    end_reasons: dict[str, int]
    quality: Range | None
    lengths: Range | None
    returns: Range | None
    size_bytes: int
    packages: dict[str, str]
    git_revisions: tuple[str, ...]
    fingerprint: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Names and readable values, for a table."""
        state = "complete" if not self.unsealed else f"{self.unsealed} not sealed (its writer was cut off)"
        if self.writers:
            state = f"being written by {', '.join(self.writers)}"
        return [
            ("dataset", self.path),
            ("task", self.task),
            ("episodes", f"{self.episodes:,}" + (f" (and {self.deleted:,} deleted)" if self.deleted else "")),
            ("transitions", f"{self.transitions:,}"),
            ("success at the last step", _percent(self.success)),
            ("success at any step", _percent(self.success_any)),
            ("quality", str(self.quality or "unknown")),
            ("return", str(self.returns or "unknown")),
            ("length [steps]", str(self.lengths or "unknown")),
            ("control rate [Hz]", f"{self.control_hz:g}"),
            ("operators", _counts(self.operators)),
            ("ended by", _counts(self.end_reasons)),
            ("segments", f"{self.segments:,}"),
            ("state", state),
            ("size on disk", _readable_size(self.size_bytes)),
            ("format version", str(self.format_version)),
            ("written with", ", ".join(f"{name} {found}" for name, found in self.packages.items())),
            ("git revision", ", ".join(map(_short, self.git_revisions)) or "unknown"),
            ("fingerprint", self.fingerprint),
        ]


def summarise(dataset: "Dataset") -> DatasetInfo:
    """The figures of an open dataset."""
    episodes, segments = dataset.episodes, dataset.segments
    metas = [record.meta for record in episodes]
    count = len(episodes)
    return DatasetInfo(
        path=str(dataset.path),
        task=dataset.spec.task,
        format_version=max((s.attributes["format_version"] for s in segments), default=FORMAT_VERSION),
        episodes=count,
        transitions=sum(record.length for record in episodes),
        success=_share([meta.success for meta in metas]),
        success_any=_share([meta.success_any for meta in metas]),
        control_hz=dataset.spec.control_hz,
        horizon=dataset.spec.horizon,
        segments=len(segments),
        writers=tuple(segment.writer for segment in segments if segment.writer),
        unsealed=sum(not segment.is_sealed and not segment.writer for segment in segments),
        deleted=len(dataset.records) - count,
        operators=dict(Counter(meta.operator for meta in metas)),
        end_reasons=dict(Counter(meta.end_reason for meta in metas)),
        quality=Range.of(meta.quality for meta in metas),
        lengths=Range.of(record.length for record in episodes),
        returns=Range.of(record.episode_return for record in episodes),
        size_bytes=sum(dataset.place.sizes()),
        packages=_merged([segment.attributes["packages"] for segment in segments]),
        git_revisions=tuple(sorted({s.attributes["git_revision"] for s in segments} - {None})),
        fingerprint=dataset.fingerprint(),
    )


def _merged(packages: list[dict[str, str]]) -> dict[str, str]:
    """Versions per package over all segments; several are joined by ' and '."""
    names = dict.fromkeys(name for found in packages for name in found)
    return {n: " and ".join(sorted({found[n] for found in packages if n in found})) for n in names}


def _share(outcomes: list[bool | None]) -> float | None:
    """Of those that are known; None where none is."""
    known = [outcome for outcome in outcomes if outcome is not None]
    return sum(known) / len(known) if known else None


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _short(revision: str) -> str:
    commit, _, state = revision.partition("-")
    return commit[:12] + (f"-{state}" if state else "")


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in found.items()) or "none"


def _readable_size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
