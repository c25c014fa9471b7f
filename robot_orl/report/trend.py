"""Figures over the course of training: offline's updates and online's environment steps side by side.

0.6 |   .--.         |
    |  '    '-----.  |.        one y axis for all lines, two x axes; the boundary as in the learning curve
0.2 |.             ' | '----
    0    1k    2k   3k   1k
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robot_orl.report.charts import (
    CHARACTER_PX,
    Frame,
    Scale,
    line,
    percent,
    short,
    svg,
    text,
    ticks,
    with_title,
)

LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 20.0, 42.0
STAGES = {"offline": "updates, offline", "online": "steps, online"}
MOST = 120  # points of a line in one stage; more would not be seen
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Trend:
    """A figure over (step, value) of each stage. css: the class that colours it; None: its stages do."""

    name: str
    stages: Mapping[str, Points]
    css: str | None = None

    @property
    def values(self) -> list[float]:
        return [value for points in self.stages.values() for _, value in points]


def trend_of(metrics: Sequence[Mapping[str, Any]], key: str, name: str, css: str | None = None) -> Trend:
    """The logged values of `key`; a stage without any is left out."""
    found = {}
    for stage in STAGES:
        rows = {row["step"]: float(row[key]) for row in metrics if row["stage"] == stage and key in row}
        if rows:
            found[stage] = thinned(sorted(rows.items()))
    return Trend(name, found, css)


def thinned(points: Points, most: int = MOST) -> Points:
    """Means of neighbours, where there are more than can be seen."""
    if len(points) <= most:
        return points
    parts = np.array_split(np.asarray(points), most)
    return [(float(part[-1, 0]), float(part[:, 1].mean())) for part in parts]


def trend_chart(trends: Sequence[Trend], label: str, is_share: bool = False) -> str:
    """Drawn for a broad and for a slim place. label: for readers who listen. is_share: in 0 .. 1, as %."""
    return "".join(
        draw(trends, label, is_share, width, height, css)
        for width, height, css in ((460, 220, "broad"), (290, 200, "slim"))
    )


def draw(trends: Sequence[Trend], label: str, is_share: bool, width: float, height: float, css: str) -> str:
    frame = Frame(width, height, LEFT, width - RIGHT, TOP, height - BOTTOM)
    values = [value for trend in trends for value in trend.values]
    low, high = (0.0, 1.0) if is_share else bounds(values)
    y, scales = Scale(low, high, frame.bottom, frame.top), x_scales(trends, frame)
    parts = []
    for value in ticks(low, high, 4):
        parts.append(line(frame.left, y(value), frame.right, y(value), "axis" if value == 0 else "grid"))
        parts.append(text(frame.left - 6, y(value) + 4, f"{value:.0%}" if is_share else short(value), "end"))
    for stage, x in scales.items():
        parts.append(_x_axis(frame, x, STAGES[stage], skip_zero=x.start > frame.left))
    if len(scales) == 2:
        middle = scales["online"].start
        parts.append(line(middle, frame.top - 8, middle, frame.bottom, "boundary"))
    for trend in trends:
        parts.append(_line(trend, scales, y, is_share))
    return svg(frame, f"{label}: {_described(trends, is_share)}", parts, css)


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Of the y axis: around all values, with a little room, never empty."""
    low, high = min(values), max(values)
    room = 0.08 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def x_scales(trends: Sequence[Trend], frame: Frame) -> dict[str, Scale]:
    """Each stage's x axis: half of the plot, or all of it where there is no other."""
    ends: dict[str, float] = {}
    for stage in STAGES:
        steps = [step for trend in trends for step, _ in trend.stages.get(stage, ())]
        if steps:
            ends[stage] = max(steps)
    width = (frame.right - frame.left) / max(len(ends), 1)
    starts = [frame.left + width * i for i in range(len(ends))]
    return {
        stage: Scale(0, end, start, start + width)
        for (stage, end), start in zip(ends.items(), starts, strict=True)
    }


def _x_axis(frame: Frame, x: Scale, title: str, skip_zero: bool) -> str:
    parts = []
    for value in ticks(x.low, x.high, max(1, int((x.end - x.start) / (8 * CHARACTER_PX)))):
        if not (value == 0 and skip_zero):
            parts.append(line(x(value), frame.bottom, x(value), frame.bottom + 4, "tick"))
            parts.append(text(x(value), frame.bottom + 17, short(value)))
    parts.append(text((x.start + x.end) / 2, frame.bottom + 35, title, css="axis-title"))
    return "".join(parts)


def _line(trend: Trend, scales: Mapping[str, Scale], y: Scale, is_share: bool) -> str:
    """A line per stage; a single point is a dot."""
    parts = []
    for stage, points in trend.stages.items():
        x, css = scales[stage], trend.css or stage
        path = " ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points)
        if len(points) == 1:
            step, value = points[0]
            mark = f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="3" class="mark {css}"/>'
        else:
            mark = f'<polyline points="{path}" class="curve thin {css}"/>'
        parts.append(with_title(mark, f"{trend.name}, {stage}: {_course(points, is_share)}"))
    return "".join(parts)


def _course(points: Points, is_share: bool) -> str:
    first, last = (percent(v) if is_share else short(v) for v in (points[0][1], points[-1][1]))
    return last if len(points) == 1 else f"from {first} to {last}"


def _described(trends: Sequence[Trend], is_share: bool) -> str:
    return "; ".join(
        f"{trend.name}, {stage}, {_course(points, is_share)}"
        for trend in trends
        for stage, points in trend.stages.items()
    )
