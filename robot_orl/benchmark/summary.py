"""From cells to figures over seeds, and the Markdown table of a suite."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_orl.benchmark.results import STAGES
from robot_orl.benchmark.suite import AgentRow, Suite, TaskRow
from robot_orl.report.charts import short
from robot_orl.statistics import wilson_interval

# Student's t, two-sided 95%, of 1, 2, 3 ... degrees of freedom; a dozen seeds and more take the last one.
T_95: tuple[float, ...] = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
Cell = Mapping[str, Any]
COLUMNS: tuple[str, ...] = (
    "task",
    "policy",
    "offline [%]",
    "best offline",
    "online [%]",
    "best online",
    "each seed",
    "dip",
    "env steps",
    "updates",
)
COLUMNS += ("min", "core-min")


@dataclass(frozen=True)
class OverSeeds:
    """Success in [0, 1]: mean over seeds, its 95% interval, and that of each seed."""

    mean: float
    low: float
    high: float
    each: tuple[float, ...]


def over_seeds(entries: Sequence[Mapping[str, Any]]) -> OverSeeds:
    """entries: success and episodes of one evaluation per seed; at least one.

    The interval is Student's over the seeds, which are what varies, but never narrower than Wilson's over
    all their episodes: three seeds that happen to agree do not make a certainty.
    """
    each = tuple(float(entry["success"]) for entry in entries)
    trials = sum(int(entry["episodes"]) for entry in entries)
    successes = sum(round(entry["success"] * entry["episodes"]) for entry in entries)
    low, high = wilson_interval(successes, trials)
    mean, n = sum(each) / len(each), len(each)
    if n > 1:
        t = T_95[min(n - 2, len(T_95) - 1)]
        half = t * math.sqrt(sum((rate - mean) ** 2 for rate in each) / (n - 1) / n)
        low, high = min(low, max(0.0, mean - half)), max(high, min(1.0, mean + half))
    return OverSeeds(mean, low, high, each)


@dataclass(frozen=True)
class Curve:
    """Success over seeds: steps, mean, lowest and highest seed, each (K,)."""

    step: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def mean_curve(cells: Sequence[Cell], stage: str) -> Curve | None:
    """The seeds' curves on all of their steps, linear in between; online begins where offline ended.

    A seed that was stopped early keeps its last value, one that began later its first.
    """
    curves = [_points(cell, stage) for cell in cells if cell["curves"].get(stage)]
    if not curves:
        return None
    steps = sorted({point[0] for curve in curves for point in curve})
    found = np.array([np.interp(steps, [p[0] for p in curve], [p[1] for p in curve]) for curve in curves])
    low, high = found.min(axis=0).tolist(), found.max(axis=0).tolist()
    return Curve(steps, found.mean(axis=0).tolist(), low, high)


def _points(cell: Cell, stage: str) -> list[tuple[float, float]]:
    points = [(float(point[0]), float(point[1])) for point in cell["curves"][stage]]
    if stage == "online" and "offline" in cell["stages"]:
        points.insert(0, (0.0, cell["stages"]["offline"]["success"]))
    return points


def dip(cells: Sequence[Cell]) -> float | None:
    """How far the mean curve falls below its offline level after the handoff; None: no online stage."""
    curve = mean_curve([cell for cell in cells if {*STAGES} <= cell["stages"].keys()], "online")
    return None if curve is None else max(0.0, curve.mean[0] - min(curve.mean))


def of_row(cells: Sequence[Cell], task: TaskRow, agent: AgentRow | None = None) -> list[Cell]:
    """The cells of a task, of one agent or all, by seed."""
    found = [c for c in cells if c["task"] == task.name and (agent is None or c["agent"] == agent.name)]
    return sorted(found, key=lambda cell: cell["seed"])


def data_success(cells: Sequence[Cell]) -> float | None:
    """Mean over seeds of the demonstrations' success; None: unknown."""
    by_seed = {c["seed"]: c["data"]["success"] for c in cells if c.get("data")}
    known = [success for success in by_seed.values() if success is not None]
    return sum(known) / len(known) if known else None


