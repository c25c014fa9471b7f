"""What every operator that is a person can be set to."""

from dataclasses import dataclass
from typing import ClassVar

from robot_orl.errors import UsageError, printable
from robot_orl.schema import Schema, setting

LONGEST_TEXT = 500  # letters of a note or an instruction
AXES = ("forward", "left", "up", "roll", "pitch", "yaw")


@dataclass
class PersonConfig(Schema):
    """How hands become actions, and how a recording session goes."""

    moves_joints: ClassVar[bool] = False  # of an arm, one by one, rather than its tool

    name: str = setting(help="of the operator")
    speed_m_s: float = setting(0.25, "greatest speed of the tool", unit="m/s", low=0.001, high=5.0)
    speed_rad_s: float = setting(1.5, "greatest speed at which it turns", unit="rad/s", low=0.01, high=10.0)
    ramp_s: float = setting(
        0.15, "time from rest to the greatest speed, and back when hands let go", unit="s", low=0.0, high=2.0
    )
    frame: str = setting(
        "base",
        "what forward, left and up mean: the robot's base, the task's own camera, or the tool",
        choices=["base", "camera", "tool"],
    )
    dead_zone: float = setting(
        0.05,
        "share of the way of a stick that still is rest; the rest is spread over 0 .. 1",
        low=0.0,
        high=0.9,
    )
    flip: list[str] = setting(
        factory=list,
        help="axes that work the other way round, such as [forward,yaw]",
        choices=AXES,
    )
    seconds: float | None = setting(
        20.0, "longest episode; null: the task's own horizon", unit="s", low=0.1, high=3_600
    )
    stop_at_success: bool = setting(True, "an episode ends by itself once the task calls it a success")
    countdown_s: float = setting(1.0, "between start and the first step", unit="s", low=0.0, high=60.0)
    instruction: str = setting("", "the task in words, stored with every episode")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.instruction) > LONGEST_TEXT:
            raise UsageError(
                f"operator.instruction takes up to {LONGEST_TEXT} letters, not {len(self.instruction)}"
            )
        try:
            self.instruction.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"operator.instruction: {printable(self.instruction)!r} is no text in UTF-8"
            ) from error
