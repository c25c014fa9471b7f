"""Who looks at a session in `teleop.py`: a client that draws nothing, and a browser that draws here."""

import json
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

NO_PUSH = {"linear": [0.2, 0, 0], "angular": [0, 0, 0], "gripper": 0, "joints": None}
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
JOG_S = 1 / 30


class Elsewhere:
    """Takes every picture, in a process of its own, which stands for another machine."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Elsewhere":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def records(self) -> None:
        """One episode, from its start to the end of the session."""
        self._start("records")

    def watches(self) -> None:
        self._start("watches")

    def _start(self, what: str) -> None:
        self._process = subprocess.Popen([sys.executable, __file__, what, self._url], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # connected


class Drawn:
    """Chromium, which draws 3-D on the processors of this machine."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> "Drawn":
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        self._page = self._browser.new_page(viewport={"width": 1280, "height": 720})
        self._page.goto(self._url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def records(self) -> None:
        keys = self._page.keyboard
        self._press_until("Enter", "state.status.state !== 'idle'")
        keys.down("w")
        self._until("state.status.state === 'reviewing'")
        keys.up("w")
        self._press_until("Shift+S", "state.status.episodes > 0")
        while not self._page.evaluate("order('quit'), isOver || isLost()"):
            self._page.wait_for_timeout(200)

    def _press_until(self, key: str, script: str) -> None:
        """Again, where the picture was too old for it."""
        self._until("view.poses && state.drives && !isBehind()")
        while not self._page.evaluate(f"Boolean({script})"):
            self._page.keyboard.press(key)
            self._page.wait_for_timeout(500)

    def _until(self, script: str) -> None:
        while not self._page.evaluate(f"Boolean({script})"):
            self._page.wait_for_timeout(200)

    def watches(self) -> None:
        self._page.wait_for_timeout(5_000)  # its scene has been drawn by then


def main() -> None:
    """records | watches, and where."""
    what, url = sys.argv[1:]
    (_recording if what == "records" else _watching)(url)


def _recording(url: str) -> None:
    from websockets.sync.client import connect

    text = urlopen(url).read().decode()
    token = text.partition('name="token" content="')[2].partition('"')[0]
    with connect(f"ws://{urlsplit(url).netloc}/hands?token={token}&seat=", max_size=None) as socket:
        print("connected", flush=True)
        state: dict[str, Any] = {}
        threading.Thread(target=_drive, args=(socket, state), daemon=True).start()
        scene = True
        for raw in socket:
            if isinstance(raw, bytes):
                if not scene:
                    socket.send(json.dumps({"say": "got", "number": int.from_bytes(raw[:4], "little")}))
                scene = False
            elif (message := json.loads(raw))["say"] == "state":
                state.update(message)


def _drive(socket: Any, state: dict[str, Any]) -> None:
    """Start, push until it is to be reviewed, save, quit."""
    done: set[str] = set()
    while True:
        now = (state.get("status") or {}).get("state")
        for when, verb in (("idle", "start"), ("reviewing", "save"), ("idle", "quit")):
            if now == when and verb not in done and (verb != "quit" or "save" in done):
                socket.send(json.dumps({"say": "order", "verb": verb, "value": None}))
                done.add(verb)
                break
        jog = {"say": "jog", "at": time.monotonic() * 1e3, **NO_PUSH}
        socket.send(json.dumps(jog if now == "recording" else {"say": "off", "at": jog["at"]}))
        time.sleep(JOG_S)


def _watching(url: str) -> None:
    """viser's own protocol: whoever listens is sent what is new."""
    from websockets.sync.client import connect

    with connect(f"ws://{urlsplit(url).netloc}", subprotocols=["viser-v1.1.1"], max_size=None) as socket:
        print("connected", flush=True)
        for _ in socket:
            pass


if __name__ == "__main__":
    main()
