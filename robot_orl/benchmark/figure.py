"""The learning curves of a suite as one SVG that stands alone: a panel per task, a colour per agent.

    success                              offline | online
    100% |        ___o---|---o----o      band: from the lowest to the highest seed
         |   __o--       |               whisker: 95% interval of the final evaluation
      0% |__/____________|____________   dotted: the demonstrations

It follows the reader's light or dark theme, also where it is shown as an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from robot_orl.benchmark.results import STAGES
from robot_orl.benchmark.suite import AgentRow, Suite, TaskRow
from robot_orl.benchmark.summary import Cell, Curve, data_success, mean_curve, of_row, over_seeds
from robot_orl.report.charts import (
    CHARACTER_PX,
    Frame,
    Scale,
    line,
    percent,
    percent_range,
    shares_axis,
    short,
    text,
    ticks,
    with_title,
)

WIDTH, PANEL_HEIGHT, GAP = 860.0, 236.0, 10.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 46.0, 40.0
LEGEND_LINE = 20.0
COLORS = {  # by place in the suite: light theme, dark theme
    "light": ("#7a8392", "#b86e00", "#0d8f76", "#7c3aed", "#d2503d", "#2563eb", "#b0307f", "#4d7c0f"),
    "dark": ("#939cab", "#e5a344", "#3bc4a6", "#b493ff", "#f0806c", "#6ea3ff", "#ef7fc0", "#a3c65c"),
}
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
text { fill: var(--muted); }
.name { font-weight: 650; font-size: 13.5px; fill: var(--ink); } .entry { fill: var(--ink); }
.grid { stroke: var(--line); } .tick { stroke: var(--muted); opacity: 0.6; }
.boundary { stroke: var(--muted); stroke-width: 1.2; stroke-dasharray: 4 4; }
.level { stroke: var(--muted); stroke-width: 1.8; stroke-dasharray: 1 5; stroke-linecap: round; }
.band { fill: var(--c); opacity: 0.12; }
.curve { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.whisker { stroke: var(--c); stroke-width: 1.6; opacity: 0.6; } .mark { fill: var(--c); }
"""


def figure(suite: Suite, cells: Sequence[Cell]) -> str:
    """An SVG document. cells: at least one."""
    tasks = [task for task in suite.tasks if of_row(cells, task)]
    agents = [agent for agent in suite.agents if any(cell["agent"] == agent.name for cell in cells)]
    across = len(tasks) if len(tasks) <= 3 else (2 if len(tasks) == 4 else 3)
    width = min(WIDTH, 560.0) if across == 1 else WIDTH
    color = {agent.name: number % len(COLORS["light"]) for number, agent in enumerate(agents)}
    legend, top = _legend(agents, color, width)
    room = (width - GAP * (across - 1)) / across
    parts = [legend]
    for number, task in enumerate(tasks):
        down, right = divmod(number, across)
        left, above = right * (room + GAP), top + down * PANEL_HEIGHT
        frame = Frame(
            room, PANEL_HEIGHT, left + LEFT, left + room - RIGHT, above + TOP, above + PANEL_HEIGHT - BOTTOM
        )
        parts.append(_panel(task, agents, of_row(cells, task), color, frame))
    height = top + PANEL_HEIGHT * -(-len(tasks) // across)
    label = f"{suite.title}: learning curves, success by updates offline and environment steps online"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(label)}"><style>{_style()}</style>'
        f"{''.join(parts)}</svg>\n"
    )


def _style() -> str:
    def theme(name: str, rest: str) -> str:
        own = "".join(f".c{number} {{ --c: {value}; }} " for number, value in enumerate(COLORS[name]))
        return f":root {{ {rest} }} {own}"

    light = theme("light", "--ink: #15171c; --muted: #636975; --line: #e3e4e8;")
    dark = theme("dark", "--ink: #eef0f4; --muted: #979eab; --line: #31363f;")
    return f"{STYLE}{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}"


def _legend(agents: Sequence[AgentRow], color: Mapping[str, int], width: float) -> tuple[str, float]:
    """The entries in as many lines as they need, and how far down they reach [px]."""
    x, y, parts = 2.0, 14.0, []
    entries = [(agent.title, f"curve c{color[agent.name]}") for agent in agents]
    for title, css in [*entries, ("demonstrations", "level")]:
        needed = 24 + CHARACTER_PX * len(title) + 12
        if x + needed > width and x > 2:
            x, y = 2.0, y + LEGEND_LINE
        parts += [line(x, y - 4, x + 16, y - 4, css), text(x + 22, y, title, "start", "entry")]
        x += needed
    return "".join(parts), y + 8


