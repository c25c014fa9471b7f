"""A real browser for the tests that need one."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

DRAWS_3D = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 60.0


@contextmanager
def chromium(webgl: bool = False) -> Iterator[Any]:
    """Playwright's browser; a test is skipped where there is none. webgl: it draws in 3-D, on the CPU."""
    if CHROMIUM is None:
        pytest.skip("no browser: neither CHROMIUM in the environment nor chromium or google-chrome on PATH")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", *(DRAWS_3D if webgl else ["--disable-gpu"])]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield opened
        finally:
            opened.close()


class Visitor:
    """At a page of their own. asked: every address that the page requests.  errors: uncaught ones.

    SHOWN: a script whose value says what is shown, where what is waited for does not come.
    """

    SHOWN = "document.body.innerText"

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url, timeout=1_000 * PATIENCE_S)

    def tell(self, script: str) -> Any:
        return self.page.evaluate(script)

    def until(self, script: str) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while not self.tell(f"Boolean({script})"):
            shown = self.tell(self.SHOWN)
            assert time.monotonic() < end_s, f"never {script}; {shown} {self.errors}"
            self.page.wait_for_timeout(20)