def table(suite: Suite, cells: Sequence[Cell], outdated: Sequence[str]) -> str:
    """outdated: names of cells whose configuration is no longer the suite's."""
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        f"| :-- | :-- |{' --: |' * (len(COLUMNS) - 2)}",
    ]
    for task in suite.tasks:
        of_task = of_row(cells, task)
        if not of_task:
            continue
        success = data_success(of_task)
        data = "" if success is None else f" {100 * success:.0f}"
        lines.append(f"| **{task.title}** | demonstrations |{data} |{' |' * (len(COLUMNS) - 3)}")
        best = _best(of_task)
        for agent in suite.agents:
            if found := of_row(cells, task, agent):
                lines.append(_row(agent, found, best))
    lines += ["", *_notes(suite, cells, outdated)]
    return "\n".join(lines) + "\n"


def _row(agent: AgentRow, cells: Sequence[Cell], best: Mapping[str, float]) -> str:
    shown, last = [], ""
    for stage in STAGES:
        entries = [cell["stages"][stage] for cell in cells if stage in cell["stages"]]
        if not entries:
            shown += ["", ""]
            continue
        figures = over_seeds(entries)
        mean = f"{100 * figures.mean:.0f}"
        mean = f"**{mean}**" if figures.mean == best[stage] > 0 else mean
        shown += [f"{mean} ({100 * figures.low:.0f} .. {100 * figures.high:.0f})", _kept(entries)]
        last = _each(figures)
    fell = dip(cells)
    spent = [_spent(cell) for cell in cells]
    columns = [
        "",
        agent.title,
        *shown,
        last,
        "" if fell is None else f"{100 * fell:.0f}",
        *(_mean_count(cells, unit) for unit in ("env_steps", "updates")),
        *(f"{sum(column) / len(column) / 60:.1f}" for column in zip(*spent, strict=True)),
    ]
    return "| " + " | ".join(columns) + " |"


def _kept(entries: Sequence[Mapping[str, Any]]) -> str:
    """Of the policies that the runs found best: mean and each seed; empty where one did not look for any."""
    if not all("best" in entry for entry in entries):
        return ""
    figures = over_seeds([entry["best"] for entry in entries])
    return f"{100 * figures.mean:.0f}: {_each(figures)}"


def _each(figures: OverSeeds) -> str:
    return " ".join(f"{100 * rate:.0f}" for rate in figures.each)


def _best(cells: Sequence[Cell]) -> dict[str, float]:
    """The best agent's mean success of each stage."""
    best = {}
    for stage in STAGES:
        by_agent: dict[str, list[float]] = {}
        for cell in cells:
            if stage in cell["stages"]:
                by_agent.setdefault(cell["agent"], []).append(cell["stages"][stage]["success"])
        best[stage] = max((sum(each) / len(each) for each in by_agent.values()), default=0.0)
    return best


def _spent(cell: Cell) -> tuple[float, float]:
    """Wall-clock and core-seconds of a cell, its evaluations included, its data not."""
    commands = cell["spent"]["cell"].values()
    return sum(c["wall_s"] for c in commands), sum(c["core_s"] for c in commands)


def _mean_count(cells: Sequence[Cell], unit: str) -> str:
    counts = [sum(entry[unit] for entry in cell["stages"].values()) for cell in cells]
    mean = sum(counts) / len(counts)
    return short(mean) if mean else ""


def _notes(suite: Suite, cells: Sequence[Cell], outdated: Sequence[str]) -> list[str]:
    seeds = sorted({cell["seed"] for cell in cells})
    episodes = sorted({entry["episodes"] for cell in cells for entry in cell["stages"].values()})
    said = [
        f"{suite.title}. Success at the last step of the episode, mean over run seeds "
        f"{', '.join(map(str, seeds))}, each measured on the same {' or '.join(map(str, episodes))} "
        "evaluation seeds, on which no setting was chosen. In brackets a 95% interval: Student's over seeds, "
        "never narrower than Wilson's over episodes. Each seed: of the last stage. Best: mean and each seed "
        "of the policies that runs found best by other, validation episodes; `which=best` takes them. Dip: "
        "points that the mean curve falls below its offline level after the handoff. Steps, updates and "
        "minutes: means of a seed, evaluations included; core-minutes count all threads.",
    ]
    if outdated:
        said += ["", f"Measured with an earlier configuration: {', '.join(outdated)}."]
    return said
