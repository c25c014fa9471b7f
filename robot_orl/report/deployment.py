"""The deployment as HTML: was the loop on time, and did the safety filter have to step in?"""

from collections.abc import Mapping
from html import escape
from typing import Any

from robot_orl.report.charts import percent, percent_range
from robot_orl.report.histogram import Series, histogram, trimmed
from robot_orl.report.sources import Sources

HEADING = '<section id="deploy"><h2>On the robot</h2>'
MEASURES = {
    "scheduling": "real-time scheduling",
    "memory_locked": "memory locked",
    "garbage_collector": "garbage collector off",
}


def section(sources: Sources) -> str:
    figures = sources.deploy
    if figures is None:
        sentence = escape(sources.missing["deploy"])
        return f'{HEADING}<p class="missing">{sentence}</p></section>'
    try:
        body = _body(figures)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        sentence = f"This deployment's figures cannot be shown: a field is missing or malformed ({error!r})."
        body = f'<p class="missing">{escape(sentence)}</p>'
    intro = (
        f"The exported policy on robot <code>{escape(str(figures['robot']))}</code>, without PyTorch, in a "
        f"loop with absolute deadlines at {figures['control_hz']:g} Hz."
    )
    return f'{HEADING}<p class="about">{intro}</p>{body}</section>'


def _body(figures: Mapping[str, Any]) -> str:
    fault = figures.get("fault")
    alert = f'<p class="card alert">Stopped by a fault: {escape(str(fault))}</p>' if fault else ""
    period_us = 1e3 * figures["period_ms"]
    charts = _timing("Period error", "time between two ticks, off from the period", "period_error", figures)
    charts += _timing("Inference", f"of a period of {microseconds(period_us)}", "inference", figures)
    return (
        f'{alert}<dl class="card figures">{_headline(figures)}</dl>'
        f'<div class="grid">{charts}</div>{_checks(figures)}'
    )


def _headline(figures: Mapping[str, Any]) -> str:
    success = figures["success"]
    low, high = success["wilson95"]
    rate = "unknown" if success["rate"] is None else percent(success["rate"])
    interval = f"{success['episodes']} episodes, {percent_range(low, high)}"
    interventions = sum(figures["safety"].values())
    kinds = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in figures["safety"].items() if n)
    rows = (
        ("success", rate, interval if success["episodes"] else "no whole episode"),
        ("ticks", f"{figures['ticks']:,}", f"at {figures['control_hz']:g} Hz"),
        ("missed slots", f"{figures['missed_slots']:,}", f"of {figures['slots']:,}"),
        *_taken_over(figures),
        ("safety interventions", f"{interventions:,}", kinds or "none of any kind"),
        (
            "ran for",
            f"{figures['slots'] / figures['control_hz']:.4g} s",
            f"stopped by {figures['stopped_by']!s}",
        ),
    )
    return "".join(
        f"<div><dt>{name}</dt><dd>{escape(value)}<small>{escape(said)}</small></dd></div>"
        for name, value, said in rows
    )


def _taken_over(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """How often somebody acted in the policy's place, where somebody could."""
    if figures.get("operator") is None:
        return []
    found = figures["interventions"]
    share = f"{percent(found['steps'] / max(found['of_steps'], 1))} of the steps"
    return [("taken over", f"{found['times']:,} times", f"by {figures['operator']}, {share}")]


def _timing(name: str, about: str, key: str, figures: Mapping[str, Any]) -> str:
    """One histogram with its percentiles."""
    table, found = figures["histograms"][key], figures[f"{key}_us"]
    if not found["count"]:
        return f'<div class="card"><h3>{name}</h3><p class="note">Nothing was measured.</p></div>'
    edges, counts = trimmed(table["edges_us"], table["counts"])
    told = ", ".join(f"{p} {microseconds(found[p])}" for p in ("p50", "p99", "p99.9", "max"))
    chart = histogram(
        edges,
        [Series("ticks", "plain", tuple(counts))],
        axis="µs, in 1-2-5 bins",
        label=f"{name} of {found['count']} ticks: {told}",
        marks=[("p50", found["p50"]), ("p99", found["p99"])],
        show_counts=True,
    )
    return (
        f'<div class="card"><h3>{name}</h3><p class="note" style="margin:0 0 10px">{escape(about)}</p>{chart}'
        f'<p class="note">{escape(told)}; {found["count"]:,} ticks</p></div>'
    )


def _checks(figures: Mapping[str, Any]) -> str:
    rows = [
        f'<li class="{"yes" if row["obtained"] else "no"}">{MEASURES.get(name, escape(str(name)))} '
        f"<span>{escape(str(row['reason']))}</span></li>"
        for name, row in figures["realtime"].items()
    ]
    clock = f'<li class="yes">clock <span>{escape(str(figures["clock"]))}</span></li>'
    return f'<div class="card" style="margin-top:16px"><ul class="checks">{"".join(rows)}{clock}</ul></div>'


def microseconds(value: float) -> str:
    """11.2 -> '11 µs', 1522 -> '1.5 ms'."""
    return f"{value:.0f} µs" if value < 1000 else f"{value / 1e3:.3g} ms"
