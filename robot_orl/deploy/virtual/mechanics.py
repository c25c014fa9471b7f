"""The virtual servos' motors and horns in MuJoCo.

A joint's angle and its servo's ticks differ by how somebody screwed the arm together:

    shaft ticks = 2048 + direction * angle / (2 pi / 4096) + offset

The position loop is the model's position actuator, its gain that of register position_p_gain; its damping
`kv` and what brakes the motor stay those of the model. A torque that is asked for directly acts on the joint.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from robot_orl.deploy.dynamixel.registers import CENTRE_TICK, RAD_PER_TICK, XL330_M288, XL430_W250, Model
from robot_orl.deploy.virtual.motion import Shaft
from robot_orl.deploy.virtual.motor import Drive
from robot_orl.errors import UsageError

HAND_STIFFNESS, HAND_DAMPING, HAND_TORQUE = 20.0, 0.5, 3.0  # N m/rad, N m s/rad, N m


@dataclass(frozen=True)
class Mount:
    """A servo in an arm. joint: of the MuJoCo model.  direction: 1 or -1.  offset: ticks."""

    joint: str
    id: int
    model: Model
    direction: int = 1
    offset: int = 0

    def ticks(self, angle: float) -> float:
        return CENTRE_TICK + self.direction * angle / RAD_PER_TICK + self.offset

    def angle(self, ticks: float) -> float:
        return self.direction * (ticks - CENTRE_TICK - self.offset) * RAD_PER_TICK


KOCH = (
    Mount("shoulder_pan", 1, XL430_W250),
    Mount("shoulder_lift", 2, XL430_W250),
    Mount("elbow_flex", 3, XL330_M288),
    Mount("wrist_flex", 4, XL330_M288),
    Mount("wrist_roll", 5, XL330_M288),
    Mount("gripper", 6, XL330_M288),
)


def assembled(mounts: Sequence[Mount], seed: int, largest_offset: int) -> tuple[Mount, ...]:
    """The same servos as another pair of hands would have mounted them: turned, and some mirrored.

    largest_offset: ticks; 0 mounts every servo by the book.
    """
    if not largest_offset:
        return tuple(mounts)
    rng = np.random.default_rng(seed)
    return tuple(
        Mount(
            mount.joint,
            mount.id,
            mount.model,
            direction=int(rng.choice((-1, 1))),
            offset=int(rng.integers(-largest_offset, largest_offset + 1)),
        )
        for mount in mounts
    )


class Mechanics:
    """Joints and position actuators of one name, moved by drives. model, data: are stepped here, by step_s.

    hands: where somebody holds joints [rad], by the number of their mount.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        mounts: Sequence[Mount],
        play: float = 0.0,
        steps: int = 1,
    ) -> None:
        """play: of each gear [rad].  steps: of the model in one `step`, between which the drives stay.

        Raises: UsageError: the model lacks a joint or its actuator.
        """
        self.model, self.data, self.mounts = model, data, tuple(mounts)
        self.hands: dict[int, float] = {}
        self._half_play = play / 2
        for mount in mounts:
            for kind, name in (
                (mujoco.mjtObj.mjOBJ_JOINT, "joint"),
                (mujoco.mjtObj.mjOBJ_ACTUATOR, "actuator"),
            ):
                if mujoco.mj_name2id(model, kind, mount.joint) < 0:
                    raise UsageError(f"the arm's model has no {name} '{mount.joint}'")
        joints = [model.joint(mount.joint).id for mount in mounts]
        self._qpos = [int(model.jnt_qposadr[joint]) for joint in joints]
        self._dof = [int(model.jnt_dofadr[joint]) for joint in joints]
        self._actuator = [int(model.actuator(mount.joint).id) for mount in mounts]
        self._direct = [0.0] * len(self.mounts)  # torque of the motor without a target [N m]
        self._steps = steps
        self.step_s = steps * float(model.opt.timestep)
        self.max_torques = [self._max_torque(number) for number in range(len(self.mounts))]
        model.actuator_ctrllimited[self._actuator] = False  # the servos' own limits hold
        model.actuator_forcelimited[self._actuator] = True

    def shaft(self, number: int) -> Shaft:
        """Of the servo at that place in `mounts`."""
        mount, dof = self.mounts[number], self._dof[number]
        torque = self.data.qfrc_actuator.item(dof) + self._direct[number]
        return Shaft(
            mount.ticks(self.data.qpos.item(self._qpos[number])),
            mount.direction * self.data.qvel.item(dof) / RAD_PER_TICK,
            mount.direction * torque,
        )

    def drive(self, number: int, drive: Drive) -> None:
        """What the motor is asked for from now on."""
        mount, actuator = self.mounts[number], self._actuator[number]
        angle, play = mount.angle(drive.target), self._half_play
        # Within the play of its gear the motor turns without the joint: an error that small moves nothing.
        slack = min(max(angle - self.data.qpos.item(self._qpos[number]), -play), play)
        self.data.ctrl[actuator] = angle - slack
        self._direct[number] = mount.direction * drive.torque
        self.data.qfrc_applied[self._dof[number]] = self._direct[number] + self._hand(number)
        # What seldom changes is compared first: writing to a row costs several times as much.
        if self.model.actuator_forcerange.item(actuator, 1) != drive.torque_limit:
            self.model.actuator_forcerange[actuator] = -drive.torque_limit, drive.torque_limit
        if self.model.actuator_gainprm.item(actuator, 0) != drive.stiffness:
            self.model.actuator_gainprm[actuator, 0] = drive.stiffness
            self.model.actuator_biasprm[actuator, 1] = -drive.stiffness

    def step(self) -> None:
        mujoco.mj_step(self.model, self.data, self._steps)

    def _hand(self, number: int) -> float:
        """Torque of the hand that holds this joint [N m]; it is stronger than the motor, and gives way."""
        if number not in self.hands:
            return 0.0
        error = self.hands[number] - self.data.qpos[self._qpos[number]]
        wanted = HAND_STIFFNESS * error - HAND_DAMPING * self.data.qvel[self._dof[number]]
        return float(np.clip(wanted, -HAND_TORQUE, HAND_TORQUE))

    def _max_torque(self, number: int) -> float:
        """What the model lets the servo give at most, else its stall torque [N m]."""
        actuator = self._actuator[number]
        if self.model.actuator_forcelimited[actuator]:
            return float(self.model.actuator_forcerange[actuator, 1])
        return self.mounts[number].model.stall_torque
