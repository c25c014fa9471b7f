"""The curves of an episode in a real browser: what is unpacked, shown and told."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import chromium

import data_collection
from data_collection.viewer.document import TIMELINE
from data_collection.viewer.takes import Take
from robot_orl.types import Actor

pytestmark = pytest.mark.e2e
STEPS = 200
TAKE = Take(
    moments=np.arange(3 * (STEPS + 1), dtype=np.float32).reshape(-1, 3),
    reward=np.where(np.arange(STEPS) < 150, -1, 0).astype(np.float32),
    action=np.linspace(-1, 1, 2 * STEPS, dtype=np.float32).reshape(-1, 2),
    actor=np.where(np.arange(STEPS) < 50, Actor.POLICY, Actor.INTERVENTION).astype(np.uint8),
    names=("x", "y"),
    hz=1_000.0,
)
PAGE = """<!doctype html><meta charset="utf-8"><style>{style}</style><div id="root"></div><script>{script}
let line = null, take = null, steps = [], trims = [];
function load(packed, canTrim) {{
  const onTrim = canTrim ? (from, to) => trims.push([from, to]) : null;
  line?.dispose();
  line = new Timeline(document.getElementById("root"), {{onStep: step => steps.push(step), onTrim}});
  take = unpackTake(Uint8Array.from(atob(packed), letter => letter.charCodeAt(0)).buffer);
  line.load(take);
}}
// Of the pixels there, whether one differs clearly from what is around the curves.
function isDrawn(step, top, high) {{
  const ratio = line.canvas.width / line.canvas.clientWidth, pen = line.canvas.getContext("2d");
  const {{data}} = pen.getImageData(line.curves.x(step) * ratio, top * ratio, 1, high * ratio);
  return data.some((value, i) => i % 4 < 3 && value < 160);
}}
</script>"""


@pytest.fixture(scope="module")
def opened() -> Iterator[Any]:
    def read(*names: str) -> str:
        root = Path(data_collection.__file__).parent
        return "\n".join((root / name).read_text() for name in names)

    with chromium() as browser:
        page = browser.new_page(viewport={"width": 700, "height": 400})
        page.set_content(
            PAGE.format(
                style=read("viewer/base.css", "viewer/timeline.css"),
                script=read("viewer/vectors.js", *TIMELINE),
            )
        )
        yield page


@pytest.fixture
def page(opened: Any) -> Any:
    opened.evaluate("steps = []; trims = []")
    return opened


def load(page: Any, take: Take, can_trim: bool = True, **options: Any) -> None:
    page.evaluate(f"load('{base64.b64encode(take.packed(**options)).decode()}', {str(can_trim).lower()})")


def test_what_was_packed_is_what_the_page_has(page: Any) -> None:
    value = np.linspace(-9, 0, STEPS, dtype=np.float32)
    load(page, replace(TAKE, value=value))
    assert page.evaluate("[take.steps, take.signals, take.hz]") == [STEPS, ["x", "y"], 1_000]
    for name, expected in (("reward", TAKE.reward), ("action", TAKE.action.ravel()), ("value", value)):
        np.testing.assert_array_equal(page.evaluate(f"Array.from(take.{name})"), expected, err_msg=name)
    assert page.evaluate("Array.from(take.actor)") == TAKE.actor.tolist()
    assert page.evaluate("Array.from(take.moment(7))") == [21, 22, 23]
    assert page.evaluate("Array.from(take.moment(take.steps))") == [600, 601, 602]
    load(page, TAKE, most_bytes=12 * 101)  # of 201 moments every second, and the last
    found = page.evaluate("[6, 7, 199, 200].map(step => take.moment(step)[0])")
    assert found == [18, 18, 594, 600]
    load(page, replace(TAKE, moments=None))
    assert page.evaluate("take.moment(3)") is None


def test_it_is_played_through_what_is_kept_once_and_every_step_is_told_in_order(page: Any) -> None:
    load(page, TAKE)
    page.evaluate("line.trim(20, 90); line.seek(150); steps = []; line.play()")
    page.wait_for_function("line.playing === null", timeout=60_000)
    told = page.evaluate("steps")
    assert (told[0], told[-1]) == (20, 90)
    assert told == sorted(told)
    assert page.evaluate("trims") == [[20, 90]]


def test_brackets_cut_off_what_is_before_and_behind_and_never_everything(page: Any) -> None:
    load(page, TAKE)
    page.focus("#root canvas")
    for script, key, kept in (
        ("line.seek(30)", "[", [30, 200]),
        ("line.seek(120)", "]", [30, 120]),
        ("line.seek(10)", "]", [9, 10]),
        ("line.seek(200)", "[", [199, 200]),
    ):
        page.evaluate(script)
        page.keyboard.press(key)
        assert page.evaluate("trims.at(-1)") == kept
    page.click("#root .whole")
    assert page.evaluate("[trims.at(-1), line.whole.hidden]") == [[0, 200], True]
    page.evaluate("line.isLocked = true; trims = []; line.seek(50)")
    page.focus("#root canvas")
    page.keyboard.press("[")
    assert page.evaluate("trims") == []


def test_without_handles_the_whole_picture_scrubs(page: Any) -> None:
    load(page, TAKE, can_trim=False)
    box = page.locator("#root canvas").bounding_box()
    page.mouse.click(box["x"] + page.evaluate("line.curves.x(80)"), box["y"] + box["height"] - 12)
    assert page.evaluate("[steps.at(-1), line.step, trims.length]") == [80, 80, 0]


def test_unknown_rewards_leave_a_gap_and_a_peak_of_one_step_in_many_is_seen(page: Any) -> None:
    """The lane of rewards is from 18 to 48 pixels, that of actions from 56 to 118."""
    reward = TAKE.reward.copy()
    reward[100:] = np.nan
    load(page, replace(TAKE, reward=reward))
    assert page.evaluate("[50, 98].map(step => isDrawn(step, 20, 26))") == [True, True]
    assert page.evaluate("[102, 198].map(step => isDrawn(step, 20, 26))") == [False, False]
    many = 50_000
    action = np.zeros((many, 1), np.float32)
    action[30_001] = 1.0
    of_many = {"reward": np.full(many, -1, np.float32), "actor": np.ones(many, np.uint8), "names": ("x",)}
    load(page, replace(TAKE, moments=None, action=action, **of_many))
    near = "[-2, -1, 0, 1, 2].some(off => isDrawn(30_001 + 40 * off, 60, 14))"
    assert page.evaluate(near), "though a pixel has 79 steps"
    assert not page.evaluate("isDrawn(20_000, 60, 14)")
