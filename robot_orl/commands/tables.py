"""What commands print when they are done."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values below each other; in a pipe as wide as they are."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in rows:
        table.add_row(name, value)
    width = None if sys.stdout.isatty() else 200
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)


def print_columns(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with a head: the first column names, the others are figures."""
    table = Table(box=None, padding=(0, 2))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 200
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    console.print()
    console.print(table)


def print_summary(summary: dict[str, Any]) -> None:
    """Success of data and stages, from a run's summary, as a table."""
    table = Table(box=None, padding=(0, 1))  # fits into 80 columns
    for column in ("", "success", "95% interval", "any step", "episodes", "updates", "env steps"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    if data := summary.get("data"):
        table.add_row("data", f"{data['success']:.0%}", "", "", str(data["episodes"]), "", "")
    for stage in ("bc", "offline", "online"):
        if stage in summary:
            entry = summary[stage]
            low, high = entry["wilson95"]
            table.add_row(
                stage,
                f"{entry['success']:.0%}",
                f"{low:.0%} .. {high:.0%}",
                f"{entry['success_any']:.0%}",
                str(entry["episodes"]),
                str(entry["updates"]),
                str(entry["env_steps"]),
            )
    out.print(table)


def print_deployment(figures: dict[str, Any]) -> None:
    """The figures that decide whether one dares to run it again."""
    success = figures["success"]
    low, high = success["wilson95"]
    rate = "unknown" if success["rate"] is None else f"{success['rate']:.0%} ({low:.0%} .. {high:.0%})"
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in (
        (
            "ticks",
            f"{figures['ticks']} at {figures['control_hz']:g} Hz, {figures['missed_slots']} slots missed",
        ),
        ("period error [us]", _percentiles(figures["period_error_us"])),
        ("inference [us]", _percentiles(figures["inference_us"])),
        ("success", f"{rate} of {success['episodes']} episodes"),
        ("interventions", ", ".join(f"{name} {count}" for name, count in figures["safety"].items())),
        ("stopped by", figures["fault"] or figures["stopped_by"]),
    ):
        table.add_row(name, value)
    out.print(table)


def _percentiles(found: dict[str, Any]) -> str:
    """Of a column of the timing log; a run that ended before its first tick measured nothing."""
    if not found["count"]:
        return "none"
    return f"p50 {found['p50']:.0f}, p99 {found['p99']:.0f}, max {found['max']:.0f}"
