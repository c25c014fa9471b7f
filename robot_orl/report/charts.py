"""Hand-made SVG: crisp at any size, coloured by the page's CSS variables, with a tooltip on every mark.

Coordinates are pixels of the viewBox, y down. Every chart is drawn for one width; where a page is read
on wide and on narrow screens, it holds two and CSS shows the one that fits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

FONT_PX = 12
CHARACTER_PX = 7.0  # width of a digit at FONT_PX, rounded up: labels that would touch are left out


@dataclass(frozen=True)
class Scale:
    """Linear map of data in [low, high] to pixels in [start, end]; a single value lies in the middle."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        if self.high == self.low:
            return (self.start + self.end) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


@dataclass(frozen=True)
class Frame:
    """Outer size and the plot area inside of it [px]."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


def nice_step(span: float, at_most: int) -> float:
    """The smallest step of 1, 2 or 5 times a power of ten that divides `span` into at most so many parts."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / at_most))
    for factor in (1, 2, 5, 10):
        if span / (factor * power) <= at_most + 1e-9:
            return factor * power
    return 10 * power


def ticks(low: float, high: float, at_most: int) -> list[float]:
    """Multiples of a nice step inside [low, high]."""
    step = nice_step(high - low, at_most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def short(value: float) -> str:
    """1500 -> '1.5k', 0.25 -> '0.25', -50 -> '\N{MINUS SIGN}50', 2e9 -> '2e+09'."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if limit <= abs(value) < 1e9:
            return f"{value / limit:.3g}{unit}".replace("-", "\N{MINUS SIGN}")
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def svg(frame: Frame, label: str, parts: Sequence[str], css: str = "") -> str:
    """label: what a reader who cannot see the chart is told."""
    return (
        f'<svg class="chart {css}" viewBox="0 0 {frame.width:g} {frame.height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def text(x: float, y: float, content: str, anchor: str = "middle", css: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{css}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def percent_range(low: float, high: float) -> str:
    """0.434, 0.546 -> '43.4 to 54.6%'."""
    return f"{percent(low).removesuffix('%')} to {percent(high)}"


def with_title(shape: str, title: str) -> str:
    """A shape with its tooltip."""
    return f"<g><title>{escape(title)}</title>{shape}</g>"


def percent(share: float) -> str:
    """0.98 -> '98%', 0.467 -> '46.7%', never rounded up to 100% or down to 0%."""
    value = round(100 * share, 1)
    if value in (0.0, 100.0) and share not in (0.0, 1.0):
        return "<0.1%" if value == 0 else ">99.9%"
    return f"{value:g}%"


def shares_axis(frame: Frame, y: Scale) -> str:
    """Grid lines and labels of shares from 0 to 100%."""
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(line(frame.left, y(share), frame.right, y(share), "grid"))
        parts.append(text(frame.left - 8, y(share) + 4, f"{share:.0%}", "end"))
    return "".join(parts)
