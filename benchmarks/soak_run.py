"""One run of a soak: an arm in memory, the real driver, supervisor and loop, and the laws; see soak.py."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from soak_faults import OF_POLICY, OF_SERVO, Fault, Noise, Wanderer, goals_in, planned

import envs  # noqa: F401  registers the tasks
from robot_orl.compose import build
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.dynamixel.config import DynamixelConfig
from robot_orl.deploy.dynamixel.paths import MOVE_HZ
from robot_orl.deploy.loop import run
from robot_orl.deploy.report import DeployReport
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.deploy.supervisor.motion import Box
from robot_orl.deploy.supervisor.stops import StopRequest
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.deploy.virtual.mechanics import KOCH, Mechanics
from robot_orl.deploy.virtual.memory import MemoryLine
from robot_orl.errors import RunError
from robot_orl.tasks import TaskConfig, make_env
from robot_orl.types import Array, RobotObservation

TASK = TaskConfig("arm_reach")
TICK_RAD = 0.0035  # two ticks of an encoder, by which rounding may enlarge a step
HOLD_RAD = 0.1  # an arm that holds is sent to where its joints are, up to what two readings may differ by
LATE_S = 0.015  # how old two readings of the joints are when the goals that follow from them arrive
RANGE_RAD = 0.1  # by which a joint may be outside of its range: `Limits.joint_margin_rad`
STILL_RAD_S = 0.05
SETTLE_S = 1.0  # after a run, within which whatever still holds has come to rest
BOX_M = 2e-3  # six goals, each rounded to a tick of its encoder, at up to 0.4 m from their joints


class Broken(AssertionError):
    """A law that must hold does not."""


def koch(servo_hz: float) -> DynamixelConfig:
    words = ["bundle=none", "robot=koch", "robot.port=memory", f"robot.servo_hz={servo_hz}"]
    cfg: DynamixelConfig = build("deploy", [*words, "robot.reboot=true", "robot.let_go=true"]).robot
    return cfg


class Robot(DynamixelRobot):
    """The driver. ticks: control ticks, each of which is checked.  frozen, blind: observations are old, or
    not finite.  stopped_ns: when it was told to stop."""

    def __init__(self, cfg: DynamixelConfig, world: "World") -> None:
        super().__init__(cfg, TASK, world.line, make_port=world.line.make_port)
        self.spec = replace(self.spec, horizon=1000)
        self.world = world
        self.ticks = 0
        self.frozen = self.blind = False
        self.stopped_ns: int | None = None
        self._last: RobotObservation | None = None

    def observe(self) -> RobotObservation:
        self.ticks += 1
        found = super().observe()
        self.world.check_joints()
        if self.frozen and self._last is not None:
            return self._last
        self._last = found
        if not self.blind:
            return found
        return RobotObservation({key: value * math.nan for key, value in found.obs.items()}, found.t_ns)

    def home(self, seed: int) -> None:
        with self.world.moving():
            super().home(seed)

    def park(self) -> None:
        with self.world.moving():
            super().park()

    def stop(self) -> None:
        self.stopped_ns = self.stopped_ns or self.world.line.now_ns()
        super().stop()


class World:
    """The arm, and the laws. goals: sent by the driver, checked one by one.  holds: of these, those that told
    the arm to stay where it is.  fastest: (J,) rad/s, of joints that their servos hold."""

    def __init__(self, rng: np.random.Generator, servo_hz: float) -> None:
        self.servo_hz = servo_hz
        self._env = make_env(TASK)
        self._env.reset(seed=0)
        task = self._env.unwrapped
        self._task = task
        self.home = np.asarray(task.home_pose)  # type: ignore[attr-defined]
        self._range = np.asarray(task.joint_range)  # type: ignore[attr-defined]
        simulation = task._sim  # type: ignore[attr-defined]
        simulation.model.opt.timestep = 0.0025
        steps = round(1 / servo_hz / 0.0025)
        self.mechanics = Mechanics(simulation.model, simulation.data, KOCH, steps=steps)
        self.noise = Noise(rng, self.look)
        self.line = MemoryLine(self.mechanics, faults=self.noise)
        self.goals = self.holds = 0
        self.broken: list[str] = []
        self.fastest = np.zeros(len(KOCH))
        self._sent: Array | None = None

    @property
    def joints(self) -> Array:
        """(J,) rad: where they really are."""
        return self.mechanics.data.qpos[: len(KOCH)]

    @property
    def speeds(self) -> Array:
        return np.abs(self.mechanics.data.qvel[: len(KOCH)])

    def begin(self, cfg: DynamixelConfig, limits: Limits) -> None:
        """A run begins."""
        fastest = limits.of_joints("max_speed_rad_s", len(KOCH))
        self._steps = {
            False: fastest / self.servo_hz,
            True: np.minimum(fastest, cfg.move_speed_rad_s) / MOVE_HZ,
        }
        self._is_moving = False
        self._box = Box(limits)
        self._sent = None

    @contextmanager
    def moving(self) -> Iterator[None]:
        """While the arm moves by itself, slowly, at a rate of its own."""
        self._is_moving = True
        try:
            yield
        finally:
            self._is_moving = False

    def put_right(self, by_hand: bool) -> None:
        """After a run: what was broken is mended; and by hand the arm is put into its home pose."""
        self.noise.rate, self.noise.babble = 0.0, False
        self.line.arm.mend()
        if not self.line.terminal.is_plugged:
            self.line.terminal.open()
        if by_hand:
            for servo in self.line.arm.bus.servos:
                servo.reboot(self.line.now_ns())
            data = self.mechanics.data
            mujoco.mj_resetData(self.mechanics.model, data)
            data.qpos[: len(KOCH)] = self.home
            mujoco.mj_forward(self.mechanics.model, data)
            self.line.sleep_until(self.line.now_ns() + NS_PER_S)

    # --- laws -----------------------------------------------------------------------------------------

    def look(self, data: bytes) -> None:
        """Every goal on the line: in its range, near the one before or the joint, its tool in the box."""
        found = goals_in(data)
        if found is None:
            return
        sent = self.joints.copy() if self._sent is None else self._sent.copy()
        for servo, goal in found.items():
            self._check_goal(servo - 1, goal, sent[servo - 1])
            sent[servo - 1] = goal
        self._check_tool(sent)
        self._sent = sent

    def _check_goal(self, joint: int, goal: float, before: float) -> None:
        self.goals += 1
        name = KOCH[joint].joint
        low, high = self._range[joint]
        if not low - TICK_RAD <= goal <= high + TICK_RAD:
            self.broken.append(f"{name} was sent to {goal:.3f} rad, outside of {low:.3f} .. {high:.3f}")
        step = abs(goal - before)
        if step <= self._steps[self._is_moving][joint] + TICK_RAD:
            return
        self.holds += 1
        away = abs(goal - self.joints[joint])
        if away > HOLD_RAD + self.speeds[joint] * LATE_S:  # a hand throws joints about
            self.broken.append(
                f"{name} was sent {step:.3f} rad on in a tick, {away:.3f} rad from where it is"
            )

    def _check_tool(self, goals: Array) -> None:
        """No further out of its box than it was, in truth or by the goals before."""
        depth = self._depth(goals)
        if depth > BOX_M and depth > BOX_M + max(self._depth(self.joints), self._depth(self._sent)):
            self.broken.append(f"the tool was sent {depth:.3f} m out of its box")

    def _depth(self, joints: Array | None) -> float:
        task: Any = self._task
        return 0.0 if joints is None else self._box.outside(task.tool_position(joints))

    def check_joints(self) -> None:
        """Where the arm really is."""
        held = np.array([servo.is_on for servo in self.line.arm.bus.servos])
        beyond = np.maximum(self._range[:, 0] - self.joints, self.joints - self._range[:, 1])
        if (beyond[held] > RANGE_RAD).any():
            self.broken.append(f"a joint is {beyond[held].max():.3f} rad outside of its range")
        if held.all():
            self.fastest = np.maximum(self.fastest, self.speeds)

    def check_end(self, report: DeployReport) -> str:
        """How the arm was left: 'parked', 'held' or 'limp', and whether it rests without a hand on it."""
        self.mechanics.hands.clear()
        self.line.sleep_until(self.line.now_ns() + round(SETTLE_S * NS_PER_S))
        servos = self.line.arm.bus.servos
        held = np.array([servo.is_on for servo in servos])
        if report.parked and not held.any():
            return "parked"
        if held.any() and self.speeds[held].max() > STILL_RAD_S:
            joint = int(np.argmax(self.speeds * held))
            self.broken.append(f"{KOCH[joint].joint} moves at {self.speeds[joint]:.2f} rad/s after the end")
        return "held" if held.all() else "limp"


@dataclass(frozen=True)
class Ended:
    """How a run ended. how: recovered (it went on to its end), or stopped, and how the arm was left.

    stop_s: from the last fault to the stop; None where there was none.
    """

    faults: tuple[str, ...]
    how: str
    why: str
    ticks: int
    stop_s: float | None
    connection: Counter[str]


def one_run(world: World, cfg: DynamixelConfig, rng: np.random.Generator, longest_s: float) -> Ended:
    """Raises: Broken: a law does not hold; and whatever escapes from the loop, which must not."""
    duration_s = float(rng.uniform(0.3, 1.0)) * longest_s
    robot = Robot(cfg, world)
    stop = StopRequest()
    policy = Wanderer(rng, robot.spec.action_size, world.line)
    bundle = Bundle(
        Path("wanderer"),
        robot.spec,
        Limits.neutral(),
        TASK.name,
        {},
        policy,
        "none",
        {},  # type: ignore[arg-type]
    )
    faults = planned(rng, duration_s + 4.0, len(KOCH))
    world.begin(cfg, robot.limits)
    begun: list[tuple[str, int]] = []
    is_over = [False]
    for fault in faults:
        act = partial(_begin, fault, world, robot, policy, stop, begun, is_over, rng)
        world.line.arm.later(fault.at_s, act)
    try:
        report = run(
            robot, bundle, duration_s=duration_s, clock=world.line, stop=stop, seed=int(rng.integers(1000))
        )
    except RunError as error:
        is_over[0] = True
        return Ended(tuple(k for k, _ in begun), "refused", str(error), robot.ticks, None, Counter())
    is_over[0] = True
    left = world.check_end(report)
    if world.broken:
        raise Broken(
            f"{'; '.join(world.broken[:3])} ({len(world.broken)} in all), after {begun}: {report.fault}"
        )
    kinds = tuple(kind for kind, _ in begun)
    is_whole = report.fault is None and report.stopped_by == "duration"
    stop_s = None
    if not is_whole and begun and robot.stopped_ns is not None:
        stop_s = max(0.0, (robot.stopped_ns - begun[-1][1]) / NS_PER_S)
    why = report.fault or report.stopped_by
    counts = Counter(report.connection)
    return Ended(
        kinds, "went on" if is_whole and left == "parked" else left, why, robot.ticks, stop_s, counts
    )


def _begin(
    fault: Fault,
    world: World,
    robot: Robot,
    policy: Wanderer,
    stop: StopRequest,
    begun: list[tuple[str, int]],
    is_over: list[bool],
    rng: np.random.Generator,
) -> None:
    """A fault happens, unless the run is over."""
    if is_over[0] or fault.kind == "nothing":
        return
    begun.append((fault.kind, world.line.now_ns()))
    arm, later = world.line.arm, world.line.arm.later
    if fault.kind in (*OF_SERVO, "hang_up"):
        arm.plan(fault.event())
    elif fault.kind in OF_POLICY:
        policy.wrong, policy.late_s = fault.kind, fault.lasts_s
        later(fault.lasts_s, lambda: setattr(policy, "wrong", None))
    elif fault.kind in ("stale_observation", "bad_observation"):
        name = "frozen" if fault.kind == "stale_observation" else "blind"
        setattr(robot, name, True)
        later(fault.lasts_s, lambda: setattr(robot, name, False))
    elif fault.kind == "stall":
        world.line.stall(fault.lasts_s)
    elif fault.kind == "noise":
        world.noise.rate = float(rng.uniform(0.02, 0.5))
        later(fault.lasts_s, lambda: setattr(world.noise, "rate", 0.0))
    elif fault.kind == "babble":
        world.noise.babble = True
        later(fault.lasts_s, lambda: setattr(world.noise, "babble", False))
    elif fault.kind == "hand":
        joint = fault.id - 1
        world.mechanics.hands[joint] = float(world.joints[joint] + rng.uniform(-0.8, 0.8))
        later(fault.lasts_s, lambda: world.mechanics.hands.pop(joint, None))
    elif fault.kind == "interrupt":
        stop.set("a person")
    elif fault.kind == "emergency":
        stop.emergency("a person")
