"""`robot-orl dataset replay`: does the simulator still do what was recorded?"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from robot_orl.commands.tables import out, print_columns
from robot_orl.curation.copying import require_outside
from robot_orl.curation.film import Film
from robot_orl.curation.labels import selected
from robot_orl.curation.resimulate import START, Replayed, Resimulator
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import DataError, RunError, UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting

HEADS = ("episode", "deviates", "steps that deviate", "most in")
SHOWN = 5  # differences of a deviating step


@dataclass
class Config(Schema):
    """Re-simulate episodes from their stored starts and actions, and compare bit for bit."""

    path: str = setting(help="Folder of the dataset.")
    episode: str | None = setting(
        None, "One episode: its place among those in use (0, 1 ...), its id or its uid."
    )
    where: str | None = setting(None, "Only episodes of which this query is true.")
    all: bool = setting(False, "Every episode in use, as a table.")
    video: str | None = setting(None, "Also write an .mp4 of the one episode, drawn from the re-simulation.")
    json: bool = setting(False, "Print plain JSON instead of a table.")


@dataclass(frozen=True)
class Failed:
    """An episode that cannot be re-simulated, and why."""

    episode: str
    reason: str


def run(cfg: Config) -> None:
    """Raises: RunError: an episode deviates or cannot be re-simulated; exit code 1, as of `diff`."""
    import envs  # noqa: F401  registers the tasks with Gymnasium

    if cfg.episode is None and cfg.where is None and not cfg.all:
        raise UsageError("dataset replay needs episode=..., where=... or --all")
    if cfg.episode is not None and cfg.all:
        raise UsageError("dataset replay takes episode=... or --all, not both")
    if cfg.video is not None and cfg.episode is None:
        raise UsageError("video= shows one episode; name it by episode=...")
    dataset = selected(Dataset.open(cfg.path), cfg.where)
    if cfg.video is not None:
        require_outside(Path(cfg.video), dataset.path)
    if cfg.episode is not None:
        _one(cfg, dataset, _find(dataset, cfg.episode))
    else:
        _many(cfg, dataset)


def _find(dataset: Dataset, name: str) -> EpisodeRecord:
    """By place among the episodes in use, by id or by uid; deleted ones by id or uid only."""
    if name.isdecimal() and int(name) < len(dataset.episodes):
        return dataset.episodes[int(name)]
    for record in dataset.records:
        if name in (record.id, record.uid):
            return record
    count = len(dataset.episodes)
    raise UsageError(
        f"no episode '{name}' in {dataset.path}; valid: 0 .. {count - 1}, or an id such as "
        f"{dataset.episodes[0].id}"
    )


def _one(cfg: Config, dataset: Dataset, record: EpisodeRecord) -> None:
    film = Film(Path(cfg.video), dataset.spec.control_hz) if cfg.video else None
    with StopFlag() as stop, Bar("replay", record.length + 1) as bar, Resimulator(dataset) as simulator:

        def after_step(env: gymnasium.Env[Any, Any]) -> None:
            stop.check("nothing was written")
            if film is not None:
                film.add(np.asarray(env.render()))
            bar.advance()

        with film or nullcontext():
            found = simulator.replay(record, after_step)
    if cfg.json:
        print(json.dumps(found.to_dict() | {"video": cfg.video}))
    else:
        out.print(f"episode {found.episode}, from its {_start(found)}: {_verdict(found)}")
        for difference in found.differences[:SHOWN]:
            out.print(f"  {difference}  (by {difference.size:.3g})")
        if len(found.differences) > SHOWN:
            out.print(f"  and {len(found.differences) - SHOWN} more")
        _print_versions([found])
        if cfg.video:
            out.print(f"video: {cfg.video}")
    if not found.is_equal:
        raise RunError(f"episode {found.episode} deviates {_where(found)}")


def _many(cfg: Config, dataset: Dataset) -> None:
    found: list[Replayed | Failed] = []
    interrupted = None
    with (
        StopFlag() as stop,
        Bar("replay", len(dataset.episodes)) as bar,
        Resimulator(dataset) as simulator,
    ):
        try:
            for record in dataset.episodes:
                said = f"{bar.done} of {bar.total} episodes were replayed"
                found.append(_replayed(simulator, record, lambda _, said=said: stop.check(said)))
                bar.advance()
        except Interrupted as error:
            interrupted = error
    _print_many(cfg, found)
    if interrupted is not None:
        raise interrupted
    failed = sum(isinstance(item, Failed) for item in found)
    deviating = sum(isinstance(item, Replayed) and not item.is_equal for item in found)
    if failed or deviating:
        raise RunError(f"{deviating:,} of {len(found):,} episodes deviate, {failed:,} cannot be re-simulated")


def _replayed(simulator: Resimulator, record: EpisodeRecord, after_step: Any) -> Replayed | Failed:
    try:
        return simulator.replay(record, after_step)
    except DataError as error:
        return Failed(record.id, str(error))


def _print_many(cfg: Config, found: list[Replayed | Failed]) -> None:
    replayed = [item for item in found if isinstance(item, Replayed)]
    equal = [item for item in replayed if item.is_equal]
    if cfg.json:
        failed = [vars(item) for item in found if isinstance(item, Failed)]
        document = {"equal": len(equal), "episodes": [item.to_dict() for item in replayed], "failed": failed}
        print(json.dumps(document))
        return
    others = [item for item in found if item not in equal]
    if others:
        print_columns(HEADS, map(_row, others), texts=HEADS)
    by_seed = sum(item.start != "stored state" for item in replayed)
    note = f" ({by_seed:,} from their seeds, as no state is stored)" if by_seed else ""
    total = sum(item.steps for item in equal)
    out.print(f"{len(equal):,} of {len(found):,} episodes bit for bit equal, {total:,} steps{note}")
    _print_versions(replayed)


def _row(item: Replayed | Failed) -> tuple[str, ...]:
    if isinstance(item, Failed):
        return item.episode, "not re-simulated", "", item.reason
    return item.episode, _where(item), f"{item.deviating:,} of {item.steps:,}", str(item.differences[0])


def _print_versions(found: list[Replayed]) -> None:
    """What was recorded with other versions than those here."""
    others = sorted({(name, *pair) for item in found for name, pair in item.packages.items()})
    for name, recorded, here in others:
        out.print(f"recorded with {name} {recorded}; here it is {here}")


def _start(found: Replayed) -> str:
    return found.start if found.start == "stored state" else f"{found.start} (no state is stored)"


def _verdict(found: Replayed) -> str:
    if found.is_equal:
        return f"bit for bit equal, {found.steps:,} steps"
    return f"deviates {_where(found)}, {found.deviating:,} of {found.steps:,} steps in all"


def _where(found: Replayed) -> str:
    return "at the start" if found.first == START else f"at step {found.first}"
