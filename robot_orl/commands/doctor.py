"""`robot-orl doctor`: what this host can do in real time, what to mend, and a verdict for each rate."""

import getpass
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from robot_orl.commands.doctor_tables import print_examination
from robot_orl.commands.tables import out
from robot_orl.config import DoctorConfig
from robot_orl.deploy.doctor import host, result
from robot_orl.deploy.doctor.host import Finding
from robot_orl.deploy.doctor.measure import (
    IDLE,
    LOADED,
    Period,
    busy_processes,
    measure_calls,
    measure_period,
    measure_stalls,
)
from robot_orl.deploy.doctor.openers import EXAMPLE, open_bus, open_camera, open_policy
from robot_orl.deploy.doctor.parts import measure_bus, measure_camera
from robot_orl.deploy.doctor.processes import processes
from robot_orl.deploy.doctor.verdict import judge
from robot_orl.deploy.realtime import RealtimeStatus, realtime_setup
from robot_orl.deploy.sensors.source import CameraConfig
from robot_orl.deploy.timing import NS_PER_S, SPIN_NS, Clock, RealClock, control_clock
from robot_orl.errors import UsageError
from robot_orl.progress import Bar

INFERENCE_HZ = 200.0


def run(cfg: DoctorConfig) -> None:
    """Nothing is stored when it is interrupted. Raises: UsageError, RunError: before anything is measured,
    where a bundle, robot or camera cannot be had."""
    if not cfg.rates:
        raise UsageError("rates=[] names no control rate; write rates=[100,500]")
    if cfg.out and Path(cfg.out).is_dir():
        raise UsageError(f"cannot write {cfg.out}: it is a folder; choose another out=")
    found = examine(cfg)
    files = [result.cache_file(), *([Path(cfg.out)] if cfg.out else [])]
    if cfg.json:
        print(json.dumps(found), flush=True)
    else:
        print_examination(found)
    for file in files:  # last: what was measured is told where it cannot be stored
        result.save(found, file)
    if not cfg.json:
        where = " and ".join(map(str, files))
        out.print(f"\nwritten to {where}; deployments store it beside their figures")


def examine(cfg: DoctorConfig) -> dict[str, Any]:
    """The result as it is stored; see `robot_orl/deploy/doctor/result.py`."""
    spin_ns = SPIN_NS if cfg.spin_us is None else round(cfg.spin_us * 1e3)
    load = host.processors() if cfg.load is None else cfg.load
    policy = open_policy(cfg.bundle)
    watched = CameraConfig(cfg.camera, cfg.width, cfg.height, cfg.fps, loop=True) if cfg.camera else None
    asked = seen = None
    with open_bus(cfg.robot) as bus, open_camera(watched) as camera:
        steps = _Steps(2 * len(cfg.rates) + 2 + (bus is not None) + (camera is not None))
        with steps.bar, realtime_setup(cfg.priority or None, cfg.cpu) as status:
            clock = control_clock(status.scheduling.obtained, spin_ns)
            before, begin_ns = processes(), clock.now_ns()
            periods = steps.periods(cfg, clock, IDLE)
            busy = _busy(before, (clock.now_ns() - begin_ns) / NS_PER_S, cfg.priority)
            stalls = steps("stalls", partial(measure_stalls, cfg.seconds, clock))
            with busy_processes(load):
                periods += steps.periods(cfg, clock, LOADED)
                calls = partial(measure_calls, policy, INFERENCE_HZ, cfg.seconds, clock)
                inference = steps("inference", calls)
            if bus is not None:
                asked = steps("bus", partial(measure_bus, *bus, cfg.seconds, clock))
            if camera is not None:
                seen = steps("camera", partial(measure_camera, camera, cfg.seconds, RealClock()))
    known = host.facts()
    work_us = inference["p99"] + ((asked["sync_read_us"]["p99"] or 0.0) if asked else 0.0)
    return {
        "format": result.FORMAT,
        "when": result.timestamp(time.time()),
        "host": known,
        "asked": {
            "rates_hz": list(cfg.rates),
            "seconds": cfg.seconds,
            "load": load,
            "priority": cfg.priority,
            "cpu": cfg.cpu,
            "spin_us": spin_ns / 1e3,
        },
        "realtime": status.to_dict(),
        "clock": clock.method,
        "period": [asdict(period) for period in periods],
        "stalls": stalls,
        "inference": {
            "policy": cfg.bundle or EXAMPLE,
            "under": LOADED,
            "hz": INFERENCE_HZ,
            "us": inference,
        },
        "bus": asked,
        "camera": seen,
        "findings": [asdict(f) for f in _findings(status, stalls, known["is_virtual"], busy)],
        "verdicts": [asdict(judge(hz, [p for p in periods if p.hz == hz], work_us)) for hz in cfg.rates],
    }


class _Steps:
    """Measurements one after the other, each shown while it is taken."""

    def __init__(self, number: int) -> None:
        self.bar = Bar("doctor", number)

    def __call__(self, name: str, measure: Callable[[], Any]) -> Any:
        self.bar.advance(0, name)
        found = measure()
        self.bar.advance()
        return found

    def periods(self, cfg: DoctorConfig, clock: Clock, under: str) -> list[Period]:
        return [
            self(f"{hz:g} Hz, {under}", partial(measure_period, hz, cfg.seconds, clock, under))
            for hz in cfg.rates
        ]


def _busy(before: dict[int, Any], seconds: float, priority: int) -> list[Finding]:
    return list(host.process_findings(before, processes(), seconds, {os.getpid()}, priority))


def _findings(
    status: RealtimeStatus, stalls: dict[str, Any], is_virtual: bool | None, busy: Sequence[Finding]
) -> Iterator[Finding]:
    """What to mend, the most effective first."""
    yield from host.permission_findings(status, _user())
    yield from host.system_findings()
    if status.scheduling.obtained:
        yield from host.stall_findings(stalls, is_virtual)
    yield from busy


def _user() -> str:
    """Whose limits are raised: everybody's, where this user has no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "*"
