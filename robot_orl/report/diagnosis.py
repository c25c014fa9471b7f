"""The section about how the agent learned: what its critics say against what happened, and its weights."""

from collections.abc import Mapping
from html import escape
from typing import Any

from robot_orl.report.charts import percent, short
from robot_orl.report.parts import WHO, section
from robot_orl.report.scatter import scatter
from robot_orl.report.sources import Sources
from robot_orl.report.trend import Trend, trend_chart, trend_of
from robot_orl.training.checks.diagnosis import read_diagnosis
from robot_orl.types import Actor

ACTORS = {
    Actor.SCRIPT: "scripted",
    Actor.HUMAN: "human",
    Actor.POLICY: "policy",
    Actor.INTERVENTION: "intervened",
    Actor.UNKNOWN: "unknown actor",
}
NAMES = {actor.name.lower(): name for actor, name in ACTORS.items()}
INTRO = (
    "Whether the critics judge right, and what the policy makes of it. Their Q of stored steps is compared "
    "with the discounted return that followed: on the diagonal the two agree. Q speaks of the policy, the "
    "return of whoever acted, so Q belongs above the returns of worse actors; on the policy\u2019s own steps "
    "the difference is bias."
)


def diagnosis(sources: Sources) -> str:
    """Empty for a run without any of these figures, as one of cloning or of an older version."""
    scatters = [
        _scatter(stage, entry)
        for stage, entry in read_diagnosis(sources.run).items()
        if stage in WHO and isinstance(entry, dict) and _pairs(entry)
    ]
    charts = [chart for chart in _charts(sources) if chart]
    if not scatters and not charts:
        return ""
    actors = list(dict.fromkeys(actor for _, shown in scatters for actor in shown))
    legend = "".join(f'<li class="{actor}">{NAMES[actor]}</li>' for actor in actors)
    shown = f'<ul class="legend">{legend}</ul>' if legend else ""
    if scatters:
        shown += f'<div class="grid pairs">{"".join(card for card, _ in scatters)}</div>'
    if charts:
        shown += f'<div class="grid">{"".join(charts)}</div>'
    return section("diagnosis", "How it learned", INTRO, shown)


def _scatter(stage: str, entry: Mapping[str, Any]) -> tuple[str, list[str]]:
    """A card, and the actors in it."""
    pairs, found = _pairs(entry), entry.get("metrics", {})
    bias = found.get("diagnosis/bias", 0.0)
    told = [f"Bias {_signed(bias)}: the mean of Q \N{MINUS SIGN} return"]
    by_actor = {actor: found.get(f"diagnosis/bias_{actor}") for actor in pairs}
    if len(pairs) > 1:
        apart = [f"{NAMES[actor]} {_signed(value)}" for actor, value in by_actor.items() if value is not None]
        told[0] += f" ({', '.join(apart)})"
    if (rank := found.get("diagnosis/rank_correlation")) is not None:
        told.append(f"Rank correlation {short(rank)}")
    if tail := found.get("diagnosis/tail"):
        told.append(
            f"Where an episode was cut off, their own estimate goes on: {percent(tail)} of the weight"
        )
    done = f"{entry.get('updates', 0):,} updates"
    label = f"Q against return, {stage}, after {done}; bias {_signed(bias)}"
    card = (
        f'<div class="card"><h3>Q against return, {WHO[stage].lower()}</h3>{scatter(pairs, label)}'
        f'<p class="note">{escape(". ".join(told))}. After {done}.</p></div>'
    )
    return card, list(pairs)


def _pairs(entry: Mapping[str, Any]) -> dict[str, Any]:
    """By actor, those that are known; none of an empty list."""
    found = entry.get("pairs")
    return {a: shown for a, shown in found.items() if a in NAMES and shown} if isinstance(found, dict) else {}


def _charts(sources: Sources) -> list[str]:
    rows = sources.metrics
    advantages = [
        trend_of(rows, f"diagnosis/advantage_{actor}", name, actor) for actor, name in NAMES.items()
    ]
    share = trend_of(rows, "diagnosis/online_share", "online share")
    return [
        _card("Bias of Q", [trend_of(rows, "diagnosis/bias", "bias")], "mean of Q \N{MINUS SIGN} return"),
        _card(
            "Disagreement",
            [trend_of(rows, "diagnosis/disagreement", "disagreement")],
            "of the critics: deviation of Q",
        ),
        _card(
            "Advantage",
            advantages,
            "of what was done over what the policy would do: Q(s, a) \N{MINUS SIGN} Q(s, \u03c0(s))",
            legend=True,
        ),
        _card(
            "Effective samples",
            [trend_of(rows, "actor/effective_samples", "effective samples")],
            "share of a batch that its advantage weights leave",
            is_share=True,
        ),
        _card(
            "Policy deviation",
            [trend_of(rows, "actor/std", "deviation")],
            "standard deviation of its actions",
        ),
        _card("Online data", [share], "share of the batches", is_share=True)
        if "online" in share.stages
        else "",
    ]


def _card(name: str, trends: list[Trend], told: str, is_share: bool = False, legend: bool = False) -> str:
    """Empty where nothing was logged."""
    shown = [trend for trend in trends if trend.stages]
    if not shown:
        return ""
    items = "".join(f'<li class="{trend.css}">{trend.name}</li>' for trend in shown) if legend else ""
    key = f'<ul class="legend small">{items}</ul>' if items else ""
    return (
        f'<div class="card"><h3>{name}</h3><p class="hint">{told}</p>{key}'
        f"{trend_chart(shown, name, is_share)}</div>"
    )


def _signed(value: float) -> str:
    said = short(round(value, 2))
    return f"+{said}" if value > 0 else said
