"""Servos on one line: who hears a packet, who answers, in which order and when.

    computer  |--instruction--|
    servo 1                    |delay|--status--|
    servo 2                                      |delay|--status--|     of a sync read, or a broadcast ping
                10 bits a byte  2 us * register 9

What is sent to the broadcast id is done by all and answered by none, but for pings, and but for those whom a
sync or bulk read names. These wait for each other: behind one that is silent nobody answers (the manual does
not say so; users saw it, DynamixelSDK issue 331). Servos at another baud rate than the line's hear nothing.
Source: https://emanual.robotis.com/docs/en/dxl/protocol2/
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress

from robot_orl.deploy.dynamixel.registers import BROADCAST_ID
from robot_orl.deploy.virtual.faults import FaultsConfig, LineFaults
from robot_orl.deploy.virtual.instructions import answer, asked, delay_ns, execute, told
from robot_orl.deploy.virtual.packets import (
    MAX_LENGTH,
    ErrorNumber,
    Instruction,
    Packet,
    Parser,
    fast_status_packet,
    status_packet,
)
from robot_orl.deploy.virtual.servo import VirtualServo
from robot_orl.deploy.virtual.table import Refused

BITS_PER_BYTE = 10
USUAL_BAUD = 1_000_000
_FAST_READS = (Instruction.FAST_SYNC_READ, Instruction.FAST_BULK_READ)
_READS = (Instruction.SYNC_READ, Instruction.BULK_READ, *_FAST_READS)
_WRITES = (Instruction.SYNC_WRITE, Instruction.BULK_WRITE)


class VirtualBus:
    """Bytes in, bytes out, each at its time. absent: ids whose cable is out.  counts: what went by."""

    def __init__(
        self, servos: Sequence[VirtualServo], faults: LineFaults | None = None, *, has_wire_time: bool = True
    ) -> None:
        self.servos = tuple(servos)
        self.faults = faults or LineFaults(FaultsConfig())
        self.absent: set[int] = set()
        self.counts = {"instructions": 0, "answers": 0, "unintelligible": 0}
        self._has_wire_time = has_wire_time
        self._parser = Parser()
        self._baud: int | None = None
        self._line_free_ns = 0
        self._inbox: deque[tuple[int, Packet]] = deque()
        self._outbox: list[tuple[int, bytes]] = []

    def receive(self, data: bytes, now_ns: int, baud: int | None = None) -> None:
        """The computer has sent something. baud: the line's rate; None: not known, so all can hear it."""
        self._baud = baud
        for packet in self._parser.feed(self.faults.sent(data), now_ns):
            self._line_free_ns = max(self._line_free_ns, now_ns) + self._wire_ns(packet.size)
            self._inbox.append((self._line_free_ns, packet))

    def poll(self, now_ns: int) -> bytes:
        """Carry out what has arrived by now; the bytes that have reached the computer by now."""
        while self._inbox and self._inbox[0][0] <= now_ns:
            self._handle(*self._inbox.popleft())
        due = [data for at_ns, data in self._outbox if at_ns <= now_ns]
        self._outbox = [entry for entry in self._outbox if entry[0] > now_ns]
        return b"".join(due)

    @property
    def next_ns(self) -> int | None:
        """When something will happen without anything being sent; None: never."""
        times = [at_ns for at_ns, _ in self._outbox]
        return min(times + [self._inbox[0][0]] if self._inbox else times, default=None)

    def _wire_ns(self, size: int) -> int:
        return round(size * BITS_PER_BYTE * 1e9 / (self._baud or USUAL_BAUD)) if self._has_wire_time else 0

    def _handle(self, now_ns: int, packet: Packet) -> None:
        self.counts["instructions"] += 1
        self.counts["unintelligible"] += not packet.is_intact
        at_ns = now_ns
        for delay, status in self._answers(packet, now_ns):
            at_ns += (delay if self._has_wire_time else 0) + self._wire_ns(len(status))
            data, late_ns = self.faults.answered(status)
            self.counts["answers"] += 1
            if data:
                self._outbox.append((at_ns + late_ns, data))
        self._outbox.sort(key=lambda entry: entry[0])
        self._line_free_ns = max(self._line_free_ns, at_ns)

    # --- who answers what -----------------------------------------------------------------------------

    def _answers(self, packet: Packet, now_ns: int) -> Iterator[tuple[int, bytes]]:
        """Delay [ns] and bytes of every status packet, in order."""
        is_broadcast = packet.id == BROADCAST_ID
        if is_broadcast and packet.is_intact and packet.instruction in _READS:
            yield from self._group_read(packet, now_ns)
        elif is_broadcast and packet.is_intact and packet.instruction in _WRITES:
            self._group_write(packet, now_ns)
        elif is_broadcast:
            if packet.is_intact:
                yield from self._broadcast(packet, now_ns)
        else:
            yield from self._single(packet, now_ns)

    def _single(self, packet: Packet, now_ns: int) -> Iterator[tuple[int, bytes]]:
        answers = []
        for servo in self._hearing(now_ns):
            if servo.id == packet.id:
                answers.append(answer(servo, packet, now_ns))
            elif servo.secondary_id == packet.id and packet.is_intact:
                execute(servo, packet, now_ns, ram_only=True)
        spoken = [status for status in answers if status is not None]
        if len(spoken) == 1:
            yield spoken[0]
        elif spoken:  # several servos with one id talk at once
            yield spoken[0][0], bytes(a & b for a, b in zip(spoken[0][1], spoken[1][1], strict=False))

    def _broadcast(self, packet: Packet, now_ns: int) -> Iterator[tuple[int, bytes]]:
        for servo in sorted(self._hearing(now_ns), key=lambda servo: servo.id):
            if packet.instruction == Instruction.PING:
                if (status := answer(servo, packet, now_ns)) is not None:
                    yield status
            elif packet.instruction != Instruction.FACTORY_RESET or packet.parameters != b"\xff":
                execute(servo, packet, now_ns)

    def _group_read(self, packet: Packet, now_ns: int) -> Iterator[tuple[int, bytes]]:
        """Sync or bulk read; the fast ones are answered in one packet by all."""
        wanted = asked(packet)
        is_fast = packet.instruction in _FAST_READS
        parts: list[tuple[int, int, bytes]] = []
        delay = 0
        total = 1 + sum(4 + length for _, _, length in wanted)
        if is_fast and total > MAX_LENGTH:
            return
        for id, address, length in wanted:
            found = [servo for servo in self._hearing(now_ns) if servo.id == id]
            if not found or not found[0].table["status_return_level"]:
                break
            servo = found[0]
            servo.heard(now_ns)
            try:
                number, data = ErrorNumber.NONE, servo.read(address, length)
            except Refused as refused:
                number, data = refused.error, b""
            if is_fast:
                parts.append((servo.status_error(number), id, data.ljust(length, b"\0")))
                delay = delay or delay_ns(servo)
            else:
                yield delay_ns(servo), status_packet(id, servo.status_error(number), data)
        if parts:
            yield delay, fast_status_packet(parts, total)

    def _group_write(self, packet: Packet, now_ns: int) -> None:
        listening = self._hearing(now_ns)
        for servo in listening:
            servo.heard(now_ns)
        for id, address, data in told(packet):
            for servo in listening:
                if servo.id == id:
                    with suppress(Refused):  # what is sent to many is answered by none
                        servo.write(address, data)

    def _hearing(self, now_ns: int) -> list[VirtualServo]:
        return [
            servo
            for servo in self.servos
            if servo.hears(now_ns) and servo.id not in self.absent and self._baud in (None, servo.baud_rate)
        ]
