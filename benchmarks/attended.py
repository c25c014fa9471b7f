"""Does a deployment keep its period while somebody stands by? Period errors with and without a page.

    python benchmarks/attended.py BUNDLE --rounds 3 --out benchmarks/results/attended

All in turns in one run, `--rounds` times, each a deployment as it is with its three processes, recorded:

    nobody           without operator=
    no page          operator=browser, and nobody has opened the page
    a page           opened by a client that takes every picture and drives every other second, but draws
                     nothing: it stands for a browser on another machine
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np

from robot_orl.deploy.doctor import host
from robot_orl.deploy.doctor.result import timestamp

LOOPS = ("nobody", "no page", "a page")
JOG_S, TURN_S = 1 / 30, 1.0
PUSH = {"linear": [0, 0, 0.2], "angular": [0, 0, 0], "gripper": 0, "joints": None}
FIGURES = ("period_error_us", "work_us", "inference_us", "ticks", "missed_slots", "interventions", "realtime")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("bundle", help="of any task that has a tool")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each deployment [s]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--words", nargs="*", default=[], help="of robot-orl deploy, such as robot=koch")
    parser.add_argument("--out", type=Path, help="folder for table.md and attended.json")
    args = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in LOOPS}
    for _ in range(args.rounds):
        for name in LOOPS:
            found[name].append(deployed(args, name))
    text = table(found)
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "table.md").write_text(text)
        facts = {"when": timestamp(time.time()), "host": host.facts(), "words": args.words}
        facts |= {"seconds": args.seconds, "loops": found}
        (args.out / "attended.json").write_text(json.dumps(facts, indent=1) + "\n")


def deployed(args: argparse.Namespace, name: str) -> dict[str, Any]:
    """The figures of one deployment."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "deploy.json"
        words = [f"bundle={args.bundle}", f"record={scratch}/data", f"out={file}", *args.words]
        words += [f"duration_s={args.seconds}"]
        if name != "nobody":
            words += ["operator=browser", "port=0", f"unattended={'stop' if name == 'a page' else 'policy'}"]
        command = [sys.executable, "-m", "robot_orl.cli", "deploy", *words]
        page = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if name == "a page" and page is None and (at := re.search(r"drive at (\S+)", line)):
                    page = subprocess.Popen([sys.executable, __file__, "--page", at[1]])
        if page is not None:
            page.wait()
        if not file.exists():
            raise SystemExit(said)
        figures = json.loads(file.read_text())
    return {"rate_hz": figures["control_hz"], **{key: figures[key] for key in FIGURES}}


def look_and_drive(url: str) -> None:
    """The page, until the deployment is over."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    token = urlopen(url).read().decode().partition('name="token" content="')[2].partition('"')[0]
    address = f"ws://{urlsplit(url).netloc}/hands?token={token}&seat="
    with connect(address, max_size=None, open_timeout=60) as socket:
        has_scene, begin_s = False, time.monotonic()
        try:
            while True:
                now_s = time.monotonic()
                is_on = int((now_s - begin_s) / TURN_S) % 2
                jog = {"say": "jog", "at": now_s * 1e3, **PUSH}
                socket.send(json.dumps(jog if is_on else {"say": "off", "at": jog["at"]}))
                has_scene = _take(socket, now_s + JOG_S, has_scene)
        except ConnectionClosed:
            return


def _take(socket: Any, until_s: float, has_scene: bool) -> bool:
    """What comes until then; pictures are acknowledged, and the scene comes before them."""
    while (left_s := until_s - time.monotonic()) > 0:
        try:
            raw = socket.recv(timeout=left_s)
        except TimeoutError:
            break
        if isinstance(raw, bytes):
            if has_scene:
                socket.send(json.dumps({"say": "got", "number": int.from_bytes(raw[:4], "little")}))
            has_scene = True
    return has_scene


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """The median round of each figure."""
    rate = found["nobody"][0]["rate_hz"]
    head = f"| {rate:g} Hz, microseconds | p50 | p99 | p99.9 | max | work p50 | p99 | missed | taken over |"
    rows = [head, "| --- |" + " ---: |" * 8]
    for name, rounds in found.items():
        errors = [
            np.median([r["period_error_us"][q] for r in rounds]) for q in ("p50", "p99", "p99.9", "max")
        ]
        work = [np.median([r["work_us"][q] for r in rounds]) for q in ("p50", "p99")]
        missed, ticks = sum(r["missed_slots"] for r in rounds), sum(r["ticks"] for r in rounds)
        times = sum(r["interventions"]["times"] for r in rounds)
        figures = " | ".join(f"{x:,.0f}" for x in (*errors, *work))
        rows.append(f"| {name} | {figures} | {missed} of {ticks + missed:,} | {times} |")
    return "\n".join([*rows, "", f"Median of {len(found['nobody'])} rounds."]) + "\n"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--page"]:
        look_and_drive(sys.argv[2])
    else:
        main()
