"""The control loop: the life of an action, tick by tick, and a safe stop whatever happens.

    tick -> observe -> [supervisor] -> policy -> [supervisor] -> (targets -> [supervisor]) -> send -> log

The supervisor decides what may be sent, and when nothing may; a robot that reports its joints has the
targets of an action checked, too. Whatever ends the run, the robot is stopped first; only then is the rest
recorded, the robot parked, and all of it reported.
"""

import gc
from collections.abc import Callable

from robot_orl.deploy.bundle import Bundle, check_robot
from robot_orl.deploy.realtime import RealtimeStatus, realtime_setup
from robot_orl.deploy.recorder import EpisodeWriter, Recorder
from robot_orl.deploy.report import DeployReport
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Counting, Jointed, Limited, Parking
from robot_orl.deploy.supervisor.states import Event, State
from robot_orl.deploy.supervisor.stops import StopRequest, stop_on_signals
from robot_orl.deploy.supervisor.supervisor import IN_THE_WAY, VETOES, Supervisor
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock, Ticker, TimingLog
from robot_orl.errors import UsageError
from robot_orl.types import Array, Robot

Progress = Callable[[int, int], None]


def run(
    robot: Robot,
    bundle: Bundle,
    *,
    duration_s: float,
    clock: Clock | None = None,
    writer: EpisodeWriter | None = None,
    seed: int = 0,
    realtime_priority: int | None = None,
    on_tick: Progress | None = None,
    stop: StopRequest | None = None,
) -> DeployReport:
    """Run the bundle's policy on the robot for `duration_s` of control time; homing is not counted.

    seed: of the first homing; each later one takes the next.  writer: takes the finished episodes.
    realtime_priority: SCHED_FIFO priority to ask for, or None.  on_tick: called after each tick with the
    slots done and to do; must be quick.  stop: set it to end the run, as SIGINT, SIGTERM, SIGHUP and,
    as an emergency, SIGUSR1 do.
    A stop that is set already keeps the robot from being connected at all.
    Faults of robot, policy or recording do not raise; `DeployReport.fault` names them.
    Raises: UsageError: the robot does not fit the bundle.  RunError: it cannot be connected.
    """
    check_robot(bundle.spec, robot.spec)
    slots = round(duration_s * bundle.spec.control_hz)
    if slots < 1:
        raise UsageError(f"duration_s={duration_s} is shorter than a tick at {bundle.spec.control_hz:g} Hz")
    clock, stop = clock or RealClock(), stop or StopRequest()
    with stop_on_signals(stop), realtime_setup(realtime_priority) as realtime:
        return _Deployment(robot, bundle, clock, writer, seed, slots, stop).run(on_tick, realtime)


