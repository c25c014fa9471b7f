"""Statistics against numbers worked out by hand, and every fault that is planted is told."""

import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_orl.cli import main
from robot_orl.curation.figures.columns import BINS, Column, Histogram
from robot_orl.curation.figures.coverage import CELLS, cover
from robot_orl.curation.figures.data_statistics import DataStatistics, compute
from robot_orl.curation.figures.remarks import remarks
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.types import Actor, Episode, EpisodeMeta, Signal, Spec

SPEC = Spec(
    "toy",
    {"joints": (Signal("elbow", "rad", -2.0, 2.0), Signal("wrist", "rad")), "force": (Signal("pull", "N"),)},
    (Signal("elbow_target", "1", -1.0, 1.0), Signal("wrist_target", "1", -1.0, 1.0)),
    control_hz=10.0,
    horizon=100,
)


def episode(elbow: list[float], action: list[list[float]], **changes: Any) -> Episode:
    """elbow: T + 1 angles; the wrist follows at twice the angle, and the pull is its square."""
    steps, angle = len(action), np.array(elbow, np.float32)
    meta = {name: changes.pop(name) for name in ("success", "operator", "quality") if name in changes}
    made = Episode(
        obs={"joints": np.stack([angle, 2 * angle], axis=1), "force": angle[:, None] ** 2},
        action=np.array(action, np.float32),
        action_policy=np.full((steps, 2), np.nan, np.float32),
        action_operator=np.full((steps, 2), np.nan, np.float32),
        reward=np.zeros(steps, np.float32),
        terminated=np.zeros(steps, bool),
        truncated=np.arange(steps) == steps - 1,
        t_ns=np.arange(steps) * 100_000_000,
        actor=np.full(steps, Actor.SCRIPT, np.uint8),
        sim_state=None,
        meta=EpisodeMeta(**meta),
    )
    return replace(made, **changes)


# elbow 0 1 0 -1 | 2 2; actions at bounds: elbow_target 2 of 4, wrist_target none
FIRST = episode([0, 1, 0, -1], [[1, 0.5], [-1, 0], [0.5, -0.5]], success=True, operator="a", quality=0.9)
LONG = "<b>" + "a" * 90
SECOND = episode([2, 2], [[0, 0.25]], success=False, operator=LONG)


def healthy(count: int = 4) -> list[Episode]:
    rng = np.random.default_rng(0)
    return [
        episode(rng.uniform(-1, 1, 31).tolist(), rng.uniform(-0.9, 0.9, (30, 2)).tolist())
        for _ in range(count)
    ]


def with_joints(found: Episode, joints: Any) -> Episode:
    return replace(found, obs={**found.obs, "joints": np.asarray(joints, np.float32)})


def with_nan() -> Episode:
    joints = FIRST.obs["joints"].copy()
    joints[1] = [np.nan, np.inf]
    return with_joints(FIRST, joints)


def saturated(found: Episode) -> Episode:
    """Above 0.5 at the upper bound, or beyond it, which counts as well."""
    return replace(found, action=np.where(found.action > 0.5, [1, 2], found.action).astype(np.float32))


def paused(found: Episode, after: int) -> Episode:
    t_ns = found.t_ns.copy()
    t_ns[after + 1 :] += 750_000_000
    return replace(found, t_ns=t_ns)


def at_times(*times_ms: int) -> Episode:
    t_ns = np.array([time * 1_000_000 if time >= 0 else -1 for time in times_ms])
    return episode([0.1 * i for i in range(7)], [[0.0, 0.1 * i] for i in range(6)], t_ns=t_ns)


