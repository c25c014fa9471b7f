"""What every Fetch script shares: a named view of the observation, and how far an action moves the hand."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from robot_orl.types import Array, Observation

STEP_S = 0.04
"""Time between two actions [s]: 20 substeps of 2 ms."""

REACH_PER_ACTION = 0.03
"""How far a full action moves the hand within its step [m]. The simulator moves its target 0.05 m ahead,
but the weld that drags the hand there is soft; measured 0.029 m from rest, 0.033 m in motion."""

OPEN, CLOSE = 1.0, -1.0


@dataclass(frozen=True)
class FetchView:
    """One observation by name; positions [m] and velocities [m/s] in the world frame, (3,) each.

    object, object_velocity: of the block or puck; on reach they repeat the hand's.
    fingers: how far each finger is from the centre [m], (2,); about 0.025 each around the block.
    """

    action_size: ClassVar[int] = 4

    grip: Array
    object: Array
    goal: Array
    fingers: Array
    grip_velocity: Array
    object_velocity: Array

    @classmethod
    def of(cls, obs: Observation) -> "FetchView":
        """Args: obs: `observation` (25,) or, on reach, (10,); `desired_goal` (3,)."""
        x = np.asarray(obs["observation"], np.float64)
        goal = np.asarray(obs["desired_goal"], np.float64)
        if len(x) == 10:
            grip, velocity = x[0:3], x[5:8] / STEP_S
            return cls(grip, grip, goal, x[3:5], velocity, velocity)
        velocity = x[20:23] / STEP_S
        # The simulator reports the object's velocity relative to the hand's.
        return cls(x[0:3], x[3:6], goal, x[9:11], velocity, x[14:17] / STEP_S + velocity)

    def misjudged(self, offset: Array) -> "FetchView":
        """As seen by someone who believes the hand to be `offset` (3,) [m] from where it is."""
        return replace(self, grip=self.grip + offset)


def move(displacement: Array, gripper: float, speed: float = np.inf) -> Array:
    """The action (4,), not clipped, that moves the hand by `displacement` (3,) [m] in one step.

    speed: longest hand motion of the action as a share of a full one; its direction is kept.
    """
    motion = np.asarray(displacement) / REACH_PER_ACTION
    length = float(np.linalg.norm(motion))
    return np.append(motion * min(1.0, speed / max(length, 1e-9)), gripper)
