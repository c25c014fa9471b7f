"""What a bus of Dynamixel servos is told: its servo table, limits and times. See configs/robot/koch.yaml."""

from dataclasses import dataclass

from robot_orl.deploy.dynamixel.arm_config import ArmConfig
from robot_orl.deploy.dynamixel.port import BAUD_RATES
from robot_orl.deploy.dynamixel.registers import MODELS
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting

MODES = {"position": 3, "extended_position": 4, "current_based_position": 5}
"""Values of register operating_mode; in all of them goals are positions."""


@dataclass
class ServoConfig(Schema):
    """One servo: who it is, and how stiff and strong."""

    id: int = setting(1, "on the bus", low=0, high=252)
    model: str = setting("XL330-M288", "its type", choices=[model.name for model in MODELS.values()])
    mode: str = setting(
        "extended_position",
        "current_based_position keeps to current_limit_a, which only some models can; position stops at "
        "the servo's own limits, but ignores homing offsets of over a quarter turn",
        choices=list(MODES),
    )
    p_gain: int = setting(800, "of the position loop, as in the servo's register", low=0, high=16_383)
    i_gain: int = setting(0, "of the position loop", low=0, high=16_383)
    d_gain: int = setting(0, "of the position loop", low=0, high=16_383)
    current_limit_a: float | None = setting(
        None, "most that it draws in mode current_based_position", unit="A", low=0.01, high=5
    )
    pwm_limit: float = setting(1.0, "share of the supply voltage that it may use", low=0.05, high=1)
    profile_speed_rad_s: float = setting(
        0.0, "the servo itself moves no faster towards a goal; 0: it does not limit", unit="rad/s", low=0
    )
    profile_acceleration_rad_s2: float = setting(
        0.0, "likewise its acceleration; 0: it does not limit", unit="rad/s^2", low=0
    )
    positive: str = setting("", "where it turns as its angle grows, in words; asked for by calibration")


@dataclass
class ObjectConfig(Schema):
    """A camera, mounted beside the arm, that finds a marker on the object that a task handles."""

    source: str | None = setting(
        None, "USB camera (0, /dev/v4l/by-id/...) or http://...; null: nothing sees an object"
    )
    fps: float = setting(30.0, "frames per second", unit="Hz", low=0.1, high=1000)
    intrinsics: str | None = setting(None, "file made by `robot-orl camera intrinsics`")
    hand_eye: str | None = setting(None, "file made by `robot-orl camera hand-eye`")
    marker: int = setting(0, "number of the marker on the object", low=0)
    size_mm: float = setting(30.0, "edge of the marker's black square", unit="mm", low=1, high=1000)
    depth_mm: float = setting(
        0.0, "how far below the marker the object's middle lies", unit="mm", low=-1000, high=1000
    )

    cube_mm: float = setting(
        0.0,
        "edge of a cube with markers marker .. marker + 4 on its front, left, back, right and top; 0: there "
        "is one marker",
        unit="mm",
        low=0,
        high=1000,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source is not None and (self.intrinsics is None or self.hand_eye is None):
            raise UsageError("object.source needs object.intrinsics=FILE and object.hand_eye=FILE")


@dataclass
class DynamixelConfig(ArmConfig):
    """An arm of Dynamixel servos on one serial port, Protocol 2.0."""

    name: str = setting("dynamixel", "")
    arm: str = setting("arm", "name of this arm in reports and in its calibration")
    port: str | None = setting(None, "serial port such as /dev/ttyUSB0; null: the only one that there is")
    baud: int = setting(1_000_000, f"one of {', '.join(map(str, BAUD_RATES))}", unit="bit/s")
    calibration: str | None = setting(
        None,
        "file made by `robot-orl calibrate`; null: as mounted in the model, allowed for virtual arms only",
    )
    middle_pose: str = setting(
        "the pose in which all angles of the model are 0", "in words; asked for by calibration"
    )
    servos: dict[str, ServoConfig] = setting(factory=dict, help="servo table, by joint in the task's order")
    servo_hz: float | None = setting(
        None,
        "how often the joints are read and their targets move on, between two actions of the policy in a "
        "straight line; null: as often as the policy acts",
        unit="Hz",
        low=1,
        high=2_000,
    )
    object: ObjectConfig = setting(factory=ObjectConfig, help="who sees the object that a task handles")
    world: str | None = setting(
        None,
        "socket of a virtual arm: things are put back before an episode and judged after it; null: by hand",
    )
    watchdog_s: float = setting(
        0.2,
        "without a packet for this long the servos stop by themselves while the policy runs; 0: never",
        unit="s",
        low=0,
        high=2.54,
    )
    reply_s: float = setting(
        0.006, "how much longer than its time on the wire an answer may take", unit="s", low=0.001, high=1
    )
    health_every: int = setting(
        10,
        "every so many ticks the servos' watchdog and goals are read as well; takes 2 ms more at 1 Mbit/s",
        low=1,
        high=10_000,
    )
    reconnect_s: float = setting(
        3.0, "how long to wait for a port that vanished before the arm is parked", unit="s", low=0, high=60
    )
    reboot: bool = setting(False, "restart servos that have a hardware error; they let go of their joints")
    let_go: bool = setting(
        False, "may switch the torque off to set servos up at the start; somebody supports the arm"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.baud not in BAUD_RATES:
            raise UsageError(f"baud={self.baud} is not one of: {', '.join(map(str, BAUD_RATES))}")
        ids = [servo.id for servo in self.servos.values()]
        if len(set(ids)) < len(ids):
            raise UsageError(f"servos: the ids {', '.join(map(str, ids))} are not all different")
        for joint, servo in self.servos.items():
            self._check_servo(joint, servo)
        self.check_rest_pose(self.servos)

    @staticmethod
    def _check_servo(joint: str, servo: ServoConfig) -> None:
        model = next(model for model in MODELS.values() if model.name == servo.model)
        has_current = "goal_current" in model.registers
        if not has_current and (servo.mode == "current_based_position" or servo.current_limit_a):
            raise UsageError(f"servos.{joint}: an {servo.model} does not measure its current")
        if servo.current_limit_a and servo.mode != "current_based_position":
            raise UsageError(
                f"servos.{joint}: current_limit_a needs mode: current_based_position; {servo.mode} ignores it"
            )

    @property
    def ids(self) -> dict[str, int]:
        """By joint."""
        return {joint: servo.id for joint, servo in self.servos.items()}
