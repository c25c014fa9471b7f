"""The learning curve: success against updates offline and environment steps online, in one picture.

100% |        ____o---|---o----o
     |   __o--        |              one y axis, two x axes side by side;
  0% |__/_____________|____________  the boundary is where the robot begins to act
      0   1k   2k   3k|  1k   2k
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robot_orl.report.charts import (
    CHARACTER_PX,
    Frame,
    Scale,
    line,
    percent,
    percent_range,
    shares_axis,
    short,
    svg,
    text,
    ticks,
    with_title,
)

NAMES = {"data": "demonstrations", "bc": "behaviour cloning"}
LEFT, RIGHT, TOP, BOTTOM = 44.0, 16.0, 24.0, 46.0
GAP_PX = 6.0  # between the last label before the boundary and the first one behind it


@dataclass(frozen=True)
class Point:
    """An evaluation: x in updates or environment steps, success and its interval in [0, 1]."""

    x: float
    success: float
    low: float
    high: float
    episodes: int


def points(metrics: Sequence[Mapping[str, Any]], stage: str) -> list[Point]:
    """The evaluations of one stage, by step; of two at the same step the later one counts."""
    found = {}
    for row in metrics:
        if row.get("stage") == stage and "eval/success" in row:
            low, high = row.get("eval/wilson_low", 0.0), row.get("eval/wilson_high", 1.0)
            episodes = int(row.get("eval/episodes", 0))
            found[row["step"]] = Point(row["step"], row["eval/success"], low, high, episodes)
    return [found[step] for step in sorted(found)]


def learning_curve(
    curves: Mapping[str, Sequence[Point]],
    levels: Mapping[str, float],
    finished: Collection[str],
    *,
    width: float,
    height: float,
    css: str,
) -> str:
    """curves: by stage (bc, offline, online), an empty one is left out; at least one has points.

    levels: success of what is compared with (data, bc), drawn as lines from side to side.
    finished: the stages whose last point is their final evaluation; it is filled and has a whisker.
    """
    frame = Frame(width, height, LEFT, width - RIGHT, TOP, height - BOTTOM)
    y = Scale(0, 1, frame.bottom, frame.top)
    before, after = x_scales(curves, frame)
    parts = [shares_axis(frame, y)]
    for name, success in levels.items():
        mark = line(frame.left, y(success), frame.right, y(success), f"level {name}")
        parts.append(with_title(mark, f"{NAMES[name]}: {percent(success)}"))
    if before is not None:
        parts.append(_x_axis(frame, before, "gradient updates, offline", skip_zero=False))
    if after is not None:
        parts.append(_x_axis(frame, after, "environment steps, online", skip_zero=before is not None))
    if before is not None and after is not None:
        parts.append(line(before.end, frame.top - 10, before.end, frame.bottom, "boundary"))
        parts.append(text(before.end - 8, frame.top - 8, "offline", "end", "side"))
        parts.append(text(before.end + 8, frame.top - 8, "online", "start", "side"))
    for stage, scale, unit in (
        ("bc", before, "updates"),
        ("offline", before, "updates"),
        ("online", after, "environment steps"),
    ):
        if curves.get(stage) and scale is not None:
            start = curves.get("offline") if stage == "online" else None
            parts.append(
                _curve(stage, curves[stage], scale, y, unit, start[-1] if start else None, stage in finished)
            )
    return svg(frame, _described(curves, levels), parts, css)


def x_scales(curves: Mapping[str, Sequence[Point]], frame: Frame) -> tuple[Scale | None, Scale | None]:
    """Offline's and online's x axis: each half of the plot, or all of it where there is no other."""
    before = max((p.x for stage in ("bc", "offline") for p in curves.get(stage, ())), default=None)
    after = max((p.x for p in curves.get("online", ())), default=None)
    middle = (frame.left + frame.right) / 2
    if before is None or after is None:
        middle = frame.right if after is None else frame.left
    return (
        None if before is None else Scale(0, before, frame.left, middle),
        None if after is None else Scale(0, after, middle, frame.right),
    )


def _x_axis(frame: Frame, x: Scale, title: str, skip_zero: bool) -> str:
    room = abs(x.end - x.start)
    marks = ticks(x.low, x.high, max(2, int(room / (9 * CHARACTER_PX))))
    parts = []
    for value in marks:
        if value == 0 and skip_zero:
            continue
        parts.append(line(x(value), frame.bottom, x(value), frame.bottom + 4, "tick"))
        parts.append(text(x(value), frame.bottom + 18, short(value)))
    longest = int(room / CHARACTER_PX)
    if len(title) > longest:
        title = title.partition(",")[0]
    parts.append(text((x.start + x.end) / 2, frame.bottom + 38, title, css="axis-title"))
    return "".join(parts)


def _curve(
    stage: str,
    shown: Sequence[Point],
    x: Scale,
    y: Scale,
    unit: str,
    start: Point | None,
    is_finished: bool,
) -> str:
    """Band, line and marks. start: an evaluation before the first, drawn at x = 0 without a mark."""
    path = shown if start is None else [replace(start, x=0), *shown]
    upper = " ".join(f"{x(p.x):.1f},{y(p.high):.1f}" for p in path)
    lower = " ".join(f"{x(p.x):.1f},{y(p.low):.1f}" for p in reversed(path))
    centre = " ".join(f"{x(p.x):.1f},{y(p.success):.1f}" for p in path)
    parts = []
    if len(path) > 1:
        parts.append(f'<polygon points="{upper} {lower}" class="band {stage}"/>')
        parts.append(f'<polyline points="{centre}" class="curve {stage}"/>')
    for p in shown:
        is_final = is_finished and p is shown[-1]
        radius = 5.5 if is_final else 3.5
        css = f"mark {stage} final" if is_final else f"mark {stage}"
        mark = f'<circle cx="{x(p.x):.1f}" cy="{y(p.success):.1f}" r="{radius}" class="{css}"/>'
        if is_final or len(path) == 1:
            mark = line(x(p.x), y(p.low), x(p.x), y(p.high), f"whisker {stage}") + mark
        told = f"{stage}, {p.x:,.0f} {unit}: {percent(p.success)}"
        interval = f" (95% interval {percent_range(p.low, p.high)}, {p.episodes} episodes)"
        parts.append(with_title(mark, told + interval))
    return f'<g class="{stage}">{"".join(parts)}</g>'


def _described(curves: Mapping[str, Sequence[Point]], levels: Mapping[str, float]) -> str:
    said = [
        f"{stage} from {percent(shown[0].success)} to {percent(shown[-1].success)}"
        for stage, shown in curves.items()
        if shown
    ]
    said += [f"{NAMES[name]} {percent(success)}" for name, success in levels.items()]
    return "Learning curve, success: " + "; ".join(said)
