"""The Koch-class arm without a simulator: its files, its joints and its action law, simulated or real."""

from pathlib import Path

import numpy as np

from robot_orl.types import Array

ASSETS = Path(__file__).with_name("assets")
KOCH = ASSETS / "koch.xml"

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
HOME_POSE = np.array([0.0, -0.7, 0.3, 1.3, 0.0, 0.5])  # [rad] tool over the bench, pointing down, half open
STEP_RAD = np.array([0.05, 0.05, 0.05, 0.05, 0.05, 0.1])  # how far action 1 moves each joint's target
LEAD_RAD = 0.2  # farthest that a target may be from its joint: a blocked servo pushes with what this gives


def next_targets(action: Array, targets: Array, positions: Array, joint_range: Array) -> Array:
    """The action law: each target moves by action * STEP_RAD, but stays near its joint and in its range.

    Without the former, a target would run away from a joint that cannot follow (a gripper around an
    object), and would have to come all the way back before the joint moved again.

    Args: action: (6,) in [-1, 1].  targets: before it, (6,) rad.  positions: measured, (6,) rad.
    joint_range: (6, 2) rad.  Returns: (6,) float64 rad.
    """
    moved = np.asarray(targets, np.float64) + np.asarray(action, np.float64) * STEP_RAD
    near = np.clip(moved, positions - LEAD_RAD, positions + LEAD_RAD)
    return np.clip(near, joint_range[:, 0], joint_range[:, 1])
