"""Protocol 2.0 on the servos' side: a byte stream in, instructions out; answers in, bytes out.

    FF FF FD 00 | id | length, 2 | instruction | parameters ... | CRC, 2      from the computer
    FF FF FD 00 | id | length, 2 | 55 | error  | parameters ... | CRC, 2      from a servo
                               \\__ counts what follows it ______________/
                                   \\_ stuffed: FF FF FD -> FF FF FD FD /

Numbers are little endian. The CRC (polynomial 8005, no reflection, starting at 0) covers everything
before it, stuffing included. A header inside of a packet is impossible, because of the stuffing; where one
turns up, the packet before it was cut off.

Source: https://emanual.robotis.com/docs/en/dxl/protocol2/ and https://emanual.robotis.com/docs/en/dxl/crc/
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from robot_orl.deploy.dynamixel.registers import BROADCAST_ID, MAX_ID

HEADER = b"\xff\xff\xfd\x00"
_PATTERN, _STUFFED = b"\xff\xff\xfd", b"\xff\xff\xfd\xfd"
_BODY = 7  # where the instruction stands
MAX_LENGTH = 1_024  # of what the length counts; larger ones are taken for noise
STATUS = 0x55
ALERT = 0x80


class Instruction(IntEnum):
    """What a packet asks for."""

    PING = 0x01
    READ = 0x02
    WRITE = 0x03
    REG_WRITE = 0x04
    ACTION = 0x05
    FACTORY_RESET = 0x06
    REBOOT = 0x08
    CLEAR = 0x10
    SYNC_READ = 0x82
    SYNC_WRITE = 0x83
    FAST_SYNC_READ = 0x8A
    BULK_READ = 0x92
    BULK_WRITE = 0x93
    FAST_BULK_READ = 0x9A


class ErrorNumber(IntEnum):
    """Bits 0 to 6 of a status packet's error; bit 7 is ALERT."""

    NONE = 0
    RESULT_FAIL = 1
    INSTRUCTION = 2
    CRC = 3
    DATA_RANGE = 4
    DATA_LENGTH = 5
    DATA_LIMIT = 6
    ACCESS = 7


@dataclass(frozen=True)
class Packet:
    """One packet as it came. parameters: unstuffed.  size: bytes on the wire.  is_intact: the CRC fits."""

    id: int
    instruction: int
    parameters: bytes
    size: int
    is_intact: bool = True


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1) ^ (0x8005 if value & 0x8000 else 0)
        table.append(value & 0xFFFF)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes, start: int = 0) -> int:
    """CRC of `data`; `start`: that of what stands before it."""
    value = start
    for byte in data:
        value = (value << 8 & 0xFFFF) ^ _CRC[value >> 8 ^ byte]
    return value


def instruction_packet(id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """What a computer sends."""
    return _packet(id, bytes((instruction,)) + parameters)


def status_packet(id: int, error: int, parameters: bytes = b"") -> bytes:
    """What a servo answers. error: an ErrorNumber, with ALERT where the servo has a hardware error."""
    return _packet(id, bytes((STATUS, error)) + parameters)


def _packet(id: int, body: bytes) -> bytes:
    body = body.replace(_PATTERN, _STUFFED)
    packet = HEADER + bytes((id,)) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


def fast_status_packet(answers: Sequence[tuple[int, int, bytes]], total_length: int) -> bytes:
    """One packet that several servos write one after the other, each closing its part with a CRC so far.

    answers: (error, id, data) per servo, unstuffed.  total_length: what the length counts if all of them
    answer; the first servo writes it, before it can know.
    """
    packet = HEADER + bytes((BROADCAST_ID,)) + total_length.to_bytes(2, "little") + bytes((STATUS,))
    for error, id, data in answers:
        packet += bytes((error, id)) + data
        packet += crc16(packet).to_bytes(2, "little")
    return packet


class Parser:
    """Finds packets in a stream that may begin anywhere and hold garbage."""

    def __init__(self, patience_ns: int = 50_000_000) -> None:
        """patience_ns: an unfinished packet is given up when the line was silent for so long."""
        self._patience_ns = patience_ns
        self._buffer = bytearray()
        self._last_ns = 0
        self.discarded = 0  # bytes that belonged to no packet

    def feed(self, data: bytes, now_ns: int) -> Iterator[Packet]:
        """The packets that `data` completes; one whose CRC does not fit is marked, not hidden."""
        if self._buffer and now_ns - self._last_ns > self._patience_ns:
            self._discard(len(self._buffer))
        self._last_ns = now_ns
        self._buffer += data
        while (end := self._align()) is not None:
            raw = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield _parsed(raw)

    def _align(self) -> int | None:
        """Throw away what begins no packet; the end of the first packet, or None: it is not all there."""
        while True:
            start = self._buffer.find(HEADER)
            if start < 0:
                self._discard(len(self._buffer) - _beginning_of_header(self._buffer))
                return None
            self._discard(start)
            if len(self._buffer) < _BODY:
                return None
            length = int.from_bytes(self._buffer[5:7], "little")
            if (
                self._buffer[4] > MAX_ID and self._buffer[4] != BROADCAST_ID
            ) or not 3 <= length <= MAX_LENGTH:
                self._discard(1)
                continue
            end = _BODY + length
            next_header = self._buffer.find(HEADER, len(HEADER), end - 2)
            if next_header >= 0:
                self._discard(next_header)
                continue
            return end if len(self._buffer) >= end else None

    def _discard(self, count: int) -> None:
        self.discarded += count
        del self._buffer[:count]


def _beginning_of_header(buffer: bytearray) -> int:
    """How many bytes at the end could be the beginning of a header."""
    return next((n for n in range(len(HEADER) - 1, 0, -1) if buffer.endswith(HEADER[:n])), 0)


def _parsed(raw: bytes) -> Packet:
    body = raw[_BODY:-2].replace(_STUFFED, _PATTERN)
    is_intact = crc16(raw[:-2]) == int.from_bytes(raw[-2:], "little")
    return Packet(raw[4], body[0], body[1:], len(raw), is_intact)
