"""Figures over seeds, worked out by hand; the table's text and the figure's marks from made-up cells."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmark_toys import AWAC, CELLS, MADE, REACH, cell, entry

from robot_orl.benchmark.figure import figure
from robot_orl.benchmark.results import read_cells, write_cell
from robot_orl.benchmark.summary import data_success, dip, mean_curve, of_row, over_seeds, table
from robot_orl.errors import DataError

SVG = "{http://www.w3.org/2000/svg}"


def test_the_interval_is_students_over_seeds() -> None:
    """Mean 0.9, standard deviation 0.1, t(2) = 4.303: half a width of 4.303 * 0.1 / sqrt(3) = 0.2484."""
    found = over_seeds([entry(rate) for rate in (0.9, 0.8, 1.0)])
    assert found.mean == pytest.approx(0.9)
    assert found.low == pytest.approx(0.6516, abs=1e-4)
    assert found.high == 1.0
    assert found.each == (0.9, 0.8, 1.0)


def test_seeds_that_agree_have_wilsons_interval_over_all_their_episodes() -> None:
    """300 of 300: 300 / (300 + 1.96^2) = 0.98736; one seed of 100: 100 / 103.8416 = 0.96301."""
    found = over_seeds([entry(1.0)] * 3)
    assert (found.low, found.high) == (pytest.approx(0.98736, abs=1e-5), 1.0)
    assert over_seeds([entry(1.0)]).low == pytest.approx(0.96301, abs=1e-5)


def test_a_mean_curve_meets_all_seeds_at_every_step() -> None:
    """The second seed was looked at in between and ended early, with its last value."""
    one, other = cell("awac", 0, 0.4), cell("awac", 1, 0.8)
    other["curves"]["offline"] = [[125, 0.2, 20], [250, 0.8, 100]]
    found = mean_curve([one, other], "offline")
    assert found is not None
    assert found.step == [125, 250, 500]
    assert found.mean == pytest.approx([0.2, 0.5, 0.6])  # before its first point a seed keeps that
    assert (found.low, found.high) == (pytest.approx([0.2, 0.2, 0.4]), pytest.approx([0.2, 0.8, 0.8]))
    assert mean_curve([one], "online") is None


def test_online_begins_where_offline_ended_and_the_dip_is_counted_from_there() -> None:
    cells = of_row(CELLS, REACH, AWAC)
    found = mean_curve(cells, "online")
    assert found is not None
    assert (found.step, found.mean) == ([0, 100, 200], pytest.approx([0.5, 0.4, 0.9]))
    assert dip(cells) == pytest.approx(0.1)
    assert dip(of_row(CELLS, REACH)[:1]) is None


def test_a_seed_of_the_data_counts_once_however_many_learn_from_it() -> None:
    assert data_success(CELLS) == pytest.approx(0.3)


def test_the_table_says_everything_once() -> None:
    lines = table(MADE, CELLS, ["reach-bc-0"]).splitlines()
    assert lines[2:5] == [
        "| **reach** | demonstrations | 30 | | | | | | | | | |",
        "|  | cloning | 40 (35 .. 46) |  |  |  | 40 40 40 |  |  | 500 | 1.5 | 2.0 |",
        "|  | AWAC | **50** (44 .. 56) |  | **90** (65 .. 100) |  | 90 80 100 | 10 | 200 | 900 | 1.5 | 2.0 |",
    ]
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert "run seeds 0, 1, 2, each measured on the same 100 evaluation seeds" in lines[6]
    assert lines[-1] == "Measured with an earlier configuration: reach-bc-0."


def test_the_best_policies_have_columns_of_their_own() -> None:
    cells = [cell("awac", 0, 0.4), cell("awac", 1, 0.8)]
    for one, best in zip(cells, (0.5, 0.9), strict=True):
        one["stages"]["offline"]["best"] = entry(best)
    (row,) = (line for line in table(MADE, cells, []).splitlines() if "AWAC" in line)
    assert "| 70: 50 90 |" in row
    del cells[1]["stages"]["offline"]["best"]  # a mean over some of the seeds would be no mean
    assert "70" not in table(MADE, cells, [])


def test_the_figure_has_a_mark_where_each_stage_ended() -> None:
    """One panel of 560 px: plot from 44 to 546, boundary at 295; y from 196 (0%) up to 46 + legend (100%)."""
    root = ElementTree.fromstring(figure(MADE, CELLS))
    marks = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{SVG}circle")]
    height = float(root.attrib["height"])
    bottom, top = height - 40, height - 236 + 46
    y = [bottom - rate * (bottom - top) for rate in (0.4, 0.5, 0.9)]
    assert marks == [pytest.approx(p, abs=0.1) for p in ((295, y[0]), (295, y[1]), (546, y[2]))]
    (boundary,) = [one for one in root.iter(f"{SVG}line") if one.get("class") == "boundary"]
    assert float(boundary.attrib["x1"]) == 295
    band = next(one for one in root.iter(f"{SVG}polygon") if len(one.attrib["points"].split()) == 6)
    outer = [float(point.split(",")[1]) for point in band.attrib["points"].split()]
    assert outer[2] == pytest.approx(bottom - 1.0 * (bottom - top), abs=0.1)  # the highest seed at the end
    assert outer[3] == pytest.approx(bottom - 0.8 * (bottom - top), abs=0.1)  # and the lowest
    assert len(figure(MADE, CELLS)) < 300_000


def test_lengths_that_differ_are_shown_as_shares_so_that_all_reach_the_boundary() -> None:
    longer = cell("bc", 0, 0.4)
    longer["curves"]["offline"][-1][0] = 1000
    root = ElementTree.fromstring(figure(MADE, [longer, cell("awac", 0, 0.5, 0.9)]))
    assert "updates [%]" in {one.text for one in root.iter(f"{SVG}text")}
    assert [float(c.attrib["cx"]) for c in root.iter(f"{SVG}circle")] == [295, 295, 546]


def test_cells_are_read_back_and_another_json_is_named(tmp_path: Path) -> None:
    for one in CELLS:
        write_cell(tmp_path, one)
    assert [(c["agent"], c["seed"]) for c in read_cells(tmp_path)] == [
        *(("awac", seed) for seed in range(3)),
        *(("bc", seed) for seed in range(3)),
    ]
    (tmp_path / "notes.json").write_text(json.dumps({"mine": 1}))
    with pytest.raises(DataError, match=r"notes\.json is not the result of a cell"):
        read_cells(tmp_path)
