"""What is done beside a virtual arm, see `world.py`: looking, moving it by hand, breaking it."""

from collections.abc import Mapping
from typing import Any

import mujoco

from robot_orl.deploy.virtual.arm import VirtualArm
from robot_orl.deploy.virtual.faults import Event
from robot_orl.deploy.virtual.mechanics import Mechanics
from robot_orl.deploy.virtual.world import Action
from robot_orl.errors import UsageError, unknown

FURTHEST_RAD = 100.0  # a hand that pulls harder would tear the simulation


def actions(arm: VirtualArm) -> dict[str, Action]:
    """Those that every virtual arm has, by name."""

    def hold(request: Mapping[str, Any]) -> Mapping[str, Any]:
        arm.mechanics.hands.update(_grips(arm.mechanics, request.get("joints")))
        return {}

    def let_go(request: Mapping[str, Any]) -> Mapping[str, Any]:
        arm.mechanics.hands.clear()
        return {}

    def fault(request: Mapping[str, Any]) -> Mapping[str, Any]:
        arm.plan(Event.parse(str(request.get("event", ""))))
        return {}

    return {"look": lambda request: look(arm), "hold": hold, "let_go": let_go, "fault": fault}


def look(arm: VirtualArm) -> dict[str, Any]:
    """Where everything is, plain JSON."""
    model, data = arm.mechanics.model, arm.mechanics.data
    mujoco.mj_kinematics(model, data)
    joints = [mount.joint for mount in arm.mechanics.mounts]
    free = [n for n in range(model.njnt) if model.jnt_type[n] == mujoco.mjtJoint.mjJNT_FREE]
    bodies = [model.body(model.jnt_bodyid[n]) for n in free]
    return {
        "time_s": float(data.time),
        "joints": {name: float(data.joint(name).qpos[0]) for name in joints},
        "velocities": {name: float(data.joint(name).qvel[0]) for name in joints},
        "torque_on": {name: s.is_on for name, s in zip(joints, arm.bus.servos, strict=True)},
        "objects": {body.name: data.xpos[body.id].tolist() for body in bodies},
        "sites": {model.site(n).name: data.site_xpos[n].tolist() for n in range(model.nsite)},
    }


def _grips(mechanics: Mechanics, joints: Any) -> dict[int, float]:
    """Angle by the number of a mount. Raises: UsageError: not {"joint": rad, ...}."""
    if not isinstance(joints, dict) or not joints:
        raise UsageError('hold takes joints, such as {"gripper": 0.5}')
    names = [mount.joint for mount in mechanics.mounts]
    for name, angle in joints.items():
        if name not in names:
            raise unknown("joint", name, names)
        if isinstance(angle, bool) or not isinstance(angle, (int, float)) or not abs(angle) <= FURTHEST_RAD:
            raise UsageError(f"{name}={angle!r} is no angle up to {FURTHEST_RAD:g} rad")
    return {names.index(name): float(angle) for name, angle in joints.items()}
