"""`robot-orl import`: brings in data of another format."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import gymnasium

from robot_orl.commands.tables import print_rows
from robot_orl.data.store.place import URL
from robot_orl.errors import DataError, UsageError, printable
from robot_orl.interop.base import Request, Source
from robot_orl.interop.importing import (
    LEAST_HZ,
    MOST_HZ,
    Import,
    Provenance,
    check_fits,
    files_of,
    open_source,
    provenance_of,
)
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.schema import Schema, setting

MIB = 2**20


@dataclass
class Config(Schema):
    """Bring in data of another format; an interrupted import is continued by the same command."""

    source: str = setting(help="Format of the file: d4rl, robomimic, minari, lerobot, hand_dapg, npz, video.")
    path: str = setting(help="The file, or folder, to import.")
    out: str = setting(help="Dataset to make, or to add to where the data fits.")
    task: str | None = setting(
        None, "A task of this stack, against which the data is checked; or a name for another one."
    )
    control_hz: float | None = setting(
        None,
        "At what rate it was recorded, where the file does not say.",
        unit="Hz",
        low=LEAST_HZ,
        high=MOST_HZ,
    )
    horizon: int | None = setting(
        None, "Steps after which an episode was cut, where the file does not say.", low=1
    )
    scale_actions: bool = setting(
        False, "LeRobot: map actions in a robot's units to [-1, 1], each from its least and greatest value."
    )
    dry_run: bool = setting(False, "Say what would be imported; write nothing.")


def run(cfg: Config) -> None:
    import envs  # noqa: F401  registers the tasks with Gymnasium

    if URL.match(cfg.path):
        raise UsageError(f"{cfg.path}: files of other formats are read from this machine, not from a store")
    path = Path(os.path.abspath(cfg.path))
    source = open_source(cfg.source, path, Request(cfg.task, cfg.control_hz, cfg.horizon, cfg.scale_actions))
    check_fits(cfg.out, source)
    if cfg.dry_run:
        print_rows(_rows(cfg, source))
        return
    with StopFlag() as stop:
        provenance = _read(path, stop)
        taken, steps, skipped = _bring_in(cfg, source, provenance, stop)
    there = f"; {skipped} were there already" if skipped else ""
    print(
        f"{cfg.out}: {taken} episodes, {steps} transitions of {printable(source.spec.task)} imported{there}"
    )
    if taken and (paid := source.provenance.get("rewards")) is not None:
        print(f"rewards are {paid}")
    if (note := _unknown_task(source.spec.task)) is not None:
        print(note)


def _unknown_task(name: str) -> str | None:
    """What a name that is no task of this stack means, perhaps after a slip of the pen; None: it is one."""
    if name in gymnasium.registry:
        return None
    own = [task for task, found in gymnasium.registry.items() if found.version is None]
    close = get_close_matches(name, own, n=1, cutoff=0.8)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    return f"'{printable(name)}' is no task of this stack: signals are as in the file{hint}"


def _read(path: Path, stop: StopFlag) -> Provenance:
    total = sum(file.stat().st_size for file in files_of(path))
    with Bar("Reading the file [MiB]", -(-total // MIB)) as bar:
        read = 0

        def progress(size: int) -> None:
            nonlocal read
            read += size
            bar.advance((read if read == total else read // MIB * MIB) // MIB - bar.done)
            stop.check("nothing was imported yet")

        return provenance_of(path, progress)


def _bring_in(cfg: Config, source: Source, provenance: Provenance, stop: StopFlag) -> tuple[int, int, int]:
    """How many episodes and steps were imported, and how many episodes were there already."""
    taken = steps = 0
    work = Import(cfg.source, source, provenance, cfg.out)
    with Bar("Importing", source.count or 0) as bar:
        try:
            for length in work.run(is_stopped=lambda: stop.requested):
                taken, steps = taken + 1, steps + length
                bar.advance(taken + work.skipped - bar.done)
        except DataError as error:
            kept = taken + work.skipped
            raise DataError(
                f"{error}; {kept} other episodes are in {cfg.out}" if kept else str(error)
            ) from error
    if not work.is_complete:
        stop.check(f"{taken + work.skipped} episodes are in {cfg.out}; the same command goes on")
    return taken, steps, work.skipped


def _rows(cfg: Config, source: Source) -> Iterator[tuple[str, str]]:
    """What would be imported, for people."""
    spec = source.spec
    yield "format", cfg.source
    yield "episodes", "unknown" if source.count is None else f"up to {source.count}"
    yield "task", _unknown_task(spec.task) or spec.task
    yield "observation", ", ".join(f"{key} {len(signals)}" for key, signals in spec.observation.items())
    if spec.cameras:
        yield "cameras", ", ".join(f"{name} {c.width}x{c.height}" for name, c in spec.cameras.items())
    yield "action", f"{spec.action_size} values"
    yield "control rate", f"{spec.control_hz:g} Hz"
    yield "longest episode", f"{spec.horizon} steps"
    for name, value in source.provenance.items():
        text = value if isinstance(value, str) else json.dumps(value, default=str)
        text = printable(text)
        yield name.replace("_", " "), text if len(text) <= 100 else f"{text[:97]}..."
    yield "out", f"{cfg.out} (nothing was written)"
