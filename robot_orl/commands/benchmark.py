"""`robot-orl benchmark`: plays the cells of a suite that are not finished; its table and figure."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_orl.benchmark.cell import Cell, Places, only
from robot_orl.benchmark.figure import figure
from robot_orl.benchmark.jobs import Job, Player
from robot_orl.benchmark.plan import Plan, plan
from robot_orl.benchmark.results import gather, read_cells, write_cell, write_text
from robot_orl.benchmark.suite import Suite, load_suite
from robot_orl.benchmark.summary import table
from robot_orl.commands.tables import out
from robot_orl.config import BenchmarkConfig
from robot_orl.data.store import lock
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import Interrupted, StopFlag
from robot_orl.progress import Bar

LOCK = ".benchmark.lock"


def run(cfg: BenchmarkConfig) -> None:
    """Raises: Interrupted: the same command goes on.  RunError: cells failed; the others are finished.
    UsageError: the suite, or what is chosen of it, cannot be played.
    """
    suite = load_suite(cfg.suite)
    places = Places(Path(cfg.work), {name: str(path) for name, path in cfg.files.items()}, cfg.peers)
    folder = Path(cfg.out) / suite.name
    chosen = _chosen(suite, cfg)
    left_out = {cell.name: why for cell in chosen if (why := cell.lacks(places))}
    plans = [plan(cell, places) for cell in chosen if cell.name not in left_out]
    finished = {(c["task"], c["agent"], c["seed"], c["hash"]) for c in read_cells(folder)}
    to_do = [p for p in plans if (p.cell.task.name, p.cell.agent.name, p.cell.seed, p.hash) not in finished]
    for why, count in Counter(left_out.values()).items():
        out.print(f"{count} cells are left out: {why}")
    out.print(
        f"{suite.name}: {len(plans)} cells, {len(plans) - len(to_do)} finished before, {len(to_do)} to play"
    )
    failed: dict[str, str] = {}
    try:
        if to_do:
            failed = _play(to_do, folder, cfg.jobs, places)
    finally:
        _summarise(suite, folder, places)
    for name, reason in failed.items():
        out.print(f"{name} failed: {reason}")
    if failed:
        raise RunError(
            f"{len(failed)} jobs failed; their log.txt is in {cfg.work}; the same command tries again"
        )


def _chosen(suite: Suite, cfg: BenchmarkConfig) -> list[Cell]:
    """Seed by seed, so that a part of the time gives a whole table of fewer seeds."""
    tasks = {task.name: task for task in suite.tasks}
    agents = {agent.name: agent for agent in suite.agents}
    return [
        Cell(suite, tasks[task], agents[agent], seed)
        for seed in only("seed", cfg.seeds, suite.seeds)
        for task in only("task", cfg.tasks, list(tasks))
        for agent in only("agent", cfg.agents, list(agents))
    ]


def _play(plans: list[Plan], folder: Path, at_once: int, places: Places) -> dict[str, str]:
    """What failed, and why."""
    of_job = {p.job.name: p for p in plans}
    jobs: dict[str, Job] = {}
    for p in plans:
        jobs[p.data.name] = p.data
        jobs[p.job.name] = p.job
    with _locked(places.work), StopFlag() as stop, Bar("benchmark", len(plans)) as bar:

        def keep(job: Job) -> None:
            if (done := of_job.get(job.name)) is not None:
                figures = gather(done)
                write_cell(folder, figures)
                reached = ", ".join(f"{s} {entry['success']:.0%}" for s, entry in figures["stages"].items())
                bar.advance(1, note=f"{job.name}: {reached}")

        player = Player(at_once, lambda note: bar.advance(0, note=note), keep)
        player.play(list(jobs.values()), stop)
        if stop.requested:
            raise Interrupted(
                "interrupted; finished cells are kept, the same command goes on with the others"
            )
    return player.failed


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """One benchmark per work folder at a time: two would play the same cells. Raises: UsageError."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        descriptor = lock.hold(work, LOCK)
    except BlockingIOError as error:
        owner = lock.holder(work, LOCK) or "another process"
        raise UsageError(f"{owner} plays a benchmark in {work}; choose another work=") from error
    except OSError as error:
        raise UsageError(f"cannot write {work}: {error.strerror}") from error
    try:
        yield
    finally:
        os.close(descriptor)


def _summarise(suite: Suite, folder: Path, places: Places) -> None:
    """Table and figure of all that is finished of the suite, whatever was chosen now."""
    rows = {(t.name, a.name) for t in suite.tasks for a in suite.agents}
    cells = [cell for cell in read_cells(folder) if (cell["task"], cell["agent"]) in rows]
    if not cells:
        return
    text = table(suite, cells, _outdated(suite, cells, places))
    write_text(folder / "table.md", text)
    write_text(folder / "curves.svg", figure(suite, cells))
    out.print()
    out.print(text)
    out.print(f"{folder / 'table.md'}, {folder / 'curves.svg'}")


def _outdated(suite: Suite, cells: list[dict[str, object]], places: Places) -> list[str]:
    """Names of the cells whose configuration is not the suite's any more, as far as it can be told here."""
    tasks = {task.name: task for task in suite.tasks}
    agents = {agent.name: agent for agent in suite.agents}
    found = []
    for figures in cells:
        seed = figures["seed"]
        assert isinstance(seed, int)
        cell = Cell(suite, tasks[str(figures["task"])], agents[str(figures["agent"])], seed)
        if cell.lacks(places) is None and plan(cell, places).hash != figures["hash"]:
            found.append(cell.name)
    return found
