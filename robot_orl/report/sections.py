"""The sections with words and figures, each from the sources alone. Every string of a user is escaped."""

from html import escape
from typing import Any

from omegaconf import OmegaConf

from robot_orl.errors import UsageError
from robot_orl.report.charts import percent, percent_range
from robot_orl.report.parts import WHO, duration, missing, section
from robot_orl.report.reproduce import commands
from robot_orl.report.sources import Sources
from robot_orl.statistics import wilson_interval

NEXT = {
    "bc": "No baseline was trained; <code>pretrain baseline_steps=5000</code> trains one.",
    "offline": "Not trained yet; <code>pretrain</code> does it.",
    "online": "Not finetuned yet; <code>finetune</code> does it.",
}


def title(sources: Sources) -> str:
    last = sources.stages[-1:]
    success = f"{percent(sources.summary[last[0]]['success'])} " if last else ""
    return f"{success}{sources.task} · robot_orl"


def header(sources: Sources) -> str:
    config, summary = sources.config, sources.summary
    tags = (("task", sources.task), ("agent", config["agent"]["name"]), ("seed", config["seed"]))
    eyebrow = "".join(f"<span>{name} <b>{escape(str(value))}</b></span>" for name, value in tags)
    known, stages = summary.get("data"), sources.stages
    said = "No policy is trained yet"
    if stages:
        said = f"<em>{percent(summary[stages[-1]]['success'])} success</em>"
    if stages and known:
        said += f", learned from demonstrations of which {percent(known['success'])} succeed"
    color = f"--last: var(--{stages[-1] if stages else 'ink'})"
    lede = _lede(summary, stages)
    return f'<header style="{color}"><p class="eyebrow">{eyebrow}</p><h1>{said}</h1>{lede}</header>'


def _lede(summary: dict[str, Any], stages: list[str]) -> str:
    known = summary.get("data")
    if not known:
        return '<p class="lede">Pretraining has not read its data yet, so there are no figures.</p>'
    said = f"{known['episodes']:,} episodes with {known['transitions']:,} transitions"
    taught = [f"{summary[s]['updates']:,} updates" for s in stages if s == "offline"]
    taught += [f"{summary[s]['env_steps']:,} steps of its own in the task" for s in stages if s == "online"]
    if taught:
        said += f", {' and '.join(taught)}"
    seconds = sum(summary.get("wall_s", {}).get(stage, 0) for stage in stages)
    if seconds:
        said += f": {duration(seconds)} of training, baseline and evaluations included"
    return f'<p class="lede">{said}.</p>'


def results(sources: Sources) -> str:
    """Four tiles, and the rest of the figures in a table behind them."""
    summary, tiles, rows = sources.summary, [], []
    if known := summary.get("data"):
        n = known["episodes"]
        interval = wilson_interval(round(known["success"] * n), n)
        tiles.append(_tile("data", known["success"], interval, n))
        rows.append(
            ["data", percent(known["success"]), percent_range(*interval), "", "", f"{n:,}", "", "", ""]
        )
    stages = ["bc"] if sources.config["agent"]["name"] == "bc" else ["bc", "offline", "online"]
    for stage in stages:
        entry = summary.get(stage)
        if entry is None:
            told = NEXT[stage]
            tiles.append(
                f'<div class="card tile absent {stage}"><h3>{WHO[stage]}</h3><data value="">&ndash;</data>'
                f"<p>{told}</p></div>"
            )
            continue
        low, high = entry["wilson95"]
        tiles.append(_tile(stage, entry["success"], (low, high), entry["episodes"]))
        wall = summary.get("wall_s", {}).get(stage)
        rows.append(
            [
                stage,
                percent(entry["success"]),
                percent_range(low, high),
                percent(entry["success_any"]),
                f"{entry['episode_return']:.1f}".replace("-", "\N{MINUS SIGN}"),
                f"{entry['episodes']:,}",
                f"{entry['updates']:,}",
                f"{entry['env_steps']:,}",
                "" if wall is None else duration(wall),
            ]
        )
    head = [
        "success",
        "95% interval",
        "at any step",
        "mean return",
        "episodes",
        "updates",
        "env steps",
        "time",
    ]
    table = _numbers(head, rows)
    return (
        f'<section id="results" aria-label="Success"><div class="tiles">{"".join(tiles)}</div>'
        '<p class="note">Success at the last step of an episode. Policies act without noise on a fixed list '
        "of start seeds that no training saw. The pale bar, and the range below it, is the 95% Wilson "
        "interval.</p>"
        f'<details><summary>All figures</summary><div class="card scroll">{table}</div></details></section>'
    )


def _tile(stage: str, success: float, interval: tuple[float, float], n: int) -> str:
    low, high = interval
    gauge = (
        f'<span class="gauge" aria-hidden="true"><i></i>'
        f'<i style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
        f'<i style="left:{100 * success:.2f}%"></i></span>'
    )
    number = percent(success).removesuffix("%")
    return (
        f'<div class="card tile {stage}"><h3>{WHO[stage]}</h3>'
        f'<data value="{success!r}">{escape(number)}<small>%</small></data>{gauge}'
        f"<p>{escape(percent_range(*interval))}<br>{round(success * n):,} of {n:,} episodes</p></div>"
    )


def reproduce(sources: Sources) -> str:
    items, hindrance = [], ""
    try:
        lines = commands(sources)
    except UsageError as error:  # a task or an agent that is not installed here
        lines, hindrance = [], f"The commands cannot be told: {error}."
    for line in lines:
        if line.startswith("#"):
            items.append(f'<li class="remark">{escape(line[1:].strip())}</li>')
        else:
            program, name, *rest = line.split(" ", 2)
            said = f"{program} <b>{escape(name)}</b> {escape(' '.join(rest))}"
            items.append(f"<li><code>{said}</code></li>")
    summary = sources.summary
    facts = [("git revision", summary.get("git_revision") or "unknown")]
    facts += [("data fingerprint", summary["data"]["fingerprint"])] if "data" in summary else []
    facts += list(summary.get("packages", {}).items())
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in facts)
    parts = [("Resolved configuration of pretraining", _yaml(sources.config))]
    if "finetune" in summary:
        parts.append(("Resolved configuration of finetuning", _yaml(summary["finetune"])))
    parts.append(("Software and data", f'<table class="pairs">{rows}</table>'))
    details = "".join(
        f'<details><summary>{name}</summary><div class="card">{body}</div></details>' for name, body in parts
    )
    intro = "The commands behind this page, in order; what they do not name has its default."
    shell = missing(escape(hindrance)) if hindrance else f'<ol class="card shell">{"".join(items)}</ol>'
    body = shell + details
    return section("reproduce", "Make it again", intro, body)


def footer(sources: Sources, when: str) -> str:
    return f"Written by robot-orl on {when} from {escape(str(sources.run.path))}."


def _numbers(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{name}</th>" for name in head)
    lines = [
        f"<tr><th>{first}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    ]
    return f'<table class="numbers"><tr><th></th>{top}</tr>{"".join(lines)}</table>'


def _yaml(values: dict[str, Any]) -> str:
    return f'<pre class="yaml">{escape(OmegaConf.to_yaml(OmegaConf.create(values)).strip())}</pre>'
