"""A page about a dataset: what stands out, how its signals are distributed, what it covers, its time."""

import time
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from robot_orl.curation.figures.columns import ColumnFigures
from robot_orl.curation.figures.data_statistics import DataStatistics, Outcome
from robot_orl.curation.figures.remarks import remarks
from robot_orl.report.charts import percent, short
from robot_orl.report.document import write_document
from robot_orl.report.histogram import Series, count, histogram, nice_edges, trimmed
from robot_orl.report.parts import missing, section
from robot_orl.report.signal_cards import cards, heat_map


def write_dataset_page(found: DataStatistics, path: Path) -> None:
    """Raises: RunError: it cannot be written."""
    body = [
        _header(found),
        _stands_out(remarks(found)),
        _signals("actions", "Actions", found.action),
        _signals("observations", "Observations", found.observation),
        _coverage(found),
        _time(found),
        _outcomes(found),
        _numbers(found),
    ]
    when = time.strftime("%Y-%m-%d %H:%M")
    footer = f"robot_orl dataset stats · {when} · {escape(found.path)}"
    write_document(path, f"{found.task}: {found.episodes:,} episodes", body, footer, ("dataset.css",))


def _header(found: DataStatistics) -> str:
    judged = sum(item.judged for item in found.operators)
    successes = sum(item.successes for item in found.operators)
    success = f", {percent(successes / judged)} successful" if judged else ""
    if 0 < judged < found.episodes:
        success += f" of {judged:,} judged"
    seconds = found.transitions * found.time.declared_ms / 1e3
    lede = (
        f"{found.transitions:,} steps at {1e3 / found.time.declared_ms:g} Hz, {_spent(seconds)} of "
        f"experience, by {', '.join(item.name for item in found.operators)}."
    )
    return (
        f'<header><p class="eyebrow"><span>task <b>{escape(found.task)}</b></span>'
        f"<span>dataset <b>{escape(found.path)}</b></span></p>"
        f'<h1>{found.episodes:,} episodes{success}</h1><p class="lede">{escape(lede)}</p></header>'
    )


def _spent(seconds: float) -> str:
    for limit, unit in ((3600, "h"), (60, "min")):
        if seconds >= limit:
            return f"{seconds / limit:.1f} {unit}"
    return f"{seconds:.0f} s"


def _stands_out(lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    body = f'<ul class="card stands-out">{items}</ul>' if lines else missing("Nothing does.")
    return section("findings", "What stands out", "What a learner would be misled or limited by.", body)


def _signals(name: str, heading: str, columns: Sequence[ColumnFigures]) -> str:
    groups = [(key, list(part)) for key, part in groupby(columns, key=lambda column: column.key)]
    body = "".join(
        (f'<h3 class="group">{escape(key)}</h3>' if len(groups) > 1 else "") + cards(part)
        for key, part in groups
    )
    intro = "How often each value occurs, from the smallest to the largest, with mean and deviation."
    return section(name, heading, intro, body)


def _coverage(found: DataStatistics) -> str:
    charts = heat_map("States", found.states) + heat_map("Actions", found.actions)
    intro = (
        "Steps in the plane of the first two principal components of the standardised signals. "
        "Empty regions inside are what a policy will not have seen."
    )
    return section("coverage", "Coverage", intro, f'<div class="grid">{charts}</div>')


def _time(found: DataStatistics) -> str:
    time = found.time
    if time.max_ms is None:
        return section("time", "Time", "", missing("No step says when it was."))
    intro = (
        f"Periods between actions against the declared {time.declared_ms:.4g} ms: median {time.p50_ms:.4g}, "
        f"99th percentile {time.p99_ms:.4g}, longest {time.max_ms:.4g} ms; {time.gaps:,} of them "
        "longer than two periods. What is longer than four is in the last column."
    )
    edges, counts = trimmed(time.edges_ms, time.counts)
    chart = histogram(
        edges,
        [Series("periods", "plain", tuple(counts))],
        axis="period [ms]",
        label=f"Periods between actions, median {time.p50_ms:.4g} ms",
        marks=[("declared", time.declared_ms)],
    )
    rows = [(f"{gap.seconds:.4g} s", f"{gap.step}", gap.episode) for gap in time.longest]
    table = _table(("gap", "after step", "of episode"), {"": rows}) if rows else '<p class="note">None.</p>'
    charts = f'<div class="card"><h3>Periods</h3>{chart}</div>'
    longest = f'<div class="card"><h3>Longest gaps</h3>{table}</div>'
    return section("time", "Time", intro, f'<div class="grid">{charts}{longest}</div>')


def _outcomes(found: DataStatistics) -> str:
    groups = (("Success by operator", found.operators), ("Success by quality label", found.qualities))
    body = "".join(f'<div class="card"><h3>{name}</h3>{_success(items)}</div>' for name, items in groups)
    if len(set(found.lengths)) > 1:
        edges = nice_edges(found.lengths)
        series = [Series("episodes", "plain", count(found.lengths, edges))]
        chart = histogram(edges, series, axis="steps", label="Lengths of the episodes")
        body += f'<div class="card"><h3>Lengths</h3>{chart}</div>'
    intro = "Success at the last step, with its 95% interval, of the episodes where it is known."
    if len(set(found.lengths)) == 1:
        intro += f" Each episode has {found.lengths[0]:,} steps."
    return section("outcomes", "Outcomes", intro, f'<div class="grid">{body}</div>')


def _success(items: Sequence[Outcome]) -> str:
    rows = []
    for item in items:
        rate = "unknown" if item.rate is None else percent(item.rate)
        interval = "{:.0f} to {:.0f}%".format(*(100 * end for end in item.wilson95)) if item.wilson95 else ""
        rows.append((item.name, f"{item.episodes:,}", rate, interval))
    return _table(("", "episodes", "success", "95%"), {"": rows})


def _numbers(found: DataStatistics) -> str:
    groups: dict[str, list[tuple[str, ...]]] = {}
    for c in (*found.action, *found.observation):
        figures = [c.min, c.mean, c.std, c.max, c.change_mean, c.change_max]
        numbers = ["" if value is None else short(value) for value in figures]
        name = c.name if c.unit == "1" else f"{c.name} [{c.unit}]"
        shares = [percent(c.at_bounds), percent(c.still), percent(c.occupied), f"{c.missing:,}"]
        groups.setdefault(c.key, []).append((name, *numbers, *shares))
    heads = (
        "",
        "min",
        "mean",
        "std",
        "max",
        "mean change",
        "max change",
        "at bounds",
        "still",
        "bins",
        "NaN",
    )
    intro = (
        "Changes are absolute, from step to step. Still: share of episodes in which the signal never "
        "changes. Bins: share of its range, declared or else seen, in which it was."
    )
    return section("numbers", "All numbers", intro, f'<div class="card">{_table(heads, groups)}</div>')


def _table(heads: Sequence[str], groups: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Rows below the names of their groups; the first cell of a row names it."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    lines = []
    for group, rows in groups.items():
        if group:
            lines.append(
                f'<tr class="group"><th>{escape(group)}</th><td colspan="{len(heads) - 1}"></td></tr>'
            )
        for first, *rest in rows:
            cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
            name = escape(first).replace("_", "_<wbr>")  # where a narrow screen may break it
            lines.append(f"<tr><th>{name}</th>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="numbers"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
