"""The life of a deployment: connect, home, tick, and a safe stop whatever happens.

What one tick does is in `servo.py`. Whatever ends the run, the robot is stopped first; only then is the rest
recorded, the robot parked, and all of it reported. A policy or a recorder that is gone is no reason for a
jump: the joints come to rest within their limits before the robot is told to stop.
"""

import gc
from collections.abc import Callable, Mapping
from typing import Any

from robot_orl.deploy.asking import Asking
from robot_orl.deploy.attendance import LOOK_NS
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.interpolation import Rates
from robot_orl.deploy.leaving import Leaving, named
from robot_orl.deploy.realtime import RealtimeStatus
from robot_orl.deploy.recorder import Recorder
from robot_orl.deploy.recording import Recording
from robot_orl.deploy.report import DeployReport
from robot_orl.deploy.servo import Servo
from robot_orl.deploy.sharing import Sharing
from robot_orl.deploy.slots import Slots
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.offers import Counting, Jointed, Limited
from robot_orl.deploy.supervisor.states import Event
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.deploy.supervisor.supervisor import VETOES, Supervisor
from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.types import Robot

Progress = Callable[[int, int], None]


class Deployment:
    """One run."""

    def __init__(
        self,
        robot: Robot,
        bundle: Bundle,
        clock: Clock,
        rates: Rates,
        asking: Asking,
        recording: Recording | None,
        seed: int,
        duration: int,
        stop: StopRequest,
        sharing: Sharing | None = None,
    ) -> None:
        """duration: slots of the policy.  seed: of the first homing.  sharing: with whoever may take over."""
        self.robot, self.bundle, self.clock, self.duration, self.stop = robot, bundle, clock, duration, stop
        self.rates, self.asking, self.sharing = rates, asking, sharing
        self.joints = robot if isinstance(robot, Jointed) else None
        self.slots = Slots(rates, clock, duration)
        self.recorder = Recorder(robot.spec.horizon, recording)
        self.servo: Servo | None = None
        self.next_seed = seed
        self.homed = 0
        self.leaving = Leaving(robot, stop, clock)

    def run(
        self, on_tick: Progress | None, realtime: RealtimeStatus, processes: Mapping[str, Any]
    ) -> DeployReport:
        begin_ns = self.clock.now_ns()
        self._supervise()  # wrong limits are refused before anything is touched
        stopped_by, parked = self.leaving.asked(), None
        if is_connected := not self.leaving.should_stop():
            self._connect()
            stopped_by, parked = self._connected(on_tick)
        self._attempt(self.leaving.close)
        self.supervisor.handle(Event.DISCONNECTED)
        faults = self.supervisor.faults
        return DeployReport(
            robot=self.robot.name,
            bundle=str(self.bundle.path),
            policy_hash=self.bundle.policy_hash,
            task=self.bundle.task,
            control_hz=self.bundle.spec.control_hz,
            slots=self._slots_passed(),
            ticks=self._ticks(),
            missed_slots=self.slots.missed,
            timing=self.slots.timing,
            servo=self.slots.servoing(),
            processes=processes,
            clock=self.clock.method,
            realtime=realtime,
            safety=self.supervisor.counts,
            limits=self.supervisor.limits.to_dict(),
            tightened=self.tightened,
            tally=self.recorder.tally,
            homing_s=self.slots.homing_ns / NS_PER_S,
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
        spec, servo_hz = self.bundle.spec, self.rates.servo_hz
        self.supervisor = Supervisor(limits, spec, names, tool_at=tool_at, servo_hz=servo_hz)

    def _connect(self) -> None:
        """Raises: RunError, UsageError: it cannot be had; nothing was moved."""
        try:
            self.robot.connect()
            self._supervise()  # anew: its servos may have tightened its limits
            if isinstance(self.robot, Limited):
                self.robot.limits = self.supervisor.limits  # homing and parking keep to the bundle's, too
            self.servo = Servo(
                self.robot,
                self.bundle.spec,
                self.rates,
                self.supervisor,
                self.asking,
                self.recorder,
                self.slots.timing,
                self.clock,
                self.leaving.should_stop,
                self.sharing,
            )
        except BaseException:
            self.leaving.close()
            raise

    def _connected(self, on_tick: Progress | None) -> tuple[str, bool | None]:
        """Control, stop and park the robot; returns what ended it, and whether it was parked."""
        stopped_by = "fault"
        try:
            self.supervisor.handle(Event.CONNECTED)
            stopped_by = self._control(on_tick)
        except Exception as error:
            self.supervisor.handle(Event.FAULT, named(error))
        finally:  # also for what is no Exception, such as a second Ctrl-C elsewhere
            self.supervisor.handle(Event.STOP)
            self._attempt(self._halt)
            if self.sharing is not None:
                self.sharing.rest(is_over=True)
        self._attempt(lambda: self.recorder.finish(stopped_by, whole=False))
        stopped_by = self.leaving.asked() if self.leaving.should_stop() else stopped_by
        parked = self.leaving.park(self.supervisor, self.homed > 0)
        return self.leaving.asked() if self.leaving.should_stop() else stopped_by, parked

    def _control(self, on_tick: Progress | None) -> str:
        """Tick until the time is up, someone asks to stop or the supervisor refuses; returns which."""
        assert self.servo is not None
        if not self.leaving.should_stop():
            self._home()
        while not self.leaving.should_stop():
            now_ns = self.slots.ticker.wait()
            if self.leaving.should_stop():
                break
            slots, is_due = self.slots.next(now_ns, self.asking.asked_ns is not None)
            # One tick more than actions: it takes the observation that completes the last step.
            ended = self.servo.tick(now_ns, slots, is_due, self._slots_passed() < self.duration)
            if ended in ("fault", "duration"):
                if self.servo.must_brake:
                    self.servo.brake(self.slots.ticker, self.stop)
                return ended
            if ended:
                self._home()
            else:
                self.slots.worked(now_ns, is_due)
            if is_due and on_tick is not None:
                on_tick(min(self._slots_passed(), self.duration), self.duration)
        return self.leaving.asked()

    def _ticks(self) -> int:
        return 0 if self.servo is None else self.servo.answered

    def _slots_passed(self) -> int:
        return self._ticks() + self.slots.missed

    def _home(self) -> None:
        """Begin an episode. This takes the time it takes; the ticks are anchored anew afterwards."""
        begin_ns = self.clock.now_ns()
        if self.sharing is not None:
            self.sharing.rest(is_over=False)
        if self.sharing is not None and not self.sharing.may_begin:
            self.robot.stop()  # it holds, and its servos expect to hear nothing
        if not self._may_begin():
            return
        gc.collect()  # the collector is off while ticking
        self.supervisor.handle(Event.HOME)
        self.homed += 1
        self.robot.home(self.next_seed)
        if not self._may_begin():
            return
        self.recorder.home(self.next_seed)
        if self.sharing is not None:
            self.sharing.begin(self.next_seed)
        self.supervisor.handle(Event.HOMED)
        self.next_seed += 1
        assert self.servo is not None
        self.servo.begin()
        self.slots.begin(begin_ns)

    def _may_begin(self) -> bool:
        """Wait until a person who is needed is heard of; whoever stays away ends the run.

        Nothing ticks meanwhile. Returns whether to go on.
        """
        while not self.leaving.should_stop():
            if self.sharing is None or self.sharing.may_begin:
                return True
            self.clock.sleep_until(self.clock.now_ns() + LOOK_NS)
        return False

    def _halt(self) -> None:
        try:
            self.robot.stop()
        finally:  # a robot that cannot be told to stop is parked all the same, if it can
            self.supervisor.handle(Event.HALTED)
            self.recorder.vetoed(self.supervisor.safety & VETOES)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Something that must be tried whatever happened before; a failure is added to the report."""
        try:
            action()
        except Exception as error:
            self.supervisor.handle(Event.FAULT, named(error))
