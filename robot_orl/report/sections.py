"""The sections of the page as HTML, each from the sources alone. Every string of a user is escaped."""

from html import escape
from typing import Any

from omegaconf import OmegaConf

from robot_orl.errors import UsageError
from robot_orl.report.charts import percent, percent_range
from robot_orl.report.curve import learning_curve, points
from robot_orl.report.histogram import Series, count, histogram, nice_edges
from robot_orl.report.reproduce import commands
from robot_orl.report.sources import Sources
from robot_orl.report.video import Clip, Clips
from robot_orl.statistics import wilson_interval

WHO = {
    "data": "Demonstrations",
    "bc": "Behaviour cloning",
    "offline": "Offline",
    "online": "Online",
}
NEXT = {
    "bc": "No baseline was trained; <code>pretrain baseline_steps=5000</code> trains one.",
    "offline": "Not trained yet; <code>pretrain</code> does it.",
    "online": "Not finetuned yet; <code>finetune</code> does it.",
}


def title(sources: Sources) -> str:
    last = sources.stages[-1:]
    success = f"{percent(sources.summary[last[0]]['success'])} " if last else ""
    return escape(f"{success}{sources.task} · robot_orl")


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
        said += f": {_duration(seconds)} of training, baseline and evaluations included"
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
                "" if wall is None else _duration(wall),
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


def curve(sources: Sources) -> str:
    curves = {stage: points(sources.metrics, stage) for stage in ("bc", "offline", "online")}
    intro = "How success grew: offline on the demonstrations alone, then online in the task itself."
    if not any(curves.values()):
        return _section("curve", "Learning", intro, _missing("No evaluation was logged yet."))
    compared = ["data", "bc"] if curves["offline"] else ["data"]
    levels = {name: sources.summary[name]["success"] for name in compared if name in sources.summary}
    if curves["offline"]:  # an axis of its own updates; the baseline may have had many more
        del curves["bc"]
    shown = [stage for stage in curves if curves[stage]]
    legend = "".join(f'<li class="{name}">{WHO[name].lower()}</li>' for name in [*levels, *shown])
    finished = sources.stages
    charts = "".join(
        learning_curve(curves, levels, finished, width=width, height=height, css=css)
        for width, height, css in ((960, 390, "wide"), (600, 320, "middle"), (300, 260, "narrow"))
    )
    note = (
        "Bands and whiskers are 95% Wilson intervals. Open marks are short evaluations on validation seeds; "
        "each filled mark is the final one on the evaluation seeds, as in the figures above."
    )
    unfinished = [stage for stage in shown if stage not in finished]
    if unfinished:
        note += f" Not finished yet: {' and '.join(unfinished)}."
    missing = [stage for stage in ("offline", "online") if not curves[stage]]
    if missing and sources.config["agent"]["name"] != "bc":
        note += f" Nothing was logged {' and '.join(missing)} yet."
    body = f'<div class="card"><ul class="legend">{legend}</ul>{charts}</div><p class="note">{note}</p>'
    return _section("curve", "Learning", intro, body)


def clips(found: Clips) -> str:
    shown = [_clip(clip) for clip in (found.before, found.after) if clip is not None]
    intro = "A failure before and a success after. The bar below the picture turns green on success."
    if not shown:
        return _section("clips", "Before and after", "", _missing(escape(found.note)))
    body = f'<div class="clips">{"".join(shown)}</div><p class="note">{escape(found.note)}</p>'
    return _section("clips", "Before and after", intro, body)


def _clip(clip: Clip) -> str:
    who = "A demonstration" if clip.who == "data" else f"{WHO[clip.who]} policy"
    verdict, css = ("succeeds", "good") if clip.success else ("fails", "bad")
    start = "no known start seed" if clip.seed is None else f"start seed {clip.seed}"
    if clip.who == "bc":
        who = "Behaviour cloning"
    return (
        '<figure class="card clip"><picture>'
        f'<source media="(prefers-reduced-motion: reduce), print" srcset="{clip.strip}">'
        f'<img src="{clip.animation}" width="{clip.width}" height="{clip.height}" '
        f'alt="{who} {verdict}: animation of one episode">'
        f'</picture><figcaption><span class="verdict {css}">{verdict}</span><b>{who}</b>{start}'
        "</figcaption></figure>"
    )


