"""What commands print when they are done."""

from typing import Any

from rich.console import Console
from rich.table import Table

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


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
    period, inference, success = figures["period_error_us"], figures["inference_us"], figures["success"]
    low, high = success["wilson95"]
    rate = "unknown" if success["rate"] is None else f"{success['rate']:.0%} ({low:.0%} .. {high:.0%})"
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in (
        (
            "ticks",
            f"{figures['ticks']} at {figures['control_hz']:g} Hz, {figures['missed_slots']} slots missed",
        ),
        ("period error [us]", f"p50 {period['p50']:.0f}, p99 {period['p99']:.0f}, max {period['max']:.0f}"),
        (
            "inference [us]",
            f"p50 {inference['p50']:.0f}, p99 {inference['p99']:.0f}, max {inference['max']:.0f}",
        ),
        ("success", f"{rate} of {success['episodes']} episodes"),
        ("interventions", ", ".join(f"{name} {count}" for name, count in figures["safety"].items())),
        ("stopped by", figures["fault"] or figures["stopped_by"]),
    ):
        table.add_row(name, value)
    out.print(table)
