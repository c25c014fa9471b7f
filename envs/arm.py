"""A Koch-class arm at 50 Hz: bring its tool to a point, push a cube over the bench, lift it to a point.

The model is `assets/koch.xml`. A task is also a JointTask (robot_orl/deploy/robots/joint_task.py): the same
action law, forward kinematics and goals for a real arm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.utils import seeding

from envs.arm_model import ASSETS, HOME_POSE, JOINTS, next_targets
from envs.arm_physics import ArmSimulation, Kinematics
from envs.arm_starts import CUBE_M, lift_start, push_start, reach_start
from envs.base import SimulatedTask, signals, xyz
from robot_orl.errors import UsageError, unknown
from robot_orl.types import Array, Signal, Spec

CONTROL_HZ = 50.0
START_NOISE_RAD = 0.02  # a real arm does not come home to the same tick each time
_OPTIONS = ("randomise", "backlash", "torque_limit", "width", "height", "camera", "cameras")
_CAMERA = {"lookat": (0.11, 0.0, 0.075), "distance": 0.52, "azimuth": 145.0, "elevation": -26.0}


@dataclass(frozen=True)
class _Variant:
    """scene: the model's file.  start: draws the goal [m] and, where there is one, the object's place.

    threshold: success is nearer than this [m].  horizon: steps.
    """

    scene: str
    start: Callable[[np.random.Generator], dict[str, Array]]
    threshold: float
    horizon: int


_VARIANTS = {
    "arm_reach": _Variant("arm_reach.xml", reach_start, threshold=0.02, horizon=100),
    "arm_push": _Variant("arm_cube.xml", push_start, threshold=0.025, horizon=150),
    "arm_lift": _Variant("arm_cube.xml", lift_start, threshold=0.025, horizon=150),
}


def _observation_signals(has_object: bool) -> tuple[Signal, ...]:
    """lead: how far a joint's target is ahead of it, which is what the servo's effort follows."""
    arm = (
        *signals((f"{joint}_pos" for joint in JOINTS), "rad"),
        *signals((f"{joint}_vel" for joint in JOINTS), "rad/s"),
        *signals((f"{joint}_lead" for joint in JOINTS), "rad"),
        *xyz("tool_pos", "m"),
    )
    return (*arm, *xyz("object_pos", "m"), *xyz("object_rel_pos", "m")) if has_object else arm


class ArmTask(SimulatedTask):
    """Bring the tool (reach) or the cube (push, lift) to a goal.

    action: how far the targets of the joints move, 1 is STEP_RAD; see `next_targets`.
    A start is the goal [m], the joints [rad] and where the cube lies, x and y [m], and how,
    w and z of its quaternion.
    Nothing of the cube but its place is observed: that is what a camera can tell a real arm.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012
    joints: tuple[str, ...] = JOINTS

    def __init__(
        self,
        task: str,
        *,
        randomise: float = 0.0,
        backlash: float = 0.0,
        torque_limit: float = 1.0,
        **options: Any,
    ) -> None:
        """Args:
        randomise: each episode draws the servos' gains and friction, the object's mass and friction within
            this share of the model's, [0, 0.9].
        backlash: play of each gear, [0, 0.1] rad; maker's figure for such gears: about 0.006.
        torque_limit: share of the servos' stall torque, as their current limit sets it, [0.1, 1].

        Raises: UsageError: a bad option.
        """
        for name in options:
            if name not in (*_OPTIONS, "render_mode"):
                raise unknown("task option", name, _OPTIONS)
        _check("randomise", randomise, 0.0, 0.9)
        _check("backlash", backlash, 0.0, 0.1)
        _check("torque_limit", torque_limit, 0.1, 1.0)
        self._variant = _VARIANTS[task]
        sim = ArmSimulation(ASSETS / self._variant.scene, 1.0 / CONTROL_HZ, backlash, torque_limit)
        self._randomise = randomise
        self._kinematics = Kinematics(sim.model)
        self.joint_range = self._kinematics.joint_range
        self.home_pose = HOME_POSE.copy()
        if sim.has_object:
            self.movable = {"object_pos": (0, 1)}
        spec = Spec(
            task=task,
            observation={
                "observation": _observation_signals(sim.has_object),
                "achieved_goal": xyz("achieved_pos", "m"),
                "desired_goal": xyz("desired_pos", "m"),
            },
            action=signals((f"{joint}_delta" for joint in JOINTS), "1", -1.0, 1.0),
            control_hz=CONTROL_HZ,
            horizon=self._variant.horizon,
            achieved_goal="achieved_goal",
            desired_goal="desired_goal",
        )
        attributes = {"goal": 3, "factors": len(sim.factors)}
        super().__init__(sim, spec, attributes=attributes, camera_pose=_CAMERA, **options)
        self._target_site = sim.model.site("goal").id

    # SimulatedTask

    def _observation(self, raw: Any) -> dict[str, Array]:
        return self.observation_of(*raw)

    def _is_success(self, obs: dict[str, Array], info: Mapping[str, Any]) -> bool:
        # From the float32 observation, so that `reward_for` on stored data agrees always.
        return bool(self._is_near(obs["achieved_goal"], obs["desired_goal"]))

    def _draw(self, rng: np.random.Generator) -> dict[str, Array]:
        """A start: what the variant draws, then the joints [rad] and, if asked for, the physics."""
        start = self._variant.start(rng)
        start["joint_pos"] = HOME_POSE + rng.uniform(-START_NOISE_RAD, START_NOISE_RAD, len(JOINTS))
        if self._randomise:
            spread = self._randomise * rng.uniform(-1.0, 1.0, len(self._sim.factors))
            start["physics_factors"] = 1.0 + spread
        return start

    def _start_state(self) -> Mapping[str, Array]:
        qpos = self._sim.data.qpos
        start = {"goal": self._sim.goal, "joint_pos": qpos[: len(JOINTS)]}
        if self._sim.has_object:
            start["object_pos"] = qpos[len(JOINTS) :][:2]
            start["object_turn"] = qpos[[-4, -1]]
        if self._randomise:
            start["physics_factors"] = self._sim.factors
        return start

    def _begin(self, seed: int | None, start: Mapping[str, Any] | None) -> Any:
        state = self._draw(self.np_random)
        if start is not None:
            state = self._checked_start(start, {name: value.size for name, value in state.items()})
        self._sim.goal = state["goal"]
        self._sim.factors = state.get("physics_factors", np.ones_like(self._sim.factors))
        pose = None
        if self._sim.has_object:
            w, z = state["object_turn"]
            pose = np.array([*state["object_pos"], CUBE_M, w, 0.0, 0.0, z])
        return self._sim.begin(state["joint_pos"], pose)

    def _is_near(self, achieved: Array, desired: Array) -> Array:
        """Elementwise arithmetic only, so that one goal and a batch of goals round alike."""
        offset = np.asarray(achieved, np.float32).astype(np.float64) - np.asarray(desired, np.float32)
        x, y, z = offset[..., 0], offset[..., 1], offset[..., 2]
        return np.sqrt(x * x + y * y + z * z) < self._variant.threshold

    def reward_for(self, achieved: Array, desired: Array) -> Array:
        """(..., 3), (..., 3) -> (...) float32 in {-1, 0}; exactly as `step` pays."""
        return np.asarray(self._is_near(achieved, desired), np.float32) - np.float32(1.0)

    def _before_render(self) -> None:
        # A site's position is derived and read by the renderer only; mj_forward would change the episode.
        self._sim.data.site_xpos[self._target_site] = self._sim.goal

    # JointTask

    def next_targets(self, action: Array, targets: Array, positions: Array) -> Array:
        """See `envs.arm_model.next_targets`."""
        return next_targets(action, targets, positions, self.joint_range)

    def observation_of(
        self,
        positions: Array,
        velocities: Array,
        targets: Array,
        goal: Array,
        object_position: Array | None = None,
    ) -> dict[str, Array]:
        """What is observed with the joints there, float32 per key; `step` and `reset` observe through it.

        Args: positions, targets: (6,) rad.  velocities: (6,) rad/s.  goal, object_position: (3,) m.
        Raises: UsageError: the task handles an object and `object_position` is None.
        """
        tool = self._kinematics.tool_position(positions)
        parts = [positions, velocities, np.subtract(targets, positions), tool]
        achieved = tool
        if self.movable:
            if object_position is None:
                raise UsageError(f"{self.task_spec.task}: observing it needs the position of its object")
            achieved = np.asarray(object_position)
            parts += [achieved, achieved - tool]
        return {
            "observation": np.concatenate(parts, dtype=np.float32, casting="same_kind"),
            "achieved_goal": achieved.astype(np.float32),
            "desired_goal": np.array(goal, np.float32),
        }

    def tool_position(self, positions: Array) -> Array:
        """(3,) m: where the tool is with the joints at `positions`, (6,) rad."""
        return self._kinematics.tool_position(positions)

    def joint_state(self) -> tuple[Array, Array, Array]:
        """Of the simulation, copies, (6,) each: positions [rad], velocities [rad/s] and targets [rad]."""
        data, arm = self._sim.data, slice(0, len(JOINTS))
        return data.qpos[arm].copy(), data.qvel[arm].copy(), data.ctrl[arm].copy()

    def place(self, obs: Mapping[str, Array]) -> None:
        """Put the arm, its goal and its object where an observation says that they are, to be looked at.

        How the object is turned is not observed: it stays so. Nothing is simulated.
        """
        seen = np.asarray(obs["observation"], np.float64)
        positions, arm = seen[: len(JOINTS)], slice(2 * len(JOINTS), 3 * len(JOINTS))
        self._sim.goal = np.asarray(obs["desired_goal"], np.float64)
        object_position = np.asarray(obs["achieved_goal"], np.float64) if self.movable else None
        self._sim.place(positions, positions + seen[arm], object_position)

    def sample_goal(self, seed: int) -> Array:
        """(3,) m: the goal of the episode that begins with this seed."""
        return self._draw(seeding.np_random(seed)[0])["goal"]


def _check(option: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise UsageError(f"{option}={value!r} is not a number in [{low:g}, {high:g}]")
