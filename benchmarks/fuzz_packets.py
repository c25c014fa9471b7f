"""A million packets that no servo would send, into the driver of an arm that moves.

    python benchmarks/fuzz_packets.py --packets 1000000 --out benchmarks/results/soak

The real driver, the maker's SDK and the supervisor, with virtual servos on a line in memory, whose joints
simply follow; a share of all answers, another one in each session, is changed on its way (fuzz_kinds.py):
bytes changed, added, cut off; noise; sound packets with wrong ids, lengths, contents; stuffing that is none.
The driver connects, homes, moves, stops and parks meanwhile. The laws:

    what escapes     is the driver's own error, of one line
    every goal       is in its joint's range; and no further from the one before than the speed limit allows
                     or near where the joint really is (the arm was told to hold)
    torque goes off  only in the rest pose
    settings         written to servos are those of the configuration, whatever was read
    time             every call ends, in the arm's time and in that of the computer
"""

import argparse
import json
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from fuzz_kinds import Fuzzer

import envs  # noqa: F401  registers the tasks
from robot_orl.compose import build
from robot_orl.deploy.dynamixel.config import DynamixelConfig
from robot_orl.deploy.dynamixel.paths import MOVE_HZ
from robot_orl.deploy.dynamixel.registers import RAD_PER_TICK
from robot_orl.deploy.dynamixel.setup import wanted
from robot_orl.deploy.robots.dynamixel import DynamixelRobot
from robot_orl.deploy.supervisor.states import Event, State
from robot_orl.deploy.supervisor.supervisor import Supervisor
from robot_orl.deploy.timing import NS_PER_S
from robot_orl.deploy.virtual.faults import FaultsConfig, LineFaults
from robot_orl.deploy.virtual.mechanics import KOCH
from robot_orl.deploy.virtual.memory import MemoryLine
from robot_orl.deploy.virtual.motion import Shaft
from robot_orl.deploy.virtual.motor import Drive
from robot_orl.deploy.virtual.packets import Instruction, Packet, Parser
from robot_orl.errors import RobotOrlError
from robot_orl.tasks import TaskConfig
from robot_orl.types import Array

TASK = TaskConfig("arm_reach")
PART_PACKETS = 20_000
TICK_RAD = 0.0035  # two ticks of an encoder
HOLD_RAD = 0.15  # two readings agree within 0.1 rad, and one of them is true
FOLLOW_S, FASTEST_RAD_S = 0.04, 6.0  # of the joints
CALL_S = 3.0  # of the arm's time, for one observation or command
MOVE_S = 120.0  # to connect, home or park
COMPUTER_S = 60.0  # of the processor's time, for any of them


class Broken(AssertionError):
    """A law that must hold does not."""


class Vetoed(RobotOrlError):
    """The supervisor lets nothing be sent any more."""


class Joints:
    """In place of MuJoCo: each follows its servo's target, no faster than a servo turns; limp, it stays."""

    mounts = KOCH
    step_s = 0.01

    def __init__(self, angles: Array) -> None:
        self.angles = np.array(angles, float)
        self.speeds = np.zeros(len(KOCH))
        self.hands: dict[int, float] = {}
        self.max_torques = [mount.model.stall_torque for mount in KOCH]
        self._targets: list[float | None] = [None] * len(KOCH)

    def shaft(self, number: int) -> Shaft:
        ticks = self.mounts[number].ticks(float(self.angles[number]))
        return Shaft(ticks, float(self.speeds[number]) / RAD_PER_TICK)

    def drive(self, number: int, drive: Drive) -> None:
        self._targets[number] = self.mounts[number].angle(drive.target) if drive.torque_limit else None

    def step(self) -> None:
        for number, target in enumerate(self._targets):
            speed = 0.0 if target is None else (target - float(self.angles[number])) / FOLLOW_S
            self.speeds[number] = min(max(speed, -FASTEST_RAD_S), FASTEST_RAD_S)
        self.angles += self.speeds * self.step_s


@dataclass
class Part:
    """Of one seed. calls: by what was called and how it ended."""

    seed: int
    packets: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    bus: dict[str, int] = field(default_factory=dict)
    goals: int = 0
    holds: int = 0
    cpu_s: float = 0.0


class Line(LineFaults):
    """What is sent is checked, what is answered is fuzzed."""

    def __init__(self, fuzz: Fuzzer) -> None:
        super().__init__(FaultsConfig())
        self.fuzz = fuzz
        self.look: Callable[[Packet], None] = lambda packet: None
        self._parser = Parser()

    def sent(self, data: bytes) -> bytes:
        for packet in self._parser.feed(data, 0):
            self.look(packet)
        return data

    def answered(self, data: bytes) -> tuple[bytes, int]:
        return self.fuzz(data), 0


