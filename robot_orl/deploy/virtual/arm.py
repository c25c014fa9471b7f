"""A virtual arm: servos on a line, their motors in MuJoCo, and a port at which programs find them.

One loop does everything, so nothing is shared between threads:

    port ---bytes--> bus: who hears it, what it answers, when     <--registers--> servos
    port <--bytes--- bus, when the wire would have brought them
    every step of the model, as its time has come:   shaft --> servo --> drive --> MuJoCo

What it cannot show, and only a real arm does: electrical noise, reflections and collisions on the wire; the
latency timer of a USB adapter (a real one may hold back answers for up to 16 ms) and a kernel that loses
bytes; play, wear, cable drag and the true friction of gears; a real stall with its heat and voltage drop (the
numbers here are plausible, not measured); firmware that differs from the manual, and whatever the manual
does not say (see `servo.py` and `bus.py` for what was chosen there).
"""

import heapq
import select
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from robot_orl.deploy.dynamixel.registers import BAUD_RATES, HardwareError
from robot_orl.deploy.timing import NS_PER_S, Clock
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.camera import VirtualCamera
from robot_orl.deploy.virtual.faults import Event
from robot_orl.deploy.virtual.mechanics import Mechanics
from robot_orl.deploy.virtual.port import Terminal
from robot_orl.deploy.virtual.servo import VirtualServo
from robot_orl.deploy.virtual.world import WorldSocket
from robot_orl.errors import UsageError, unknown

MAX_LAG_S = 0.05  # behind by more than this, the simulation gives up the time that it lost
STEPS_AT_ONCE = 10  # before the line is looked after again
HANG_UP_S = 1.0
_ERRORS = {
    "overload": HardwareError.OVERLOAD,
    "shock": HardwareError.ELECTRICAL_SHOCK,
    "encoder": HardwareError.MOTOR_ENCODER,
}


def make_servos(mechanics: Mechanics, baud: int, now_ns: int) -> list[VirtualServo]:
    """One per mount, set to `baud`. Raises: UsageError: no such rate."""
    highest = min(mount.model.registers["baud_rate"].high or 0 for mount in mechanics.mounts)
    rates = {rate: value for value, rate in BAUD_RATES.items() if value <= highest}
    if baud not in rates:
        raise UsageError(f"baud={baud} is none of a servo's rates: {', '.join(map(str, rates))}")
    return [
        VirtualServo(
            mount.model,
            {"id": mount.id, "baud_rate": rates[baud]},
            mechanics.shaft(number),
            now_ns,
            mechanics.max_torques[number],
        )
        for number, mount in enumerate(mechanics.mounts)
    ]


@dataclass
class Figures:
    """What happened. lost_s: time that the simulation gave up because the computer was too slow."""

    steps: int = 0
    lost_s: float = 0.0
    happened: list[str] = field(default_factory=list)


