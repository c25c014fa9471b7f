"""From hands to the task's actions: speeds of a tool, or joints, always from where the robot is.

    Jog --dead zone, frame, greatest speed, ramp--> velocity of the tool [m/s, rad/s] --> action

Hands that take over move the robot from where it is, and hands that let go let it come to rest: only speeds
are passed on, and these change gradually, so that nothing jumps. Who takes over from a policy goes on from
the action that it sent last.
"""

from typing import Any, Protocol, cast

import gymnasium
import mujoco
import numpy as np

from data_collection.teleop.hands import Jog
from data_collection.teleop.leading import LeaderSteering
from data_collection.teleop.ramp import Ramp, as_action
from data_collection.teleop.settings import AXES, PersonConfig
from robot_orl.deploy.robots.joint_task import JointTask, joint_task
from robot_orl.errors import UsageError
from robot_orl.tasks import spec_of
from robot_orl.types import Array, Observation, Spec

TOOL_SITES = ("tool", "robot0:grip")  # x: where the fingers point, y: to the left of that
# An action of 1 asks for 5 cm a step, but the weld that drags Fetch's gripper makes 65 % of it (measured,
# at every speed): speeds here are those that are reached.
FETCH_STEP_M = 0.05 * 0.65
DAMPING = 0.01  # [m] of the inverse kinematics: bounds joint speeds where the arm is stretched
UNLIKE_SLOWER = 4  # exponent on the cosine between what is asked for and what can be had
TURN_M = 0.1  # how much a turn of a radian counts beside a way in metres


class Steering(Protocol):
    """How hands act in one task."""

    def begin(self) -> None:
        """An episode begins, at rest, with whatever the gripper does there."""

    def take_over(self, action: Array) -> None:
        """Hands are laid on while somebody else acts. action: (A,) in [-1, 1], executed last."""

    def action(self, jog: Jog | None, obs: Observation) -> Array:
        """(A,) float32 in [-1, 1]. jog: None: nobody acts, and the robot comes to rest where it is."""


def tool_of(env: gymnasium.Env[Any, Any]) -> str | None:
    """The site of the task's model that hands move; None: it has joints only."""
    model = getattr(env.unwrapped, "model", None)
    if model is None:
        return None
    names = {model.site(i).name for i in range(model.nsite)}
    return next((name for name in TOOL_SITES if name in names), None)


