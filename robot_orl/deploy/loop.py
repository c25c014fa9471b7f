"""Run a policy on a robot: what that takes is set up here, the life of a run is in `deployment.py`."""

import logging
from collections.abc import Mapping
from typing import Any

from robot_orl.deploy.answers import Answerer
from robot_orl.deploy.asking import AskedHere, Asking
from robot_orl.deploy.bundle import Bundle, check_robot
from robot_orl.deploy.deployment import Deployment, Progress
from robot_orl.deploy.interpolation import Rates
from robot_orl.deploy.realtime import realtime_setup
from robot_orl.deploy.recording import EpisodeWriter, RecordedHere, Recording
from robot_orl.deploy.report import DeployReport
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.supervisor.offers import Jointed, Servoed
from robot_orl.deploy.supervisor.stops import StopRequest, stop_on_signals
from robot_orl.deploy.timing import Clock, control_clock
from robot_orl.errors import UsageError
from robot_orl.types import Robot

log = logging.getLogger(__name__)


def run(
    robot: Robot,
    bundle: Bundle,
    *,
    duration_s: float,
    clock: Clock | None = None,
    writer: EpisodeWriter | None = None,
    seed: int = 0,
    realtime_priority: int | None = None,
    cpu: int | None = None,
    on_tick: Progress | None = None,
    stop: StopRequest | None = None,
    asking: Asking | None = None,
    recording: Recording | None = None,
    processes: Mapping[str, Any] | None = None,
    sharing: Sharing | None = None,
) -> DeployReport:
    """Run the bundle's policy on the robot for `duration_s` of control time; homing is not counted.

    seed: of the first homing; each later one takes the next.  writer: takes the finished episodes.
    realtime_priority: SCHED_FIFO priority to ask for, or None.  cpu: to keep to, or None.
    on_tick: called after each tick of the policy with the slots done and to do; must be quick.
    stop: set it to end the run, as SIGINT, SIGTERM, SIGHUP and, as an emergency, SIGUSR1 do.
    A stop that is set already keeps the robot from being connected at all.
    asking, recording: other processes that answer and record; None: this one does, into `writer`.
    processes: what is to be reported of these.
    sharing: with whoever may take over from the policy; None: nobody.
    Faults of robot, policy or recording do not raise; `DeployReport.fault` names them.
    Raises: UsageError: the robot does not fit the bundle.  RunError: it cannot be connected.
    """
    check_robot(bundle.spec, robot.spec)
    slots = round(duration_s * bundle.spec.control_hz)
    if slots < 1:
        raise UsageError(f"duration_s={duration_s} is shorter than a tick at {bundle.spec.control_hz:g} Hz")
    wanted = robot.servo_hz if isinstance(robot, Servoed) and isinstance(robot, Jointed) else None
    rates = Rates.of(bundle.spec.control_hz, wanted)
    if rates.said is not None:
        log.warning(rates.said)
    stop = stop or StopRequest()
    if recording is None and writer is not None:
        name = None if sharing is None else sharing.name
        recording = RecordedHere(robot.spec, bundle.policy_hash, writer, name)
    with stop_on_signals(stop), realtime_setup(realtime_priority, cpu) as realtime:
        clock = clock or control_clock(realtime.scheduling.obtained)
        asking = asking or AskedHere(Answerer(bundle), clock)
        deployment = Deployment(robot, bundle, clock, rates, asking, recording, seed, slots, stop, sharing)
        return deployment.run(on_tick, realtime, processes or {})
