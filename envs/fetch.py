"""Fetch reach, push, slide and pick-and-place: gymnasium-robotics v4 with sparse goals.

Source: Plappert et al. 2018, "Multi-Goal Reinforcement Learning: Challenging Robotics Environments".
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import mujoco
import numpy as np
from gymnasium_robotics.envs.fetch.pick_and_place import MujocoFetchPickAndPlaceEnv
from gymnasium_robotics.envs.fetch.push import MujocoFetchPushEnv
from gymnasium_robotics.envs.fetch.reach import MujocoFetchReachEnv
from gymnasium_robotics.envs.fetch.slide import MujocoFetchSlideEnv

from envs.base import SimulatedTask, signals, xyz
from robot_orl.mirror import mirror_of
from robot_orl.types import Array, Signal, Spec

_SIMULATIONS = {
    "fetch_reach": MujocoFetchReachEnv,
    "fetch_push": MujocoFetchPushEnv,
    "fetch_slide": MujocoFetchSlideEnv,
    "fetch_pick_and_place": MujocoFetchPickAndPlaceEnv,
}
_HORIZON = 50  # steps
_CAMERA = {"lookat": (1.25, 0.75, 0.52), "distance": 1.25, "azimuth": 140.0, "elevation": -22.0}
_SLIDE_CAMERA = {"lookat": (1.4, 0.75, 0.4), "distance": 1.8, "azimuth": 125.0, "elevation": -28.0}
_FINGERS = ("right_finger", "left_finger")


def _observation_signals(has_object: bool) -> tuple[Signal, ...]:
    """The 25 signals of a task with an object, or the 10 of reach.

    Velocities are per control step: gymnasium-robotics multiplies them by dt.
    """
    relative = (
        *xyz("object_pos", "m"),
        *xyz("object_rel_pos", "m"),
        *signals((f"{finger}_pos" for finger in _FINGERS), "m"),
        *xyz("object_rot", "rad"),
        *xyz("object_rel_vel", "m/step"),
        *xyz("object_rot_vel", "rad/step"),
    )
    fingers = signals((f"{finger}_pos" for finger in _FINGERS), "m")
    return (
        *xyz("grip_pos", "m"),
        *(relative if has_object else fingers),
        *xyz("grip_vel", "m/step"),
        *signals((f"{finger}_vel" for finger in _FINGERS), "m/step"),
    )


def _in_the_mirror(name: str, plane_y: float) -> tuple[str, float, float]:
    """A rule for `mirror_of`: left and right changed about the plane y = plane_y [m], which halves the table.

    An axis of rotation in that plane turns the other way, one across it does not. What moves the gripper
    is a body without arm, so the arm's own asymmetry does not matter.
    """
    if "finger_" in name:
        return ("left" if name.startswith("right") else "right") + name[name.index("_finger") :], 1.0, 0.0
    across, is_turn = name.endswith("_y"), "_rot_" in name
    is_place = across and name in ("grip_pos_y", "object_pos_y", "achieved_pos_y", "desired_pos_y")
    return name, -1.0 if across != is_turn else 1.0, 2 * plane_y if is_place else 0.0


class FetchTask(SimulatedTask):
    """Bring the gripper (reach) or the object (the others) to within 5 cm of a goal.

    action: gripper displacement x, y, z (1 is 5 cm) and finger motion (1 opens; pick-and-place only).
    A start is the goal [m] and where the object lies on the table, x and y [m].
    """

    def __init__(self, task: str, **options: Any) -> None:
        sim = _SIMULATIONS[task]()
        spec = Spec(
            task=task,
            observation={
                "observation": _observation_signals(sim.has_object),
                "achieved_goal": xyz("achieved_pos", "m"),
                "desired_goal": xyz("desired_pos", "m"),
            },
            action=signals(("grip_delta_x", "grip_delta_y", "grip_delta_z", "fingers_open"), "1", -1.0, 1.0),
            control_hz=round(1.0 / sim.dt, 6),
            horizon=_HORIZON,
            achieved_goal="achieved_goal",
            desired_goal="desired_goal",
        )
        gripper = sim.model.body("robot0:gripper_link").id
        super().__init__(
            sim,
            spec,
            # A step moves the mocap body from where the gripper was found to be in the last substep.
            views=(sim.data.xpos[gripper], sim.data.xquat[gripper]),
            attributes={"goal": 3},
            camera_pose=_SLIDE_CAMERA if task == "fetch_slide" else _CAMERA,
            **options,
        )
        if sim.has_object:
            self.movable = {"object_pos": (0, 1)}
        self._threshold = float(sim.distance_threshold)  # [m]
        self.mirror = mirror_of(spec, partial(_in_the_mirror, plane_y=float(sim.initial_gripper_xpos[1])))
        self._target_site = sim.model.site("target0").id
        # The coloured bars that mark the mocap body would hide the gripper.
        sim.model.geom_rgba[sim.model.geom_bodyid == sim.model.body("robot0:mocap").id, 3] = 0.0

    def _observation(self, raw: Any) -> dict[str, Array]:
        return {key: raw[key].astype(np.float32) for key in self.task_spec.observation}

    def _is_success(self, obs: dict[str, Array], info: Mapping[str, Any]) -> bool:
        # From the float32 observation, not from info: so that `reward_for` on stored data agrees always.
        return bool(self._is_near(obs["achieved_goal"], obs["desired_goal"]))

    def _start_state(self) -> Mapping[str, Array]:
        start = {"goal": self._sim.goal}
        if self._sim.has_object:
            start["object_pos"] = self._object_qpos()[:2]
        return start

    def _begin(self, seed: int | None, start: Mapping[str, Any] | None) -> Any:
        raw = self._sim.reset(seed=seed)[0]
        if start is None:
            return raw
        sim = self._sim
        state = self._checked_start(start, {"goal": 3, **({"object_pos": 2} if sim.has_object else {})})
        sim.goal = state["goal"]
        if sim.has_object:
            self._object_qpos()[:2] = state["object_pos"]
        mujoco.mj_forward(sim.model, sim.data)
        return sim._get_obs()

    def _object_qpos(self) -> Array:
        """(7,) position [m] and quaternion of the object, a view into the simulator's data."""
        return self._sim.data.joint("object0:joint").qpos

    def _is_near(self, achieved: Array, desired: Array) -> Array:
        """Elementwise arithmetic only, so that one goal and a batch of goals round alike."""
        offset = np.asarray(achieved, np.float32).astype(np.float64) - np.asarray(desired, np.float32)
        x, y, z = offset[..., 0], offset[..., 1], offset[..., 2]
        return np.sqrt(x * x + y * y + z * z) < self._threshold

    def reward_for(self, achieved: Array, desired: Array) -> Array:
        """(..., 3), (..., 3) -> (...) float32 in {-1, 0}; exactly as `step` pays."""
        return np.asarray(self._is_near(achieved, desired), np.float32) - np.float32(1.0)

    def _before_render(self) -> None:
        # A site's position is derived and read by the renderer only; mj_forward would change the episode.
        self._sim.data.site_xpos[self._target_site] = self._sim.goal