def turns_of(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """The turns of its tool that hands can ask for, of roll, pitch and yaw."""
    return ("roll", "pitch") if _is_arm(spec_of(env)) and tool_of(env) else ()


def steering_of(env: gymnasium.Env[Any, Any], cfg: PersonConfig) -> Steering:
    """How hands act in this task. Raises: UsageError: nobody knows."""
    if cfg.moves_joints:
        return LeaderSteering(env, cfg)
    spec = spec_of(env)
    if spec.action[0].name == "grip_delta_x" and tool_of(env):
        return GripperSteering(env, cfg)
    if _is_arm(spec) and tool_of(env):
        return ArmSteering(env, cfg)
    if hasattr(env.unwrapped, "model") and all(signal.name.endswith("_target") for signal in spec.action):
        return JointSteering(env, cfg)
    raise UsageError(f"nobody knows how hands would steer task '{spec.task}'")


def _is_arm(spec: Spec) -> bool:
    return all(signal.name.endswith("_delta") for signal in spec.action)


class GripperSteering:
    """Fetch: the gripper's displacement in the world, and its fingers."""

    def __init__(self, env: gymnasium.Env[Any, Any], cfg: PersonConfig) -> None:
        self._spec = spec_of(env)
        self._motion = Motion(env, cfg)
        self._joints = Ramp(1.0, cfg.ramp_s, self._spec.control_hz)
        self.begin()

    def begin(self) -> None:
        self._motion.begin()
        self._joints.begin(np.zeros(self._spec.action_size))

    def take_over(self, action: Array) -> None:
        """The fingers go on with the very number, until the hands say open or shut: they have not yet."""
        self._motion.begin(np.asarray(action[:3]) * FETCH_STEP_M * self._spec.control_hz, action[3])
        self._joints.begin(action)

    def action(self, jog: Jog | None, obs: Observation) -> Array:
        linear, _ = self._motion.velocity(jog)
        step = within(linear / self._spec.control_hz / FETCH_STEP_M, 1.0)
        return as_action(self._joints.towards(np.array([*step, self._motion.gripper])))


class ArmSteering:
    """A Koch-class arm: damped least squares on the Jacobian at the joints' targets.

    Of six directions its five joints have five: where the tool is, its roll (about where it points) and its
    pitch (about the axis of its elbow), which hands turn whatever the frame is. What they do not turn stays.
    A joint at the end of its range is left out; where the arm cannot go as it is asked to, it slows down.
    Source: Buss 2004, "Introduction to Inverse Kinematics", eq. 11.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], cfg: PersonConfig) -> None:
        spec = self._spec = spec_of(env)
        task: Any = env.unwrapped
        arm: JointTask = joint_task(env, "of a person", sees_object=True)
        home = np.asarray(arm.home_pose, np.float64)
        self._step_rad = arm.next_targets(np.ones_like(home), home, home) - home  # of action 1
        self._range, self._gripper_rad_s = arm.joint_range, cfg.speed_rad_s
        self._model, self._data = task.model, mujoco.MjData(task.model)
        self._tool = task.model.site(tool_of(env)).id
        self._elbow = task.model.joint(arm.joints[2]).id
        names = [signal.name for signal in spec.observation["observation"]]
        self._positions = [names.index(f"{joint}_pos") for joint in arm.joints]
        self._leads = [names.index(f"{joint}_lead") for joint in arm.joints]
        self._motion = Motion(env, cfg)
        self._joints = Ramp(1.0, cfg.ramp_s, spec.control_hz)
        self.begin()

    def begin(self) -> None:
        self._motion.begin()
        self._joints.begin(np.zeros(self._spec.action_size))

    def take_over(self, action: Array) -> None:
        """The joints go over from their speeds to the hands'; the gripper keeps its target."""
        self._motion.begin()
        self._joints.begin(action)

    def action(self, jog: Jog | None, obs: Observation) -> Array:
        linear, angular = self._motion.velocity(jog)
        seen = np.asarray(obs["observation"], np.float64)
        targets = seen[self._positions] + seen[self._leads]
        speeds = self._joint_speeds(targets, linear, angular[:2])
        joints = np.array([*speeds, self._motion.gripper * self._gripper_rad_s])
        step = within_each(joints / self._spec.control_hz / self._step_rad)
        return as_action(self._joints.towards(step))

    def _joint_speeds(self, targets: Array, linear: Array, turning: Array) -> Array:
        """(6,) rad, (3,) m/s, roll and pitch (2,) rad/s -> (5,) rad/s of all joints but the gripper."""
        if not linear.any() and not turning.any():
            return np.zeros(len(targets) - 1)
        arm, model, data = len(targets) - 1, self._model, self._data
        data.qpos[: len(targets)] = targets
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        moves, turns = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacSite(model, data, moves, turns, self._tool)
        rolling = np.eye(arm)[arm - 1]
        pitching = data.xaxis[self._elbow] @ turns[:, :arm]
        jacobian = np.stack([*moves[:, :arm], TURN_M * rolling, TURN_M * pitching])  # (5, 5)
        wanted = np.concatenate([linear, TURN_M * turning])
        free = np.ones(arm, bool)
        for _ in range(2):  # once more without those that would leave their range
            used = jacobian * free
            speeds = used.T @ np.linalg.solve(used @ used.T + DAMPING**2 * np.eye(len(used)), wanted)
            ahead = targets[:arm] + speeds / self._spec.control_hz
            free &= (self._range[:arm, 0] <= ahead) & (ahead <= self._range[:arm, 1])
        reached = jacobian @ speeds
        alike = reached @ wanted / max(float(np.linalg.norm(reached) * np.linalg.norm(wanted)), 1e-9)
        return np.asarray(speeds * max(alike, 0.0) ** UNLIKE_SLOWER)


class JointSteering:
    """Position targets of joints, as of a hand: each moves towards where it is wanted, with limited speed."""

    def __init__(self, env: gymnasium.Env[Any, Any], cfg: PersonConfig) -> None:
        task: Any = env.unwrapped
        model, self._data = task.model, task.data
        slides = model.jnt_type[model.actuator_trnid[:, 0]] == mujoco.mjtJoint.mjJNT_SLIDE
        self._middle = model.actuator_ctrlrange.mean(axis=1)
        self._half = np.diff(model.actuator_ctrlrange, axis=1)[:, 0] / 2
        fastest = np.where(slides, cfg.speed_m_s, cfg.speed_rad_s)
        self._most = fastest / self._half / spec_of(env).control_hz  # of change, per tick
        self.begin()

    def begin(self) -> None:
        """The targets are where the joints are."""
        self._action = np.clip((self._data.actuator_length - self._middle) / self._half, -1.0, 1.0)

    def take_over(self, action: Array) -> None:
        self._action = np.array(action, np.float64)

    def action(self, jog: Jog | None, obs: Observation) -> Array:
        if (joints := joints_of(jog)) is not None:
            self._action += np.clip(joints - self._action, -self._most, self._most)
        return as_action(self._action)


class Motion:
    """Jogs as velocities of the tool in the world's axes, ramped; and what the gripper was told last."""

    def __init__(self, env: gymnasium.Env[Any, Any], cfg: PersonConfig) -> None:
        self._task = cast(Any, env.unwrapped)
        self._tool = self._task.model.site(tool_of(env)).id
        self._frame, self._dead_zone = cfg.frame, cfg.dead_zone
        self._standing = standing_axes(env, cfg.frame)
        self._signs = np.array([-1.0 if axis in cfg.flip else 1.0 for axis in AXES])
        self._speed_m_s, self._speed_rad_s = cfg.speed_m_s, cfg.speed_rad_s
        hz = spec_of(env).control_hz
        self._linear = Ramp(cfg.speed_m_s, cfg.ramp_s, hz)
        self._angular = Ramp(cfg.speed_rad_s, cfg.ramp_s, hz)
        self.begin()

    def begin(self, linear: Array | None = None, gripper: float = 0.0) -> None:
        """linear: (3,) m/s in the world's axes at which the tool moves; None: at rest.

        gripper: in [-1, 1], as it goes on until a jog says otherwise.
        """
        self.gripper = float(gripper)
        self._linear.begin(np.zeros(3) if linear is None else within(linear, self._speed_m_s))
        self._angular.begin(np.zeros(3))

    def velocity(self, jog: Jog | None) -> tuple[Array, Array]:
        """(3,) m/s in the world's axes, and (3,) rad/s as asked for."""
        if jog is None:
            return self._linear.towards(np.zeros(3)), self._angular.towards(np.zeros(3))
        if jog.gripper:
            self.gripper = float(np.sign(jog.gripper))
        linear = live(jog.linear * self._signs[:3], self._dead_zone) * self._speed_m_s
        angular = live(jog.angular * self._signs[3:], self._dead_zone) * self._speed_rad_s
        return self._linear.towards(self._axes() @ linear), self._angular.towards(angular)

    def _axes(self) -> Array:
        """(3, 3): forward, left and up of the chosen frame, as columns, in the world's axes."""
        if self._frame == "tool":
            return np.asarray(self._task.data.site_xmat[self._tool].reshape(3, 3))
        return self._standing


def standing_axes(env: gymnasium.Env[Any, Any], frame: str) -> Array:
    """(3, 3): forward, left and up of who stands behind the robot's base, or behind the camera ('camera')."""
    view = getattr(env.unwrapped, "view", {})
    turn = np.deg2rad(view.get("azimuth", 0.0)) if frame == "camera" else 0.0
    cos, sin = np.cos(turn), np.sin(turn)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def joints_of(jog: Jog | None) -> Array | None:
    """What the action's signals are to become, (A,) in [-1, 1]; None: hands do not say, or not in numbers."""
    if jog is None or jog.joints is None or not np.isfinite(jog.joints).all():
        return None
    return np.clip(np.asarray(jog.joints, np.float64), -1.0, 1.0)


def live(share: Array, dead_zone: float) -> Array:
    """(3,) without what is too short to be meant; longer than 1 (two keys at once) becomes 1."""
    length = float(np.linalg.norm(share))
    if not length > dead_zone:  # NaN too
        return np.zeros(3)
    return np.asarray(share) * (min(1.0, (length - dead_zone) / (1.0 - dead_zone)) / length)


def within(vector: Array, longest: float) -> Array:
    """The vector, shortened to that length."""
    length = float(np.linalg.norm(vector))
    return vector if length <= longest else vector * (longest / length)


def within_each(values: Array) -> Array:
    """All values by one factor, so that the greatest is 1 at most: the direction stays."""
    greatest = float(np.abs(values).max())
    return values if greatest <= 1.0 else values / greatest
