"""The loop's end of the page: what it shows goes into shared memory, what hands do comes out of it.

The page is served by a process of its own (server.py), so that neither drawing nor a network can make a tick
late. Orders come through a pipe that is read as far as it goes. Where that process ends, nobody is there.
"""

import json
import os
import secrets
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_collection.teleop.browser.board import Replays
from data_collection.teleop.browser.shared import STATUS_BYTES, Shared, Sizes
from data_collection.teleop.hands import Jog, Order, Status, Verb
from data_collection.teleop.session import State
from data_collection.viewer.scene import Scene, scene_of
from data_collection.viewer.takes import Take, take_of
from robot_orl.deploy.sensors.channel import create_memory
from robot_orl.deploy.supervisor.listening import address_of, listen, named
from robot_orl.errors import RunError
from robot_orl.intervention import HANDS_OFF_S
from robot_orl.types import Array, Episode

SERVER = "data_collection.teleop.browser.server"
STARTS_S, ENDS_S = 60.0, 3.0
NOTHING: dict[str, Any] = {
    **{"driven": False, "heard": False, "cut_off": False},
    **{"pages": 0, "dropped": 0, "jog": None},
}


class BrowserHands:
    """Of the page at `url`, which is known once it is made: a secret may be part of it."""

    def __init__(
        self,
        host: str,
        port: int,
        hello: Mapping[str, Any],
        action_size: int,
        tool: str | None,
        view: Mapping[str, Any],
        grace_s: float,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """hello: what every page is told first.  tool: the site that is steered.  view: of the camera.
        grace_s: so long nobody has to be heard of before nobody is there [s].

        Raises: UsageError: nothing can be served there.
        """
        self._listening = listen(host, port, "operator.")
        address = address_of(self._listening)
        self._told: dict[str, Any] = {
            "token": secrets.token_urlsafe(16),
            "is_local": address.is_loopback,
            "address": str(address),
            "joints": action_size if tool is None else 0,
            "grace_s": grace_s,
            "hello": dict(hello),
        }
        self.url = f"http://{named(address)}:{self._listening.getsockname()[1]}/"
        if not address.is_loopback:
            self.url += f"?token={self._told['token']}"
        self._tool, self._view, self._grace_s, self._now_ns = tool, view, grace_s, now_ns
        self._scene: Scene | None = None
        self._shared: Shared | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # of episodes that can be seen again
        self._board: dict[str, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._state = ""  # that was shown last
        self._moments: list[Array] = []  # of the episode that is recorded, since its reset
        self._reviewed = 0  # episodes so far
        self._take: int | None = None  # number of the one that is reviewed; None: it cannot be seen again
        self._rest = b""
        self._has_ended = self._has_quit = False

    # Onlooker

    def watch(self, model: Any, data: Any) -> None:
        try:
            self._scene = scene_of(model, self._tool, {"view": dict(self._view)})
        except BaseException:
            self.close()
            raise

    def moved(self, data: Any) -> None:
        if self._shared is not None and self._scene is not None:
            moment = self._scene.moment(data)
            self._shared.moment.write(self._now_ns(), moment)
            if self._state != State.RECORDING:  # its reset comes before it is shown to be recorded
                self._moments.clear()
            self._moments.append(moment)

    # Reviewer

    def review(self, take: Take) -> None:
        moments = self._moments[-len(take) - 1 :]
        if self._folder is None:
            return
        if len(moments) == len(take) + 1:
            take = replace(take, moments=np.stack(moments))
        self._reviewed += 1
        try:
            Replays(Path(self._folder.name)).keep(self._reviewed, take.packed())
            self._take = self._reviewed
        except OSError:  # no room for a copy: the episode itself is in its journal
            self._take = None

    # Overseeing

    def oversee(self, board: int, board_bytes: int) -> None:
        self._board = {"descriptor": board, "board_bytes": board_bytes}

    def keep(self, number: int, env: Any, episode: Episode) -> None:
        if self._folder is not None and self._scene is not None:
            with suppress(OSError):  # a full disk is no reason to end
                Replays(Path(self._folder.name)).keep(number, take_of(self._scene, env, episode).packed())

    # Hands

    def open(self) -> None:
        """Says where the page is. Raises: RunError: it does not come up."""
        packed, size = (b"", 0) if self._scene is None else (self._scene.packed, self._scene.size)
        sizes = Sizes(moment=size, scene=len(packed))
        memory = create_memory(sizes.total)
        self._shared = Shared(memory, sizes)
        self._shared.scene = packed
        self._folder = tempfile.TemporaryDirectory(prefix="robot-orl-")
        told = {**self._told, "sizes": asdict(sizes), "board": self._board, "folder": self._folder.name}
        with self._listening:
            ends = (self._listening.fileno(), memory)
            self._process = subprocess.Popen(
                [sys.executable, "-m", SERVER, *map(str, ends)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=ends if self._board is None else (*ends, self._board["descriptor"]),
                start_new_session=True,  # a terminal's Ctrl-C is for us
            )
        os.close(memory)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told).encode() + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], STARTS_S)[0] or not self._read():
            self.close()
            raise RunError("the page for hands did not come up")
        print(f"drive at {self.url}", flush=True)

    def jog(self) -> Jog | None:
        said = self._heard(HANDS_OFF_S)["jog"]
        if said is None:
            return None
        joints = None if said["joints"] is None else np.array(said["joints"])
        return Jog(np.array(said["linear"]), np.array(said["angular"]), said["gripper"], joints)

    def orders(self) -> Sequence[Order]:
        orders = [_order(said) for said in map(json.loads, self._read()) if said]
        if self._has_ended and not self._has_quit:  # nobody can come back
            self._has_quit = True
            orders.append(Order(Verb.QUIT))
        return orders

    def present(self) -> bool:
        return not self._has_ended and bool(self._heard(self._grace_s)["driven"])

    # Remote

    def heard(self) -> bool:
        return not self._has_ended and bool(self._heard(HANDS_OFF_S)["heard"])

    def cut_off(self) -> bool:
        """Where the process itself is silent, what it said last tells whether hands were on."""
        last = self._heard(np.inf)
        is_silent = self._has_ended or self._heard(HANDS_OFF_S) is NOTHING
        return bool(last["cut_off"] or (is_silent and last["jog"] is not None))

    def show(self, status: Status, allowed: Sequence[Verb]) -> None:
        if self._shared is None:
            return
        self._state = status.state
        said = {"status": asdict(status), "allowed": list(allowed), "take": self._take}
        raw = json.dumps(said, ensure_ascii=False, default=str).encode()
        if len(raw) <= STATUS_BYTES:
            self._shared.status.write(self._now_ns(), np.frombuffer(raw, np.uint8))

    def close(self) -> None:
        """Says that the page was lost, if it was: not before, because the loop never waits for a terminal."""
        self._listening.close()
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if self._folder is not None:
            self._folder.cleanup()
        if self._has_quit:
            print("the page was lost: the process that serves it ended before this did", flush=True)

    def _heard(self, patience_s: float) -> dict[str, Any]:
        """What the driver does, unless the process has been silent for longer than that."""
        value = None if self._shared is None else self._shared.hands.read()
        if value is None or self._now_ns() - value.t_ns > patience_s * 1e9:
            return NOTHING
        heard: dict[str, Any] = json.loads(value.payload.tobytes())
        return heard

    def _read(self) -> list[bytes]:
        """Whole lines that the process has written since the last call."""
        if self._process is None or self._process.stdout is None:
            return []
        output = self._process.stdout.fileno()
        while not self._has_ended and select.select([output], [], [], 0)[0]:
            raw = os.read(output, 65_536)
            self._rest += raw
            self._has_ended = not raw
        *lines, self._rest = self._rest.split(b"\n")
        return lines


def _order(said: Mapping[str, Any]) -> Order:
    value = said["value"]
    return Order(Verb(said["verb"]), tuple(value) if isinstance(value, list) else value)
