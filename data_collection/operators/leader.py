"""`operator=leader`: a person who turns the joints of a leader arm, which is built like the robot's."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np

from data_collection.teleop.devices.clutch import KEY, MOVES, Clutch
from data_collection.teleop.devices.device import DeviceHands
from data_collection.teleop.devices.leader import Leader, LeaderBus, chosen_port
from data_collection.teleop.hands import Hands
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.standby import PersonStandsBy
from data_collection.teleop.steering import standing_axes
from robot_orl.deploy.dynamixel.calibration import Calibration
from robot_orl.deploy.dynamixel.config import ServoConfig
from robot_orl.deploy.dynamixel.port import BAUD_RATES, is_pseudo_terminal
from robot_orl.deploy.robots.joint_task import joint_task
from robot_orl.errors import UsageError
from robot_orl.registry import register
from robot_orl.schema import setting
from robot_orl.types import Actor, Spec

KOCH = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")


@dataclass
class LeaderConfig(PersonConfig):
    """A leader arm of Dynamixel servos on a serial port, which loses its torque: support it at the start."""

    moves_joints: ClassVar[bool] = True

    name: str = "leader"
    speed_rad_s: float = setting(2.5, "fastest joint of the robot", unit="rad/s", low=0.01, high=10.0)
    port: str | None = setting(None, "serial port such as /dev/ttyUSB0; null: the only one that there is")
    baud: int = setting(1_000_000, f"one of {', '.join(map(str, BAUD_RATES))}", unit="bit/s")
    calibration: str | None = setting(
        None,
        "file made by `robot-orl calibrate robot=koch_leader`; null: as in the model, for virtual arms only",
    )
    servos: dict[str, ServoConfig] = setting(
        factory=lambda: {
            joint: ServoConfig(servo, "XL330-M077") for servo, joint in enumerate(KOCH, start=1)
        },
        help="servo table, by joint; that of a Koch v1.1 leader",
    )
    reply_s: float = setting(
        0.006, "how much longer than its time on the wire an answer may take", unit="s", low=0.001, high=1
    )
    clutch: str = setting(
        MOVES,
        "when it acts: while it is moved by hand, or from one press of the space key to the next",
        choices=[MOVES, KEY],
    )
    still_s: float = setting(
        0.5, "so long its joints must be still to count as let go", unit="s", low=0.05, high=60
    )


@register("operator", "leader", LeaderConfig)
class LeaderOperator(PersonStandsBy):
    """A person: `collect` holds a recording session with the leader's hands."""

    name = "leader"
    actor = Actor.HUMAN
    policy_hash: str | None = None

    def __init__(self, cfg: LeaderConfig, spec: Spec) -> None:
        self.cfg, self.spec = cfg, spec

    def make_hands(self, env: gymnasium.Env[Any, Any], alone: bool = False) -> Hands:
        """Raises: UsageError, DataError: the task has other joints, or the calibration is another arm's."""
        cfg = self.cfg
        arm = joint_task(env, "behind operator=leader", sees_object=True)
        if set(cfg.servos) != set(arm.joints):
            raise UsageError(
                f"operator.servos has {', '.join(cfg.servos) or 'none'}; task '{self.spec.task}' needs "
                f"{', '.join(arm.joints)}"
            )
        if alone and cfg.clutch == KEY:
            raise UsageError("operator.clutch=key needs keys, and the terminal is used otherwise here")
        servos = {joint: cfg.servos[joint] for joint in arm.joints}
        port = chosen_port(cfg.port)
        bus = LeaderBus(port, cfg.baud, servos, self._calibration(port, arm.joint_range, servos), cfg.reply_s)
        leader = Leader(bus, Clutch(cfg.clutch, cfg.still_s, time.monotonic))
        axes = standing_axes(env, cfg.frame)
        return DeviceHands("leader", leader, self.spec.task, axes, alone, movers=leader)

    def _calibration(self, port: str, ranges: np.ndarray, servos: dict[str, ServoConfig]) -> Calibration:
        ids = {joint: servo.id for joint, servo in servos.items()}
        if self.cfg.calibration is not None:
            return Calibration.load(Path(self.cfg.calibration), ids)
        if Path(port).exists() and not is_pseudo_terminal(port):
            raise UsageError(
                f"the leader on {port} needs operator.calibration=FILE; make it with "
                "`robot-orl calibrate robot=koch_leader`"
            )
        return Calibration.as_in_model("leader", ids, np.asarray(ranges))
