"""`robot-orl virtual-arm`: a Koch-class arm that is not there, behind a serial port that is."""

from pathlib import Path

from robot_orl.commands.tables import out
from robot_orl.config import VirtualArmConfig
from robot_orl.deploy.dynamixel.arm import VirtualArm, make_servos
from robot_orl.deploy.dynamixel.bus import VirtualBus
from robot_orl.deploy.dynamixel.faults import Event, LineFaults
from robot_orl.deploy.dynamixel.mechanics import KOCH, Mechanics, assembled
from robot_orl.deploy.dynamixel.port import PseudoTerminal
from robot_orl.deploy.timing import RealClock
from robot_orl.errors import UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.tasks import make_env


def run(cfg: VirtualArmConfig) -> None:
    """Until Ctrl-C, or for duration_s."""
    arm = make_arm(cfg)
    with StopFlag() as stop:
        started = False

        def should_stop() -> bool:
            nonlocal started
            if not started:
                started = True
                out.print(_greeting(cfg, arm))
            return stop.requested

        arm.run(should_stop, cfg.duration_s)
    out.print(_farewell(arm))


def make_arm(cfg: VirtualArmConfig) -> VirtualArm:
    """Raises: UsageError: the task has no such arm; a bad rate or fault."""
    env = make_env(cfg.task)
    env.reset(seed=cfg.seed)
    simulation = getattr(env.unwrapped, "_sim", None)
    if not hasattr(env.unwrapped, "joints") or simulation is None:
        raise UsageError(f"{cfg.task.name} moves no arm of servos; choose task=arm_lift or another arm_ task")
    clock = RealClock()
    mounts = assembled(KOCH, cfg.assembly, cfg.offset_ticks)
    mechanics = Mechanics(simulation.model, simulation.data, mounts)
    servos = make_servos(mechanics, cfg.baud, clock.now_ns())
    bus = VirtualBus(servos, LineFaults(cfg.faults), has_wire_time=cfg.wire_time)
    events = [Event.parse(text) for text in cfg.faults.events]
    return VirtualArm(mechanics, bus, PseudoTerminal(Path(cfg.port)), clock, events)


def _greeting(cfg: VirtualArmConfig, arm: VirtualArm) -> str:
    servos = ", ".join(f"{mount.id} {mount.joint} {mount.model.name}" for mount in arm.mechanics.mounts)
    return (
        f"{cfg.port} -> {arm.port.target}: {cfg.task.name} at {cfg.baud:,} baud; Ctrl-C ends it\n"
        f"servos: {servos}"
    )


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
