"""The sections with pictures: the learning curve, a failure and a success, the demonstrations."""

from html import escape

from robot_orl.report.curve import learning_curve, points
from robot_orl.report.histogram import Series, count, histogram, nice_edges
from robot_orl.report.parts import WHO, missing, section
from robot_orl.report.sources import Sources
from robot_orl.report.video import Clip, Clips


def curve(sources: Sources) -> str:
    curves = {stage: points(sources.metrics, stage) for stage in ("bc", "offline", "online")}
    intro = "How success grew: offline on the demonstrations alone, then online in the task itself."
    if not any(curves.values()):
        return section("curve", "Learning", intro, missing("No evaluation was logged yet."))
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
    absent = [stage for stage in ("offline", "online") if not curves[stage]]
    if absent and sources.config["agent"]["name"] != "bc":
        note += f" Nothing was logged {' and '.join(absent)} yet."
    body = f'<div class="card"><ul class="legend">{legend}</ul>{charts}</div><p class="note">{note}</p>'
    return section("curve", "Learning", intro, body)


def clips(found: Clips) -> str:
    shown = [_clip(clip) for clip in (found.before, found.after) if clip is not None]
    intro = "A failure before and a success after. The bar below the picture turns green on success."
    if not shown:
        return section("clips", "Before and after", "", missing(escape(found.note)))
    body = f'<div class="clips">{"".join(shown)}</div><p class="note">{escape(found.note)}</p>'
    return section("clips", "Before and after", intro, body)


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
    lost = missing(escape(sources.missing["data"])) if "data" in sources.missing else ""
    if not lost and (then := sources.changed_data()) is not None:
        lost = missing(f"The data are not what they were: then {then:,} episodes were learned from.")
    if not records:
        return section("data", "The demonstrations", "", lost or missing("The dataset is empty."))
    charts, told = [], []
    for name, values, axis in (
        ("Quality", [r.meta.quality for r in records], "quality label of the episode"),
        ("Return", [r.episode_return for r in records], "sum of rewards"),
        ("Length", [float(r.length) for r in records], "steps"),
    ):
        known = [
            (v, r.meta.success)
            for v, r in zip(values, records, strict=True)
            if v is not None and v == v and r.meta.success is not None
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
    where = sources.config.get("where")
    which = "" if where is None else f", those where {where}"
    intro = escape(f"What was learned from: {len(records):,} episodes{which}.")
    return section("data", "The demonstrations", intro, lost + body + note)


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
