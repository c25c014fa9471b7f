"""Reviewing at the page: an episode is scrubbed through, trimmed and saved; the dataset holds that part."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import chromium
from page_toys import PHONE, WITHOUT_END, Person, collecting, episodes_of

import envs  # noqa: F401  registers the tasks

pytestmark = pytest.mark.e2e
LANES_FROM_BELOW = {"keep": 20, "actions": 70}  # pixels


@pytest.fixture
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def at(person: Person, step: int, lane: str = "actions") -> tuple[float, float]:
    """Where that step is on the page."""
    box = person.page.locator("#review canvas").bounding_box()
    return box["x"] + person.tell(f"review.timeline.curves.x({step})"), box["y"] + box[
        "height"
    ] - LANES_FROM_BELOW[lane]


def drag(person: Person, start: tuple[float, float], end: tuple[float, float]) -> None:
    person.page.mouse.move(*start)
    person.page.mouse.down()
    person.page.mouse.move(*end, steps=3)
    person.page.mouse.up()


def drag_by_touch(person: Person, start: tuple[float, float], end: tuple[float, float]) -> None:
    touch = person.context.new_cdp_session(person.page)
    for kind, points in (("touchStart", [start]), ("touchMove", [end]), ("touchEnd", [])):
        at_points = [{"x": x, "y": y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at_points})


def test_what_is_scrubbed_through_and_trimmed_is_what_is_saved(browser: Any, tmp_path: Path) -> None:
    with collecting(tmp_path / "data", *WITHOUT_END) as (process, url):
        person = Person(browser, url, viewport={"width": 900, "height": 700})
        for typed, said in (("1.5", "a whole number"), ("2000000000", "policies are judged by those above")):
            person.press("Shift+G")
            person.page.keyboard.type(typed)
            person.page.keyboard.press("Enter")
            person.until(f"show('refused').textContent.includes('{said}')")
        person.press("Shift+G")
        person.page.keyboard.type("41")
        person.page.keyboard.press("Enter")
        person.until("state.status.seed === 41")
        assert person.tell("show('begin').textContent") == "Start"
        person.press("Enter")
        person.is_in("recording")
        person.moves_while_held("w")
        person.moves_while_held("r")
        person.until("state.status.step >= 40")
        person.press("Backspace")
        person.is_in("reviewing")
        person.until("review.isOn")
        assert person.tell("show('begin').textContent") == "Save, next"
        assert person.tell("document.querySelectorAll('#record .first:enabled').length") == 1
        steps = person.tell("review.timeline.take.steps")
        last, live = person.tool(), person.tell("Array.from(review.live)")
        assert person.tell("review.timeline.step") == steps, "it shows where it ended"

        person.page.mouse.click(*at(person, 0))
        assert person.tell("review.timeline.step") == 0
        assert np.linalg.norm(person.tool() - last) > 0.03, "the picture goes back, too"
        drag(person, at(person, 3), at(person, steps - 4))
        assert person.tell("review.timeline.step") == steps - 4
        for key, step in (("Home", 0), ("ArrowRight", 1), ("Shift+ArrowRight", 11), ("End", steps)):
            person.press(key)
            assert person.tell("review.timeline.step") == step, key
        person.page.evaluate("document.activeElement.blur()")
        person.press("Shift+E")
        assert person.tell("document.activeElement === review.timeline.canvas")
        person.press("Home", "Space")
        person.until("review.timeline.step > 2")
        person.press("Space")
        assert person.tell("review.timeline.playing") is None

        drag(person, at(person, 0, "keep"), at(person, 5, "keep"))
        person.until("state.status.label.trim")
        kept = person.tool()
        drag(person, at(person, steps, "keep"), at(person, steps - 6, "keep"))
        person.until(f"state.status.label.trim[1] === {steps - 6}")
        assert person.tell("state.status.label.trim") == [5, steps - 6]
        ended = person.tool()
        watcher = Person(browser, url, **PHONE)
        watcher.until("review.isOn && review.timeline.from === 5")
        drag_by_touch(watcher, at(watcher, 5, "keep"), at(watcher, 20, "keep"))
        assert watcher.tell("[review.timeline.from, review.timeline.step]") == [5, 20], (
            "it scrubs, but only that"
        )
        watcher.context.close()
        person.press("y", "Enter")  # saves, and records the next
        person.until("state.status.episodes === 1 && state.status.state === 'recording'")
        assert person.tell("review.isOn") is False
        assert person.tell(f"size(sub(Array.from(view.poses), {live})) > 0.03"), "the live picture is back"
        person.page.click("[data-verb=quit]")
        person.until("isOver")
        assert not person.errors
    assert process.returncode == 0
    part, _ = episodes_of(tmp_path / "data")
    assert len(part) == steps - 11
    np.testing.assert_allclose(part.obs["achieved_goal"][[0, -1]], [kept, ended], atol=1e-5)
    assert (np.diff(part.obs["achieved_goal"][:, 2]) > 0.003).any(), "r moved it up"
    assert part.t_ns[0] == 0
    assert part.truncated.tolist() == [False] * (steps - 12) + [True]
    assert (part.meta.seed, part.meta.success, part.meta.end_reason) == (None, True, "operator")
    assert part.meta.origin == f"seed 41, steps 5 to {steps - 6} of {steps}"


def test_a_phone_trims_by_touch_and_a_reload_finds_it_again(browser: Any, tmp_path: Path) -> None:
    with collecting(tmp_path / "data", *WITHOUT_END) as (process, url):
        person = Person(browser, url, **PHONE)
        person.page.tap("#another")
        person.until("state.status.seed === 1")
        person.page.tap("[data-verb=start]")
        person.until("state.status.step > 12")
        person.page.tap("[data-verb=stop]")
        person.until("review.isOn")
        drag_by_touch(person, at(person, 0, "keep"), at(person, 8, "keep"))
        person.until("state.status.label.trim?.[0] === 8")
        person.page.reload()
        person.until("review?.isOn && review.timeline.from === 8 && state.drives")
        person.page.tap("#review .whole")
        person.until("state.status.label.trim === null")
        person.page.tap("[data-verb=save]")
        person.until("state.status.episodes === 1")
        person.page.tap("[data-verb=quit]")
        person.until("isOver")
    assert process.returncode == 0
    (whole,) = episodes_of(tmp_path / "data")
    assert (whole.meta.seed, whole.meta.origin) == (1, None)
