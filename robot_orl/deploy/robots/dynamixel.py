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

After a fault the arm is held; `park` lays it down in its rest pose, slowly, and only there the torque goes
off. `close` moves nothing: an arm that nobody laid down keeps its torque, and `close` says so.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robot_orl.deploy.dynamixel.arm import ServoArm
from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.config import DynamixelConfig, ObjectConfig
from robot_orl.deploy.dynamixel.moves import Blocked, Mover
from robot_orl.deploy.dynamixel.port import (
    BusPort,
    MakePort,
    PortLost,
    choose_port,
    is_pseudo_terminal,
    latency_hint,
)
from robot_orl.deploy.robots.bench import Bench
from robot_orl.deploy.robots.jointed_arm import JointedArm
from robot_orl.deploy.robots.task_body import TaskBody
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import NS_PER_S, Clock, RealClock
from robot_orl.errors import RunError, UsageError
from robot_orl.progress import console
from robot_orl.registry import register
from robot_orl.tasks import TaskConfig
from robot_orl.types import Array, Telemetry

if TYPE_CHECKING:
    from robot_orl.deploy.sensors.object_pose import ObjectPose

LOOK_S, LOOK_AGAIN_S = 3.0, 0.01  # how long an object may stay unseen that was put back


@register("robot", "dynamixel", DynamixelConfig)
class DynamixelRobot(JointedArm[ServoArm]):
    """A bus of servos as the body of a task. `spec` is the task's; it is known while disconnected.

    joints, limits, telemetry, plan, command, tool_at, park, should_stop: see `supervisor.offers`.
    """

    def __init__(
        self,
        cfg: DynamixelConfig,
        task: TaskConfig,
        clock: Clock | None = None,
        sensor: "ObjectPose | None" = None,
        make_port: MakePort = BusPort,
    ) -> None:
        """sensor: who sees the object that the task handles; None: the one of the configuration, if any.

        make_port: opens the bus.

        Raises: UsageError, DataError: the task does not fit these joints, or a calibration does not.
        """
        self.cfg = cfg
        self._sensor = sensor or _sensor_of(cfg.object)
        body = TaskBody(task, cfg.arm, tuple(cfg.servos), sees_object=self._sensor is not None)
        super().__init__(cfg.arm, body, cfg.rest_pose, cfg.move_speed_rad_s)
        self._clock = clock or RealClock()
        self._make_port = make_port
        self._bench = Bench(cfg.world)
        self.servo_hz = cfg.servo_hz
        self._calibration = self._calibrated()
        self._range = self._poses.common_range(
            self._calibration.ranges(), np.asarray(self._model.joint_range)
        )
        self.limits = cfg.limits.tightened_by(_within(self._range))
        self._poses.check(self.limits, self._model.tool_position)
        self._arm: ServoArm | None = None
        self._has_told = False  # how an arm that does not lie down is left

    # --- before anything moves ------------------------------------------------------------------------

    def _calibrated(self) -> Calibration:
        if self.cfg.calibration is not None:
            return Calibration.load(Path(self.cfg.calibration), self.cfg.ids)
        return Calibration.as_in_model(self.cfg.arm, self.cfg.ids, np.asarray(self._model.joint_range))

    @property
    def counts(self) -> dict[str, int]:
        """What happened on the bus, and what was judged beside the arm, by name."""
        return (self._arm.counts if self._arm is not None else {}) | self._bench.counts

    # --- Robot ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Find the servos and set them up; nothing moves. Raises: UsageError, RunError: one line each."""
        port = choose_port(self.cfg.port)
        # A port that is not there is named as such when it is opened.
        if self.cfg.calibration is None and Path(port).exists() and not is_pseudo_terminal(port):
            raise UsageError(
                f"{self.name} on {port} needs robot.calibration=FILE; make it with `robot-orl calibrate`"
            )
        if hint := latency_hint(port):
            console.print(f"warning: {hint}", highlight=False, soft_wrap=True)
        arm = ServoArm(self.cfg, port, self._calibration, self._clock, self._make_port)
        if self._sensor is not None:
            self._sensor.start()
            self._sensor.wait()
        self._bench.open()
        arm.connect()
        self._arm = arm
        self._mover = Mover(arm, self._clock, lambda: self.should_stop())
        self.limits = self.limits.tightened_by(arm.declared_limits())

    def home(self, seed: int) -> None:
        """Slowly to the task's home pose, and a new goal; holds on the way if told to stop.

        Keeps to `limits`, which whoever runs it may have tightened.
        Raises: UsageError: they forbid the home or rest pose; nothing moved.  Blocked: it does not get there.
            RunError: as `observe`.
        """
        mover = self._connected()
        self._poses.check(self.limits, self._model.tool_position)
        self._bench.judge()
        self._body.goal = self._model.sample_goal(seed)
        self._has_told = False
        mover.begin()
        self._blocked = None
        try:
            arrived = mover.move(self._poses.home, self._paths())
        except Blocked as error:
            self._blocked = error
            raise
        if arrived and self._bench.put_back(seed):
            self._look_anew(mover)
        self._observe_now()
        self._holding = not arrived

    def close(self) -> None:
        """Release port and camera. Moves nothing: what was not laid down by `park` is left as it is."""
        self._holding = True
        mover, self._mover = self._mover, None
        with ExitStack() as closing:  # each of them, whatever another one raises
            closing.callback(self._body.close)
            closing.callback(self._bench.close)
            if self._sensor is not None:
                closing.callback(self._sensor.close)
            if mover is not None:
                closing.callback(mover.arm.close)
                self._tell_how_left(mover.arm)

    # --- what a supervisor needs, see supervisor/offers.py --------------------------------------------

    def telemetry(self) -> Telemetry:
        """Of the latest `observe`; reads nothing."""
        if self._mover is None:
            return Telemetry()
        state = self._mover.state
        return Telemetry(
            positions=state.positions,
            velocities=state.velocities,
            targets=self._mover.targets,
            currents=state.currents,
            temperatures=state.temperatures,
            tool_position=self._model.tool_position(state.positions),
        )

    def park(self) -> None:
        """Slowly over the home pose to the rest pose, and there the torque goes off.

        Raises: RunError: it did not get there, and holds.
        """
        mover = self._connected()
        self._holding = True
        try:
            if not self.cfg.rest_pose:
                raise RunError("it has no rest_pose")
            if self._blocked is not None:  # the way to the rest pose leads past it
                raise self._blocked
            mover.park([self._poses.home, self._poses.rest], self._paths())
        except RunError as error:
            self._has_told = True
            raise RunError(f"{self.name} {_how_left(mover.arm)} ({error})") from error

    # --- beneath --------------------------------------------------------------------------------------

    def _look_anew(self, mover: Mover) -> None:
        """Until the object is seen where it lies now; the arm holds meanwhile.

        Raises: RunError: it is not seen, or as `observe`.
        """
        begin_ns = self._clock.now_ns()
        while self._sensor is not None:
            seen, now_ns = self._sensor.read(), self._clock.now_ns()
            if seen is not None and seen.t_ns > begin_ns:
                return
            if now_ns - begin_ns > LOOK_S * NS_PER_S:
                raise RunError(f"{self.name}: camera '{self.cfg.object.source}' does not see the object")
            mover.refresh()
            self._clock.sleep_until(now_ns + round(LOOK_AGAIN_S * NS_PER_S))

    def _tell_how_left(self, arm: ServoArm) -> None:
        if arm.is_torque_on and not self._has_told:
            console.print(f"warning: {self.name} {_how_left(arm)}", highlight=False, soft_wrap=True)

    def _observe_now(self) -> None:
        """Joints and object; as old as the older of them, so that an object out of sight stops the robot."""
        state, targets = self._connected().state, self._connected().targets
        seen = self._sensor.read() if self._sensor is not None else None
        position = None if seen is None else seen.position_m
        self._obs = self._model.observation_of(
            state.positions, state.velocities, targets, self._body.goal, position
        )
        self._obs_ns = state.t_ns if seen is None else min(state.t_ns, seen.t_ns)