GROUPS = {
    "by hand": [FIRST, SECOND],
    "times": [at_times(0, 100, 200, 500, 601, 590), at_times(0, 100, -1, 300, 400, 500)],
    "outcomes": [FIRST, FIRST, SECOND, replace(FIRST, meta=replace(FIRST.meta, success=None))],
    "healthy": healthy(),
    "dead": [with_joints(e, e.obs["joints"] * [1, 0] + [0, 0.3]) for e in healthy()],
    "stuck once": [with_joints(healthy()[0], np.full((31, 2), 0.3)), *healthy()[1:]],
    "saturated": [saturated(e) for e in healthy()],
    "paused": [healthy()[0], paused(healthy()[1], after=16), *healthy()[2:]],
    "nan": [with_nan(), *healthy()],
    "whole": [FIRST, *healthy()],
    "one value": [episode([1, 1], [[0, 0]], t_ns=np.array([-1]))],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Every group in one dataset, known by its episodes' notes."""
    path = tmp_path_factory.mktemp("stats") / "set"
    with SegmentWriter(path, SPEC, "test") as writer:
        for name, episodes in GROUPS.items():
            for item in episodes:
                writer.append(replace(item, meta=replace(item.meta, notes=name)))
    return Dataset.open(path)


def group(data: Dataset, name: str) -> Dataset:
    return data.choose(record for record in data.episodes if record.meta.notes == name)


def figures(data: Dataset, name: str) -> DataStatistics:
    return compute(group(data, name))


def test_the_figures_of_a_signal_by_hand(data: Dataset) -> None:
    found = figures(data, "by hand")
    elbow, _, pull = found.observation
    assert (elbow.title, elbow.unit, elbow.count, elbow.missing) == ("joints.elbow", "rad", 6, 0)
    assert (elbow.min, elbow.mean, elbow.max) == (-1, pytest.approx(4 / 6), 2)
    # squares 0 1 0 1 4 4 sum to 10; variance 10/6 - (4/6)**2
    assert elbow.std == pytest.approx(math.sqrt(10 / 6 - 4 / 9))
    assert (elbow.at_low, elbow.at_high) == (0, pytest.approx(2 / 6))
    assert elbow.still == 0.5, "it stands still in the second episode"
    assert (elbow.change_mean, elbow.change_max) == (0.75, 1), "1 1 1 | 0, not from episode to episode"
    assert (pull.min, pull.mean, pull.max) == (0, pytest.approx(10 / 6), 4)
    target, wrist = found.action
    assert (target.at_low, target.at_high, target.at_bounds) == (0.25, 0.25, 0.5)
    assert (target.change_mean, target.change_max) == (1.75, 2), "2 and 1.5"
    assert wrist.at_bounds == 0
    assert (found.episodes, found.transitions, found.lengths) == (2, 4, (3, 1))


def test_the_figures_do_not_depend_on_how_the_rows_are_cut_into_blocks() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 0.01, 300), rng.normal(-5, 3, 300), [70.0]]).astype(np.float32)
    signal = Signal("x", "m", -70, 70)
    whole, parts = Column("obs", signal), Column("obs", signal)
    whole.add(rows, np.arange(0, 601, 1))
    for start in range(0, 601, 7):
        part = rows[start : start + 7]
        parts.add(part, np.arange(len(part)))
    one, other = whole.finish(), parts.finish()
    assert (one.counts, one.edges, one.min, one.max) == (other.counts, other.edges, other.min, other.max)
    assert (one.mean, one.std) == (pytest.approx(other.mean), pytest.approx(other.std))
    assert one.mean == pytest.approx(rows.astype(float).mean())
    assert one.std == pytest.approx(rows.astype(float).std())


def test_a_histogram_has_at_most_64_bins_and_loses_nothing() -> None:
    rng = np.random.default_rng(1)
    found = Histogram()
    values = np.concatenate([np.full(3, 0.1), rng.normal(0, 1e-3, 50), rng.normal(0, 1e5, 50), [0.0, -7e8]])
    for value in values:
        found.add(np.array([value]))
        assert len(found.counts) <= BINS
    np.testing.assert_array_equal(found.counts, np.histogram(values, found.edges)[0])
    assert found.counts.sum() == len(values)


def test_the_upper_bound_belongs_to_the_last_bin() -> None:
    found = Histogram(closed_at=1.0)
    found.add(np.array([-1.0, 0.0, 0.99, 1.0]))
    assert (found.edges[0], found.edges[-1], len(found.counts)) == (-1, 1, 64)
    assert found.counts[-1] == 2
    assert found.occupied(-1, 1) == 3 / 64
    alone = Histogram(closed_at=1.0)
    alone.add(np.array([1.0, 1.0]))
    assert alone.counts.tolist() == [2]
    beyond = Histogram(closed_at=1.0)
    beyond.add(np.array([1.0, 1.5]))
    assert (beyond.counts[0], beyond.counts.sum(), beyond.edges[1]) == (1, 2, 1.0)
    zeros = Histogram(closed_at=0.0)
    zeros.add(np.array([0.0, 0.0]))
    assert (zeros.counts.tolist(), zeros.edges[-1]) == ([2], 0.0)


def test_coverage_by_hand() -> None:
    """Four corners of a square, ten times: two axes of equal weight, four cells of all."""
    corners = np.array([[0, 0, 5], [0, 1, 5], [1, 0, 5], [1, 1, 5]] * 10, np.float32)
    found = cover(corners)
    assert found is not None
    assert (found.rows, found.explained, found.occupied) == (40, 1, pytest.approx(4 / CELLS**2))
    assert found.cells.sum() == 40
    assert cover(corners[:, [0, 2]]) is None, "one signal alone varies"
    assert cover(corners[:1]) is None


def test_half_of_a_third_axis_is_not_in_the_plane() -> None:
    """Independent and equal axes: each component holds a third of the variance."""
    cube = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    found = cover(cube)
    assert found is not None
    assert found.explained == pytest.approx(2 / 3)


def test_periods_and_gaps_by_hand(data: Dataset) -> None:
    time = figures(data, "times").time
    # 100 100 300 101 -11 | 100 . . 100 100
    assert (time.declared_ms, time.p50_ms, time.max_ms) == (100, 100, 300)
    assert (time.gaps, time.backwards, time.unknown) == (1, 1, 1)
    first = group(data, "times").episodes[0].id
    assert [(gap.episode, gap.step, gap.seconds) for gap in time.longest] == [(first, 2, pytest.approx(0.3))]


