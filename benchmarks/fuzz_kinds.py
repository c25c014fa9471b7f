"""Packets that a servo would not send, made of one that it did; see fuzz_packets.py."""

from collections import Counter, deque
from collections.abc import Callable

import numpy as np

from robot_orl.deploy.virtual.packets import HEADER, crc16, status_packet

STUFFING = b"\xff\xff\xfd"
PARAMETERS, POSITION = 9, 6  # where parameters begin; where a position stands in those of a reading
READING = 21  # bytes of a reading of the joints
TRUE_FOR = 12  # answers after a lie: two of each servo of the arm

Change = Callable[[np.random.Generator, bytes], bytes]


def sealed(body: bytes, id: int, length: int | None = None, instruction: int = 0x55) -> bytes:
    """A packet with a right checksum whatever it says. body: error and parameters, not stuffed."""
    count = len(body) + 3 if length is None else length
    raw = HEADER + bytes((id,)) + (count & 0xFFFF).to_bytes(2, "little") + bytes((instruction,)) + body
    return raw + crc16(raw).to_bytes(2, "little")


def body_of(data: bytes) -> bytes:
    """Error and parameters, not stuffed."""
    return data[8:-2].replace(STUFFING + b"\xfd", STUFFING)


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        changed[rng.integers(len(changed))] ^= int(rng.integers(1, 256))
    return bytes(changed)


def inserted(rng: np.random.Generator, data: bytes) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 6))) + data[at:]


def deleted(rng: np.random.Generator, data: bytes) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[at + int(rng.integers(1, 6)) :]


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(len(data))]


def headless(rng: np.random.Generator, data: bytes) -> bytes:
    return data[rng.integers(1, len(data)) :]


def random_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    return rng.bytes(int(rng.integers(1, 80)))


def headers(rng: np.random.Generator, data: bytes) -> bytes:
    """Half headers before, within and behind it."""
    half = HEADER[: rng.integers(1, 5)] * int(rng.integers(1, 12))
    at = int(rng.choice([0, rng.integers(len(data)), len(data)]))
    return data[:at] + half + data[at:]


def twice(rng: np.random.Generator, data: bytes) -> bytes:
    return data + data


def beginning_first(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: rng.integers(len(data))] + data


def wrong_length(rng: np.random.Generator, data: bytes) -> bytes:
    length = int(rng.choice([*range(8), rng.integers(2**16), 0xFFFF, 1017, 1018, 1024, 1025]))
    return sealed(body_of(data), data[4], length)


def another_length(rng: np.random.Generator, data: bytes) -> bytes:
    """A sound packet with more or fewer parameters."""
    body = body_of(data)
    count = int(rng.integers(0, 2 * len(body) + 2))
    return status_packet(data[4], body[0], (body[1:] + rng.bytes(count))[:count])


def another_id(rng: np.random.Generator, data: bytes) -> bytes:
    body = body_of(data)
    return status_packet(int(rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 200, 252])), body[0], body[1:])


def impossible_id(rng: np.random.Generator, data: bytes) -> bytes:
    return sealed(body_of(data), int(rng.integers(253, 256)))


def another_instruction(rng: np.random.Generator, data: bytes) -> bytes:
    return sealed(body_of(data), data[4], None, int(rng.integers(256)))


def another_error(rng: np.random.Generator, data: bytes) -> bytes:
    return status_packet(data[4], int(rng.integers(1, 256)), body_of(data)[1:])


def not_stuffed(rng: np.random.Generator, data: bytes) -> bytes:
    """What looks like a header within, with a right checksum."""
    body = bytearray(body_of(data))
    at = int(rng.integers(1, max(2, len(body) - 2)))
    body[at : at + 3] = STUFFING
    return sealed(bytes(body), data[4])


def stuffed_at_the_end(rng: np.random.Generator, data: bytes) -> bytes:
    """The length ends within the stuffing."""
    return sealed(body_of(data)[: rng.integers(1, 24)] + STUFFING + b"\xfd" * int(rng.integers(3)), data[4])


def lie(rng: np.random.Generator, data: bytes) -> bytes:
    """Sound, of the right size, and not true: any values at all, or those with stuffing in them."""
    body = body_of(data)
    values = bytearray(rng.bytes(len(body) - 1))
    if len(values) >= 3 and rng.random() < 0.3:
        at = int(rng.integers(len(values) - 2))
        values[at : at + 3] = STUFFING
    return status_packet(data[4], body[0], bytes(values))


def likely_lie(rng: np.random.Generator, data: bytes) -> bytes:
    """A position, or another value, that is only somewhat wrong."""
    body = bytearray(body_of(data))
    if len(body) - 1 < READING:
        return lie(rng, data)
    at = len(body) - READING + POSITION
    raw = int.from_bytes(body[at : at + 4], "little", signed=True) + int(rng.normal() * 200)
    body[at : at + 4] = raw.to_bytes(4, "little", signed=True)
    return status_packet(data[4], body[0], bytes(body[1:]))


LIES = (lie, likely_lie, another_id, another_length, not_stuffed, stuffed_at_the_end)
CHANGES: tuple[Change, ...] = (
    flipped,
    inserted,
    deleted,
    truncated,
    headless,
    random_bytes,
    headers,
    twice,
    beginning_first,
    wrong_length,
    another_length,
    another_id,
    impossible_id,
    another_instruction,
    another_error,
    not_stuffed,
    stuffed_at_the_end,
    lie,
    likely_lie,
)


class Fuzzer:
    """Changes answers. counts: by what was done.

    Lies with a right checksum, which one broken packet in 65,536 is, do not follow each other: two that agree
    are no longer to be told from the truth.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.counts: Counter[str] = Counter()
        self.share = 0.0  # of answers
        self._rng = rng
        self._recent: deque[bytes] = deque(maxlen=8)
        self._since_lie = TRUE_FOR

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def __call__(self, data: bytes) -> bytes:
        rng, before = self._rng, self._recent
        self._since_lie += 1
        self._recent.append(data)
        if rng.random() >= self.share:
            return data
        if rng.random() < 0.05 and len(before) > 1:
            self.counts["older first"] += 1
            return before[int(rng.integers(len(before) - 1))] + data
        change = CHANGES[rng.integers(len(CHANGES))]
        if change in LIES and self._since_lie <= TRUE_FOR:
            change = flipped
        if change in LIES:
            self._since_lie = 0
        self.counts[change.__name__.replace("_", " ")] += 1
        return change(rng, data)
