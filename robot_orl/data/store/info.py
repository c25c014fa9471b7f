"""What a dataset holds, from its logs alone."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from robot_orl.data.store.layout import FORMAT_VERSION, SAFETY

if TYPE_CHECKING:
    from robot_orl.data.store.reader import Dataset
    from robot_orl.data.store.records import EpisodeRecord


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
        if f"{self.min:.4g}" == f"{self.max:.4g}":
            return f"{self.min:.4g}"
        return f"{self.min:.4g} .. {self.max:.4g}, mean {self.mean:.4g}"


@dataclass(frozen=True)
class OperatorInfo:
    """Figures of the episodes of one operator; success: share of those where it is known."""

    episodes: int
    transitions: int
    success: float | None
    quality: float | None
    length: float
    episode_return: float | None


@dataclass(frozen=True)
class DatasetInfo:
    """Figures of the episodes in use.

    success: share at the last step, of the episodes where it is known; success_any: at any step;
    success_unknown: episodes that do not tell.  realised_hz: median rate of each episode, where known.
    actors: episodes in which each of them acted.  supervised: episodes that tell what a supervisor did.
    cameras: size of their frames (height, width).
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
    success_unknown: int
    control_hz: float
    realised_hz: Range | None
    cameras: dict[str, tuple[int, int]]
    horizon: int
    segments: int
    writers: tuple[str, ...]
    unsealed: int
    deleted: int
    operators: dict[str, OperatorInfo]
    actors: dict[str, int]
    supervised: int
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
        deleted = f" (and {self.deleted:,} deleted)" if self.deleted else ""
        unknown = f" (unknown of {self.success_unknown:,})" if self.success_unknown else ""
        cameras = ", ".join(f"{name} {width} x {height}" for name, (height, width) in self.cameras.items())
        return [
            ("dataset", self.path),
            ("task", self.task),
            ("episodes", f"{self.episodes:,}{deleted}"),
            ("transitions", f"{self.transitions:,}"),
            ("success at the last step", _percent(self.success) + unknown),
            ("success at any step", _percent(self.success_any)),
            ("quality", str(self.quality or "unknown")),
            ("return", str(self.returns or "unknown")),
            ("length [steps]", str(self.lengths or "unknown")),
            ("control rate [Hz]", f"{self.control_hz:g}"),
            ("realised rate [Hz]", str(self.realised_hz or "unknown")),
            ("cameras", cameras or "none"),
            ("who acted", _counts(self.actors) + (" (episodes)" if self.actors else "")),
            *([("supervised", f"{self.supervised:,} (episodes)")] if self.supervised else []),
            ("ended by", _counts(self.end_reasons)),
            ("segments", f"{self.segments:,}"),
            ("state", state),
            ("size on disk", _readable_size(self.size_bytes)),
            ("format version", str(self.format_version)),
            ("written with", ", ".join(f"{name} {found}" for name, found in self.packages.items())),
            ("git revision", ", ".join(map(_short, self.git_revisions)) or "unknown"),
            ("fingerprint", self.fingerprint),
        ]


def _operator(records: list["EpisodeRecord"]) -> OperatorInfo:
    quality = Range.of(record.meta.quality for record in records)
    returns = Range.of(record.episode_return for record in records)
    return OperatorInfo(
        episodes=len(records),
        transitions=sum(record.length for record in records),
        success=_share([record.meta.success for record in records]),
        quality=quality.mean if quality else None,
        length=sum(record.length for record in records) / len(records),
        episode_return=returns.mean if returns else None,
    )


def summarise(dataset: "Dataset") -> DatasetInfo:
    """The figures of an open dataset."""
    episodes, segments = dataset.episodes, dataset.segments
    metas = [record.meta for record in episodes]
    count = len(episodes)
    operators = dict.fromkeys(meta.operator for meta in metas)
    return DatasetInfo(
        path=str(dataset.path),
        task=dataset.spec.task,
        format_version=max((s.attributes["format_version"] for s in segments), default=FORMAT_VERSION),
        episodes=count,
        transitions=sum(record.length for record in episodes),
        success=_share([meta.success for meta in metas]),
        success_any=_share([meta.success_any for meta in metas]),
        success_unknown=sum(meta.success is None for meta in metas),
        control_hz=dataset.spec.control_hz,
        realised_hz=Range.of(record.rate_hz for record in episodes),
        cameras={name: (size.height, size.width) for name, size in dataset.spec.cameras.items()},
        horizon=dataset.spec.horizon,
        segments=len(segments),
        writers=tuple(segment.writer for segment in segments if segment.writer),
        unsealed=sum(not segment.is_sealed and not segment.writer for segment in segments),
        deleted=len(dataset.records) - count,
        operators={name: _operator([r for r in episodes if r.meta.operator == name]) for name in operators},
        actors=dict(Counter(who for record in episodes for who in record.actors or ("unknown",))),
        supervised=sum(SAFETY in record.crc32c for record in episodes),
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
    return {n: " and ".join(sorted({str(found[n]) for found in packages if n in found})) for n in names}


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
