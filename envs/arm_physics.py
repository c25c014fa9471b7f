"""The arm in MuJoCo: where its tool is, and servos that follow their targets in a physics that may vary."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from envs.arm_model import JOINTS, next_targets
from robot_orl.types import Array

_ARM = slice(0, len(JOINTS))  # its joints and actuators are the first of the model
_SIZES = ("extent", "center", "meansize", "meanmass")  # of mjStatistic; a file may set them


class Kinematics:
    """Where the tool is, given the joints' positions; works on its own copy of the simulator's data."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Args: model: any that begins with the arm: its joints come first."""
        names = tuple(model.joint(i).name for i in range(len(JOINTS)))
        assert names == JOINTS, names
        self._model, self._data = model, mujoco.MjData(model)
        self._tool = model.site("tool").id
        self.joint_range: Array = model.jnt_range[: len(JOINTS)].copy()
        """(6, 2) rad."""

    def tool_position(self, positions: Array) -> Array:
        """(3,) m, midway between the fingertips, for joints at `positions` (6,) rad."""
        self._data.qpos[: len(JOINTS)] = positions
        mujoco.mj_kinematics(self._model, self._data)
        position: Array = self._data.site_xpos[self._tool].copy()
        return position


class ArmSimulation:
    """Steps a scene that begins with the arm, behind the few methods that `SimulatedTask` calls.

    scene: its file.  goal: (3,) m.  factors: what the physics of the episode is multiplied by, see `factors`.
    The servos' targets are data.ctrl, so that they are part of MuJoCo's own state.
    """

    def __init__(self, scene: Path, step_s: float, backlash: float, torque_limit: float) -> None:
        """Args: step_s: time between two actions [s].  backlash: play of each gear [rad].
        torque_limit: share of the servos' stall torque.
        """
        self.scene = scene
        self.model = mujoco.MjModel.from_xml_path(str(scene))
        self.model.actuator_forcerange *= torque_limit
        self.data = mujoco.MjData(self.model)
        self.goal = np.zeros(3)
        self.has_object = self.model.nq > len(JOINTS)
        self._substeps = round(step_s / self.model.opt.timestep)
        self._half_play = 0.5 * backlash
        self._joint_range = self.model.jnt_range[_ARM].copy()
        self._scratch = mujoco.MjData(self.model)
        self._nominal = {name: getattr(self.model, name).copy() for name in self._randomised()}
        self._factors = np.ones(2 * len(JOINTS) + 2 * self.has_object)

    def _randomised(self) -> tuple[str, ...]:
        servos = ("actuator_gainprm", "actuator_biasprm", "dof_damping", "dof_frictionloss")
        return (*servos, "body_mass", "body_inertia", "geom_friction")

    @property
    def factors(self) -> Array:
        """(12,) of the servos' position gains and of their friction and damping; where there is an object,
        (14,): also of its mass and its friction. All 1: the model as it is in the file."""
        return self._factors

    @factors.setter
    def factors(self, values: Array) -> None:
        if np.array_equal(values, self._factors):
            return
        self._factors = np.array(values, np.float64)
        gain, friction, thing = np.split(self._factors, [len(JOINTS), 2 * len(JOINTS)])
        model = self.model
        for name, nominal in self._nominal.items():
            getattr(model, name)[:] = nominal
        model.actuator_gainprm[:, 0] *= gain
        model.actuator_biasprm[:, 1] *= gain  # the spring pulls back as it pulls forth
        model.dof_damping[_ARM] *= friction
        model.dof_frictionloss[_ARM] *= friction
        if self.has_object:
            cube = model.body("cube").id
            model.body_mass[cube] *= thing[0]
            model.body_inertia[cube] *= thing[0]
            model.geom_friction[model.geom("cube").id] *= thing[1]
            self._derive_constants()

    def _derive_constants(self) -> None:
        """What MuJoCo derives from masses; not the sizes of the scene, by which its cameras are placed."""
        stat = self.model.stat
        sizes = {name: np.copy(getattr(stat, name)) for name in _SIZES}
        mujoco.mj_setConst(self.model, self._scratch)
        for name, size in sizes.items():
            setattr(stat, name, size)

    def begin(self, joints: Array, object_pose: Array | None) -> Any:
        """Rest at `joints` (6,) rad with the object at `object_pose` (7,) m and quaternion; returns `raw`."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[_ARM] = joints
        self.data.ctrl[:] = joints
        if object_pose is not None:
            self.data.qpos[len(JOINTS) :] = object_pose
        mujoco.mj_forward(self.model, self.data)
        return self.raw()

    def step(self, action: Array) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One control period after `action` (6,); only the first of what Gymnasium's API returns is used."""
        model, data = self.model, self.data
        targets = next_targets(action, data.ctrl, data.qpos[_ARM], self._joint_range)
        data.ctrl[:] = targets
        if self._half_play:
            self._step_with_play(targets)
        else:
            mujoco.mj_step(model, data, self._substeps)
        return self.raw(), 0.0, False, False, {}

    def _step_with_play(self, targets: Array) -> None:
        """Within the play of its gear a motor turns without its joint: an error that small moves nothing."""
        data = self.data
        for _ in range(self._substeps):
            error = targets - data.qpos[_ARM]
            data.ctrl[:] = targets - np.clip(error, -self._half_play, self._half_play)
            mujoco.mj_step(self.model, data)
        data.ctrl[:] = targets

    def place(self, joints: Array, targets: Array, object_position: Array | None) -> None:
        """Put the joints and their targets, (6,) rad, and the object, (3,) m, there; nothing is simulated."""
        self.data.qpos[_ARM] = joints
        self.data.ctrl[:] = targets
        if object_position is not None:
            at = len(JOINTS)
            self.data.qpos[at : at + 3] = object_position
        mujoco.mj_kinematics(self.model, self.data)

    def raw(self) -> Any:
        """Joint positions, velocities and targets, goal, and the object's position or None: all of now."""
        joints = self.data.qpos[_ARM], self.data.qvel[_ARM], self.data.ctrl
        at = len(JOINTS)
        return (*joints, self.goal, self.data.qpos[at : at + 3] if self.has_object else None)
