"""A small virtual arm, in a thread or turned by hand, and the maker's SDK at its port."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mujoco
from deploy_toys import FakeClock
from dynamixel_sdk import (
    PacketHandler,
    PortHandler,
)

from robot_orl.deploy.dynamixel.registers import XL330_M288, XL430_W250
from robot_orl.deploy.timing import Clock, RealClock
from robot_orl.deploy.virtual.arm import VirtualArm, make_servos
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.faults import Event, FaultsConfig, LineFaults
from robot_orl.deploy.virtual.mechanics import Mechanics, Mount
from robot_orl.deploy.virtual.port import PseudoTerminal

TORQUE, GOAL, POSITION, ERROR_STATUS, DELAY = 64, 116, 132, 70, 9
# Two joints about vertical axes: `pan` free of gravity, `lift` about a horizontal one.
XML = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <body>
      <joint name="pan" axis="0 0 1" damping="0.2" armature="0.01"/>
      <geom type="box" size="0.1 0.01 0.01" mass="0.1"/>
    </body>
    <body pos="0 1 0">
      <joint name="lift" axis="0 1 0" damping="0.05" armature="0.003"/>
      <geom type="box" size="0.1 0.01 0.01" pos="-0.1 0 0" mass="0.05"/>
    </body>
  </worldbody>
  <actuator>
    <position name="lift" joint="lift" kp="3" forcerange="-0.4 0.4"/>
    <position name="pan" joint="pan" kp="5" kv="0.1"/>
  </actuator>
</mujoco>
"""
MOUNTS = (
    Mount("pan", 1, XL430_W250, direction=-1, offset=100),
    Mount("lift", 2, XL330_M288, offset=-50),
)


def make_mechanics() -> Mechanics:
    model = mujoco.MjModel.from_xml_string(XML)
    return Mechanics(model, mujoco.MjData(model), MOUNTS)


@contextmanager
def running(link: Path, faults: FaultsConfig | None = None) -> Iterator[VirtualArm]:
    """A virtual arm in a thread, at `link`."""
    faults = faults or FaultsConfig()
    mechanics = make_mechanics()
    bus = VirtualBus(make_servos(mechanics, 1_000_000, 0), LineFaults(faults))
    events = [Event.parse(text) for text in faults.events]
    arm = VirtualArm(mechanics, bus, PseudoTerminal(link), RealClock(), events)
    stop = threading.Event()
    thread = threading.Thread(target=arm.run, args=(stop.is_set,))
    thread.start()
    try:
        wait_for(link.is_symlink)
        yield arm
    finally:
        stop.set()
        thread.join()


def make_arm(link: Path, clock: Clock | None = None) -> VirtualArm:
    """One that does not run."""
    mechanics = make_mechanics()
    bus = VirtualBus(make_servos(mechanics, 1_000_000, 0))
    return VirtualArm(mechanics, bus, PseudoTerminal(link), clock or RealClock())


def turn_until(arm: VirtualArm, clock: FakeClock, at_s: float) -> None:
    """Let what is planned happen, each at its time; at_s: since the clock was made."""
    for time_ns in range(clock.time_ns, FakeClock().time_ns + round(at_s * 1e9) + 1, 100_000_000):
        clock.time_ns = time_ns
        arm._turn(time_ns)


@contextmanager
def sdk_at(link: Path) -> Iterator[tuple[PortHandler, PacketHandler]]:
    port = PortHandler(str(link))
    assert port.openPort()
    assert port.setBaudRate(1_000_000)
    try:
        yield port, PacketHandler(2.0)
    finally:
        port.closePort()


def wait_for(condition: Callable[[], bool], at_most_s: float = 20.0) -> None:
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
