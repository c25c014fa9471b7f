"""Where marks lie, worked out by hand; read back from the SVG by an XML parser."""

from xml.etree import ElementTree

import pytest

from robot_orl.report.charts import Scale, nice_step, percent, percent_range, short, ticks
from robot_orl.report.curve import BOTTOM, LEFT, RIGHT, TOP, Point, learning_curve, points
from robot_orl.report.histogram import GROUND_PX, Series, column_of, count, draw, nice_edges, trimmed


def elements(svg: str, css: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(svg)
    return [found for found in root.iter() if css in (found.get("class") or "").split()]


def place(circle: ElementTree.Element) -> tuple[float, float]:
    return float(circle.attrib["cx"]), float(circle.attrib["cy"])


def test_a_scale_maps_linearly_and_a_single_value_to_the_middle() -> None:
    assert Scale(0, 10, 100, 200)(2.5) == 125
    assert Scale(0, 1, 300, 100)(0.25) == 250
    assert Scale(5, 5, 100, 200)(5) == 150


@pytest.mark.parametrize(
    ("span", "at_most", "step"), [(10, 10, 1), (11, 10, 2), (3000, 4, 1000), (0.9, 5, 0.2), (0, 5, 1)]
)
def test_steps_are_1_2_5_times_a_power_of_ten(span: float, at_most: int, step: float) -> None:
    assert nice_step(span, at_most) == pytest.approx(step)


def test_ticks_are_multiples_inside_the_range() -> None:
    assert ticks(0, 3000, 4) == [0, 1000, 2000, 3000]
    assert ticks(-7, 12, 4) == [-5, 0, 5, 10]


def test_numbers_are_short() -> None:
    said = [short(v) for v in (0, 0.25, 1500, 2_000_000, -50, -3e38)]
    assert said == ["0", "0.25", "1.5k", "2M", "\N{MINUS SIGN}50", "\N{MINUS SIGN}3e+38"]


def test_a_percentage_is_never_rounded_to_certainty() -> None:
    assert [percent(v) for v in (0, 1, 0.98, 0.4667)] == ["0%", "100%", "98%", "46.7%"]
    assert (percent(0.9999), percent(0.0001)) == (">99.9%", "<0.1%")
    assert percent_range(0.434, 0.546) == "43.4 to 54.6%"


def test_of_two_evaluations_at_one_step_the_later_counts() -> None:
    rows = [
        {"stage": "bc", "step": 20, "eval/success": 0.5},
        {"stage": "bc", "step": 10, "eval/success": 0.2},
        {"stage": "bc", "step": 15, "loss": 1.0},
        {"stage": "bc", "step": 20, "eval/success": 0.75},
        {"stage": "online", "step": 5, "eval/success": 1.0},
    ]
    assert [(p.x, p.success) for p in points(rows, "bc")] == [(10, 0.2), (20, 0.75)]


# A plot area of 200 x 100 px: success 1 lies at y = TOP, 0 at TOP + 100; the boundary at LEFT + 100.
SIZE = {"width": LEFT + RIGHT + 200, "height": TOP + BOTTOM + 100}
OFFLINE = [Point(10, 0.0, 0, 0.5, 20), Point(40, 0.5, 0.25, 0.75, 20)]
ONLINE = [Point(100, 0.75, 0.5, 1, 20), Point(200, 1.0, 0.75, 1, 50)]


def test_offline_takes_the_left_half_and_online_the_right() -> None:
    curves = {"offline": OFFLINE, "online": ONLINE}
    svg = learning_curve(curves, {"data": 0.25, "bc": 0.5}, {"offline", "online"}, css="wide", **SIZE)
    assert [place(c) for c in elements(svg, "mark")] == [
        (LEFT + 25, TOP + 100),
        (LEFT + 100, TOP + 50),
        (LEFT + 150, TOP + 25),
        (LEFT + 200, TOP),
    ]
    (boundary,) = elements(svg, "boundary")
    assert float(boundary.attrib["x1"]) == float(boundary.attrib["x2"]) == LEFT + 100
    assert [float(level.attrib["y1"]) for level in elements(svg, "level")] == [TOP + 75, TOP + 50]
    online_line = elements(svg, "curve")[1].attrib["points"]
    assert online_line.split()[0] == f"{LEFT + 100:.1f},{TOP + 50:.1f}"  # goes on where offline ended


def test_one_phase_alone_takes_the_whole_width_and_has_no_boundary() -> None:
    for stage, shown in (("offline", OFFLINE), ("online", ONLINE)):
        svg = learning_curve({stage: shown}, {}, set(), css="wide", **SIZE)
        assert place(elements(svg, "mark")[-1])[0] == LEFT + 200
        assert elements(svg, "boundary") == elements(svg, "level") == []


def test_only_a_finished_stage_has_a_final_mark() -> None:
    svg = learning_curve({"offline": OFFLINE, "online": ONLINE}, {}, {"offline"}, css="wide", **SIZE)
    assert [place(c) for c in elements(svg, "final")] == [(LEFT + 100, TOP + 50)]


def test_bands_lie_between_the_bounds_of_the_intervals() -> None:
    svg = learning_curve({"offline": OFFLINE}, {}, set(), css="wide", **SIZE)
    corners = elements(svg, "band")[0].attrib["points"].split()
    assert [float(c.split(",")[1]) - TOP for c in corners] == [50, 25, 75, 100]


def test_every_mark_tells_its_figures() -> None:
    svg = learning_curve({"online": ONLINE}, {}, {"online"}, css="wide", **SIZE)
    titles = [t.text for t in ElementTree.fromstring(svg).iter() if t.tag.endswith("title")]
    assert titles[-1] == "online, 200 environment steps: 100% (95% interval 75 to 100%, 50 episodes)"
    assert ElementTree.fromstring(svg).attrib["aria-label"] == (
        "Learning curve, success: online from 75% to 100%"
    )


def test_columns_are_as_wide_whatever_the_bins_and_series_are_stacked() -> None:
    series = [Series("yes", "good", (1, 4, 0)), Series("no", "bad", (3, 0, 2))]
    svg = draw([0, 1, 10, 100], series, "x", "label", (), False, 12 + 12 + 300, 22 + 44 + 80, "broad")
    good, bad = elements(svg, "good"), elements(svg, "bad")
    sizes = [float(r.attrib["height"]) for r in (*good, *bad)]
    assert sizes == [20, 80, 60, 40]  # 4 is the tallest: 20 px each
    assert {r.attrib["width"] for r in (*good, *bad)} == {"98.0"}
    assert [float(r.attrib["x"]) for r in good] == [13, 113]
    assert float(bad[0].attrib["y"]) == 22  # on top of the one below it, up to the edge
    assert float(good[0].attrib["y"]) == 82


def test_one_in_a_million_is_seen() -> None:
    svg = draw([0, 1, 2], [Series("n", "plain", (1_000_000, 1))], "x", "l", (), False, 300, 200, "broad")
    assert float(elements(svg, "plain")[1].attrib["height"]) == GROUND_PX


def test_a_value_lies_in_its_bin_in_proportion() -> None:
    edges = [0, 1, 2, 5, 10]
    assert [column_of(v, edges) for v in (0, 0.5, 3.5, 5, 10)] == [0, 0.5, 2.5, 3, 4]
    assert (column_of(-3, edges), column_of(99, edges)) == (0, 4)


def test_marks_stand_where_their_values_are() -> None:
    svg = draw(
        [0, 10, 100], [Series("n", "plain", (1, 1))], "x", "l", [("p50", 5), ("p99", 55)], False, 224, 200, ""
    )
    assert [float(m.attrib["x1"]) for m in elements(svg, "mark-line")] == [12 + 50, 12 + 150]


def test_bins_have_nice_edges_around_all_values() -> None:
    assert nice_edges([-50, -3], at_most=10) == [-50, -45, -40, -35, -30, -25, -20, -15, -10, -5, 0]
    assert nice_edges([7, 7]) == [6.5, 7.5]
    assert count([0, 5, 10], [0, 5, 10]) == (1, 2)


def test_empty_bins_at_the_ends_are_cut_to_one() -> None:
    assert trimmed([0, 1, 2, 5, 10, 20], [0, 0, 3, 0, 0]) == ([1, 2, 5, 10], [0, 3, 0])
    assert trimmed([0, 1, 2], [1, 0]) == ([0, 1, 2], [1, 0])
    assert trimmed([0, 1], [0]) == ([0, 1], [0])
