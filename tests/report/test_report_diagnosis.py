"""How an agent learned, in pictures: where dots and lines lie, what is told, and who has none of it."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from report_toys import HOSTILE, write_run

from robot_orl.report import scatter, trend
from robot_orl.report.page import write_report
from robot_orl.report.trend import MOST, Trend, bounds, thinned, trend_of
from robot_orl.training.runs.run import Run


def elements(svg: str, css: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    return [found for found in root.iter() if css in (found.get("class") or "").split()]


# A plot area of 100 x 100 px for both axes.
def test_a_dot_on_the_diagonal_is_where_q_is_the_return() -> None:
    pairs = {"script": [[0.0, 0.0], [10.0, 10.0]], "policy": [[0.0, 10.0]]}
    size = scatter.LEFT + scatter.RIGHT + 100, scatter.TOP + scatter.BOTTOM + 100
    svg = scatter.draw(pairs, "l", *size, "broad")
    (diagonal,) = elements(svg, "diagonal")
    ends = [float(diagonal.attrib[name]) for name in ("x1", "y1", "x2", "y2")]
    left, top = scatter.LEFT, scatter.TOP
    assert ends == [left, top + 100, left + 100, top]
    # A twentieth of the range is left free at each end: 0 lies at 0.5 / 11 of the way.
    near, far = 100 * 0.5 / 11, 100 * 10.5 / 11
    places = [f"M{left + at:.1f} {top + 100 - at:.1f}h.01" for at in (near, far)]
    assert elements(svg, "script")[0].attrib["d"] == "".join(places)
    assert elements(svg, "policy")[0].attrib["d"] == f"M{left + near:.1f} {top + 100 - far:.1f}h.01"


def test_a_single_pair_is_drawn() -> None:
    assert elements(scatter.draw({"human": [[3.0, 3.0]]}, "l", 200, 200, ""), "human")


SIZE = trend.LEFT + trend.RIGHT + 200, trend.TOP + trend.BOTTOM + 100


def test_offline_and_online_lie_side_by_side() -> None:
    shown = Trend("share", {"offline": [(0, 0.0), (50, 0.5)], "online": [(0, 0.5), (1000, 1.0)]})
    svg = trend.draw([shown], "l", True, *SIZE, "")
    left, top = trend.LEFT, trend.TOP
    before, after = (line.attrib["points"] for line in elements(svg, "curve"))
    assert before == f"{left:.1f},{top + 100:.1f} {left + 100:.1f},{top + 50:.1f}"
    assert after == f"{left + 100:.1f},{top + 50:.1f} {left + 200:.1f},{top:.1f}"
    (boundary,) = elements(svg, "boundary")
    assert float(boundary.attrib["x1"]) == left + 100
    assert ElementTree.fromstring(svg).attrib["aria-label"] == (
        "l: share, offline, from 0% to 50%; share, online, from 50% to 100%"
    )


def test_one_stage_alone_takes_the_whole_width() -> None:
    svg = trend.draw([Trend("std", {"online": [(100, 0.1)]}, "policy")], "l", False, *SIZE, "")
    (dot,) = elements(svg, "mark")
    assert float(dot.attrib["cx"]) == trend.LEFT + 200
    assert elements(svg, "boundary") == []
    assert "policy" in dot.attrib["class"].split()


def test_long_logs_are_drawn_as_means() -> None:
    points = [(float(step), float(step % 2)) for step in range(10 * MOST)]
    found = thinned(points)
    assert len(found) == MOST
    assert {value for _, value in found} == {0.5}
    assert found[-1][0] == 10 * MOST - 1


def test_the_later_of_two_lines_at_one_step_counts() -> None:
    rows = [{"stage": "offline", "step": 5, "x": 1.0}, {"stage": "bc", "step": 5, "x": 9.0}]
    rows += [{"stage": "offline", "step": 2, "x": 3.0}, {"stage": "offline", "step": 5, "x": 2.0}]
    assert trend_of(rows, "x", "x").stages == {"offline": [(2, 3.0), (5, 2.0)]}


@pytest.mark.parametrize(
    ("values", "expected"), [([0, 1], (-0.08, 1.08)), ([4, 4], (2, 6)), ([0], (-0.5, 0.5))]
)
def test_an_axis_is_never_empty(values: list[float], expected: tuple[float, float]) -> None:
    assert bounds(values) == pytest.approx(expected)


def with_diagnosis(run: Run, **changes: Any) -> str:
    found = {"diagnosis/bias": 1.5, "diagnosis/bias_script": 1.25, "diagnosis/bias_policy": 2.0}
    found |= {"diagnosis/tail": 0.5, "diagnosis/rank_correlation": 0.75, "diagnosis/advantage_script": -1.0}
    pairs = {"script": [[-3.0, -2.0], [-1.0, -1.5]], "policy": [[-2.0, 0.0]]}
    entry = {"updates": 1200, "metrics": found, "pairs": pairs} | changes
    (run.path / "diagnosis.json").write_text(json.dumps({"offline": entry}))
    with (run.path / "metrics.jsonl").open("a") as file:
        for step, weights in ((10, 0.5), (20, 0.25)):
            row = {"stage": "offline", "step": step, "actor/effective_samples": weights} | found
            file.write(json.dumps(row) + "\n")
    return write_report(run, None, None).read_text()


def test_the_page_tells_how_the_agent_learned(tmp_path: Path) -> None:
    html = with_diagnosis(write_run(tmp_path))
    section = html.partition('<section id="diagnosis">')[2].partition("</section>")[0]
    assert "Q against return, offline" in section
    assert "Bias +1.5: the mean of Q \N{MINUS SIGN} return (scripted +1.25, policy +2). " in section
    assert "Rank correlation 0.75. Where an episode was cut off" in section
    assert "50% of the weight. After 1,200 updates." in section
    assert "effective samples, offline: from 50% to 25%" in section
    assert "scripted, offline: from \N{MINUS SIGN}1 to \N{MINUS SIGN}1" in section
    assert "Online data" not in section
    assert "Disagreement" not in section  # nothing of it was logged


def test_a_run_without_these_figures_has_no_such_section(tmp_path: Path) -> None:
    assert 'id="diagnosis"' not in write_report(write_run(tmp_path), None, None).read_text()


@pytest.mark.parametrize("pairs", [{HOSTILE: [[1, 2]]}, []])
def test_who_nobody_knows_is_not_drawn(tmp_path: Path, pairs: Any) -> None:
    html = with_diagnosis(write_run(tmp_path), pairs=pairs)
    assert "Q against return" not in html
    assert HOSTILE not in html
