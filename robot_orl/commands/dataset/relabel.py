"""`robot-orl dataset relabel`: other labels for episodes that a query selects."""

from dataclasses import dataclass

import numpy as np

from robot_orl.commands.episodes import print_episodes, signature
from robot_orl.commands.tables import out
from robot_orl.curation.checking.findings import count
from robot_orl.curation.labels import LABELS, changed, matching, parse_labels, require_unwritten
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting
from robot_orl.types import Array


@dataclass
class Config(Schema):
    """Give episodes other labels or rewards; arrays stay, and `filter --history` tells of each change."""

    path: str = setting(help="Folder of the dataset.")
    where: str = setting(help="Which episodes, such as \"operator == 'gamepad'\".")
    reason: str = setting(help="Why; kept with who and when.")
    success: str | None = setting(None, "Success at the last step: true, false or unknown.")
    success_any: str | None = setting(None, "Success at any step: true, false or unknown.")
    quality: str | None = setting(None, "A number in 0 .. 1, or unknown.")
    operator: str | None = setting(None, "Who drove, or unknown.")
    notes: str | None = setting(None, "A remark; unknown takes it away.")
    instruction: str | None = setting(None, "The task in words, or unknown.")
    reward: str | None = setting(
        None, "task: recompute every reward by the task, from goals or simulator states.", choices=["task"]
    )
    dry_run: bool = setting(False, "Only say what would be changed.")


def run(cfg: Config) -> None:
    labels = parse_labels({name: getattr(cfg, name) for name in LABELS})
    if not labels and cfg.reward is None:
        raise UsageError(f"relabel needs one of: {', '.join(f'{name}=...' for name in (*LABELS, 'reward'))}")
    dataset = Dataset.open(cfg.path)
    records = matching(dataset, cfg.where)
    require_unwritten(dataset, records)
    to_label = changed(records, labels)
    rewards = _rewards(dataset, records) if cfg.reward else []
    new = {f"{n}={getattr(cfg, n)}": len(changed(records, {n: value})) for n, value in labels.items()}
    if cfg.reward:
        new["reward by the task"] = len(rewards)
    said = ", ".join(f"{change} is new in {number:,}" for change, number in new.items())
    said = f"of {count(len(records), 'episode')}, {said}"
    if cfg.dry_run:
        touched = {record.id for record in to_label} | {record.id for record, _ in rewards}
        print_episodes([record for record in records if record.id in touched])
        out.print(f"nothing was changed; {said}")
        return
    line = signature()
    dataset.relabel(to_label, cfg.reason, line, **labels)
    dataset.set_rewards(rewards, cfg.reason, line)
    out.print(f"{cfg.path}: {said}")


def _rewards(dataset: Dataset, records: list[EpisodeRecord]) -> list[tuple[EpisodeRecord, Array]]:
    """The rewards by the task, where they differ from those that hold now."""
    import envs  # noqa: F401  registers the tasks with Gymnasium
    from robot_orl.curation.rewards import recomputed

    found = []
    with StopFlag() as stop, Bar("rewards", len(records)) as bar:
        for record, before, paid in recomputed(dataset, records):
            stop.check("nothing was changed")
            if not np.array_equal(before, paid, equal_nan=True):
                found.append((record, paid))
            bar.advance()
    return found
