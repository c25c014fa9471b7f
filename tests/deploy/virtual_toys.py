"""What the tests of the virtual arm are made of: a line with time at one's fingertips."""

from collections.abc import Mapping

from robot_orl.deploy.dynamixel.registers import BROADCAST_ID, XL330_M288, XL430_W250, Model
from robot_orl.deploy.virtual.bus import VirtualBus
from robot_orl.deploy.virtual.motion import Shaft
from robot_orl.deploy.virtual.motor import Drive
from robot_orl.deploy.virtual.packets import STATUS, Instruction, Parser, instruction_packet
from robot_orl.deploy.virtual.servo import VirtualServo

MILLION_BAUD = 3  # value of register baud_rate
MS = 1_000_000  # [ns]


def make_servo(
    id: int, model: Model = XL330_M288, shaft: float = 2048.0, own: Mapping[str, int] | None = None
) -> VirtualServo:
    values = {"id": id, "baud_rate": MILLION_BAUD, "return_delay_time": 0, **(own or {})}
    return VirtualServo(model, values, Shaft(shaft))


class Line:
    """A bus without wire time, where asking and answering are one call. now_ns: moved by hand."""

    def __init__(self, *servos: VirtualServo) -> None:
        self.bus = VirtualBus(servos, has_wire_time=False)
        self.now_ns = 0

    def send(self, raw: bytes) -> list[tuple[int, int, bytes]]:
        """(id, error, parameters) of every status packet."""
        self.bus.receive(raw, self.now_ns)
        parser = Parser()
        packets = list(parser.feed(self.bus.poll(self.now_ns), 0))
        assert parser.discarded == 0
        assert all(packet.is_intact and packet.instruction == STATUS for packet in packets)
        return [(packet.id, packet.parameters[0], packet.parameters[1:]) for packet in packets]

    def ask(self, id: int, instruction: int, parameters: bytes = b"") -> list[tuple[int, int, bytes]]:
        return self.send(instruction_packet(id, instruction, parameters))

    def write(self, id: int, name: str, raw: int, model: Model = XL330_M288) -> int | None:
        """The error of the status; None: no answer."""
        register = model.registers[name]
        data = register.address.to_bytes(2, "little") + register.encode(raw)
        answers = self.ask(id, Instruction.WRITE, data)
        return answers[0][1] if answers else None

    def read(self, id: int, name: str, model: Model = XL330_M288) -> int:
        register = model.registers[name]
        where = register.address.to_bytes(2, "little") + register.size.to_bytes(2, "little")
        ((answering, error, data),) = self.ask(id, Instruction.READ, where)
        assert (answering, error & 0x7F) == (id, 0)
        return register.decode(data)

    def sync_read(self, name: str, ids: list[int]) -> list[tuple[int, int, bytes]]:
        register = XL330_M288.registers[name]
        where = register.address.to_bytes(2, "little") + register.size.to_bytes(2, "little")
        return self.ask(BROADCAST_ID, Instruction.SYNC_READ, where + bytes(ids))


def run(servo: VirtualServo, seconds: float, now_ns: int = 0, dt: float = 0.01) -> Drive:
    """Ticks of a servo whose shaft follows at once; the last drive."""
    drive = Drive(0.0)
    shaft = servo._motor.shaft
    for step in range(round(seconds / dt)):
        drive = servo.tick(shaft, now_ns + round((step + 1) * dt * 1e9), dt)
        velocity = (drive.target - shaft.position) / dt if drive.torque_limit else 0.0
        shaft = Shaft(drive.target if drive.torque_limit else shaft.position, velocity)
    return drive


__all__ = ["BROADCAST_ID", "MILLION_BAUD", "MS", "XL330_M288", "XL430_W250", "Line", "make_servo", "run"]
