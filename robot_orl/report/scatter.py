"""Q against the return that followed: a dot for a step, on the diagonal where the critics are right."""

from collections.abc import Mapping, Sequence

from robot_orl.report.charts import Frame, Scale, line, short, svg, text, ticks, with_title

LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 12.0, 42.0
Pairs = Sequence[Sequence[float]]  # of return and Q


def scatter(pairs: Mapping[str, Pairs], label: str) -> str:
    """pairs: by actor, whose name is the class that colours the dots; at least one pair.

    Drawn for a broad and for a slim place. label: for readers who listen.
    """
    return "".join(
        draw(pairs, label, width, height, css)
        for width, height, css in ((460, 340, "broad"), (290, 260, "slim"))
    )


def draw(pairs: Mapping[str, Pairs], label: str, width: float, height: float, css: str) -> str:
    """Both axes have the same range, so that the diagonal goes from corner to corner."""
    frame = Frame(width, height, LEFT, width - RIGHT, TOP, height - BOTTOM)
    values = [value for shown in pairs.values() for pair in shown for value in pair]
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.5
    x = Scale(low - room, high + room, frame.left, frame.right)
    y = Scale(low - room, high + room, frame.bottom, frame.top)
    parts = []
    for value in ticks(x.low, x.high, 5):
        parts.append(line(frame.left, y(value), frame.right, y(value), "grid"))
        parts.append(line(x(value), frame.top, x(value), frame.bottom, "grid"))
        parts.append(text(frame.left - 6, y(value) + 4, short(value), "end"))
        parts.append(text(x(value), frame.bottom + 17, short(value)))
    parts.append(line(frame.left, frame.bottom, frame.right, frame.top, "diagonal"))
    for actor, shown in pairs.items():
        dots = "".join(f"M{x(returned):.1f} {y(q):.1f}h.01" for returned, q in shown)
        parts.append(with_title(f'<path d="{dots}" class="dots {actor}"/>', f"{actor}: {len(shown):,} steps"))
    parts.append(text(frame.left + 6, frame.top + 14, "Q", "start", "side"))
    parts.append(
        text((frame.left + frame.right) / 2, frame.bottom + 35, "return that followed", css="axis-title")
    )
    return svg(frame, label, parts, css)
