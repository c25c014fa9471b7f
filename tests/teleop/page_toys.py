"""A recording session with a page, and a person at it, for tests in a real browser."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from browsers import Visitor
from children import child

from robot_orl.data.store.reader import Dataset

DESK = {"viewport": {"width": 900, "height": 420}}
WITHOUT_END = ("operator.seconds=600", "operator.stop_at_success=false", "operator.grace_s=60")
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@contextmanager
def collecting(out: Path, *words: str) -> Iterator[tuple[Any, str]]:
    """A recording session of fetch_reach: its process, and where its page is."""
    command = [sys.executable, "-m", "robot_orl.cli", "collect", "operator=browser", "operator.port=0"]
    command += ["task=fetch_reach", f"out={out}", "episodes=3", "operator.countdown_s=0", *words]
    with child(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = ""
        while (found := re.search(r"drive at (\S+)", said)) is None:
            line = process.stdout.readline()
            assert line, f"it ended: {said}"
            said += line
        yield process, found[1]


class Person(Visitor):
    SHOWN = "JSON.stringify(state)"

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        super().__init__(browser, url, **(options or DESK))
        self.until("view.poses && state.status && !isBehind()")

    def is_in(self, state: str) -> None:
        self.until(f"state.status.state === '{state}'")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.until("!isBehind()")
            self.page.keyboard.press(key)

    def tool(self) -> np.ndarray:
        """(3,) m."""
        return np.array(self.tell("view.tool.at"))

    def goal(self) -> list[float]:
        """(3,) m: the only thing that is red."""
        red = "view.items.find(item => item.rgba[0] === 1 && item.rgba[1] === 0)"
        return self.tell(f"view.pose({red}.row).at")  # type: ignore[no-any-return]

    def moves_while_held(self, key: str) -> None:
        before = self.tool().tolist()
        self.page.keyboard.down(key)
        self.until(f"size(sub(view.tool.at, {before})) > 0.03")
        self.page.keyboard.up(key)

    def holds_gamepad(self, what: str) -> None:
        self.tell(f"navigator.getGamepads = () => [{{connected: true, {what}}}]")

    def drag(self, handle: str, towards: list[float]) -> None:
        """An arrow of the tool, as far as that place of the world lies along it."""
        axis = f"HANDLES.{handle}"
        self.page.mouse.move(
            *self.tell(f"view.project(add(view.tool.at, scaled({axis}, 0.6 * gizmo.scale)))")
        )
        self.page.mouse.down()
        assert self.tell("gizmo.grabbed.name") == handle
        way = f"scaled({axis}, dot(sub({towards}, view.tool.at), {axis}))"
        end = f"view.project(add(add(gizmo.grabbed.from, scaled({axis}, 0.6 * gizmo.scale)), {way}))"
        self.page.mouse.move(*self.tell(end), steps=3)
        self.until("size(sub(gizmo.grabbed.to, view.tool.at)) < 0.03")
        self.page.mouse.up()


def episodes_of(path: Path) -> list[Any]:
    return list(Dataset.open(path).load_all())
