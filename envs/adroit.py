"""Adroit door, hammer, pen and relocate: a 24-joint hand, rewarded for the task's own success only.

Source: Rajeswaran et al. 2018, "Learning Complex Dexterous Manipulation with Deep Reinforcement Learning
and Demonstrations"; gymnasium-robotics Sparse ids v1.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mujoco
import numpy as np
from gymnasium_robotics.envs.adroit_hand.adroit_door import AdroitHandDoorEnv
from gymnasium_robotics.envs.adroit_hand.adroit_hammer import AdroitHandHammerEnv
from gymnasium_robotics.envs.adroit_hand.adroit_pen import AdroitHandPenEnv
from gymnasium_robotics.envs.adroit_hand.adroit_relocate import AdroitHandRelocateEnv

from envs.base import START, SimulatedTask, signals, xyz
from robot_orl.types import Array, Signal, Spec


def _joints(model: Any, part: slice) -> tuple[Signal, ...]:
    """Positions of those joints: sliding ones in m, turning ones in rad."""
    slides = mujoco.mjtJoint.mjJNT_SLIDE
    joints = [model.joint(i) for i in range(model.njnt)[part]]
    return tuple(Signal(joint.name, "m" if joint.type[0] == slides else "rad") for joint in joints)


def _object_velocity(limit: float) -> tuple[Signal, ...]:
    return (
        *signals((f"object_vel_{axis}" for axis in "xyz"), "m/s", -limit, limit),
        *signals((f"object_rot_vel_{axis}" for axis in "xyz"), "rad/s", -limit, limit),
    )


def _door(model: Any) -> tuple[Signal, ...]:
    return (
        *_joints(model, slice(1, -2)),
        Signal("latch", "rad"),
        Signal("door_hinge", "rad"),
        *xyz("palm_pos", "m"),
        *xyz("handle_pos", "m"),
        *xyz("palm_minus_handle", "m"),
        Signal("door_is_open", "1", -1.0, 1.0),
    )


def _hammer(model: Any) -> tuple[Signal, ...]:
    return (
        *_joints(model, slice(None, -6)),
        *_object_velocity(limit=1.0),
        *xyz("palm_pos", "m"),
        *xyz("object_pos", "m"),
        *xyz("object_rot", "rad"),
        *xyz("nail_pos", "m"),
        Signal("nail_impact", "N", -1.0, 1.0),
    )


def _pen(model: Any) -> tuple[Signal, ...]:
    return (
        *_joints(model, slice(None, -6)),
        *xyz("object_pos", "m"),
        *_object_velocity(limit=np.inf),
        *xyz("object_axis", "1"),
        *xyz("target_axis", "1"),
        *xyz("object_minus_target", "m"),
        *xyz("object_axis_minus_target", "1"),
    )


def _relocate(model: Any) -> tuple[Signal, ...]:
    return (
        *_joints(model, slice(None, -6)),
        *xyz("palm_minus_object", "m"),
        *xyz("palm_minus_target", "m"),
        *xyz("object_minus_target", "m"),
    )


@dataclass(frozen=True)
class _Variant:
    """simulation: the wrapped class.  observation: its signals, given the model.

    moved: what a reset moves within the model, as (model field, kind of element, its name).
    movable: what is handled, by its name in a start, and which of its coordinates a reset draws.
    attributes: sizes of what the class computes at a reset and uses in every step.
    camera: the default view.
    """

    simulation: Callable[..., Any]
    observation: Callable[[Any], tuple[Signal, ...]]
    moved: tuple[tuple[str, str, str], ...]
    camera: Mapping[str, Any]
    movable: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    attributes: Mapping[str, int] = field(default_factory=dict)
    horizon: int = 200  # steps


_VARIANTS = {
    "adroit_door": _Variant(
        AdroitHandDoorEnv,
        _door,
        moved=(("body_pos", "body", "frame"),),
        movable={"door_body_pos": (0, 1, 2)},
        camera={"lookat": (-0.1, 0.05, 0.25), "distance": 1.1, "azimuth": 65.0, "elevation": -25.0},
    ),
    "adroit_hammer": _Variant(
        AdroitHandHammerEnv,
        _hammer,
        moved=(("body_pos", "body", "nail_board"),),
        movable={"board_pos": (2,)},
        camera={"lookat": (0.0, -0.12, 0.12), "distance": 0.85, "azimuth": 45.0, "elevation": -30.0},
    ),
    "adroit_pen": _Variant(
        AdroitHandPenEnv,
        _pen,
        moved=(("body_quat", "body", "target"),),
        camera={"lookat": (-0.03, -0.2, 0.24), "distance": 0.6, "azimuth": -45.0, "elevation": -35.0},
        attributes={"pen_length": 1, "tar_length": 1},
        horizon=100,
    ),
    "adroit_relocate": _Variant(
        AdroitHandRelocateEnv,
        _relocate,
        moved=(("body_pos", "body", "Object"), ("site_pos", "site", "target")),
        movable={"obj_pos": (0, 1)},
        camera={"lookat": (0.0, 0.0, 0.12), "distance": 1.1, "azimuth": 90.0, "elevation": -30.0},
    ),
}


class AdroitTask(SimulatedTask):
    """Open the door, drive in the nail, turn the pen as shown, or carry the ball to the target.

    action: position targets of the arm's and hand's joints, scaled to their ranges.
    A start is what gymnasium-robotics' `get_env_state` returns.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 100}  # noqa: RUF012

    def __init__(self, task: str, **options: Any) -> None:
        variant = _VARIANTS[task]
        sim = variant.simulation(reward_type="sparse")
        model = sim.model
        actuators = [model.actuator(i).name.removeprefix("A_") for i in range(model.nu)]
        spec = Spec(
            task=task,
            observation={"observation": variant.observation(model)},
            action=signals((f"{name}_target" for name in actuators), "1", -1.0, 1.0),
            control_hz=round(1.0 / sim.dt, 6),
            horizon=variant.horizon,
        )
        self.movable = variant.movable
        views = [getattr(model, name)[getattr(model, kind)(of).id] for name, kind, of in variant.moved]
        super().__init__(
            sim, spec, views=views, attributes=variant.attributes, camera_pose=variant.camera, **options
        )

    def _observation(self, raw: Any) -> dict[str, Array]:
        return {"observation": raw.astype(np.float32)}

    def _is_success(self, obs: dict[str, Array], info: Mapping[str, Any]) -> bool:
        return bool(info["success"])

    def _start_state(self) -> Mapping[str, Array]:
        found = self._sim.get_env_state()  # of some tasks more than a reset takes
        return {name: found[name] for name in self._sim._state_space}

    def _begin(self, seed: int | None, start: Mapping[str, Any] | None) -> Any:
        if start is None:
            return self._sim.reset(seed=seed)[0]
        sizes = {name: space.shape[0] for name, space in self._sim._state_space.items()}
        state = self._checked_start(start, sizes)
        return self._sim.reset(seed=seed, options={START: state})[0]
