"""Data that is intact and would still mislead a learner: what `verify --strict` looks for."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from robot_orl.curation.checking.chunks import Rows
from robot_orl.curation.checking.findings import Finding, Severity
from robot_orl.curation.checking.frozen import LIVELY, SEEN, Frozen, frames_changed
from robot_orl.curation.checking.lag import LagTest
from robot_orl.curation.checking.segment_scan import Scan
from robot_orl.data.store.layout import IMAGES, SEGMENTS
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.types import Array, Spec

RATE_TOLERANCE = 0.2
GAP_PERIODS = 2.0
ACTION_TOLERANCE = 1e-6
FEW = 5  # steps of an episode that are too few to say that its actions never change


class Plausibility:
    """Looks at every intact episode in use, then tells what it saw; equal findings are one."""

    def __init__(self) -> None:
        self._groups: defaultdict[tuple[Severity, str], list[str]] = defaultdict(list)
        self._spec: Spec | None = None
        self._lags: dict[str, LagTest] = {}
        self._frozen: dict[str, Frozen] = {}
        self._low, self._high = np.array(np.inf), np.array(-np.inf)
        self._steps = 0
        self._same: defaultdict[tuple[object, ...], list[EpisodeRecord]] = defaultdict(list)
        self._success: list[bool | None] = []
        self._dense: list[str] = []
        self._sparse = 0

    def see(self, scan: Scan, record: EpisodeRecord, rows: Rows) -> None:
        """As a `segment_scan.Visit`."""
        if record.deleted or scan.spec is None:
            return
        self._spec = scan.spec
        columns = rows.columns
        action = columns["steps/action"]
        self._see_actions(record, action)
        self._see_rewards(record, columns["steps/reward"] if record.reward is None else record.reward)
        self._see_times(record, columns["steps/t_ns"], scan.spec.control_hz)
        self._see_ends(record, columns["steps/terminated"], columns["steps/truncated"])
        self._see_observations(scan, record, rows, action)
        seen = sorted((k, v) for k, v in record.crc32c.items() if k.startswith("obs/"))
        self._same[(*seen, record.crc32c["steps/action"])].append(record)
        self._success.append(record.meta.success)

    def findings(self) -> list[Finding]:
        """What was seen, of the whole dataset first."""
        found = [*self._whole(), *self._lagging(), *self._stuck()]
        for (severity, message), ids in self._groups.items():
            found.append(Finding(severity, message, episodes=tuple(ids)))
        return found

    def _tell(self, record: EpisodeRecord, message: str, severity: Severity = Severity.MISLEADING) -> None:
        self._groups[severity, message].append(record.id)

    def _see_actions(self, record: EpisodeRecord, action: Array) -> None:
        self._low = np.minimum(self._low, action.min(axis=0))
        self._high = np.maximum(self._high, action.max(axis=0))
        self._steps += len(action)
        if not np.isfinite(action).all():
            return self._tell(record, "actions are NaN or infinite")
        if len(action) >= FEW and (action == action[0]).all():
            self._tell(record, "actions never change")
        if (np.abs(action) > 1.0 + ACTION_TOLERANCE).any():
            self._tell(record, "actions lie outside of [-1, 1]")
        return None

    def _see_rewards(self, record: EpisodeRecord, reward: Array) -> None:
        if np.isinf(reward).any():
            self._tell(record, "rewards are infinite")
        unknown = np.isnan(reward)
        if unknown.all():
            return self._tell(record, "rewards are unknown", Severity.NOTE)
        if unknown.any():
            return self._tell(record, "rewards are unknown at some steps")
        if not np.isin(reward, (-1.0, 0.0)).all():
            return self._dense.append(record.id)
        self._sparse += 1
        meta = record.meta
        if meta.success is not None and meta.success != bool(reward[-1] == 0.0):
            self._tell(record, "success contradicts the last reward, which is success - 1")
        if meta.success_any is not None and meta.success_any != bool((reward == 0.0).any()):
            self._tell(record, "success_any contradicts the rewards, which are success - 1")
        return None

    def _see_times(self, record: EpisodeRecord, t_ns: Array, control_hz: float) -> None:
        if (t_ns < 0).all():
            return self._tell(record, "times are unknown", Severity.NOTE)
        if (t_ns < 0).any():
            return self._tell(record, "times are unknown at some steps")
        if len(t_ns) < 2:
            return None
        periods, declared = np.diff(t_ns), 1e9 / control_hz
        if (periods <= 0).any():
            return self._tell(record, "times stand still or run backwards")
        median = float(np.median(periods))
        if abs(declared / median - 1.0) > RATE_TOLERANCE:
            said = (
                f"the realised rate is off the declared {control_hz:g} Hz by more than {RATE_TOLERANCE:.0%}"
            )
            self._tell(record, said)
        if (periods > GAP_PERIODS * max(declared, median)).any():
            self._tell(record, f"times have gaps of more than {GAP_PERIODS:g} control periods")
        return None

    def _see_ends(self, record: EpisodeRecord, terminated: Array, truncated: Array) -> None:
        if terminated[:-1].any():
            self._tell(record, "is terminated before its last step")
        if truncated[:-1].any():
            self._tell(record, "is truncated before its last step")
        for reason, end in (("horizon", truncated), ("terminated", terminated)):
            if record.meta.end_reason == reason and not end[-1]:
                flag = "truncated" if reason == "horizon" else "terminated"
                self._tell(record, f"has end_reason '{reason}', but its last step is not {flag}")
        success, any_ = record.meta.success, record.meta.success_any
        if success and any_ is False:
            self._tell(record, "is successful at the last step, but at no step")

    def _see_observations(self, scan: Scan, record: EpisodeRecord, rows: Rows, action: Array) -> None:
        spec = scan.spec
        assert spec is not None
        moving = [key for key in spec.observation if key != spec.desired_goal]
        obs = {key: rows.columns[f"obs/{key}"] for key in spec.observation}
        for key, values in obs.items():
            if not np.isfinite(values).all():
                self._tell(record, f"observation '{key}' is NaN or infinite")
        for key in moving:
            if key == spec.achieved_goal:
                continue  # where an object is, which may be at rest
            changed = (obs[key][1:] != obs[key][:-1]).any(axis=1)
            self._watch(f"obs/{key}", spec.control_hz, LIVELY).add(record.id, changed, action)
        for camera in spec.cameras:
            changed = frames_changed(rows.columns[f"{IMAGES}{camera}"])
            self._watch(f"{IMAGES}{camera}", spec.control_hz, SEEN).add(record.id, changed, action)
        if moving:
            flat = np.concatenate([obs[key] for key in moving], axis=1)
            test = self._lags.setdefault(scan.name, LagTest(flat.shape[1], action.shape[1]))
            test.add(flat, action)

    def _watch(self, array: str, control_hz: float, share: float) -> Frozen:
        return self._frozen.setdefault(array, Frozen(control_hz, share))

    def _whole(self) -> Iterator[Finding]:
        """What holds of all episodes together."""
        if self._spec is not None and self._steps >= FEW:
            for signal, low, high in zip(self._spec.action, self._low, self._high, strict=True):
                if low == high:
                    message = f"action '{signal.name}' never changes: it is {low:g} at every step"
                    yield Finding(Severity.MISLEADING, message)
        if self._success and all(known is None for known in self._success):
            yield Finding(Severity.NOTE, "success is unknown in every episode")
        if self._dense and self._sparse:
            message = "rewards are not success - 1, as those of other episodes are"
            yield Finding(Severity.MISLEADING, message, episodes=tuple(self._dense))
        yield from _copies([found for found in self._same.values() if len(found) > 1])

    def _lagging(self) -> Iterator[Finding]:
        for name, test in self._lags.items():
            if (lag := test.lag()) is not None:
                message = f"observations lag actions by {lag} steps: they respond to what was done before"
                yield Finding(Severity.MISLEADING, message, f"{SEGMENTS}/{name}")

    def _stuck(self) -> Iterator[Finding]:
        """Sensors that hang; cameras that show one frame only."""
        for array, frozen in self._frozen.items():
            kind, _, name = array.rpartition("/")
            what = f"camera '{name}'" if f"{kind}/" == IMAGES else f"observation '{name}'"
            if frozen.never() and f"{kind}/" == IMAGES:
                yield Finding(Severity.MISLEADING, f"{what} shows the same frame at all times", array=array)
            elif stuck := frozen.stuck():
                most = max(steps for _, steps in stuck)
                message = f"{what} stands still for up to {most} steps while actions move"
                ids = tuple(name for name, _ in stuck)
                yield Finding(Severity.MISLEADING, message, array=array, episodes=ids)


def _copies(groups: list[list[EpisodeRecord]]) -> Iterator[Finding]:
    """Episodes that are there more than once under different identities."""
    groups = [found for found in groups if len({record.uid or record.id for record in found}) > 1]
    if not groups:
        return
    copies = tuple(record.id for found in groups for record in found[1:])
    first, second = groups[0][:2]
    message = f"repeats the observations and actions of another episode, as {second.id} those of {first.id}"
    yield Finding(Severity.MISLEADING, message, episodes=copies)
