"""What every arm of joints is told about its motion, however its servos are reached."""

from collections.abc import Iterable
from dataclasses import dataclass

from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting


@dataclass
class ArmConfig(Schema):
    """Limits, the slow moves by itself, and how many answers may fail."""

    limits: Limits = setting(factory=Limits, help="what the arm's motion keeps to")
    move_speed_rad_s: float = setting(
        0.6, "fastest joint while homing and parking", unit="rad/s", low=0.01, high=5
    )
    reached_rad: float = setting(
        0.12, "a joint this near to the end of a move has arrived", unit="rad", low=0.005, high=1
    )
    blocked_rad: float = setting(
        0.35, "a joint that falls this far behind in a move ends it", unit="rad", low=0.01, high=3
    )
    rest_pose: dict[str, float] = setting(
        factory=dict, help="rad by joint: where the arm lies by itself, so that the torque may go off"
    )
    max_bad_ticks: int = setting(5, "so many ticks in a row without an answer are a fault", low=1, high=1000)

    def check_rest_pose(self, joints: Iterable[str]) -> None:
        """Raises: UsageError: it leaves one of them out, or has others."""
        names = list(joints)
        if self.rest_pose and set(self.rest_pose) != set(names):
            raise UsageError(
                f"rest_pose has {', '.join(self.rest_pose)}; it needs each of {', '.join(names)}"
            )
