"""`operator=browser` as a person meets it: a real collecting process, and its page in a real browser."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import PATIENCE_S, chromium
from page_toys import PHONE, WITHOUT_END, Person, collecting, episodes_of

import envs  # noqa: F401  registers the tasks
from data_collection.teleop.browser.hands import BrowserHands
from data_collection.teleop.hands import Status, Verb
from robot_orl.types import Actor

pytestmark = pytest.mark.e2e
HELLO = {"turns": [], "frame": "base", "flip": [], "speed_m_s": 1.0, "speed_rad_s": 1.0, "dead_zone": 0.0}
HELLO |= {"joints": ["slide"], "keys": {}}


@pytest.fixture
def browser() -> Iterator[Any]:
    """Without WebGL, which costs much where it is drawn on the CPU."""
    with chromium() as opened:
        yield opened


@pytest.fixture
def drawing_browser() -> Iterator[Any]:
    with chromium(webgl=True) as opened:
        yield opened


def test_what_a_person_does_at_the_page_is_what_is_recorded(drawing_browser: Any, tmp_path: Path) -> None:
    with collecting(tmp_path / "data", *WITHOUT_END) as (process, url):
        person = Person(drawing_browser, url)
        person.press("Enter")
        person.is_in("recording")
        person.moves_while_held("w")
        for handle in ("forward", "left", "up"):
            person.drag(handle, person.goal())
        person.until("state.status.success")
        person.page.click("[data-verb=success]")
        person.is_in("reviewing")
        person.press("4", "Shift+N")
        person.page.keyboard.type("slow at the end")
        person.press("Enter")
        person.until("state.status.label.note === 'slow at the end' && state.status.label.quality === 4")
        person.page.click("[data-verb=save]")
        person.until("state.status.episodes === 1 && state.status.state === 'idle'")
        for verb in ("start", "discard"):
            person.page.click(f"[data-verb={verb}]")
        person.is_in("idle")
        person.page.click("[data-verb=start]")
        person.is_in("recording")
        person.moves_while_held("r")
        person.press("n", "Shift+S")
        person.until("state.status.episodes === 2")
        person.page.click("[data-verb=quit]")
        person.until("isOver")
        home = url.partition("//")[2].rstrip("/")
        assert {re.split("[/?#]", asked.partition("//")[2])[0] for asked in person.asked} == {home}
        assert not person.errors
    assert process.returncode == 0
    first, second = episodes_of(tmp_path / "data")
    assert first.reward[-1] == 0.0, "it was reached by dragging"
    assert (first.meta.success, first.meta.quality, first.meta.notes) == (True, 0.75, "slow at the end")
    assert (second.meta.success, second.meta.quality, second.meta.notes) == (False, None, "")
    for episode in (first, second):
        assert (episode.actor == Actor.HUMAN).all()
        assert (np.diff(episode.t_ns) > 0).all()
    acted = np.isfinite(second.action_operator[:, 0])  # where hands were on
    assert acted.any()
    np.testing.assert_array_equal(second.action_operator[acted], second.action[acted])
    assert second.action[acted, 2].max() > 0.3, "the key for up moved it up, 1 cm a step"


def test_a_reload_goes_on_and_control_is_handed_over_on_request(browser: Any, tmp_path: Path) -> None:
    with collecting(tmp_path / "data", *WITHOUT_END) as (process, url):
        first = Person(browser, url)
        first.press("Enter")
        first.is_in("recording")
        first.page.reload()
        first.until("state.drives && state.status.state === 'recording'")
        second = Person(browser, url)
        assert not second.tell("state.drives")
        assert second.page.is_disabled("[data-verb=stop]")
        second.page.click("#ask")
        first.page.click("#refuse")
        second.until("!state.asks")
        second.page.click("#ask")
        first.page.click("#grant")
        second.until("state.drives")
        assert not first.tell("state.drives")
        second.moves_while_held("s")
        dropped = second.tell("state.dropped")
        first.tell("say({say: 'order', verb: 'quit', value: null})")
        second.until(f"state.dropped === {dropped + 1}")
        second.page.click("[data-verb=quit]")
        first.until("isOver")
    assert process.returncode == 0
    (episode,) = episodes_of(tmp_path / "data")
    assert episode.meta.end_reason == "interrupt"


def test_a_page_finds_the_next_session_at_its_address(browser: Any) -> None:
    port, page = 0, browser.new_page()
    for task in ("killed", "ended", "last"):
        hands = BrowserHands("127.0.0.1", port, {**HELLO, "task": task}, 1, None, {}, grace_s=1.0)
        try:
            hands.open()
            port = int(hands.url.rstrip("/").rpartition(":")[2])
            if page.url == "about:blank":
                page.goto(hands.url)
            page.wait_for_selector(f"#task:has-text('{task}')", timeout=1_000 * PATIENCE_S)
            assert page.evaluate("state.drives")
        finally:
            if task == "killed":  # it cannot say that it is over
                assert hands._process is not None
                hands._process.kill()
            hands.close()
        shown = "lost" if task == "killed" else "over"
        page.wait_for_selector(f"body.{shown}", timeout=1_000 * PATIENCE_S)


def test_keys_that_change_their_name_and_old_pictures_leave_nothing_pushed(browser: Any) -> None:
    hands = BrowserHands("127.0.0.1", 0, HELLO, 1, "tool", {}, grace_s=60.0)
    try:
        hands.open()
        hands.show(Status("recording"), list(Verb))
        page = browser.new_page()

        def until(script: str) -> None:
            end_s = time.monotonic() + PATIENCE_S
            while not page.evaluate(f"Boolean({script})"):
                assert time.monotonic() < end_s, f"never {script}"
                page.wait_for_timeout(20)

        page.goto(hands.url, timeout=1_000 * PATIENCE_S)
        page.evaluate("document.body.focus()")
        until("state.drives && state.status && !isBehind()")
        page.keyboard.down("w")
        assert page.evaluate("[...hands.held.values()]") == ["w"]
        page.evaluate("dispatchEvent(new KeyboardEvent('keyup', {key: 'ŵ', code: 'KeyW'}))")
        assert page.evaluate("hands.held.size") == 0, "the same key, by another name"
        page.keyboard.up("w")
        page.keyboard.down("w")
        page.keyboard.down("Meta")
        assert page.evaluate("hands.held.size") == 0, "no release of it may follow"
        page.keyboard.up("Meta")
        page.keyboard.up("w")

        page.evaluate("window.input = document.querySelector('[data-text=note] input')")
        page.evaluate("input.value = 'a\\x07b'; input.dispatchEvent(new Event('change'))")
        until("show('refused').textContent.includes('a character that is no text')")
        page.evaluate("draw()")
        assert page.evaluate("input.value") == "a\x07b", "it can be mended"

        page.evaluate("hearBytes = () => {}")
        until("isBehind()")
        page.keyboard.down("w")
        page.evaluate("order('start')")
        assert "the connection is too slow" in page.inner_text("#refused").lower()
        until("!wasOff || sent > performance.now() - 50")
        assert page.evaluate("wasOff"), "a held key pushes nothing"
        assert hands.orders() == []
        assert hands.jog() is None
    finally:
        hands.close()


def test_a_phone_moves_the_arm_with_a_finger_and_a_gamepad_does(browser: Any, tmp_path: Path) -> None:
    with collecting(tmp_path / "data", "operator.host=0.0.0.0", "operator.grace_s=8") as (process, url):
        at = re.sub("//[^:]*:", "//127.0.0.1:", url)
        person = Person(browser, at, **PHONE)
        assert person.tell("document.documentElement.scrollWidth") == 390
        person.page.tap("[data-verb=start]")
        person.is_in("recording")
        before, pad = person.tool(), person.page.locator("#move").bounding_box()
        x, y = pad["x"] + pad["width"] / 2, pad["y"] + pad["height"] / 2
        touch = person.context.new_cdp_session(person.page)
        for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchMove", [{"x": x, "y": y - 45}])):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        person.until(f"size(sub(view.tool.at, {before.tolist()})) > 0.03")
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        person.until("!hands.pads.size")
        high = person.tool()[2]
        person.holds_gamepad("axes: [0, 0, 0, -1], buttons: []")  # right stick up
        person.until(f"view.tool.at[2] > {high} + 0.03")
        person.holds_gamepad("axes: [0, 0, 0, 0.02], buttons: [{pressed: true}]")  # the first says success
        person.is_in("reviewing")
        person.until("state.status.label.success === true")
        person.page.tap("[data-verb=save]")
        person.until("state.status.good === 1")
        person.page.tap("[data-verb=start]")
        person.is_in("recording")
        person.context.close()
        late = Person(browser, at)
        late.until("state.status.episodes === 2 || state.status.state === 'idle'")  # it was saved by itself
        late.until("!state.driven")
        late.page.click("#ask")
        late.until("state.drives")
        late.page.click("[data-verb=quit]")
        late.until("isOver")
    assert process.returncode == 0
    saved, lost = episodes_of(tmp_path / "data")
    assert (saved.meta.success, saved.meta.end_reason) == (True, "operator")
    assert (lost.meta.success, lost.meta.end_reason) == (False, "disconnect")
