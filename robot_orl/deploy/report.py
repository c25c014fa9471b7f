"""What a deployed run was like: the contents of deploy.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from robot_orl.data.store.provenance import package_versions
from robot_orl.deploy.realtime import RealtimeStatus
from robot_orl.deploy.recorder import Tally
from robot_orl.deploy.timing import TimingLog
from robot_orl.statistics import wilson_interval


@dataclass(frozen=True)
class Servoing:
    """How often targets moved on. missed_slots: of these ticks.  said: on a rate that was changed."""

    servo_hz: float
    missed_slots: int
    timing: TimingLog
    said: str | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "hz": self.servo_hz,
            "missed_slots": self.missed_slots,
            "said": self.said,
            "period_error_us": self.timing.summary("period_error"),
            "work_us": self.timing.summary("work"),
        }


@dataclass(frozen=True)
class DeployReport:
    """stopped_by: duration, interrupt, emergency or fault.  stop_reason: who or what asked to stop, or None.
    fault: its name and sentence, or None.  connected: False: a stop was asked for before.
    parked: False: it holds its pose, torque on; None: it does not park by itself, or had not moved.
    connection: how that to the robot fared, counts by name; {}: it has none that counts.
    limits: in force; tightened: those that were the bundle's, as (the robot's, in force).
    slots: control periods that passed; ticks: those in which an action was sent; the rest was missed.
    servo: the ticks between them.  processes: what is known of those beside this one; {}: there are none.
    """

    robot: str
    bundle: str
    policy_hash: str
    task: str
    control_hz: float
    slots: int
    ticks: int
    missed_slots: int
    timing: TimingLog
    servo: Servoing
    processes: Mapping[str, Any]
    clock: str
    realtime: RealtimeStatus
    safety: dict[str, int]
    limits: dict[str, Any]
    tightened: dict[str, tuple[Any, Any]]
    tally: Tally
    homing_s: float
    wall_s: float
    stopped_by: str
    stop_reason: str | None
    fault: str | None
    connected: bool
    parked: bool | None
    connection: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        tally = self.tally
        judged = tally.judged
        return {
            "robot": self.robot,
            "task": self.task,
            "bundle": self.bundle,
            "policy_hash": self.policy_hash,
            "stopped_by": self.stopped_by,
            "stop_reason": self.stop_reason,
            "fault": self.fault,
            "connected": self.connected,
            "parked": self.parked,
            "control_hz": self.control_hz,
            "period_ms": 1e3 / self.control_hz,
            "slots": self.slots,
            "ticks": self.ticks,
            "missed_slots": self.missed_slots,
            "period_error_us": self.timing.summary("period_error"),
            "inference_us": self.timing.summary("inference"),
            "work_us": self.timing.summary("work"),
            "histograms": {
                "period_error": self.timing.histogram("period_error"),
                "inference": self.timing.histogram("inference"),
            },
            "servo": self.servo.to_dict(),
            "processes": dict(self.processes),
            "clock": self.clock,
            "realtime": self.realtime.to_dict(),
            "safety": self.safety,
            "connection": self.connection,
            "limits": self.limits,
            "tightened": {name: list(pair) for name, pair in self.tightened.items()},
            "episodes": {
                "whole": tally.whole,
                "cut_short": tally.cut_short,
                "end_reasons": tally.reasons,
                "written_late": tally.written_late,
                "lost": tally.lost,
            },
            "success": {
                "episodes": judged,
                "successes": tally.successes,
                "rate": tally.successes / judged if judged else None,
                "wilson95": list(wilson_interval(tally.successes, judged)),
            },
            "interventions": {
                "times": tally.interventions,
                "steps": tally.taken_over,
                "of_steps": tally.steps,
                "alone": {"episodes": tally.alone, "successes": tally.successes_alone},
            },
            "homing_s": self.homing_s,
            "wall_s": self.wall_s,
            "packages": package_versions() | {"onnxruntime": version("onnxruntime")},
        }
