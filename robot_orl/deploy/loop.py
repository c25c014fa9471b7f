"""The control loop: the life of an action, tick by tick, and a safe stop whatever happens.

    tick -> observe -> stale? -> policy -> filter -> send -> log

Whatever ends the run, the robot is stopped first; only then is the rest recorded and reported.
"""

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from robot_orl.deploy.bundle import Bundle, check_robot
from robot_orl.deploy.realtime import RealtimeStatus, realtime_setup
from robot_orl.deploy.recorder import EpisodeWriter, Recorder
from robot_orl.deploy.report import DeployReport
from robot_orl.deploy.safety import ActionFilter, StalenessGuard
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock, Ticker, TimingLog
from robot_orl.errors import UsageError
from robot_orl.interrupt import taken_signals
from robot_orl.types import Robot

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
    stop: threading.Event | None = None,
) -> DeployReport:
    """Run the bundle's policy on the robot for `duration_s` of control time; homing is not counted.

    seed: of the first homing; each later one takes the next.  writer: takes the finished episodes.
    realtime_priority: SCHED_FIFO priority to ask for, or None.  on_tick: called after each tick with the
    slots done and to do; must be quick.  stop: set it to end the run, as SIGINT, SIGTERM and
    SIGHUP do.
    Faults of robot, policy or recording do not raise; `DeployReport.fault` names them.
    Raises: UsageError: the robot does not fit the bundle.  RunError: it cannot be connected.
    """
    check_robot(bundle.spec, robot.spec)
    slots = round(duration_s * bundle.spec.control_hz)
    if slots < 1:
        raise UsageError(f"duration_s={duration_s} is shorter than a tick at {bundle.spec.control_hz:g} Hz")
    clock, stop = clock or RealClock(), stop or threading.Event()
    with stop_on_signals(stop), realtime_setup(realtime_priority) as realtime:
        return _Deployment(robot, bundle, clock, writer, seed, slots).run(stop, on_tick, realtime)


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP set `stop` instead of raising in the middle of a command to the robot."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers signals to the main thread only, so none can interrupt us here
        return

    is_requested = False

    def request(number: int, frame: FrameType | None) -> None:
        nonlocal is_requested
        if not is_requested:  # a signal may come while `set` holds its lock, which a second call waits for
            is_requested = True
            stop.set()

    before = {number: signal.signal(number, request) for number in taken_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python


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
    ) -> None:
        period_ns = round(NS_PER_S / bundle.spec.control_hz)
        self.robot, self.bundle, self.clock, self.slots = robot, bundle, clock, slots
        self.ticker = Ticker(period_ns, clock)
        self.timing = TimingLog(period_ns, 2 * slots + 1)  # each sent action may be an episode's last
        self.filter = ActionFilter(bundle.limits, bundle.spec)
        self.guard = StalenessGuard(bundle.limits.max_observation_age_s)
        self.recorder = Recorder(robot.spec, bundle.policy_hash, writer)
        self.next_seed = seed
        self.ticks = 0
        self.homing_ns = 0
        self.faults: list[str] = []

    def run(self, stop: threading.Event, on_tick: Progress | None, realtime: RealtimeStatus) -> DeployReport:
        begin_ns = self.clock.now_ns()
        stopped_by = "fault"
        try:
            self.robot.connect()
        except BaseException:
            self.robot.close()
            raise
        try:
            stopped_by = self._control(stop, on_tick)
        except Exception as error:
            self.faults.append(_named(error))
        finally:  # also for what is no Exception, such as a second Ctrl-C elsewhere
            self._attempt(self.robot.stop)
        self._attempt(lambda: self.recorder.finish(stopped_by, whole=False))
        self._attempt(self.robot.close)
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
            safety={
                **self.filter.counts,
                "stale": self.guard.stale,
                "bad_observation": self.guard.non_finite,
            },
            tally=self.recorder.tally,
            homing_s=self.homing_ns / NS_PER_S,
            wall_s=(self.clock.now_ns() - begin_ns) / NS_PER_S,
            stopped_by="fault" if self.faults else stopped_by,
            fault="; then ".join(self.faults) or None,
        )

    def _control(self, stop: threading.Event, on_tick: Progress | None) -> str:
        """Tick until the time is up or someone asks to stop; returns which."""
        if not stop.is_set():
            self._home()
        while not stop.is_set():
            now_ns = self.ticker.wait()
            if stop.is_set():
                break
            self.timing.tick(now_ns)
            # One tick more than actions: it takes the observation that completes the last step.
            if not self._tick(now_ns, act=self._slots_passed() < self.slots):
                return "duration"
            if on_tick is not None:
                on_tick(min(self._slots_passed(), self.slots), self.slots)
        return "interrupt"

    def _tick(self, now_ns: int, act: bool) -> bool:
        """Observe and, unless the episode or the time is over, act. Returns whether to go on."""
        observed = self.robot.observe()
        self.guard.check(observed.t_ns, self.clock.now_ns())
        flat = self.bundle.spec.flatten(observed.obs)
        self.guard.check_values(flat, self.bundle.spec)
        ended = self.recorder.observed(observed.obs, self.robot.outcome(), now_ns)
        if ended:
            self.recorder.finish(ended, whole=True)
        if not act:
            return False
        if ended:
            self._home()
            return True
        before_ns = self.clock.now_ns()
        proposed = self.bundle.policy(flat)
        self.timing.inference(self.clock.now_ns() - before_ns)
        allowed = self.filter(proposed)
        sent_ns = self.clock.now_ns()
        executed = self.robot.send(allowed)
        self.recorder.sent(proposed, executed, sent_ns)
        self.timing.work(self.clock.now_ns() - now_ns)
        self.ticks += 1
        return True

    def _slots_passed(self) -> int:
        return self.ticks + self.ticker.missed

    def _home(self) -> None:
        """Begin an episode. This takes the time it takes; the ticks are anchored anew afterwards."""
        begin_ns = self.clock.now_ns()
        gc.collect()  # the collector is off while ticking
        self.robot.home(self.next_seed)
        self.recorder.home(self.next_seed)
        self.filter.begin()
        self.next_seed += 1
        self.timing.restart()
        self.homing_ns += self.ticker.start() - begin_ns

    def _attempt(self, action: Callable[[], None]) -> None:
        """Something that must be tried whatever happened before; a failure is added to the report."""
        try:
            action()
        except Exception as error:
            self.faults.append(_named(error))


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
