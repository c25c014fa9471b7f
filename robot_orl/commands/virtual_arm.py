"""`robot-orl virtual-arm`: a Koch-class arm that is not there, behind a serial port that is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robot_orl.commands.tables import out
from robot_orl.config import VirtualArmConfig
from robot_orl.deploy.realtime import realtime_setup
from robot_orl.deploy.timing import RealClock
from robot_orl.deploy.virtual.arm import VirtualArm, make_servos
from robot_orl.deploy.virtual.beside import actions, look
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.camera import VirtualCamera
from robot_orl.deploy.virtual.faults import Event, LineFaults
from robot_orl.deploy.virtual.mechanics import KOCH, Mechanics, assembled
from robot_orl.deploy.virtual.port import PseudoTerminal
from robot_orl.deploy.virtual.world import WorldSocket
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.tasks import make_env


def run(cfg: VirtualArmConfig) -> None:
    """Until Ctrl-C, or for duration_s."""
    arm = make_arm(cfg)
    with StopFlag() as stop, realtime_setup(cfg.priority or None):
        greeted = False

        def should_stop() -> bool:
            nonlocal greeted
            if not greeted:
                out.print(_greeting(cfg, arm))
                out.file.flush()  # for whoever waits for it in a pipe
                greeted = True
            return stop.requested

        arm.run(should_stop, cfg.duration_s)
    out.print(_farewell(arm))


def make_arm(cfg: VirtualArmConfig) -> VirtualArm:
    """Raises: UsageError: the task has no such arm; a bad rate or fault."""
    env = make_env(cfg.task)
    env.reset(seed=cfg.seed)
    task = env.unwrapped
    simulation = getattr(task, "_sim", None)
    if not hasattr(task, "observation_of") or simulation is None:
        raise UsageError(f"{cfg.task.name} moves no arm of servos; choose task=arm_lift or another arm_ task")
    clock = RealClock()
    mounts = assembled(KOCH, cfg.assembly, cfg.offset_ticks)
    play = float(cfg.task.kwargs.get("backlash", 0.0))  # the task has checked it
    mechanics = Mechanics(simulation.model, simulation.data, mounts, play)
    servos = make_servos(mechanics, cfg.baud, clock.now_ns())
    bus = VirtualBus(servos, LineFaults(cfg.faults), has_wire_time=cfg.wire_time)
    events = [Event.parse(text) for text in cfg.faults.events]
    arm = VirtualArm(mechanics, bus, PseudoTerminal(Path(cfg.port)), clock, events)
    if cfg.world is not None:
        arm.world = WorldSocket(Path(cfg.world), actions(arm) | _TaskWorld(task, arm).actions())
    if cfg.camera is not None:
        size = len(simulation.data.qpos)
        arm.camera = VirtualCamera(Path(cfg.camera), simulation.scene, size, cfg.camera_fps)
    return arm


class _TaskWorld:
    """What the task adds: whether it is done, and its things put back."""

    def __init__(self, task: Any, arm: VirtualArm) -> None:
        self._task, self._arm = task, arm

    def actions(self) -> dict[str, Any]:
        return {"look": self._look, "put_back": self._put_back}

    def _look(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        seen = look(self._arm)
        goal = self._task._sim.goal
        seen["sites"] |= {"goal": goal.tolist()}  # the model has it where its file says
        reached = next(iter(seen["objects"].values()), seen["sites"]["tool"])
        success = self._task.reward_for(np.array(reached), goal) == 0
        return {**seen, "goal": goal.tolist(), "success": bool(success)}

    def _put_back(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        seed = request.get("seed")
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise UsageError(f"put_back takes a seed, such as 5, not {seed!r}")
        data = self._arm.mechanics.data
        arm = len(self._arm.mechanics.mounts)  # its joints come first
        before = data.qpos[:arm].copy(), data.qvel[:arm].copy(), data.time
        self._task.reset(seed=seed)
        data.qpos[:arm], data.qvel[:arm], data.time = before
        mujoco.mj_forward(self._arm.mechanics.model, data)
        return self._look(request)


def _greeting(cfg: VirtualArmConfig, arm: VirtualArm) -> str:
    servos = ", ".join(f"{mount.id} {mount.joint} {mount.model.name}" for mount in arm.mechanics.mounts)
    lines = [f"{cfg.port} -> {arm.port.target}: {cfg.task.name} at {cfg.baud:,} baud; Ctrl-C ends it"]
    lines.append(f"servos: {servos}")
    if cfg.offset_ticks:
        lines.append(
            f"mounted up to {cfg.offset_ticks} ticks off, some the other way round: calibrate it first"
        )
    return "\n".join(lines)


def _farewell(arm: VirtualArm) -> str:
    counts = arm.bus.counts | arm.bus.faults.counts
    figures = arm.figures
    lines = [", ".join(f"{number:,} {name}" for name, number in counts.items())]
    lines += [f"simulated {figures.steps * arm.mechanics.step_s:.1f} s"]
    if figures.lost_s:
        lines[-1] += f"; {figures.lost_s:.1f} s were lost: this computer is too slow for real time"
    if figures.happened:
        lines.append(f"faults: {', '.join(figures.happened)}")
    return "\n".join(lines)