def _how_left(arm: ServoArm) -> str:
    """What is said of an arm that does not lie in its rest pose: as its servos tell, if they do."""
    try:
        limp = arm.without_torque()
    except (BadPacket, PortLost):
        return "was not laid down and may hold nothing: support it"
    if limp:
        return f"was not laid down, and {', '.join(limp)} hold nothing: support it"
    return "holds its pose, torque on: support it before its power goes off"


def _sensor_of(cfg: ObjectConfig) -> "ObjectPose | None":
    """Raises: DataError: a file of the camera is not what it should be.  UsageError: it is on the tool."""
    if cfg.source is None or cfg.intrinsics is None or cfg.hand_eye is None:
        return None
    from robot_orl.deploy.sensors.object_pose import ObjectPose, ObjectPoseConfig  # loads OpenCV

    wanted = ObjectPoseConfig(
        cfg.source,
        cfg.fps,
        cfg.intrinsics,
        cfg.hand_eye,
        cfg.marker,
        cfg.size_mm,
        depth_mm=cfg.depth_mm,
        cube_mm=cfg.cube_mm,
    )
    sensor = ObjectPose(wanted)
    if sensor.hand_eye.mount == "tool":
        raise UsageError(f"{cfg.hand_eye}: is of a camera on the tool; this robot takes one beside the arm")
    return sensor


def _within(ranges: Array) -> Limits:
    return Limits.neutral(low_rad=ranges[:, 0].tolist(), high_rad=ranges[:, 1].tolist())