def _panel(
    task: TaskRow, agents: Sequence[AgentRow], cells: Sequence[Cell], color: Mapping[str, int], frame: Frame
) -> str:
    by_agent = {agent: of_row(cells, task, agent) for agent in agents}
    curves = {
        (agent.name, stage): curve
        for agent, found in by_agent.items()
        for stage in STAGES
        if (curve := mean_curve(found, stage)) is not None
    }
    lengths = {curve.step[-1] for (_, stage), curve in curves.items() if stage == "offline"}
    units = {"offline": "updates", "online": "environment steps"}
    if len(lengths) > 1:  # so that every curve reaches the boundary
        units["offline"] = "updates [%]"
        curves = {key: _as_share(c) if key[1] == "offline" else c for key, c in curves.items()}
    y = Scale(0, 1, frame.bottom, frame.top)
    scales = _scales(curves, frame)
    parts = [text(frame.left, frame.top - 26, task.title, "start", "name"), shares_axis(frame, y)]
    if (success := data_success(cells)) is not None:
        mark = line(frame.left, y(success), frame.right, y(success), "level")
        parts.append(with_title(mark, f"demonstrations: {percent(success)}"))
    for stage, scale in scales.items():
        parts.append(_x_axis(frame, scale, units[stage], skip_zero=stage == "online" and "offline" in scales))
    if len(scales) == 2:
        middle = scales["online"].start
        parts.append(line(middle, frame.top - 14, middle, frame.bottom, "boundary"))
        parts.append(text(middle - 6, frame.top - 8, "offline", "end"))
        parts.append(text(middle + 6, frame.top - 8, "online", "start"))
    for agent, found in by_agent.items():
        for stage, scale in scales.items():
            if (agent.name, stage) in curves:
                drawn = _curve(agent, stage, found, curves[agent.name, stage], scale, y)
                parts.append(f'<g class="c{color[agent.name]}">{drawn}</g>')
    return "".join(parts)


def _as_share(curve: Curve) -> Curve:
    """Over percent of its own length."""
    return replace(curve, step=[100 * step / curve.step[-1] for step in curve.step])


def _scales(curves: Mapping[tuple[str, str], Curve], frame: Frame) -> dict[str, Scale]:
    """Offline's and online's x axis: each half of the panel, or all of it where there is no other."""
    ends = {
        s: max((c.step[-1] for (_, stage), c in curves.items() if stage == s), default=None) for s in STAGES
    }
    present = {stage: end for stage, end in ends.items() if end is not None}
    room = (frame.right - frame.left) / max(len(present), 1)
    return {
        stage: Scale(0, end, frame.left + number * room, frame.left + (number + 1) * room)
        for number, (stage, end) in enumerate(present.items())
    }


def _x_axis(frame: Frame, x: Scale, unit: str, skip_zero: bool) -> str:
    parts = []
    for value in ticks(0, x.high, max(1, int((x.end - x.start) / (7 * CHARACTER_PX)))):
        if value or not skip_zero:
            parts.append(line(x(value), frame.bottom, x(value), frame.bottom + 4, "tick"))
            parts.append(text(x(value), frame.bottom + 17, short(value)))
    parts.append(text((x.start + x.end) / 2, frame.bottom + 33, unit))
    return "".join(parts)


def _curve(agent: AgentRow, stage: str, cells: Sequence[Cell], curve: Curve, x: Scale, y: Scale) -> str:
    """Band and line, and at the end the mark of the final evaluation with its interval."""

    def path(rows: Sequence[float]) -> list[str]:
        return [f"{x(step):.1f},{y(value):.1f}" for step, value in zip(curve.step, rows, strict=True)]

    parts = []
    if len(curve.step) > 1:
        outline = " ".join([*path(curve.high), *reversed(path(curve.low))])
        parts.append(f'<polygon points="{outline}" class="band"/>')
        parts.append(f'<polyline points="{" ".join(path(curve.mean))}" class="curve"/>')
    final = over_seeds([cell["stages"][stage] for cell in cells if stage in cell["stages"]])
    at = x(curve.step[-1])
    mark = line(at, y(final.low), at, y(final.high), "whisker")
    mark += f'<circle cx="{at:.1f}" cy="{y(final.mean):.1f}" r="3.6" class="mark"/>'
    told = (
        f"{agent.title}, {stage}: {percent(final.mean)} (95% interval {percent_range(final.low, final.high)})"
    )
    return "".join([*parts, with_title(mark, told)])
