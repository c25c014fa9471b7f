"""Small multiples: the distribution of each signal, with what is wrong with it."""

import math
from collections.abc import Sequence
from html import escape

from robot_orl.curation.figures.columns import ColumnFigures
from robot_orl.curation.figures.coverage import Coverage
from robot_orl.curation.figures.remarks import SATURATED
from robot_orl.report.charts import percent, short

WIDTH, HEIGHT = 192, 54  # of the viewBox; drawn as wide as its card


def cards(columns: Sequence[ColumnFigures]) -> str:
    return f'<div class="signals">{"".join(map(card, columns))}</div>'


def card(column: ColumnFigures) -> str:
    """Name, histogram, range, mean and deviation; in words what is dead, saturated or missing."""
    unit = "" if column.unit == "1" else f" <span>{escape(column.unit)}</span>"
    css, told = _state(column)
    said = f'<p class="told">{escape(told)}</p>' if told else ""
    ends = ""
    if column.min is not None and column.max is not None and not column.is_dead:
        ends = f"<p><span>{short(column.min)}</span><span>{short(column.max)}</span></p>"
        ends += f"<p><span>{short(column.mean or 0.0)} ± {short(column.std or 0.0)}</span></p>"
    return (
        f'<figure class="signal {css}"><figcaption>{escape(column.name)}{unit}</figcaption>'
        f"{_shape(column)}{ends}{said}</figure>"
    )


def _state(column: ColumnFigures) -> tuple[str, str]:
    """CSS class and words."""
    if column.missing:
        return "missing-values", f"NaN or infinite: {column.missing:,} rows"
    if column.is_dead and column.min is not None:
        return "dead", f"dead: {short(column.min)} throughout"
    if column.at_bounds >= SATURATED:
        return "saturated", f"at bounds: {percent(column.at_bounds)}"
    return "", ""


def _shape(column: ColumnFigures) -> str:
    """The histogram as one outline; a column with anything in it is at least a pixel tall."""
    label = f"Distribution of {column.title}"
    parts = f'<line x1="0" x2="{WIDTH}" y1="{HEIGHT / 2}" y2="{HEIGHT / 2}" class="flat"/>'
    if not column.is_dead and column.counts:
        step, most = WIDTH / len(column.counts), max(column.counts)
        bars = []
        for i, count in enumerate(column.counts):
            if count:
                tall = max(1.0, (HEIGHT - 2) * count / most)
                bars.append(f"M{i * step:.1f} {HEIGHT}v-{tall:.1f}h{max(step - 0.4, 0.6):.1f}v{tall:.1f}z")
        parts = f'<path d="{"".join(bars)}" class="shape"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{parts}</svg>'
    )


def heat_map(name: str, found: Coverage | None) -> str:
    """A card with the cells of the plane, darker where there is more, on a logarithmic scale."""
    if found is None:
        return f'<div class="card"><h3>{name}</h3><p class="note">Fewer than two signals vary.</p></div>'
    size = len(found.cells)
    most = math.log1p(int(found.cells.max()))
    rects = [
        f'<rect x="{i}" y="{size - 1 - j}" width="1" height="1" '
        f'opacity="{0.15 + 0.85 * math.log1p(int(found.cells[i, j])) / most:.2f}"/>'
        for i in range(size)
        for j in range(size)
        if found.cells[i, j]
    ]
    told = (
        f"{percent(found.occupied)} of {size} by {size} cells visited by {found.rows:,} steps; "
        f"the plane holds {percent(found.explained)} of the variance."
    )
    return (
        f'<div class="card"><h3>{name}</h3><svg class="heat" viewBox="0 0 {size} {size}" role="img" '
        f'aria-label="{escape(name)}: {escape(told)}" shape-rendering="crispEdges">{"".join(rects)}</svg>'
        f'<p class="note">{escape(told)}</p></div>'
    )
