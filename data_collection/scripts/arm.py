"""What every script for the arm shares: a named view of the observation, and how to lead a point of the hand.

A script thinks in places of the hand; inverse kinematics (mink) says which joints bring it there.
"""

from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import numpy as np

from robot_orl.types import Array, Observation

STEP_RAD = np.array([0.05, 0.05, 0.05, 0.05, 0.05, 0.1])
"""How far a full action moves each joint's target."""

OPEN, SHUT = 1.0, -1.0
ARM = slice(0, 5)  # the joints that place the hand; the sixth is the gripper

GAIN = 0.3  # share of the joints' error that a step corrects: the servos lag by two steps, more would swing
ITERATIONS = 3  # of inverse kinematics per step; it starts from where the joints are
TURN_COST_M = (0.02, 0.003, 0.0)  # what the hand turned by 1 rad about its own axes counts as, in place
# (roll keeps the jaws level; far away and high up the hand cannot point down; its heading is the place's)


@dataclass(frozen=True)
class ArmView:
    """One observation by name; places [m] in the frame of the arm's base, (3,) each.

    joints, velocities: (6,) rad and rad/s.  lead: of the joints' targets, (6,) rad.
    object: on reach it repeats the tool's place.
    """

    action_size: ClassVar[int] = 6

    joints: Array
    velocities: Array
    lead: Array
    tool: Array
    object: Array
    goal: Array

    @classmethod
    def of(cls, obs: Observation) -> "ArmView":
        """Args: obs: `observation` (27,) or, on reach, (21,); `desired_goal` (3,)."""
        x = np.asarray(obs["observation"], np.float64)
        goal = np.asarray(obs["desired_goal"], np.float64)
        thing = x[21:24] if len(x) > 21 else x[18:21]
        return cls(x[0:6], x[6:12], x[12:18], x[18:21], thing, goal)

    def misjudged(self, offset: Array) -> "ArmView":
        """As seen by someone who believes the hand to be `offset` (3,) [m] from where it is."""
        return replace(self, object=self.object - offset, goal=self.goal - offset)


class Hand:
    """Leads one point of the hand, a site of the model; a new one is made for each episode."""

    def __init__(self, site: str) -> None:
        import mink  # takes half a second: paid only by those who lead an arm

        model = _arm()
        self._range = model.jnt_range
        self._site = site
        self._configuration = mink.Configuration(model)
        self._task = mink.FrameTask(site, "site", 1.0, TURN_COST_M, lm_damping=1e-3)
        self._limits = [mink.ConfigurationLimit(model)]

    def place(self, joints: Array) -> Array:
        """(3,) m: where the point is for joints at (6,) rad."""
        self._configuration.update(np.clip(joints, self._range[:, 0], self._range[:, 1]))
        return self._configuration.get_transform_frame_to_world(self._site, "site").translation()

    def move(self, view: ArmView, displacement: Array, gripper: float, tilt: float, stride: float) -> Array:
        """The action (6,), not clipped, that moves the point by `displacement` (3,) [m].

        gripper: the action's last entry.  tilt: how far the fingers point down, 0 level, pi/2 straight [rad].
        stride: the farthest to look ahead [m], which sets the speed: a step goes about GAIN of it.
        """
        from mink import SE3, solve_ik

        length = float(np.linalg.norm(displacement))
        target = self.place(view.joints) + displacement * min(1.0, stride / max(length, 1e-9))
        self._task.set_target(SE3.from_matrix(_pose(target, tilt)))
        for _ in range(ITERATIONS):
            velocity = solve_ik(
                self._configuration, [self._task], 1.0, "daqp", damping=1e-6, limits=self._limits
            )
            self._configuration.integrate_inplace(velocity, 1.0)
        motion = GAIN * (self._configuration.q - view.joints) / STEP_RAD
        return np.append(motion[ARM], gripper)


@cache
def _arm() -> Any:
    import mujoco

    return mujoco.MjModel.from_xml_path(str(files("envs") / "assets" / "koch.xml"))


def _pose(place: Array, tilt: float) -> Array:
    """(4, 4): at `place`, the fingers away from the base and down by `tilt`, opening sideways."""
    pan = np.arctan2(place[1], place[0])
    outward, left = np.array([np.cos(pan), np.sin(pan), 0.0]), np.array([-np.sin(pan), np.cos(pan), 0.0])
    fingers = np.cos(tilt) * outward - np.sin(tilt) * np.array([0.0, 0.0, 1.0])
    pose = np.eye(4)
    pose[:3] = np.stack([fingers, left, np.cross(fingers, left), place], axis=1)
    return pose
