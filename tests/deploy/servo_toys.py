"""An arm of virtual servos at a real serial port, without physics: a hand moves it, or its motors do at once.

The bytes go through a pseudo-terminal and the maker's SDK. Time is the test's: `FakeClock` is shared by the
driver and the servos, so that a slow move takes as long as its packets and watchdogs trip when told to.
"""

import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from deploy_toys import FakeClock

from robot_orl.deploy.dynamixel.config import DynamixelConfig, ServoConfig
from robot_orl.deploy.dynamixel.registers import XL330_M288, XL430_W250
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.sensors.object_pose import ObjectReading
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.faults import FaultsConfig, LineFaults
from robot_orl.deploy.virtual.mechanics import Mount
from robot_orl.deploy.virtual.motion import Shaft
from robot_orl.deploy.virtual.port import PseudoTerminal
from robot_orl.deploy.virtual.servo import VirtualServo
from robot_orl.tasks import TaskConfig
from robot_orl.types import Array, Signal, Spec

JOINTS = ("pan", "lift", "gripper")
HOME = np.array([0.0, -0.5, 0.4])
STEP = 0.05  # rad of action 1
TASK = "toy_joints"
TICK_NS = 20_000_000
ZERO = np.zeros(3, np.float32)
Answer = Callable[[bytes], tuple[bytes, int]]


class ToyJoints(gymnasium.Env):
    """A JointTask of three joints whose tool is at (pan, lift, gripper)."""

    joints = JOINTS
    home_pose = HOME
    joint_range = np.array([[-1.5, 1.5], [-1.2, 1.2], [0.0, 1.5]])
    needs_object = False

    def __init__(self, needs_object: bool = False, **_: Any) -> None:
        self.needs_object = needs_object
        one = tuple(Signal(name, "rad") for name in JOINTS)
        self.task_spec = Spec(
            TASK,
            {"joints": one, "speed": one, "lead": one, "tool": one, "goal": one},
            tuple(Signal(f"{name}_delta", low=-1, high=1) for name in JOINTS),
            50.0,
            20,
            "tool",
            "goal",
        )
        self.observation_space = self.action_space = gymnasium.spaces.Box(-1, 1, (3,))

    def next_targets(self, action: Array, targets: Array, positions: Array) -> Array:
        return np.clip(targets + np.asarray(action, float) * STEP, *self.joint_range.T)

    def observation_of(
        self,
        positions: Array,
        velocities: Array,
        targets: Array,
        goal: Array,
        object_position: Array | None = None,
    ) -> dict[str, Array]:
        if self.needs_object and object_position is None:
            from robot_orl.errors import UsageError

            raise UsageError("needs an object")
        parts = {"joints": positions, "speed": velocities, "lead": targets - positions, "tool": positions}
        if object_position is not None:
            parts["tool"] = object_position
        return {name: np.float32(value) for name, value in {**parts, "goal": goal}.items()}

    def tool_position(self, positions: Array) -> Array:
        return np.asarray(positions)

    def sample_goal(self, seed: int) -> Array:
        return np.array([0.1 * seed, -0.5, 0.4])

    def reward_for(self, achieved: Array, desired: Array) -> Array:
        return np.float32(np.abs(achieved - desired).max(-1) < 0.05) - np.float32(1)

    def get_sim_state(self) -> Array:
        return np.zeros(1)

    def set_sim_state(self, state: Array) -> dict[str, Array]:
        return {}


gymnasium.register(TASK, entry_point=ToyJoints, disable_env_checker=True)


class ScriptedFaults(LineFaults):
    """What a test says happens to the next answers, one after the other; then nothing."""

    def __init__(self) -> None:
        super().__init__(FaultsConfig())
        self.next_answers: deque[Answer] = deque()
        self.next_questions: deque[Callable[[bytes], bytes]] = deque()

    def sent(self, data: bytes) -> bytes:
        return self.next_questions.popleft()(data) if self.next_questions else data

    def answered(self, data: bytes) -> tuple[bytes, int]:
        return self.next_answers.popleft()(data) if self.next_answers else (data, 0)


def as_is(data: bytes) -> tuple[bytes, int]:
    return data, 0


def dropped(data: bytes) -> tuple[bytes, int]:
    return b"", 0


def corrupt(data: bytes) -> tuple[bytes, int]:
    return data[:12] + bytes([data[12] ^ 0x04]) + data[13:], 0


