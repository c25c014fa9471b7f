"""The page with the STOP button in a real browser, beside real deployments."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browsers import chromium
from children import child
from deploy_toys import MakeBundle

import envs  # noqa: F401  registers the tasks
from robot_orl.tasks import TaskConfig, make_env, spec_of

pytestmark = pytest.mark.e2e
PATIENCE_MS = 180_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Path:
    """An untrained policy for fetch_reach."""
    return make_bundle(spec_of(make_env(TaskConfig("fetch_reach")))).path


@contextmanager
def deployed(bundle: Path, *words: str, duration_s: int = 600) -> Iterator[tuple[Any, str]]:
    """A run in real time: its process, and where its button is."""
    command = [sys.executable, "-m", "robot_orl.cli", "deploy", f"bundle={bundle}", "priority=0"]
    command += [f"duration_s={duration_s}", "estop_port=0", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with child(command, text=True, **pipes) as process:
        url = ""
        while "STOP button: " not in url:
            url = process.stdout.readline()
            assert url, "it ended"
        yield process, url.split()[-1]


def opened(browser: Any, url: str, **options: Any) -> Any:
    """The page, once it says that the robot may move."""
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector("body.running")
    return page


def is_whole(page: Any) -> bool:
    """All of the button is in view, it fills most of one side, and nothing has to be scrolled."""
    box, size = page.locator("#stop").bounding_box(), page.viewport_size
    inside = box["x"] >= 0 and box["y"] >= 0
    inside &= box["x"] + box["width"] <= size["width"] and box["y"] + box["height"] <= size["height"]
    scrolls = page.evaluate("document.documentElement.scrollHeight > innerHeight")
    return inside and not scrolls and box["width"] > 0.55 * min(size.values())


def test_a_touch_on_a_phone_stops_the_robot_and_the_page_says_how_it_ended(
    browser: Any, bundle: Path
) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    with deployed(bundle, "estop_host=0.0.0.0") as (process, url):
        at = f"http://127.0.0.1:{url.split(':')[-1]}"  # the port, and the token behind it
        page = opened(browser, at, **phone)
        stranger = browser.new_page()
        stranger.goto(at.partition("#")[0])
        stranger.wait_for_selector("text=This page has no permission", timeout=PATIENCE_MS)
        assert is_whole(page)
        page.locator("#stop").tap()
        page.wait_for_selector("body.over")
        assert page.inner_text("#why") == "STOP was pressed in a browser at 127.0.0.1"
        said = process.stdout.read()
    assert process.returncode == 130
    assert "emergency stop, STOP was pressed in a browser at 127.0.0.1" in said
    figures = json.loads((bundle / "deploy.json").read_text())
    assert (figures["stopped_by"], figures["fault"]) == ("emergency", None)
    assert figures["ticks"] < 600 * figures["control_hz"]


@pytest.mark.parametrize("key", ["Space", "Escape"])
def test_a_key_stops_the_robot_at_every_size_of_window(browser: Any, bundle: Path, key: str) -> None:
    with deployed(bundle) as (process, url):
        page = opened(browser, url, viewport={"width": 1280, "height": 800}, color_scheme="dark")
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        assert page.inner_text("#keys") == "Space and Escape stop, too"
        for width, height in ((1280, 800), (740, 360), (320, 568), (800, 1280)):
            page.set_viewport_size({"width": width, "height": height})
            assert is_whole(page), (width, height)
        page.keyboard.press(key)
        assert process.wait(PATIENCE_MS / 1000) == 130
        assert complaints == []
    assert json.loads((bundle / "deploy.json").read_text())["stopped_by"] == "emergency"


def test_a_page_whose_run_was_killed_says_that_its_button_does_nothing(browser: Any, bundle: Path) -> None:
    with deployed(bundle) as (process, url):
        page = opened(browser, url)
        process.kill()
        page.wait_for_selector("body.lost")
        assert page.inner_text("#title") == "No connection: this button does not work"


def test_a_foreign_site_can_neither_press_nor_frame_the_button(browser: Any, bundle: Path) -> None:
    with deployed(bundle, duration_s=5) as (process, url):
        page = browser.new_page()
        page.route(
            "http://evil.example/",
            lambda route: route.fulfill(
                content_type="text/html",
                body=f"""<form method=post action="{url}stop" target=it><input name=a></form>
                <iframe name=it></iframe><iframe id=shown src="{url}"></iframe><img src="{url}stop">
                <script>
                  fetch("{url}stop", {{method: "POST", mode: "no-cors"}}).catch(() => 0);
                  fetch("{url}stop", {{method: "POST", headers: {{"X-Token": "a"}}}}).catch(() => 0);
                  document.forms[0].submit();
                </script>""",
            ),
        )
        page.goto("http://evil.example/")
        assert not page.frame(url=url) or not page.frame(url=url).query_selector("#stop")
        assert process.wait(PATIENCE_MS / 1000) == 0
    assert json.loads((bundle / "deploy.json").read_text())["stopped_by"] == "duration"