class _Deployment:
    """One run: the parts of a tick and what they count."""

    def __init__(
        self,
        robot: Robot,
        bundle: Bundle,
        clock: Clock,
        writer: EpisodeWriter | None,
        seed: int,
        slots: int,
        stop: StopRequest,
    ) -> None:
        period_ns = round(NS_PER_S / bundle.spec.control_hz)
        self.robot, self.bundle, self.clock, self.slots, self.stop = robot, bundle, clock, slots, stop
        self.joints = robot if isinstance(robot, Jointed) else None
        self.ticker = Ticker(period_ns, clock)
        self.timing = TimingLog(period_ns, 2 * slots + 1)  # each sent action may be an episode's last
        self.recorder = Recorder(robot.spec, bundle.policy_hash, writer)
        self.next_seed = seed
        self.ticks = 0
        self.homing_ns = 0
        self.homed = 0
        self.asked_before = 0  # requests to stop that do not end what the robot does now

    def run(self, on_tick: Progress | None, realtime: RealtimeStatus) -> DeployReport:
        begin_ns = self.clock.now_ns()
        self._supervise()  # wrong limits are refused before anything is touched
        stopped_by, parked = self._asked(), None
        if is_connected := not self._should_stop():
            self._connect()
            stopped_by, parked = self._connected(on_tick)
        self._attempt(self._close)
        self.supervisor.handle(Event.DISCONNECTED)
        faults = self.supervisor.faults
        return DeployReport(
            robot=self.robot.name,
            bundle=str(self.bundle.path),
            policy_hash=self.bundle.policy_hash,
            task=self.bundle.task,
            control_hz=self.bundle.spec.control_hz,
            slots=self._slots_passed(),
            ticks=self.ticks,
            missed_slots=self.ticker.missed,
            timing=self.timing,
            clock=self.clock.method,
            realtime=realtime,
            safety=self.supervisor.counts,
            limits=self.supervisor.limits.to_dict(),
            tightened=self.tightened,
            tally=self.recorder.tally,
            homing_s=self.homing_ns / NS_PER_S,
            wall_s=(self.clock.now_ns() - begin_ns) / NS_PER_S,
            stopped_by="fault" if faults else stopped_by,
            stop_reason=self.stop.reason,
            fault="; then ".join(faults) or None,
            connected=is_connected,
            parked=parked,
            connection=dict(self.robot.counts) if isinstance(self.robot, Counting) else {},
        )

    def _supervise(self) -> None:
        """The robot's limits and what the bundle tightened: (the robot's, in force), into a supervisor.

        Raises: UsageError: they are of other joints, or allow nothing.
        """
        own = self.robot.limits if isinstance(self.robot, Limited) else Limits()
        limits = own.tightened_by(self.bundle.limits)
        self.tightened = own.changes_to(limits)
        names, tool_at = (self.joints.joints, self.joints.tool_at) if self.joints is not None else ((), None)
        self.supervisor = Supervisor(limits, self.bundle.spec, names, tool_at=tool_at)

    def _connect(self) -> None:
        """Raises: RunError, UsageError: it cannot be had; nothing was moved."""
        try:
            if isinstance(self.robot, Parking):
                self.robot.should_stop = self._should_stop
            self.robot.connect()
            self._supervise()  # anew: its servos may have tightened its limits
        except BaseException:
            self._close()
            raise

    def _connected(self, on_tick: Progress | None) -> tuple[str, bool | None]:
        """Control, stop and park the robot; returns what ended it, and whether it was parked."""
        stopped_by = "fault"
        try:
            self.supervisor.handle(Event.CONNECTED)
            stopped_by = self._control(on_tick)
        except Exception as error:
            self.supervisor.handle(Event.FAULT, _named(error))
        finally:  # also for what is no Exception, such as a second Ctrl-C elsewhere
            self.supervisor.handle(Event.STOP)
            self._attempt(self._halt)
        self._attempt(lambda: self.recorder.finish(stopped_by, whole=False))
        stopped_by = self._asked() if self._should_stop() else stopped_by
        parked = self._park()
        return self._asked() if self._should_stop() else stopped_by, parked

    def _control(self, on_tick: Progress | None) -> str:
        """Tick until the time is up, someone asks to stop or the supervisor refuses; returns which."""
        if not self._should_stop():
            self._home()
        while not self._should_stop():
            now_ns = self.ticker.wait()
            if self._should_stop():
                break
            self.timing.tick(now_ns)
            # One tick more than actions: it takes the observation that completes the last step.
            ended = self._tick(now_ns, act=self._slots_passed() < self.slots)
            if ended:
                return ended
            if on_tick is not None:
                on_tick(min(self._slots_passed(), self.slots), self.slots)
        return self._asked()

    def _asked(self) -> str:
        """As what a request to stop ends the run."""
        return "emergency" if self.stop.is_emergency else "interrupt"

    def _tick(self, now_ns: int, act: bool) -> str | None:
        """Observe and, unless the episode or the time is over, act. Returns why not to go on, or None."""
        observed = self.robot.observe()
        telemetry = self.joints.telemetry() if self.joints is not None else None
        flat = self.bundle.spec.flatten(observed.obs)
        if self.supervisor.observed(flat, observed.t_ns, self.clock.now_ns(), telemetry) is None:
            return "fault"
        ended = self.recorder.observed(observed.obs, self.robot.outcome(), now_ns)
        if ended:
            self.recorder.finish(ended, whole=True)
        if not act:
            return "duration"
        if ended:
            self._home()
            return None
        if not self._act(flat):
            return "fault"
        self.timing.work(self.clock.now_ns() - now_ns)
        self.ticks += 1
        return None

    def _act(self, flat: Array) -> bool:
        """Ask the policy, and send what may be sent. Returns whether anything was."""
        if self.supervisor.state is State.READY:
            self.supervisor.handle(Event.RUN)
        asked_ns = self.clock.now_ns()
        proposed = self.bundle.policy(flat)
        now_ns = self.clock.now_ns()
        self.timing.inference(now_ns - asked_ns)
        action = self.supervisor.action(proposed, asked_ns, now_ns)
        if action is None:
            return False
        if self.joints is None:
            sent_ns = self.clock.now_ns()
            executed = self.robot.send(action)
        else:
            targets = self.supervisor.targets(self.joints.plan(action))
            if targets is None:
                return False
            sent_ns = self.clock.now_ns()
            executed = self.joints.command(targets)
        self.recorder.sent(proposed, executed, sent_ns, self.supervisor.safety)
        return True

    def _slots_passed(self) -> int:
        return self.ticks + self.ticker.missed

    def _should_stop(self) -> bool:
        """Whether whatever the robot does now is to end; it asks this itself while it homes and parks."""
        is_asked = self.stop.is_set(self.clock.now_ns())
        return is_asked and (self.stop.is_emergency or self.stop.count > self.asked_before)

    def _home(self) -> None:
        """Begin an episode. This takes the time it takes; the ticks are anchored anew afterwards."""
        begin_ns = self.clock.now_ns()
        gc.collect()  # the collector is off while ticking
        self.supervisor.handle(Event.HOME)
        self.homed += 1
        self.robot.home(self.next_seed)
        self.recorder.home(self.next_seed)
        self.supervisor.handle(Event.HOMED)
        self.next_seed += 1
        self.timing.restart()
        self.homing_ns += self.ticker.start() - begin_ns

    def _halt(self) -> None:
        try:
            self.robot.stop()
        finally:  # a robot that cannot be told to stop is parked all the same, if it can
            self.supervisor.handle(Event.HALTED)
            self.recorder.vetoed(self.supervisor.safety & VETOES)

    def _park(self) -> bool | None:
        """Lie down, where that is safe. Returns whether it did.

        After an emergency nothing moves any more; after a veto that speaks of something in the robot's way
        a move could push further into it.
        """
        if not isinstance(self.robot, Parking) or not self.homed:
            return None
        if self.stop.is_emergency or self.supervisor.safety & IN_THE_WAY:
            return False
        self.asked_before = self.stop.count
        try:
            self.robot.park()
        except Exception as error:
            if not self._should_stop():
                self.supervisor.handle(Event.FAULT, f"not parked: {_named(error)}")
            return False
        return True

    def _close(self) -> None:
        """Parking is decided on here; nothing that happens while closing may move the robot."""
        if isinstance(self.robot, Parking):
            self.robot.should_stop = lambda: True
        self.robot.close()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Something that must be tried whatever happened before; a failure is added to the report."""
        try:
            action()
        except Exception as error:
            self.supervisor.handle(Event.FAULT, _named(error))


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