class ServoBench:
    """Three servos on a line. angles: where the joints are [rad], as a hand puts them.

    goals: every goal position that reached a servo whose torque was on, per joint.
    blocked: joints that do not follow.  babble: half a header, again and again without end.
    """

    def __init__(
        self,
        link: Path,
        clock: FakeClock,
        mounts: tuple[Mount, ...] | None = None,
        angles: tuple[float, ...] = (0.2, -0.2, 0.6),
    ) -> None:
        models = (XL430_W250, XL330_M288, XL330_M288)
        self.clock = clock
        self.mounts = mounts or tuple(
            Mount(name, number + 1, model)
            for number, (name, model) in enumerate(zip(JOINTS, models, strict=True))
        )
        self.angles = np.array(angles)
        self.faults = ScriptedFaults()
        self.blocked: set[str] = set()
        self.babble = False
        self.goals: dict[str, list[float]] = {mount.joint: [] for mount in self.mounts}
        self.servos = [
            VirtualServo(m.model, {"id": m.id, "baud_rate": 3}, Shaft(m.ticks(angle)), clock.now_ns())
            for m, angle in zip(self.mounts, self.angles, strict=True)
        ]
        self.bus = VirtualBus(self.servos, self.faults, has_wire_time=False)
        self.port = PseudoTerminal(link)
        self.lock = threading.RLock()
        self._last_ns = clock.now_ns()
        self._is_over = False
        self._wanted: deque[Callable[[], object]] = deque()

    @contextmanager
    def running(self) -> Iterator["ServoBench"]:
        self.port.open()
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._is_over = True
            thread.join()
            self.port.close()

    def unplug(self) -> None:
        self._do(self.port.unplug)

    def plug(self) -> None:
        self._do(self.port.open)

    def _do(self, action: Callable[[], None]) -> None:
        """In the thread that waits at the port."""
        is_done = threading.Event()
        self._wanted.append(lambda: (action(), is_done.set()))
        assert is_done.wait(5)

    def turn(self) -> None:
        """Let the servos notice what time it is."""
        with self.lock:
            now_ns = self.clock.now_ns()
            dt = (now_ns - self._last_ns) / 1e9
            self._last_ns = now_ns
            for number, (mount, servo) in enumerate(zip(self.mounts, self.servos, strict=True)):
                drive = servo.tick(Shaft(mount.ticks(self.angles[number])), now_ns, dt)
                if drive.torque_limit:
                    goal = mount.angle(drive.target)
                    seen = self.goals[mount.joint]
                    if not seen or seen[-1] != goal:
                        seen.append(goal)
                    if mount.joint not in self.blocked:
                        self.angles[number] = goal

    def table(self, joint: str) -> Any:
        return self.servos[[mount.joint for mount in self.mounts].index(joint)].table

    def is_limp(self) -> list[bool]:
        with self.lock:
            return [not servo.is_on for servo in self.servos]

    def _serve(self) -> None:
        while not self._is_over:
            descriptor = self.port.fileno()
            select.select(
                [] if descriptor is None else [descriptor], [], [], 0.0005 if self.babble else 0.005
            )
            while self._wanted:
                self._wanted.popleft()()
            with self.lock:
                if data := self.port.read():
                    self.bus.receive(data, self.clock.now_ns())
                    self.port.write(self.bus.poll(self.clock.now_ns()))
                self.turn()
                self.port.write(self.bus.poll(self.clock.now_ns()))
                if self.babble:
                    self.port.write(64 * b"\xff\xff\xfd\x00")


def toy_config(port: Path, **changes: Any) -> DynamixelConfig:
    servos = {
        "pan": ServoConfig(1, "XL430-W250", p_gain=800, d_gain=4000, profile_speed_rad_s=6.0),
        "lift": ServoConfig(2, mode="current_based_position", current_limit_a=1.2, p_gain=900),
        "gripper": ServoConfig(3, mode="current_based_position", current_limit_a=0.5, p_gain=700),
    }
    values = {"arm": "toy", "port": str(port), "servos": servos, "reply_s": 0.05, "health_every": 4}
    values["move_speed_rad_s"] = 3.0
    rest = {"pan": 0.3, "lift": -1.1, "gripper": 0.2}
    return DynamixelConfig(**{**values, "rest_pose": rest, **changes})


def toy_robot(bench: ServoBench, **changes: Any) -> DynamixelRobot:
    return DynamixelRobot(toy_config(bench.port.link, **changes), TaskConfig(TASK), bench.clock)


def homed(bench: ServoBench) -> Iterator[DynamixelRobot]:
    """Connected and homed; for fixtures, which close what is left open."""
    robot = toy_robot(bench)
    robot.connect()
    robot.home(0)
    yield robot
    if robot._arm is not None:
        robot._arm.close()


def pass_time(robot: DynamixelRobot, bench: ServoBench, time_ns: int = TICK_NS) -> None:
    """After all that was sent has arrived, which an answer behind it shows."""
    robot._arm._bus.ping(1)
    bench.clock.time_ns += time_ns
    bench.turn()
    bench.turn()  # a servo reports where its shaft was before it drove


def tick(robot: DynamixelRobot, bench: ServoBench, action: np.ndarray = ZERO) -> None:
    """As the loop does: observe, act; then the time of a tick passes."""
    robot.observe()
    robot.send(action)
    pass_time(robot, bench)


def observe_for_a_while(robot: DynamixelRobot, ticks: int = 5) -> None:
    for _ in range(ticks):
        robot.observe()


class Eye:
    """Sees an object at (0.1, 0.2, 0.3) whenever it is told to look."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.is_open = clock, False
        self.look()

    def look(self) -> None:
        pose = np.eye(4)
        pose[:3, 3] = 0.1, 0.2, 0.3
        self.seen = ObjectReading(pose[:3, 3], pose, self.clock.now_ns(), 0.1, False)

    def start(self) -> None:
        self.is_open = True

    def wait(self) -> ObjectReading:
        return self.seen

    def read(self) -> ObjectReading:
        return self.seen

    def close(self) -> None:
        self.is_open = False