def data(sources: Sources) -> str:
    """Quality, returns and lengths of the episodes, failures and successes apart."""
    records = [record for dataset in sources.datasets for record in dataset.episodes]
    lost = _missing(escape(sources.missing["data"])) if "data" in sources.missing else ""
    if not records:
        return _section("data", "The demonstrations", "", lost or _missing("The dataset is empty."))
    charts, told = [], []
    for name, values, axis in (
        ("Quality", [r.meta.quality for r in records], "quality label of the episode"),
        ("Return", [r.episode_return for r in records], "sum of rewards"),
        ("Length", [float(r.length) for r in records], "steps"),
    ):
        known = [
            (v, r.meta.success) for v, r in zip(values, records, strict=True) if v is not None and v == v
        ]
        if not known:
            told.append(f"{name}: unknown for every episode.")
        elif len({v for v, _ in known}) == 1:
            told.append(f"{name}: {known[0][0]:g} for each of {len(known):,} episodes.")
        else:
            charts.append(_outcomes(name, known, axis, len(records)))
    operators = sorted({r.meta.operator for r in records})
    ends = sorted({r.meta.end_reason for r in records})
    told.append(f"Operators: {', '.join(operators)}. Episodes ended by: {', '.join(ends)}.")
    legend = '<ul class="legend"><li class="good">succeeded</li><li class="bad">failed</li></ul>'
    body = f'{legend}<div class="grid">{"".join(charts)}</div>' if charts else ""
    note = f'<p class="note">{escape(" ".join(told))}</p>'
    intro = f"What was learned from: {len(records):,} episodes of mixed quality, good and bad together."
    return _section("data", "The demonstrations", intro, lost + body + note)


def _outcomes(name: str, known: list[tuple[float, bool]], axis: str, total: int) -> str:
    edges = nice_edges([value for value, _ in known])
    series = [
        Series(said, css, count([v for v, success in known if success is wanted], edges))
        for said, css, wanted in (("succeeded", "good", True), ("failed", "bad", False))
    ]
    label = f"{name} of {len(known)} episodes, from {min(known)[0]:g} to {max(known)[0]:g}"
    part = "" if len(known) == total else f" (known for {len(known):,})"
    chart = histogram(edges, series, axis=axis, label=label)
    return f'<div class="card"><h3>{name}{part}</h3>{chart}</div>'


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
    shell = _missing(escape(hindrance)) if hindrance else f'<ol class="card shell">{"".join(items)}</ol>'
    body = shell + details
    return _section("reproduce", "Make it again", intro, body)


def footer(sources: Sources, when: str) -> str:
    return f"Written by robot-orl on {when} from {escape(str(sources.run.path))}."


def _section(name: str, heading: str, intro: str, body: str) -> str:
    said = f'<p class="about">{intro}</p>'
    return f'<section id="{name}"><h2>{heading}</h2>{said}{body}</section>'


def _missing(sentence: str) -> str:
    return f'<p class="missing">{sentence}</p>'


def _numbers(head: list[str], rows: list[list[str]]) -> str:
    top = "".join(f"<th>{name}</th>" for name in head)
    lines = [
        f"<tr><th>{first}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for first, *cells in rows
    ]
    return f'<table class="numbers"><tr><th></th>{top}</tr>{"".join(lines)}</table>'


def _yaml(values: dict[str, Any]) -> str:
    return f'<pre class="yaml">{escape(OmegaConf.to_yaml(OmegaConf.create(values)).strip())}</pre>'


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
