"""The parts that a host talks to: round trips on a bus of servos, and how old a camera's frames are."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from robot_orl.deploy.dynamixel.bus import BadPacket, Bus
from robot_orl.deploy.dynamixel.readings import END, STATE
from robot_orl.deploy.sensors.camera import Camera
from robot_orl.deploy.timing import NS_PER_S, Clock, summarise
from robot_orl.errors import RunError

CAMERA_POLL_NS = 200_000
SILENT = 20  # questions in vain, one after the other, after which nobody is asked any more


def measure_bus(bus: Bus, servos: Sequence[int], seconds: float, clock: Clock) -> dict[str, Any]:
    """Ask all servos for what a control loop reads, and one of them whether it is there. Moves nothing.

    Returns: servos, sync_read_us, ping_us: summaries.  lost: questions without a good answer.
    Raises: RunError: nobody answers.
    """
    questions: dict[str, Callable[[], object]] = {
        "sync_read": lambda: bus.sync_read(servos, STATE.address, END - STATE.address),
        "ping": lambda: bus.ping(servos[0]),
    }
    durations: dict[str, list[int]] = {name: [] for name in questions}
    lost = silent = 0
    end_ns = clock.now_ns() + round(seconds * NS_PER_S)
    while clock.now_ns() < end_ns:
        for name, ask in questions.items():
            begin_ns = clock.now_ns()
            try:
                ask()
            except BadPacket as error:
                lost, silent = lost + 1, silent + 1
                if silent == SILENT:
                    raise RunError(f"nobody answers on the bus: {error}") from error
                continue
            silent = 0
            durations[name].append(clock.now_ns() - begin_ns)
    found = {f"{name}_us": _summary_us(taken) for name, taken in durations.items()}
    return {"servos": len(servos), **found, "lost": lost}


def measure_camera(camera: Camera, seconds: float, clock: Clock) -> dict[str, Any]:
    """How old frames are when they can be read, and the time between two of them.

    Returns: age_us, interval_us: summaries.  frames, dropped: that came, that were due and did not.
    Raises: RunError: no frame comes.
    """
    ages: list[int] = []
    stamps: list[int] = []
    last = camera.wait()
    end_ns = clock.now_ns() + round(seconds * NS_PER_S)
    while (now_ns := clock.now_ns()) < end_ns:
        frame = camera.latest()
        if frame is not None and frame.number != last.number:
            last = frame
            ages.append(clock.now_ns() - frame.t_ns)
            stamps.append(frame.t_ns)
        clock.sleep_until(now_ns + CAMERA_POLL_NS)
    status = camera.status()
    if not ages:
        raise RunError(status.message or f"no frame from '{camera.cfg.source}' in {seconds:g} s")
    intervals = [after - before for before, after in pairwise(stamps)]
    return {
        "age_us": _summary_us(ages),
        "interval_us": _summary_us(intervals),
        "frames": len(ages),
        "dropped": status.dropped,
    }


def _summary_us(durations_ns: list[int]) -> dict[str, float | int | None]:
    return summarise(np.array(durations_ns) / 1e3)