class VirtualArm:
    """Runs until it is told to stop. world: the socket for what is done beside it, camera: each or None."""

    def __init__(
        self,
        mechanics: Mechanics,
        bus: VirtualBus,
        port: Terminal,
        clock: Clock,
        events: Sequence[Event] = (),
    ) -> None:
        """Raises: UsageError: an event for a servo that is not there."""
        self.mechanics, self.bus, self.port = mechanics, bus, port
        self.figures = Figures()
        self._clock = clock
        self._start_ns = self._step_ns = clock.now_ns()
        self.world: WorldSocket | None = None
        self.camera: VirtualCamera | None = None
        self._order = count()
        self._plan: list[tuple[int, int, Callable[[], None]]] = []
        self._lasting: Counter[tuple[str, int | None]] = Counter()
        for event in events:
            self.plan(event)

    def plan(self, event: Event) -> None:
        """Let it happen, its time counted from now. Raises: UsageError: for a servo that is not there."""
        present = sorted(servo.id for servo in self.bus.servos)
        if event.id is not None and event.id not in present:
            raise unknown("servo", event.id, present)
        self.later(event.at_s, partial(self._happen, event))

    def mend(self) -> None:
        """Put right what was broken and forget what is planned; hardware errors last until a reboot."""
        self._plan.clear()
        self._lasting.clear()
        self.mechanics.hands.clear()
        self.bus.absent.clear()
        for servo in self.bus.servos:
            _restore_voltage(servo)
            servo.health.cool()

    def run(self, stop: Callable[[], bool], duration_s: float | None = None) -> None:
        """Until `stop()`, or for a time; the port is open while it runs. Raises: UsageError: see the port."""
        with ExitStack() as stack:
            stack.callback(self.port.close)
            self.port.claim()
            if self.world is not None:
                stack.callback(self.world.close)
                self.world.open()
            if self.camera is not None:
                stack.callback(self.camera.close)
                self.camera.start()
            self.port.open()  # last: whoever sees it may use all the others
            self._restart_clock()
            while not stop():
                now_ns = self._clock.now_ns()
                if duration_s is not None and now_ns - self._start_ns > duration_s * NS_PER_S:
                    break
                self._turn(now_ns)

    def _restart_clock(self) -> None:
        """What was planned before the start is counted from it."""
        now_ns = self._clock.now_ns()
        self._plan = [(at_ns - self._start_ns + now_ns, order, do) for at_ns, order, do in self._plan]
        self._start_ns = self._step_ns = now_ns

    def _turn(self, now_ns: int) -> None:
        """Do what is due, and wait for whatever comes next."""
        self.advance(now_ns)
        wait_s = (self.next_ns - self._clock.now_ns()) / NS_PER_S
        descriptors = [number for number in (self.port.fileno(),) if number is not None]
        descriptors += self.world.filenos() if self.world is not None else []
        select.select(descriptors, [], [], max(0.0, wait_s))

    def advance(self, now_ns: int) -> None:
        """Do what is due by now, and take what has come."""
        while self._plan and self._plan[0][0] <= now_ns:
            heapq.heappop(self._plan)[2]()
        if self.world is not None:
            self.world.poll()
        if data := self.port.read():
            self.bus.receive(data, now_ns, self.port.baud)
        self._simulate(now_ns)
        self.port.write(self.bus.poll(now_ns))

    @property
    def next_ns(self) -> int:
        """When there is something to do though nothing comes."""
        times = [self._step_ns, self.bus.next_ns, self._plan[0][0] if self._plan else None]
        return min(time for time in times if time is not None)

    def _simulate(self, now_ns: int) -> None:
        """Bring the model to the present."""
        step_ns = round(self.mechanics.step_s * NS_PER_S)
        if now_ns - self._step_ns > MAX_LAG_S * NS_PER_S:
            self.figures.lost_s += (now_ns - self._step_ns) / NS_PER_S
            self._step_ns = now_ns
        for _ in range(STEPS_AT_ONCE):
            if self._step_ns > now_ns:
                return
            for number, servo in enumerate(self.bus.servos):
                shaft = self.mechanics.shaft(number)
                self.mechanics.drive(number, servo.tick(shaft, self._step_ns, self.mechanics.step_s))
            self.mechanics.step()
            self._step_ns += step_ns
            self.figures.steps += 1
            if self.camera is not None:
                self.camera.show(self.mechanics.data.qpos, self._step_ns)

    # --- what goes wrong ------------------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        """Raises nothing: an id that the computer has changed since then is a fault that hits nobody."""
        for number, servo in enumerate(self.bus.servos):
            if event.id not in (None, servo.id):
                continue
            if event.what in _ERRORS:
                servo.fail(_ERRORS[event.what])
            elif event.what == "overheating":
                servo.health.temperature = servo.table["temperature_limit"] + 5.0
            elif event.what == "watchdog":
                servo.trip_watchdog()
            elif event.what == "restart":
                servo.reboot(self._clock.now_ns())
            elif event.what == "voltage":
                servo.health.voltage = 0.8 * servo.table["min_voltage_limit"] / 10
                self._ends_later(event, number, event.duration_s, partial(_restore_voltage, servo))
            elif event.what == "missing":
                self.bus.absent.add(servo.id)
                restore = partial(self.bus.absent.discard, servo.id)
                self._ends_later(event, number, event.duration_s, restore)
        if event.what == "hang_up":
            self.port.unplug()
            lasts_s = HANG_UP_S if event.duration_s is None else event.duration_s
            self._ends_later(event, None, lasts_s, self.port.open)
        self.figures.happened.append(event.what if event.id is None else f"{event.what} {event.id}")

    def _ends_later(
        self, event: Event, number: int | None, lasts_s: float | None, restore: Callable[[], Any]
    ) -> None:
        """Restore when the last of the overlapping faults of this kind ends, of that servo or of the port;
        one that lasts None ends never."""
        key = event.what, number
        self._lasting[key] += 1

        def end() -> None:
            self._lasting[key] -= 1
            if not self._lasting[key]:
                restore()

        if lasts_s is not None:
            self.later(lasts_s, end)

    def later(self, delay_s: float, action: Callable[[], Any]) -> None:
        """Do something when the arm has lived for so long, counted from now."""
        at_ns = self._clock.now_ns() + round(delay_s * NS_PER_S)
        heapq.heappush(self._plan, (at_ns, next(self._order), action))


def _restore_voltage(servo: VirtualServo) -> None:
    servo.health.voltage = servo.model.nominal_voltage