def test_success_is_counted_where_it_is_known(data: Dataset) -> None:
    found = figures(data, "outcomes")
    assert [(o.name, o.episodes, o.judged, o.successes, o.rate) for o in found.operators] == [
        (LONG, 1, 1, 0, 0.0),
        ("a", 3, 2, 2, 1.0),
    ]
    assert [(o.name, o.episodes) for o in found.qualities] == [("0.75 to 1", 3), ("unknown", 1)]


def test_of_healthy_data_nothing_is_told(data: Dataset) -> None:
    assert remarks(figures(data, "healthy")) == []


def test_a_dead_joint_is_told(data: Dataset) -> None:
    assert remarks(figures(data, "dead")) == ["joints.wrist is dead: 0.3 rad in all 124 rows"]


def test_a_joint_that_is_stuck_in_one_episode_only_is_not_dead(data: Dataset) -> None:
    found = figures(data, "stuck once")
    assert remarks(found) == []
    assert found.observation[1].still == 0.25


def test_a_saturated_action_is_told_with_its_bound(data: Dataset) -> None:
    share = np.mean([e.action[:, 0] > 0.5 for e in healthy()])
    elbow, wrist = remarks(figures(data, "saturated"))
    assert elbow == (
        f"action.elbow_target is saturated in {share:.1%} of steps: 0.0% at its lower, "
        f"{share:.1%} at its upper bound"
    )
    assert wrist.startswith("action.wrist_target is saturated")


def test_a_time_gap_is_told_with_its_place(data: Dataset) -> None:
    paused_one = group(data, "paused").episodes[1].id
    assert remarks(figures(data, "paused")) == [
        "1 gap is longer than 2 periods of 100 ms; the longest, 0.85 s, follows step 16 of episode "
        + paused_one
    ]


def test_nan_is_counted_and_left_out_of_the_figures(data: Dataset) -> None:
    found, whole = figures(data, "nan").observation, figures(data, "whole").observation
    assert found[0].missing == found[1].missing == 1
    assert found[0].count == whole[0].count - 1
    assert found[0].mean == pytest.approx(((whole[0].mean or 0) * whole[0].count - 1) / found[0].count), (
        "without the elbow's 1"
    )
    assert remarks(figures(data, "nan"))[0] == "joints.elbow is NaN or infinite in 1 of 128 rows"


def test_data_without_times_and_with_one_value_is_described(data: Dataset) -> None:
    found = figures(data, "one value")
    assert (found.time.p50_ms, found.time.max_ms, found.time.unknown) == (None, None, 1)
    assert (found.states, found.actions) == (None, None)
    assert "the time of 1 of 1 steps is unknown" in remarks(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_command_prints_tables_json_and_a_page(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, page = str(data.path), tmp_path / "pages" / "stats.html"
    assert main(["dataset", "stats", path, "where=notes == 'dead'", f"out={page}"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"wrist +rad +0.3 +0.3 +0 +0.3 +0 +dead", said)
    assert "! joints.wrist is dead: 0.3 rad in all 124 rows" in said
    html = page.read_text()
    assert "joints.wrist is dead: 0.3 rad in all 124 rows" in html
    assert html.count('<figure class="signal dead"') == 1
    assert html.count("<figure") == 5
    assert main(["dataset", "stats", path, "where=notes == 'outcomes'", "--json", f"out={page}"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["episodes"], document["transitions"]) == (4, 10)
    assert "&lt;b&gt;" in page.read_text(), "an operator's name is text"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["out=a.png"], "out=a.png does not end in .html"),
        (["where=length > 99"], "episodes match where=length > 99"),
    ],
)
def test_a_bad_request_is_one_line(
    words: list[str], said: str, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "stats", str(data.path), *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.e2e
@pytest.mark.skipif(CHROMIUM is None, reason="no browser: neither CHROMIUM in the environment nor on PATH")
def test_the_page_fits_phones_and_desks_and_asks_nobody(data: Dataset, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    page = tmp_path / "stats.html"
    assert main(["dataset", "stats", str(data.path), f"out={page}"]) == 0
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        for width in (390, 1280):
            shown: Any = browser.new_page(viewport={"width": width, "height": 844})
            requests: list[str] = []
            complaints: list[str] = []
            shown.on("request", lambda request, to=requests: to.append(request.url))
            shown.on("console", lambda message, to=complaints: to.append(message.text))
            shown.goto(page.as_uri())
            assert requests == [page.as_uri()]
            assert complaints == []
            assert shown.evaluate("document.documentElement.scrollWidth") == width
            assert shown.locator("figure.signal svg").count() == 5
            assert shown.locator("svg.heat").count() == 2
        browser.close()
