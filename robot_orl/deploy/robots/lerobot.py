"""`robot=lerobot`: a robot that LeRobot drives, in LeRobot's own environment, as the body of a task.

    this process                                       LeRobot's environment (robot.python=...)
    task, supervisor, units  <--- a local socket --->  lerobot_link/server.py  <--->  lerobot's Robot

    fault                                 what happens
    LeRobot fails, or answers late        the last observation stays what it is, with its time, which the
                                          supervisor judges; `max_bad_ticks` in a row: `BusSilent`
    this process stalls                   the server holds the robot after `watchdog_s`: `WatchdogTripped`
    this process dies                     the server holds the robot at once, and leaves it: torque on
    the server dies                       `ServerLost`; the servos go on to the last goal, and hold there

LeRobot connects with the torque off for a moment: the arm lies, or somebody holds it. `park` lays it down in
its rest pose, and there LeRobot disconnects, which switches the torque off unless LeRobot is told otherwise
(`options.disable_torque_on_disconnect`). `close` moves nothing.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.deploy.dynamixel.arm_config import ArmConfig
from robot_orl.deploy.dynamixel.moves import Blocked, Mover
from robot_orl.deploy.lerobot_link.arm import LerobotArm, Tolerances
from robot_orl.deploy.lerobot_link.link import Hello, Link, Server, connect
from robot_orl.deploy.lerobot_link.units import LerobotJoint, Units
from robot_orl.deploy.robots.jointed_arm import JointedArm
from robot_orl.deploy.robots.task_body import TaskBody
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.timing import Clock, RealClock
from robot_orl.errors import RunError, UsageError
from robot_orl.progress import console
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.tasks import TaskConfig
from robot_orl.types import Array, Telemetry


@dataclass
class LerobotConfig(ArmConfig):
    """A robot of LeRobot's, which was calibrated with `lerobot-calibrate`."""

    name: str = setting("lerobot", "")
    python: str | None = setting(None, "Python of an environment with LeRobot; see docs/hardware.md")
    socket: str | None = setting(None, "of a server that runs already, instead of python, type and so on")
    type: str = setting("koch_follower", "LeRobot's name of the robot (--robot.type)")
    id: str | None = setting(None, "under which LeRobot keeps its calibration (--robot.id)")
    port: str | None = setting(None, "serial port such as /dev/ttyUSB0 (--robot.port)")
    calibration_dir: str | None = setting(None, "where LeRobot keeps its calibrations; null: its own place")
    options: dict[str, Any] = setting(
        factory=dict, help="more of LeRobot's own: {use_degrees: true} is --robot.use_degrees=true"
    )
    registers: dict[str, int] = setting(
        factory=dict,
        help="MOTOR.REGISTER: number, by LeRobot's names, written once it has set its motors up: "
        "the gains of the model in which policies learn",
    )
    joints: dict[str, LerobotJoint] = setting(
        factory=dict, help="how LeRobot's motors turn the joints, in the task's order"
    )
    watchdog_s: float = setting(
        0.2,
        "the server holds the robot when it hears nothing of us for so long; 0: never",
        unit="s",
        low=0,
    )
    reply_s: float = setting(
        0.008, "how long a tick waits for an answer of LeRobot's", unit="s", low=0.0005, high=1
    )
    start_s: float = setting(
        120.0, "how long LeRobot may take to load and to connect", unit="s", low=1, high=3600
    )
    servo_hz: float | None = setting(
        None,
        "how often the targets move on, a multiple of the policy's rate; null: as often",
        unit="Hz",
        low=1,
        high=500,
    )
    priority: int = setting(
        15,
        "real-time priority that the server asks for; 0: none",
        low=0,
        high=99,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_rest_pose(self.joints)

    def words(self) -> list[str]:
        """As the server takes them."""
        said = {"type": self.type, "id": self.id, "port": self.port, "calibration_dir": self.calibration_dir}
        given = {name: value for name, value in {**said, **self.options}.items() if value is not None}
        own = [f"--watchdog-s={self.watchdog_s:g}", f"--priority={self.priority}"]
        own += [f"--register={place}={value}" for place, value in self.registers.items()]
        return own + [f"--robot.{name}={value}" for name, value in given.items()]


@register("robot", "lerobot", LerobotConfig)
class LerobotRobot(JointedArm[LerobotArm]):
    """`spec` is the task's; it is known while disconnected.

    joints, limits, telemetry, plan, command, tool_at, park, should_stop, counts: see `supervisor.offers`.
    """

    def __init__(self, cfg: LerobotConfig, task: TaskConfig, clock: Clock | None = None) -> None:
        """Raises: UsageError: the task does not fit these joints."""
        self.cfg = cfg
        name, joints = f"lerobot {cfg.type}", tuple(cfg.joints)
        body = TaskBody(task, name, joints, sees_object=False)
        super().__init__(name, body, cfg.rest_pose, cfg.move_speed_rad_s)
        self.servo_hz = cfg.servo_hz
        self._clock = clock or RealClock()
        self._keep_to(np.asarray(self._model.joint_range, float), cfg.limits)
        self._server: Server | None = None
        self._link: Link | None = None
        self._arm: LerobotArm | None = None
        self._lets_go: bool | None = None

    def _keep_to(self, ranges: Array, limits: Limits) -> None:
        """ranges: (J, 2) rad. Raises: UsageError: they forbid a pose to which the arm moves by itself."""
        self._range = self._poses.common_range(ranges, np.asarray(self._model.joint_range, float))
        low, high = self._range.T.tolist()
        self.limits = limits.tightened_by(Limits.neutral(low_rad=low, high_rad=high))
        self._poses.check(self.limits, self._model.tool_position)

    @property
    def counts(self) -> dict[str, int]:
        """LeRobot's answers, by how they went."""
        return self._arm.counts if self._arm is not None else {}

    # --- Robot ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Let LeRobot open its robot; nothing moves, but the torque goes off for a moment.

        Raises: UsageError, RunError: one line each.
        """
        self._link = self._connected_link()
        hello = self._link.hello(self.should_stop, self.cfg.start_s)
        units = Units(self.cfg.joints, hello.features)
        self._keep_to(units.ranges, self.limits)
        tolerances = Tolerances(self.cfg.reached_rad, self.cfg.blocked_rad, self.cfg.max_bad_ticks)
        self._arm = LerobotArm(self._link, units, self.joints, tolerances, self.cfg.reply_s)
        self._mover = Mover(self._arm, self._clock, lambda: self.should_stop())
        self._lets_go = hello.torque_off
        self._tell(hello)

    def _connected_link(self) -> Link:
        cfg = self.cfg
        if cfg.socket is not None:
            return connect(Path(cfg.socket), lambda: True, self.should_stop, 0.0)
        if cfg.python is None:
            raise UsageError("robot=lerobot needs robot.python=PATH, of an environment with LeRobot")
        self._server = server = Server(cfg.python, cfg.words())
        try:
            return connect(server.path, lambda: server.has_ended, self.should_stop, cfg.start_s)
        except RunError as error:
            said = server.last_line() if server.has_ended else str(error)
            raise RunError(f"LeRobot's server was not to be had: {said}") from error

    def home(self, seed: int) -> None:
        """Slowly to the task's home pose, and a new goal; holds on the way if told to stop.

        Raises: UsageError: the limits forbid the home or rest pose; nothing moved.  Blocked: it does not get
            there.  RunError: as `observe`.
        """
        mover = self._connected()
        self._poses.check(self.limits, self._model.tool_position)
        self._body.goal = self._model.sample_goal(seed)
        mover.begin()
        self._blocked = None
        try:
            arrived = mover.move(self._poses.home, self._paths())
        except Blocked as error:
            self._blocked = error
            raise
        self._observe_now()
        self._holding = not arrived

    def close(self) -> None:
        """End the connection; moves nothing. A server of ours holds what was not laid down, and ends."""
        self._holding = True
        mover, self._mover = self._mover, None
        link, self._link = self._link, None
        server, self._server = self._server, None
        with ExitStack() as closing:
            closing.callback(self._body.close)
            if server is not None:
                closing.callback(server.close if mover is not None else server.kill)
            if link is not None:
                closing.callback(link.close)
            if mover is not None and mover.arm.is_torque_on:
                console.print(f"warning: {self.name} {_HOLDS}", highlight=False, soft_wrap=True)

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
            tool_position=self._model.tool_position(state.positions),
        )

    def park(self) -> None:
        """Slowly over the home pose to the rest pose, and there LeRobot disconnects.

        Raises: RunError: it did not get there, and holds.
        """
        mover = self._connected()
        self._holding = True
        if not self.cfg.rest_pose:
            raise RunError(f"{self.name} has no rest_pose, and holds its pose")
        if self._blocked is not None:  # the way to the rest pose leads past it
            raise self._blocked
        mover.park([self._poses.home, self._poses.rest], self._paths())

    # --- beneath --------------------------------------------------------------------------------------

    def _observe_now(self) -> None:
        state = self._connected().state
        self._obs = self._model.observation_of(
            state.positions, state.velocities, self._connected().targets, self._body.goal
        )
        self._obs_ns = state.t_ns

    def _tell(self, hello: Hello) -> None:
        """What a user should know of LeRobot's robot before it moves."""
        if hello.torque_off is not True:
            told = "keeps its torque" if hello.torque_off is False else "may keep its torque"
            console.print(
                f"note: {self.name} {told} when LeRobot disconnects from it",
                highlight=False,
                soft_wrap=True,
            )


_HOLDS = "holds its pose, torque on: support it before its power goes off"
