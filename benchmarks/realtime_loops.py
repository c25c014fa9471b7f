"""The loops that realtime.py compares: the sleeping loop of common stacks, and ours as `deploy` runs it."""

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journals
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.deploy.bundle import POLICY, WEIGHTS, Bundle, write_manifest
from robot_orl.deploy.doctor.example_policy import SIZES, Layers, write_policy
from robot_orl.deploy.loop import run
from robot_orl.deploy.processes.hosting import beside
from robot_orl.deploy.processes.records import Records
from robot_orl.deploy.realtime import realtime_setup
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock, SpinningClock, TimingLog
from robot_orl.types import Array, Outcome, RobotObservation, Signal, Spec


class Collections:
    """When Python's garbage collector ran, and for how long."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int]] = []  # from, to [ns]
        self._began_ns = 0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began_ns = time.monotonic_ns()
        else:
            self._runs.append((self._began_ns, time.monotonic_ns()))

    def between(self, first_ns: int, last_ns: int) -> dict[str, float]:
        """Those that began between two ticks: their count, and the longest [us]."""
        pauses = [end - begin for begin, end in self._runs if first_ns <= begin <= last_ns]
        return {"count": len(pauses), "longest_us": max(pauses, default=0) / 1e3}


@contextmanager
def counted_collections() -> Iterator[Collections]:
    counted = Collections()
    gc.callbacks.append(counted)
    try:
        yield counted
    finally:
        gc.callbacks.remove(counted)


class NotingClock:
    """Another clock, and what it slept for.

    first_ns: its first deadline.  deadline_ns, woken_ns: its last, and when it returned from that.
    """

    def __init__(self, clock: Clock) -> None:
        self.method = clock.method
        self.first_ns = self.deadline_ns = self.woken_ns = 0
        self._clock = clock

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def sleep_until(self, deadline_ns: int) -> None:
        self._clock.sleep_until(deadline_ns)
        self.woken_ns = self._clock.now_ns()
        self.deadline_ns = deadline_ns
        self.first_ns = self.first_ns or deadline_ns


class IdleRobot:
    """Takes no time and moves nothing, so that only the loop is measured."""

    name = "idle"

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        rng = np.random.default_rng(2)
        self._obs = {
            key: rng.normal(size=len(signals)).astype(np.float32) for key, signals in spec.observation.items()
        }

    def connect(self) -> None:
        pass

    def home(self, seed: int) -> None:
        pass

    def observe(self) -> RobotObservation:
        return RobotObservation(self._obs, time.monotonic_ns())

    def send(self, action: Array) -> Array:
        return action

    def outcome(self) -> Outcome:
        return Outcome(reward=-1.0, success=False)

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


def sleeping_loop(bundle: Bundle, seconds: float, priority: int | None) -> dict[str, Any]:
    """The loop that is found in most stacks; it records nothing, which is to its advantage."""
    spec = bundle.spec
    period_s = 1 / spec.control_hz
    ticks = round(seconds * spec.control_hz)
    robot = IdleRobot(spec)
    log = TimingLog(round(period_s * NS_PER_S), ticks)
    with counted_collections() as collections, _priority_alone(priority):
        first_ns = last_ns = time.monotonic_ns()
        for tick in range(ticks):
            start = time.perf_counter()
            last_ns = time.monotonic_ns()
            first_ns = last_ns if tick == 0 else first_ns
            log.tick(last_ns)
            robot.send(bundle.policy(spec.flatten(robot.observe().obs)))
            time.sleep(max(0.0, period_s - (time.perf_counter() - start)))
    late_ns = last_ns - first_ns - (ticks - 1) * round(period_s * NS_PER_S)
    return {
        "ticks": ticks,
        "missed": None,  # it has no slots
        "drift_us": late_ns / 1e3,
        "period_error_us": log.summary("period_error"),
        "inference_us": None,
        "collections": collections.between(first_ns, last_ns),
    }


@contextmanager
def _priority_alone(priority: int | None) -> Iterator[None]:
    """Real-time scheduling and locked memory; the garbage collector as Python has it."""
    with realtime_setup(priority):
        if priority is not None:
            gc.unfreeze()
            gc.enable()
        yield


def our_loop(
    bundle: Bundle, seconds: float, priority: int | None, spin_ns: int, cpu: int | None, record: Path
) -> dict[str, Any]:
    """As `deploy one_process=true` runs it: supervisor, recording and journal included."""
    clock = _noting(spin_ns)
    made_by = bundle.spec, "benchmark", {}, {}
    with (
        counted_collections() as collections,
        BackgroundWriter(SegmentWriter(record, *made_by), Journals(record, *made_by)) as writer,
        _pinned(cpu),
    ):
        report = run(
            IdleRobot(bundle.spec),
            bundle,
            duration_s=seconds,
            clock=clock,
            writer=writer,
            realtime_priority=priority,
        )
    return _figures(report.to_dict(), clock, collections)


def our_processes(
    bundle: Bundle, seconds: float, priority: int | None, spin_ns: int, record: Path
) -> dict[str, Any]:
    """As `deploy` runs it: the policy answers, and the recorder writes, in processes of their own."""
    clock = _noting(spin_ns)
    records = Records(str(record), bundle.spec, bundle.policy_hash, {}, {})
    hosts = beside(bundle, records, priority=priority, should_stop=lambda: False)
    try:
        with counted_collections() as collections:
            report = run(
                IdleRobot(bundle.spec),
                bundle,
                duration_s=seconds,
                clock=clock,
                realtime_priority=priority,
                cpu=hosts.cpu,
                asking=hosts.asking,
                recording=hosts.recording,
                processes=hosts.processes,
            )
    finally:
        hosts.kill()
    return _figures(report.to_dict(), clock, collections)


def _noting(spin_ns: int) -> NotingClock:
    clock = RealClock()
    return NotingClock(SpinningClock(clock, spin_ns) if spin_ns else clock)


def _figures(report: dict[str, Any], clock: NotingClock, collections: Collections) -> dict[str, Any]:
    """Raises: SystemExit: the run is not one to be measured."""
    if report["fault"]:
        raise SystemExit(f"our loop: {report['fault']}")
    if (clock.deadline_ns - clock.first_ns) % round(NS_PER_S / report["control_hz"]):
        raise SystemExit("our loop: its deadlines left the grid of anchor + k * period")
    return {
        "ticks": report["ticks"],
        "missed": report["missed_slots"],
        "drift_us": (clock.woken_ns - clock.deadline_ns) / 1e3,
        "period_error_us": report["period_error_us"],
        "inference_us": report["inference_us"],
        "work_us": report["work_us"],
        "collections": collections.between(clock.first_ns, clock.woken_ns),
        "realtime": report["realtime"],
        "clock": clock.method,
        "episodes": report["episodes"],
    }


@contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    """On one processor alone. The writer's thread, which was started before, is not."""
    before = os.sched_getaffinity(0) if cpu is not None else set()
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        if cpu is not None:
            os.sched_setaffinity(0, before)


def make_bundle(folder: Path, layers: Layers, hz: float, horizon: int) -> Bundle:
    """The network as a real bundle at this control rate; one episode lasts the whole run."""
    folder.mkdir()
    write_policy(folder / POLICY, layers)
    (folder / WEIGHTS).write_bytes(b"")
    observation = {"observation": tuple(Signal(f"o{i}") for i in range(SIZES[0]))}
    spec = Spec("benchmark", observation, tuple(Signal(f"a{i}") for i in range(SIZES[-1])), hz, horizon)
    session = onnxruntime.InferenceSession(folder / POLICY, providers=["CPUExecutionProvider"])
    parity_obs = np.ones((1, SIZES[0]), np.float32)
    write_manifest(
        folder,
        spec=spec,
        limits=Limits(),
        task=spec.task,
        task_kwargs={},
        dataset_fingerprint="none",
        parity_obs=parity_obs,
        parity_action=session.run(["action"], {"obs": parity_obs})[0],
    )
    return Bundle.load(folder)