class Session:
    """An arm, its driver, and the laws."""

    def __init__(self, rng: np.random.Generator, fuzz: Fuzzer, cfg: DynamixelConfig) -> None:
        self._rng, self._fuzz, self._cfg = rng, fuzz, cfg
        faults = Line(fuzz)
        faults.look = self.look
        joints: Any = Joints(np.zeros(len(KOCH)))
        self.line = MemoryLine(joints, faults=faults)
        self.robot = DynamixelRobot(cfg, TASK, self.line, make_port=self.line.make_port)
        joints.angles[:] = self.robot._poses.home + rng.normal(size=len(KOCH)) * 0.1
        self.line.sleep_until(self.line.now_ns() + NS_PER_S // 10)
        self._joints = joints
        self._ranges = self.robot._range
        self._speeds = self.robot.limits.of_joints("max_speed_rad_s", len(KOCH))
        joint_setup = self.robot._calibration.joints
        self._settings = {s.id: wanted(s, joint_setup[joint]) for joint, s in cfg.servos.items()}
        self.broken: list[str] = []
        self.goals = self.holds = 0
        self._sent: dict[int, float] = {}
        self._hz = cfg_hz(self.robot)

    # --- laws -----------------------------------------------------------------------------------------

    def look(self, packet: Packet) -> None:
        """Every packet that the driver sends."""
        data = packet.parameters
        if packet.instruction == Instruction.WRITE:
            self._written(packet.id, int.from_bytes(data[:2], "little"), data[2:])
        elif packet.instruction == Instruction.SYNC_WRITE:
            address, size = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
            for at in range(4, len(data), size + 1):
                self._written(data[at], address, data[at + 1 : at + 1 + size])
        elif packet.instruction not in (Instruction.PING, Instruction.READ, Instruction.SYNC_READ):
            self.broken.append(f"instruction {packet.instruction:#x} was sent")

    def _written(self, servo: int, address: int, data: bytes) -> None:
        registers = KOCH[servo - 1].model.registers
        register = next(r for r in registers.values() if r.address == address and r.size == len(data))
        raw = register.decode(data)
        if register.name == "goal_position":
            self._goal(servo - 1, (raw - 2048) * RAD_PER_TICK)
        elif register.name == "torque_enable":
            self._torque(servo - 1, raw)
        elif register.name != "bus_watchdog" and self._settings[servo].get(register.name) != raw:
            self.broken.append(f"{register.name} of {servo} was set to {raw}")

    def _goal(self, joint: int, goal: float) -> None:
        self.goals += 1
        name, here = KOCH[joint].joint, float(self._joints.angles[joint])
        low, high = self._ranges[joint]
        if not low - TICK_RAD <= goal <= high + TICK_RAD:
            self.broken.append(f"{name} was sent to {goal:.3f} rad, outside of {low:.3f} .. {high:.3f}")
        before = self._sent.get(joint, here)
        self._sent[joint] = goal
        if abs(goal - before) <= self._speeds[joint] / self._hz + TICK_RAD:
            return
        self.holds += 1
        if abs(goal - here) > HOLD_RAD:
            self.broken.append(
                f"{name} was sent from {before:.3f} to {goal:.3f} rad in a tick, it is at {here:.3f}"
            )

    def _torque(self, joint: int, raw: int) -> None:
        away = abs(float(self._joints.angles[joint]) - self.robot._poses.rest[joint])
        if not raw and away > self._cfg.reached_rad + HOLD_RAD:
            self.broken.append(f"{KOCH[joint].joint} was let go {away:.2f} rad from its rest pose")

    # --- calls ----------------------------------------------------------------------------------------

    def run(self, ticks: int, calls: Counter[str]) -> None:
        """Connect, home, move, stop, park, close: each may fail. Raises: Broken."""
        robot, rng = self.robot, self._rng
        if not self._call(calls, "connect", robot.connect, MOVE_S):
            robot.close()
            return
        for _ in range(int(rng.integers(1, 4))):
            if self._call(calls, "home", lambda: robot.home(0), MOVE_S):
                self._control(int(rng.integers(1, ticks)), calls)
            self._call(calls, "stop", robot.stop, CALL_S)
        if rng.random() < 0.7:
            self._call(calls, "park", robot.park, MOVE_S)
        self._call(calls, "close", robot.close, CALL_S)

    def _control(self, ticks: int, calls: Counter[str]) -> None:
        robot, rng, line = self.robot, self._rng, self.line
        supervisor = Supervisor(
            robot.limits, robot.spec, robot.joints, tool_at=robot.tool_at, servo_hz=self._hz
        )
        for event in (Event.CONNECTED, Event.HOME, Event.HOMED):
            supervisor.handle(event)
        drift = np.zeros(len(KOCH))

        def tick() -> None:
            observed = robot.observe()
            flat = robot.spec.flatten(observed.obs)
            now_ns = line.now_ns()
            if supervisor.observed(flat, observed.t_ns, now_ns, robot.telemetry()) is None:
                raise Vetoed(supervisor.faults[-1])
            if supervisor.state is State.READY:
                supervisor.handle(Event.RUN)
            action = supervisor.action(np.clip(drift, -1, 1).astype(np.float32), now_ns, now_ns)
            if action is None or (targets := supervisor.targets(robot.plan(action))) is None:
                raise Vetoed(supervisor.faults[-1])
            robot.command(targets)

        for _ in range(ticks):
            drift = 0.8 * drift + 0.5 * rng.normal(size=len(KOCH))
            if not self._call(calls, "tick", tick, CALL_S):
                return
            line.sleep_until(line.now_ns() + round(NS_PER_S / self._hz))

    def _call(self, calls: Counter[str], name: str, call: Callable[[], object], longest_s: float) -> bool:
        """Whether it did what it should."""
        begin_ns = self.line.now_ns()
        signal.setitimer(signal.ITIMER_VIRTUAL, COMPUTER_S)
        try:
            call()
            how = ""
        except RobotOrlError as error:
            how = type(error).__name__
            if "\n" in str(error):
                raise Broken(f"{name}: more than one line: {error}") from error
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        took_s = (self.line.now_ns() - begin_ns) / NS_PER_S
        if took_s > longest_s:
            raise Broken(f"{name} took {took_s:.1f} s of the arm's time")
        if self.broken:
            raise Broken(f"{name}: {'; '.join(self.broken[:3])} ({len(self.broken)} in all)")
        calls[name if not how else f"{name}: {how}"] += 1
        return not how


def cfg_hz(robot: DynamixelRobot) -> float:
    """Ticks a second: of actions and of slow moves alike."""
    assert math.isclose(robot.spec.control_hz, MOVE_HZ)
    return MOVE_HZ


def fuzz(seed: int, packets: int, ticks: int = 60) -> Part:
    """Raises: Broken: a law does not hold. Whatever else escapes: it must not."""
    rng = np.random.default_rng(seed)
    fuzzer = Fuzzer(rng)
    words = ["bundle=none", "robot=koch", "robot.port=memory", "robot.servo_hz=null"]
    cfg: DynamixelConfig = build("deploy", words).robot
    part = Part(seed)
    calls: Counter[str] = Counter()
    bus: Counter[str] = Counter()
    begin_s = time.process_time()
    signal.signal(signal.SIGVTALRM, _hung)
    while fuzzer.total < packets:
        fuzzer.share = 0.0
        session = Session(rng, fuzzer, cfg)
        fuzzer.share = float(np.exp(rng.uniform(np.log(0.1), 0.0)))
        session.run(ticks, calls)
        part.goals, part.holds = part.goals + session.goals, part.holds + session.holds
        bus.update(session.robot.counts)
    part.packets, part.kinds = fuzzer.total, dict(fuzzer.counts.most_common())
    part.calls, part.bus = dict(sorted(calls.items())), dict(bus)
    part.cpu_s = time.process_time() - begin_s
    return part


def _hung(number: int, frame: FrameType | None) -> None:
    raise Broken(f"a call hangs: {COMPUTER_S:g} s of the processor's time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first part; each later one takes the next"
    )
    parser.add_argument("--out", type=Path, help="folder for fuzz.json and fuzz.md")
    args = parser.parse_args()
    file = None if args.out is None else args.out / "fuzz.json"
    parts = [Part(**row) for row in json.loads(file.read_text())["parts"]] if file and file.exists() else []
    known = {part.seed for part in parts}
    for seed in range(args.seed, args.seed + -(-args.packets // PART_PACKETS)):
        if seed in known:
            continue
        parts.append(fuzz(seed, min(PART_PACKETS, args.packets)))
        print(f"part {seed}: {parts[-1].packets:,} packets, {parts[-1].cpu_s:.0f} s", flush=True)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_name(f".fuzz.{os.getpid()}")
            partial.write_text(json.dumps({"parts": [asdict(part) for part in parts]}, indent=1) + "\n")
            partial.replace(file)
            file.with_suffix(".md").write_text(table(parts))
    print(table(parts))


def table(parts: list[Part]) -> str:
    """Markdown: what was sent, and what became of the driver's calls."""
    kinds: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    bus: Counter[str] = Counter()
    for part in parts:
        kinds.update(part.kinds)
        calls.update(part.calls)
        bus.update(part.bus)
    lines = ["| packets | |", "| --- | ---: |", *(f"| {k} | {n:,} |" for k, n in sorted(kinds.items()))]
    lines += ["", "| calls | |", "| --- | ---: |", *(f"| {k} | {n:,} |" for k, n in sorted(calls.items()))]
    goals, holds = (sum(getattr(part, name) for part in parts) for name in ("goals", "holds"))
    lines += [
        "",
        f"{kinds.total():,} packets in {sum(p.cpu_s for p in parts) / 60:.1f} min of one core; {goals:,} "
        f"goals checked, {holds:,} of them holds. Bus: {', '.join(f'{n:,} {k}' for k, n in bus.items())}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
