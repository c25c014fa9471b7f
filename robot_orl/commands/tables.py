"""What commands print when they are done."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDE = 10_000  # of a table that nobody reads in a terminal: as wide as it is


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader of our output has gone: for whoever started us to say what that means, not for rich."""
        raise BrokenPipeError


out = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def print_table(table: Table) -> None:
    """Into the width of a terminal, elsewhere as wide as it is; no line ends in blanks."""
    width = None if out.is_terminal else WIDE
    drawn = Console(highlight=False, markup=False, emoji=False, width=width)
    with drawn.capture() as captured:
        drawn.print(table)
    for line in captured.get().splitlines():
        print(line.rstrip())


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values below each other; a long value goes on in the next line."""
    table = Table(show_header=False, box=None, padding=(0, 1), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    print_table(table)


def print_columns(
    titles: Sequence[str], rows: Iterable[Sequence[str]], texts: Collection[str] | None = None
) -> None:
    """A table with a head, below an empty line: the first column names, the others are figures.

    texts: titles of columns that are no figures; None: the first one. Where it gets narrow they go on in
    the next line: a figure is never cut.
    """
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for number, title in enumerate(titles):
        is_text = number == 0 if texts is None else title in texts
        table.add_column(
            title,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold",
            min_width=len(title),
        )
    for row in rows:
        table.add_row(*row)
    out.print()
    print_table(table)


def print_summary(summary: dict[str, Any]) -> None:
    """Success of data and stages, from a run's summary, as a table."""
    table = Table(box=None, padding=(0, 1))  # fits into 80 columns
    for column in ("", "success", "95% interval", "any step", "episodes", "updates", "env steps"):
        table.add_column(column, justify="left" if column == "" else "right", no_wrap=True)
    if data := summary.get("data"):
        table.add_row("data", f"{data['success']:.0%}", "", "", str(data["episodes"]), "", "")
    latest = None
    for stage in ("bc", "offline", "online"):
        if stage in summary:
            latest, entry = stage, summary[stage]
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
    print_table(table)
    for stage, best in summary.get("best", {}).items():
        if best["step"] != (summary.get(stage, {}).get("env_steps") or summary.get(stage, {}).get("updates")):
            curve = best["curve"]
            low, high = curve["wilson95"]
            words = "which=best" if stage == latest else f"stage={stage} which=best"
            out.print(
                f"best of {stage}: step {best['step']}, {curve['success']:.0%} ({low:.0%} .. {high:.0%}) of "
                f"{curve['episodes']} validation episodes; {words} takes it"
            )


def print_deployment(figures: dict[str, Any]) -> None:
    """The figures that decide whether one dares to run it again."""
    success = figures["success"]
    low, high = success["wilson95"]
    rate = "unknown" if success["rate"] is None else f"{success['rate']:.0%} ({low:.0%} .. {high:.0%})"
    ticks = f"{figures['ticks']} at {figures['control_hz']:g} Hz, {figures['missed_slots']} slots missed"
    print_rows(
        [
            ("ticks", ticks),
            ("period error [us]", _percentiles(figures["period_error_us"])),
            *([("servo", _servo(figures["servo"]))] if _is_servoed(figures) else []),
            ("inference [us]", _percentiles(figures["inference_us"])),
            ("success", f"{rate} of {success['episodes']} episodes"),
            ("supervisor", _nonzero(figures["safety"])),
            *([("taken over", taken_over(figures))] if figures.get("operator") else []),
            *answer_rows(figures.get("answers")),
            *([("connection", _nonzero(figures["connection"]))] if figures["connection"] else []),
            *([("tightened", _tightened(figures["tightened"]))] if figures["tightened"] else []),
            ("stopped by", figures["fault"] or figures["stop_reason"] or figures["stopped_by"]),
        ]
    )
    if figures["parked"] is False:
        out.print("not parked: it holds its pose, torque on")


def taken_over(figures: dict[str, Any]) -> str:
    """How often and for how long somebody acted in the policy's place, and how it did alone."""
    found = figures["interventions"]
    alone, share = found["alone"], found["steps"] / max(found["of_steps"], 1)
    line = f"{found['times']} times by {figures['operator']}, {share:.0%} of {found['of_steps']} steps"
    if not alone["episodes"]:
        return line
    return f"{line}; {alone['successes']} of {alone['episodes']} episodes without succeeded"


def answer_rows(answers: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What critics, alarm, shadow and swaps have to say; empty: nothing."""
    if answers is None:
        return []
    rows = []
    if (value := answers["value"]) is not None:
        spread = answers["disagreement"]["mean"]
        rows.append(
            ("value", f"{value['mean']:.1f} ({value['min']:.1f} .. {value['max']:.1f}) +- {spread:.2f}")
        )
    if answers["alarm"] is not None:
        rows.append(("alarms", f"{_nonzero(answers['alarms'])} of {answers['ticks']} ticks"))
    if (apart := answers["shadow_distance"]) is not None:
        rows.append(("shadow, difference", f"{apart['mean']:.3f} on average, {apart['max']:.3f} at most"))
        if (value := answers["shadow_value"]) is not None:
            rows.append(("shadow, value", f"{value['mean']:.1f} ({value['min']:.1f} .. {value['max']:.1f})"))
    for change in answers["changes"]:
        what = change.get("why") or change["bundle"]
        rows.append((f"{change['kind']} at tick {change['tick']}", str(what)))
    rows += [("swap refused", line["refused"]) for line in answers["refused"]]
    return rows


def _is_servoed(figures: dict[str, Any]) -> bool:
    """Whether targets moved on more often than the policy acted."""
    return bool(figures["servo"]["hz"] > figures["control_hz"])


def _servo(found: dict[str, Any]) -> str:
    error = _percentiles(found["period_error_us"])
    return f"{found['hz']:g} Hz, {found['missed_slots']} slots missed, period error [us] {error}"


def _nonzero(counts: dict[str, int]) -> str:
    """Of counts by name those that happened."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "none"


def _tightened(limits: dict[str, Any]) -> str:
    """The robot's limits that the bundle made tighter."""
    return ", ".join(f"{name} {_limit(own)} -> {_limit(now)}" for name, (own, now) in limits.items())


def _limit(value: Any) -> str:
    return "none" if value in (None, []) else str(value)


def _percentiles(found: dict[str, Any]) -> str:
    """Of a column of the timing log; a run that ended before its first tick measured nothing."""
    if not found["count"]:
        return "none"
    return f"p50 {found['p50']:.0f}, p99 {found['p99']:.0f}, max {found['max']:.0f}"
