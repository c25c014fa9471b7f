"""One servo tick: the way of an action from the policy to the joints, and how they come to rest.

    every servo tick      observe -> [supervisor] ->                       a line towards
    every policy tick                                record -> ask            the targets
    where it is there                                          answer -> [supervisor] -> plan
    every servo tick                                                        -> [supervisor] -> command

A robot without joints has no targets to move on: each of its ticks is the policy's, and an answer is sent
as it is. An answer that is not there in time is fetched in a later tick; no new question is asked meanwhile,
and the joints hold the targets of the last action.
"""

from collections.abc import Callable
from dataclasses import dataclass

from robot_orl.deploy.asking import Asking, Reply
from robot_orl.deploy.interpolation import Line, Rates
from robot_orl.deploy.recorder import Recorder
from robot_orl.deploy.sharing import Sharing, unshared
from robot_orl.deploy.supervisor.offers import Jointed, Servoed
from robot_orl.deploy.supervisor.states import Event, State
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.deploy.supervisor.supervisor import Supervisor
from robot_orl.deploy.timing import NS_PER_S, Clock, Ticker, TimingLog
from robot_orl.types import Actor, Array, Proposal, Robot, Spec, Telemetry

WAIT_SHARE = 0.8  # of a servo slot: until then a tick waits for the policy ...
LEAST_SHARE = 0.2  # ... and for this long at least, where observing took longer
STILL_RAD_S = 0.05
SETTLE_S = 0.5  # within which joints come to rest that were told to
LOOK_NS = 20_000_000  # between two looks at whether to stop, while waiting for the policy


@dataclass
class _Commanded:
    """The action under way. before, sent: targets, (J,) rad, before its first command and as of its last.

    goal: where it ends if all of it is done, and nothing else; None: it makes up for something besides.
    """

    proposal: Proposal
    action: Array
    before: Array
    goal: Array | None
    sent: Array | None = None
    sent_ns: int = 0
    executed: Array | None = None
    safety: int = 0


