"""Histograms with columns of equal width, whatever the bins: 1-2-5 bins then read like a log axis."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robot_orl.report.charts import (
    CHARACTER_PX,
    Frame,
    Scale,
    line,
    nice_step,
    short,
    svg,
    text,
    with_title,
)

LEFT, RIGHT, TOP, BOTTOM = 12.0, 12.0, 22.0, 44.0
GROUND_PX = 2.0  # least height of a column with anything in it: one tick in a million must be seen


@dataclass(frozen=True)
class Series:
    """Counts per bin of one kind of thing; series are stacked. css: the class that colours it."""

    name: str
    css: str
    counts: tuple[int, ...]


def nice_edges(values: Sequence[float], at_most: int = 10) -> list[float]:
    """Edges at multiples of a nice step around all values; a single value gets one bin around itself."""
    low, high = min(values), max(values)
    step = nice_step(high - low, at_most)
    if low == high:
        return [low - step / 2, low + step / 2]
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return [round(i * step, 12) for i in range(first, last + 1)]


def count(values: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    """Values per bin; the last bin holds its right edge too."""
    return tuple(int(n) for n in np.histogram(values, edges)[0])


def trimmed(edges: Sequence[float], counts: Sequence[int], margin: int = 1) -> tuple[list[float], list[int]]:
    """Without the empty bins at both ends, but for `margin` of them."""
    filled = [i for i, n in enumerate(counts) if n]
    if not filled:
        return list(edges), list(counts)
    first, last = max(filled[0] - margin, 0), min(filled[-1] + margin, len(counts) - 1)
    return list(edges[first : last + 2]), list(counts[first : last + 1])


def column_of(value: float, edges: Sequence[float]) -> float:
    """Where a value lies in units of columns: 2.5 is the middle of the third bin; outside is clamped."""
    if value <= edges[0]:
        return 0.0
    if value >= edges[-1]:
        return float(len(edges) - 1)
    i = bisect_right(edges, value) - 1
    return i + (value - edges[i]) / (edges[i + 1] - edges[i])


def histogram(
    edges: Sequence[float],
    series: Sequence[Series],
    *,
    axis: str,
    label: str,
    marks: Sequence[tuple[str, float]] = (),
    show_counts: bool = False,
) -> str:
    """Drawn twice, for a broad and for a slim place; CSS shows the one that fits.

    axis: title below.  marks: vertical lines, each a name and a value, ascending.  label: for readers
    who listen.
    """
    return "".join(
        draw(edges, series, axis, label, marks, show_counts, width, height, css)
        for width, height, css in ((460, 230, "broad"), (290, 200, "slim"))
    )


def draw(
    edges: Sequence[float],
    series: Sequence[Series],
    axis: str,
    label: str,
    marks: Sequence[tuple[str, float]],
    show_counts: bool,
    width: float,
    height: float,
    css: str,
) -> str:
    top = TOP + (16 if marks else 0)
    frame = Frame(width, height, LEFT, width - RIGHT, top, height - BOTTOM)
    columns = len(edges) - 1
    x = Scale(0, columns, frame.left, frame.right)
    totals = [sum(s.counts[i] for s in series) for i in range(columns)]
    y = Scale(0, max([*totals, 1]), frame.bottom, frame.top)
    parts = [_column(i, edges, series, x, y) for i in range(columns)]
    parts.append(line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    parts += _edge_labels(edges, x, frame)
    parts.append(text((frame.left + frame.right) / 2, frame.bottom + 36, axis, css="axis-title"))
    places = [x(column_of(value, edges)) for _, value in marks]
    for (name, _), at, following in zip(marks, places, [*places, width][1:], strict=True):
        needed = len(name) * CHARACTER_PX + 10
        side = -1 if following - at < needed and at > needed else 1  # a name never crosses the next line
        parts.append(line(at, 8, at, frame.bottom, "mark-line"))
        parts.append(text(at + 5 * side, 16, name, "end" if side < 0 else "start", "mark-name"))
    if show_counts:
        above = [(x(i + 0.5), y(n) - 5, f"{n:,}") for i, n in enumerate(totals) if n]
        parts += [text(at, min(up, frame.bottom - 7), said, css="count") for at, up, said in above]
    return svg(frame, label, parts, css)


def _column(i: int, edges: Sequence[float], series: Sequence[Series], x: Scale, y: Scale) -> str:
    """One stack, from the ground up, with a tooltip that counts each series."""
    gap = min(2.0, (x(1) - x(0)) * 0.1)
    rects, below, raised = [], 0, 0.0
    for s in series:
        n = s.counts[i]
        if n:
            tall = max(y(below) - y(below + n), GROUND_PX)
            bottom = y(below) - raised
            raised += tall - (y(below) - y(below + n))
            rects.append(
                f'<rect x="{x(i) + gap / 2:.1f}" y="{bottom - tall:.1f}" width="{x(1) - x(0) - gap:.1f}" '
                f'height="{tall:.1f}" class="bar {s.css}"/>'
            )
        below += n
    counted = ", ".join(f"{s.counts[i]:,} {s.name}" for s in series)
    return with_title("".join(rects), f"{short(edges[i])} to {short(edges[i + 1])}: {counted}")


def _edge_labels(edges: Sequence[float], x: Scale, frame: Frame) -> list[str]:
    """As many of the edges' values as fit, always the same number of columns apart."""
    widest = max(len(short(edge)) for edge in edges) * CHARACTER_PX + 6
    every = max(1, int(np.ceil(widest / (x(1) - x(0)))))
    labels = []
    for i in range(0, len(edges), every):
        said = short(edges[i])
        half = len(said) * CHARACTER_PX / 2
        at = min(max(x(i), half), frame.width - half)
        labels.append(text(at, frame.bottom + 16, said))
    return labels
