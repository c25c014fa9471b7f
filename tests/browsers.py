"""A real browser for the tests that need one."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

DRAWS_3D = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


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
