"""What a servo makes of a packet for it, and what the packets to many servos say."""

from collections.abc import Iterator

from robot_orl.deploy.virtual.packets import ErrorNumber, Instruction, Packet, status_packet
from robot_orl.deploy.virtual.servo import VirtualServo
from robot_orl.deploy.virtual.table import Refused

_LEVELS = {int(Instruction.PING): 0, int(Instruction.READ): 1}  # of register 68; all others: 2


def delay_ns(servo: VirtualServo) -> int:
    return 2_000 * servo.table["return_delay_time"]


def answer(servo: VirtualServo, packet: Packet, now_ns: int) -> tuple[int, bytes] | None:
    """Carry out an instruction; the delay [ns] and the status, None: the servo keeps silent."""
    id, delay, level = servo.id, delay_ns(servo), servo.table["status_return_level"]
    alert = servo.status_error()  # as it was asked, though it may reboot now
    if packet.is_intact:
        number, data = execute(servo, packet, now_ns)
    else:
        number, data = ErrorNumber.CRC, b""
    needed = _LEVELS.get(packet.instruction, 2)
    return (delay, status_packet(id, alert | number, data)) if level >= needed else None


def execute(
    servo: VirtualServo, packet: Packet, now_ns: int, *, ram_only: bool = False
) -> tuple[ErrorNumber, bytes]:
    """What the status of an instruction to this servo says."""
    servo.heard(now_ns)
    data, parameters = b"", packet.parameters
    address = int.from_bytes(parameters[:2], "little")
    try:
        match packet.instruction:
            case Instruction.PING:
                data = servo.read(0, 2) + servo.read(6, 1)
            case Instruction.READ if len(parameters) == 4:
                data = servo.read(address, int.from_bytes(parameters[2:], "little"))
            case Instruction.WRITE:
                servo.write(address, parameters[2:], ram_only=ram_only)
            case Instruction.REG_WRITE:
                servo.register_write(address, parameters[2:])
            case Instruction.ACTION:
                servo.action()
            case Instruction.FACTORY_RESET if len(parameters) == 1:
                servo.factory_reset(parameters[0], now_ns)
            case Instruction.REBOOT:
                servo.reboot(now_ns)
            case Instruction.CLEAR:
                servo.clear(parameters)
            case Instruction.READ | Instruction.FACTORY_RESET:
                raise Refused(ErrorNumber.DATA_LENGTH)
            case _:
                raise Refused(ErrorNumber.INSTRUCTION)
    except Refused as refused:
        return refused.error, b""
    return ErrorNumber.NONE, data


def asked(packet: Packet) -> list[tuple[int, int, int]]:
    """(id, address, length) of a group read; nothing if it is malformed."""
    data = packet.parameters
    if packet.instruction in (Instruction.SYNC_READ, Instruction.FAST_SYNC_READ):
        return [(id, _word(data, 0), _word(data, 2)) for id in data[4:]]
    if len(data) % 5:
        return []
    return [(data[at], _word(data, at + 1), _word(data, at + 3)) for at in range(0, len(data), 5)]


def told(packet: Packet) -> Iterator[tuple[int, int, bytes]]:
    """(id, address, data) of a group write, as far as it is well formed."""
    data = packet.parameters
    is_sync = packet.instruction == Instruction.SYNC_WRITE
    at = 4 if is_sync else 0
    while at < len(data):
        head = data[:4] if is_sync else data[at + 1 : at + 5]
        start = at + 1 if is_sync else at + 5
        if len(head) < 4 or len(data) < start + _word(head, 2):
            return
        at_end = start + _word(head, 2)
        yield data[at], _word(head, 0), data[start:at_end]
        at = at_end


def _word(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")
