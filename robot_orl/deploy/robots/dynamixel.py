"""`robot=koch`, or another arm of Dynamixel servos: a task's policy on hardware, joint by joint.

The task of the bundle says what an action does to the joints' targets and what it would observe with its
joints there (`JointTask`); this says where they are and sends them there.

    fault on the bus                      what happens
    an answer is lost, late or broken     asked again in the same tick; if in vain the last observation stays
                                          what it is, with its time; `max_bad_ticks` in a row: `BusSilent`
    a packet with goals is lost           the next tick sends new ones; counted as lost_goals
    a servo is missing, the port is gone  as above; a port that comes back in time is opened, the arm held
                                          where it is, and the run goes on
    a hardware error                      `HardwareFault`: which joint, what it means, what to do
    a servo restarts                      `BusSilent` while it boots, then `TorqueLost`
    this process stalls or dies           the servos' own watchdog stops them; noticed: `WatchdogTripped`

After a fault the arm is held, then laid down in its rest pose, slowly, and only there the torque goes off.
What cannot be laid down keeps its torque, and `close` says so.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import gymnasium
import numpy as np

from robot_orl.deploy.calibration import Calibration
from robot_orl.deploy.robots.dynamixel_arm import JointState, ServoArm, TorqueLost, WatchdogTripped
from robot_orl.deploy.robots.dynamixel_bus import BadPacket
from robot_orl.deploy.robots.dynamixel_config import DynamixelConfig
from robot_orl.deploy.robots.dynamixel_port import PortLost, choose_port, is_pseudo_terminal
from robot_orl.deploy.robots.dynamixel_setup import HardwareFault
from robot_orl.deploy.robots.joint_task import JointTask, joint_task
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock
from robot_orl.errors import RunError, UsageError
from robot_orl.registry import register
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Array, Observation, Outcome, RobotObservation, Telemetry

MOVE_HZ = 50.0  # of the targets of a slow move
SETTLE_S = 1.0  # within which a joint arrives after the last of them
BLOCKED_TICKS = 15  # so many in a row may a joint be too far behind in a slow move
_TOLD = (BadPacket, HardwareFault, TorqueLost, WatchdogTripped)  # whoever ticks has told of these


class BusSilent(RunError):
    """Too many ticks in a row without a good answer."""


class Blocked(RunError):
    """A slow move did not get where it should."""


@register("robot", "dynamixel", DynamixelConfig)
class DynamixelRobot:
    """A bus of servos as the body of a task. `spec` is the task's; it is known while disconnected.

    joints, limits, telemetry, plan, command, tool_at, park, should_stop: see `supervisor.offers`.
    """

    def __init__(self, cfg: DynamixelConfig, task: TaskConfig, clock: Clock | None = None) -> None:
        """Raises: UsageError, DataError: the task does not fit these joints, or the calibration does not."""
        self.cfg = cfg
        self.name = cfg.arm
        self.should_stop: Callable[[], bool] = lambda: False
        self._clock = clock or RealClock()
        self._env: gymnasium.Env = make_env(task)
        self._task: JointTask = joint_task(self._env, cfg.arm)
        self._task_env = task_env(self._env)
        self.spec = self._task_env.task_spec
        self.joints = tuple(cfg.servos)
        if self.joints != tuple(self._task.joints):
            raise UsageError(
                f"{cfg.arm}: its servos are {', '.join(self.joints) or 'none'}; {task.name} has the joints "
                f"{', '.join(self._task.joints)}, in this order"
            )
        self._calibration = self._calibrated()
        self._range = self._common_range()
        self.limits = cfg.limits.tightened_by(_within(self._range))
        self._steps = self._action_steps()
        self._arm: ServoArm | None = None
        self._goal = self._task.sample_goal(0)
        self._obs: Observation | None = None  # the latest, since homing
        self._targets = np.array(self._task.home_pose, float)
        self._planned: tuple[Array, Array] | None = None  # an action and the targets that it asks for
        self._holding = True
        self._was_parked = False  # or tried to, since it was homed
        self._bad_ticks = 0

    # --- before anything moves ------------------------------------------------------------------------

    def _calibrated(self) -> Calibration:
        if self.cfg.calibration is not None:
            return Calibration.load(Path(self.cfg.calibration), self.cfg.ids)
        return Calibration.as_in_model(self.cfg.arm, self.cfg.ids, np.asarray(self._task.joint_range))

    def _common_range(self) -> Array:
        """(J, 2) rad: where both the task and the calibration let a joint be."""
        ranges = self._calibration.ranges(), np.asarray(self._task.joint_range, float)
        common = np.stack([np.maximum(*(r[:, 0] for r in ranges)), np.minimum(*(r[:, 1] for r in ranges))], 1)
        rest = [self.cfg.rest_pose.get(joint, math.nan) for joint in self.joints]
        for what, pose in (("home pose", self._task.home_pose), ("rest_pose", rest)):
            for joint, angle, (low, high) in zip(self.joints, pose, common, strict=True):
                if angle < low or angle > high:
                    raise UsageError(
                        f"{joint} reaches {low:.2f} .. {high:.2f} rad, its {what} is {angle:.2f}; is the "
                        "calibration right?"
                    )
        return common

    def _action_steps(self) -> Array:
        """(J,) rad: by how much action 1 moves each target, which tells what action a target was."""
        home = np.asarray(self._task.home_pose, float)
        if self.spec.action_size != len(self.joints):
            raise UsageError(f"{self.spec.task}: an action moves something else than one joint each")
        steps: Array = self._task.next_targets(np.ones(len(home)), home, home) - home
        return steps

    @property
    def counts(self) -> dict[str, int]:
        """What happened on the bus, by name."""
        return self._arm.counts if self._arm is not None else {}

    # --- Robot ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Find the servos and set them up; nothing moves. Raises: UsageError, RunError: one line each."""
        port = choose_port(self.cfg.port)
        if self.cfg.calibration is None and not is_pseudo_terminal(port):
            raise UsageError(
                f"{self.name} on {port} needs robot.calibration=FILE; make it with `robot-orl calibrate`"
            )
        arm = ServoArm(self.cfg, port, self._calibration, self._clock)
        arm.connect()
        self._arm = arm
        self._targets = arm.goals() if arm.is_torque_on else self._state.positions.copy()
        self.limits = self.limits.tightened_by(arm.declared_limits())

    def home(self, seed: int) -> None:
        """Slowly to the task's home pose, and a new goal.

        Raises: Blocked: it does not get there.  RunError: as `observe`.
        """
        arm = self._connected()
        self._goal = self._task.sample_goal(seed)
        self._was_parked = False
        self._begin_move(arm)
        arrived = self._move(np.asarray(self._task.home_pose, float))
        self._observe_now()
        self._holding = not arrived

    def observe(self) -> RobotObservation:
        """Ask the joints; after a bad answer the last observation, with its time.

        Raises: BusSilent, HardwareFault, TorqueLost, WatchdogTripped.
        """
        self._connected()
        if self._obs is None:
            raise RunError(f"{self.name}: home before observe")
        if self._refresh():
            self._observe_now()
        return RobotObservation(self._obs, self._state.t_ns)

    def send(self, action: Array) -> Array:
        """Move the targets as the task's action law says; returns the action, (A,) float32 in [-1, 1]."""
        return self.command(self.plan(action))

    def outcome(self) -> Outcome:
        """Of the latest observation, by the task's own reward."""
        spec = self.spec
        if self._obs is None or spec.achieved_goal is None or spec.desired_goal is None:
            return Outcome()
        reward = float(self._task_env.reward_for(self._obs[spec.achieved_goal], self._obs[spec.desired_goal]))
        return Outcome(reward=reward, success=reward == 0)

    def stop(self) -> None:
        """Hold the present position; where the joints do not tell it, where they were last sent.

        Raises: PortLost: nothing can be sent; the servos' watchdog stops them.
        """
        self._holding = True
        if self._arm is not None and self._arm.is_torque_on:
            with suppress(*_TOLD):
                self._arm.read_patiently()
                self._hold(self._arm)

    def close(self) -> None:
        """Release the port. An arm that holds, and whose parking nobody has tried, is parked before.

        What could not be parked, or was told to stop, goes on holding. Raises: RunError: as `park`.
        """
        self._holding = True
        if self._arm is not None:
            try:
                if self._arm.is_torque_on and not self._was_parked and not self.should_stop():
                    self.park()
            finally:
                self._arm.close()
                self._arm = None
        self._env.close()

    # --- what a supervisor needs, see supervisor/offers.py --------------------------------------------

    def telemetry(self) -> Telemetry:
        """Of the latest `observe`; reads nothing."""
        if self._arm is None:
            return Telemetry()
        state = self._state
        return Telemetry(
            positions=state.positions,
            velocities=state.velocities,
            targets=self._targets,
            currents=state.currents,
            temperatures=state.temperatures,
            tool_position=self._task.tool_position(state.positions),
        )

    def tool_at(self, joints: Array) -> Array | None:
        return self._task.tool_position(joints)

    def plan(self, action: Array) -> Array:
        """(A,) in [-1, 1] -> the targets that it asks for, (J,) rad. Moves nothing."""
        self._connected()
        clipped = np.clip(np.asarray(action, np.float32), -1, 1)
        wanted = self._task.next_targets(clipped, self._targets, self._state.positions)
        targets = np.clip(wanted, self._range[:, 0], self._range[:, 1])
        self._planned = clipped, targets
        return targets

    def command(self, targets: Array) -> Array:
        """Send the joints to their targets, (J,) rad; returns the action that this was, (A,) float32."""
        arm = self._connected()
        if self._holding:
            raise RunError(f"{self.name}: is stopped; home it first")
        before, planned = self._targets, self._planned
        self._planned = None
        with suppress(PortLost):  # `observe` counts what is not answered
            arm.set_watchdog(True)
            self._targets = arm.goto(np.clip(targets, self._range[:, 0], self._range[:, 1]))
        if planned is not None and np.array_equal(planned[1], self._targets):
            return planned[0]
        return np.clip((self._targets - before) / self._steps, -1, 1).astype(np.float32)

    def park(self) -> None:
        """Slowly over the home pose to the rest pose, and there the torque goes off.

        Raises: RunError: it did not get there, and holds.
        """
        arm = self._connected()
        self._holding = self._was_parked = True
        try:
            if not self.cfg.rest_pose:
                raise RunError("it has no rest_pose")
            self._await_port(arm)
            arm.excuse_failing()
            self._begin_move(arm)
            rest = np.array([self.cfg.rest_pose[joint] for joint in self.joints])
            if not (self._move(np.asarray(self._task.home_pose, float)) and self._move(rest)):
                raise RunError("it was told to stop on the way to its rest pose")
            arm.torque_off()
        except RunError as error:
            raise RunError(
                f"{self.name} holds its pose, torque on: {error}; support it before its power goes off"
            ) from error

    # --- slow moves -----------------------------------------------------------------------------------

    def _begin_move(self, arm: ServoArm) -> None:
        arm.set_up()
        if not arm.is_torque_on:
            arm.torque_on()
        self._targets = arm.goals()
        self._bad_ticks = 0

    def _move(self, pose: Array) -> bool:
        """All joints together to a pose, (J,) rad. Returns False if told to stop; then it holds.

        Raises: Blocked: a joint fell behind or did not arrive, and they hold.  RunError: as `observe`.
        """
        arm = self._connected()
        live = ~np.array(arm.limp)
        period_ns = round(NS_PER_S / MOVE_HZ)
        deadline_ns, behind, is_sent = self._clock.now_ns(), 0, False
        settling = [pose] * round(SETTLE_S * MOVE_HZ)
        for target in [*_ramp(self._targets, pose, self.cfg.move_speed_rad_s), *settling]:
            if self.should_stop():
                self._hold(arm)
                return False
            deadline_ns = max(deadline_ns + period_ns, self._clock.now_ns())
            self._clock.sleep_until(deadline_ns)
            self._refresh(patiently=True)
            gap = float((np.abs(self._targets - self._state.positions) * live).max())
            if is_sent and gap < self.cfg.reached_rad:
                return True
            behind = behind + 1 if gap > self.cfg.blocked_rad else 0
            if behind > BLOCKED_TICKS:
                break
            with suppress(PortLost):  # `_refresh` counts it
                self._targets = arm.goto(target)
                is_sent = target is pose
        worst = int(np.argmax(np.abs(self._targets - self._state.positions) * live))
        away = abs(self._targets[worst] - self._state.positions[worst])
        self._hold(arm)
        raise Blocked(
            f"{self.joints[worst]} is {away:.2f} rad behind in a slow move: is something in its way?"
        )

    def _hold(self, arm: ServoArm) -> None:
        """At the positions that were just read; the watchdog off, for nothing needs to be sent any more."""
        arm.set_watchdog(False)
        self._targets = arm.goto(self._state.positions)
        arm.confirm_goals()

    # --- beneath --------------------------------------------------------------------------------------

    def _connected(self) -> ServoArm:
        if self._arm is None:
            raise RunError(f"{self.name}: is not connected")
        return self._arm

    @property
    def _state(self) -> JointState:
        state = self._connected().state
        assert state is not None
        return state

    def _refresh(self, patiently: bool = False) -> bool:
        """Read the joints; returns whether they answered. Raises: BusSilent: not for too many ticks."""
        arm = self._connected()
        reconnections = arm.reconnections
        try:
            arm.read_patiently() if patiently else arm.read()
        except (BadPacket, PortLost) as error:
            self._bad_ticks += 1
            if self._bad_ticks >= self.cfg.max_bad_ticks:
                raise BusSilent(f"{error}; {self._bad_ticks} ticks in a row") from error
            return False
        self._bad_ticks = 0
        if arm.reconnections != reconnections:
            self._targets = arm.goals()
        return True

    def _observe_now(self) -> None:
        state = self._state
        self._obs = self._task.observation_of(state.positions, state.velocities, self._targets, self._goal)

    def _await_port(self, arm: ServoArm) -> None:
        """Raises: PortLost: it did not come back in time."""
        end_ns = self._clock.now_ns() + round(self.cfg.reconnect_s * NS_PER_S)
        while True:
            try:
                with suppress(*_TOLD):
                    arm.read_patiently()
                return
            except PortLost:
                if self._clock.now_ns() > end_ns:
                    raise
            self._clock.sleep_until(self._clock.now_ns() + round(0.1 * NS_PER_S))


def _ramp(start: Array, end: Array, speed: float) -> Iterator[Array]:
    """Targets of a move that begins and ends gently, (J,) rad, MOVE_HZ a second; `end` is left to the caller.

    speed: of the joint with the longest way, at most [rad/s].
    """
    way = end - start
    count = math.ceil(1.5 * np.abs(way).max() / speed * MOVE_HZ)  # a smooth step is 1.5 times as steep midway
    for tick in range(1, count):
        share = tick / count
        yield start + way * share**2 * (3 - 2 * share)


def _within(ranges: Array) -> Limits:
    return Limits(low_rad=ranges[:, 0].tolist(), high_rad=ranges[:, 1].tolist())