class Servo:
    """The ticks of one robot. answered: actions that were sent.  must_brake: a tick ended for a reason that
    speaks against the policy or the recording, not against moving on for a moment."""

    def __init__(
        self,
        robot: Robot,
        spec: Spec,
        rates: Rates,
        supervisor: Supervisor,
        asking: Asking,
        recorder: Recorder,
        timing: TimingLog,
        clock: Clock,
        should_stop: Callable[[], bool],
        sharing: Sharing | None = None,
    ) -> None:
        """should_stop: asked while it waits for the policy.  sharing: with whoever may take over."""
        self.answered = 0
        self.must_brake = False
        self._robot, self._spec, self._rates = robot, spec, rates
        self._joints = robot if isinstance(robot, Jointed) else None
        self._supervisor, self._asking, self._recorder = supervisor, asking, recorder
        self._sharing = sharing
        self._timing, self._clock, self._should_stop = timing, clock, should_stop
        self._slot_ns = round(NS_PER_S / rates.servo_hz)
        self._telemetry: Telemetry | None = None
        self.begin()

    def begin(self) -> None:
        """An episode begins: nothing has been asked or commanded."""
        self._line: Line | None = None
        self._commanded: _Commanded | None = None

    def tick(self, now_ns: int, slots: int, is_due: bool, may_act: bool) -> str | None:
        """now_ns: when it began.  slots: of the servo since the last tick; more than 1: some were missed.
        is_due: the policy is to be asked.  may_act: there is time left for it.

        Returns why not to go on: 'fault', 'duration', the end of the episode, or None.
        """
        if not self._is_served():
            return "fault"
        is_waiting = self._asking.asked_ns is not None
        if self._joints is None and is_waiting:  # nothing else can be done for such a robot
            return None if self._act(now_ns) else "fault"
        flat = self._observe()
        if flat is None:
            return "fault"
        if is_due and not may_act:
            self._record(flat, now_ns)
            return "duration"
        if is_due and not is_waiting:
            if ended := self._record(flat, now_ns):
                return ended
            self._asking.ask(flat)
            if self._sharing is not None:
                self._sharing.saw(flat, self._robot.outcome())
        if not self._act(now_ns):
            return "fault"
        is_over = self._should_stop()  # asked for while the policy was waited for: not one command more
        return None if is_over or self._move(slots) else "fault"

    def _is_served(self) -> bool:
        """Whether the processes beside are there, and the policy is not late."""
        asked_ns = self._asking.asked_ns
        if why := self._asking.problem():
            self._supervisor.forsaken(why)
        elif self._recorder.recording is not None and (why := self._recorder.recording.problem()):
            self._supervisor.handle(Event.FAULT, why)
        elif asked_ns is None or self._supervisor.awaits(asked_ns, self._clock.now_ns()):
            return True
        self.must_brake = True
        return False

    def _observe(self) -> Array | None:
        """The flat observation, (D,), if it may be acted on."""
        observed = self._robot.observe()
        self._telemetry = self._joints.telemetry() if self._joints is not None else None
        flat = self._spec.flatten(observed.obs)
        return self._supervisor.observed(flat, observed.t_ns, self._clock.now_ns(), self._telemetry)

    def _record(self, flat: Array, now_ns: int) -> str | None:
        """Complete the step under way. Returns why the episode ends, or None."""
        if (done := self._commanded) is not None and done.executed is not None:
            executed = self._executed(done)
            self._recorder.sent(done.proposal, executed, done.sent_ns, done.safety)
            if self._sharing is not None:  # the limits of the joints may have left less of it
                self._sharing.executed(executed)
        self._commanded = None
        longest = None if self._sharing is None else self._sharing.longest
        ended = self._recorder.observed(flat, self._robot.outcome(), now_ns, longest)
        if ended:
            self._recorder.finish(ended, whole=True)
        return ended

    def _executed(self, done: _Commanded) -> Array:
        """The action that the commands of a step were, (A,)."""
        if self._rates.per_policy == 1 or done.sent is None:
            assert done.executed is not None
            return done.executed
        if done.goal is not None and (done.sent == done.goal).all():
            return done.action
        assert isinstance(self._robot, Servoed)
        return self._robot.action_between(done.before, done.sent)

    def _act(self, now_ns: int) -> bool:
        """Fetch the answer, if it is there, and begin with its action. Returns whether to go on."""
        until_ns = now_ns + round(WAIT_SHARE * self._slot_ns)
        least_ns = self._clock.now_ns() + round(LEAST_SHARE * self._slot_ns)
        reply = self._reply(max(until_ns, least_ns))
        if reply is None or self._should_stop():
            return True
        self._timing.inference(reply.inference_ns)
        if self._supervisor.state is State.READY:
            self._supervisor.handle(Event.RUN)
        proposal = (unshared if self._sharing is None else self._sharing.proposal)(reply.answer.action)
        who = "the policy" if proposal.actor is Actor.POLICY else "whoever has taken over"
        action = self._supervisor.action(proposal.action, reply.asked_ns, self._clock.now_ns(), who)
        if action is None:
            self.must_brake = True
            return False
        self.answered += 1
        if self._sharing is not None:
            self._sharing.executed(action)
        if self._joints is None:
            sent_ns = self._clock.now_ns()
            executed = self._robot.send(action)
            self._recorder.sent(proposal, executed, sent_ns, self._supervisor.safety)
            return True
        goal, before, line = self._joints.plan(action), self._stands_at(), self._line
        is_all = line is None or line.is_over
        self._commanded = _Commanded(proposal, action, before, goal if is_all else None)
        end = goal if line is None or is_all else goal + line.left
        self._line = Line(before, end, self._rates.line_ticks)
        return True

    def _reply(self, until_ns: int) -> Reply | None:
        """The answer to the open question, unless it comes too late for this tick, or we must stop."""
        if self._asking.asked_ns is None:
            return None
        now_ns = self._clock.now_ns()
        while (reply := self._asking.reply(min(until_ns, now_ns + LOOK_NS))) is None:
            now_ns = self._clock.now_ns()
            if now_ns >= until_ns or self._should_stop() or self._asking.problem():
                return None
        return reply

    def _stands_at(self) -> Array:
        """Where the joints were last sent, (J,) rad."""
        assert self._telemetry is not None
        assert self._telemetry.positions is not None
        return self._telemetry.positions if self._telemetry.targets is None else self._telemetry.targets

    def _move(self, slots: int) -> bool:
        """The next point of the line, as far as the time is. Returns whether it was sent."""
        if self._joints is None or self._line is None:
            return True
        targets = self._supervisor.targets(self._line.next(1 if self._line.is_new else slots))
        if targets is None:
            return False
        sent_ns = self._clock.now_ns()
        executed = self._joints.command(targets)
        if (step := self._commanded) is not None:
            step.sent_ns = step.sent_ns or sent_ns
            step.executed, step.sent = executed, targets
            step.safety |= self._supervisor.safety
        return True

    def brake(self, ticker: Ticker, stop: StopRequest) -> None:
        """The joints come to rest within their limits, beginning now; an emergency ends it.

        Whoever calls this stops the robot afterwards, as it does where this fails.
        """
        if self._joints is None:
            return
        while not stop.is_emergency and (targets := self._supervisor.brake()) is not None:
            self._joints.command(targets)
            ticker.wait()
            stop.is_set(self._clock.now_ns())  # a dead-man input that was let go
            self._robot.observe()
        end_ns = self._clock.now_ns() + round(SETTLE_S * NS_PER_S)
        while not stop.is_emergency and not self._is_still() and self._clock.now_ns() < end_ns:
            self._joints.command(self._stands_at())
            ticker.wait()
            self._robot.observe()

    def _is_still(self) -> bool:
        assert self._joints is not None
        self._telemetry = self._joints.telemetry()
        velocities = self._telemetry.velocities
        return velocities is None or bool((abs(velocities) < STILL_RAD_S).all())
