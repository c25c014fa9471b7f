"""A bus of Dynamixel servos, Protocol 2.0, through the maker's SDK: transactions, and what can go wrong.

What may happen to a packet, and what this does about it:

    no answer, or a late one     `BadPacket`; the line is drained, so the answer is not taken for a later one
    a wrong checksum, garbage    `BadPacket`; drained as well
    an answer of another length  `BadPacket`: it answers another question
    bytes without end            `BadPacket` at the deadline
    a refusal by the servo       `Refused`, in words
    the port is gone             `PortLost`; `open` opens it again

Whether to ask again is the caller's business: `Bus.retrying` does where time is no matter.
"""

import termios
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dynamixel_sdk import COMM_RX_TIMEOUT, COMM_SUCCESS, Protocol2PacketHandler

from robot_orl.deploy.dynamixel.port import BusPort, MakePort, Overrun, PortLost
from robot_orl.deploy.dynamixel.registers import MODELS, Register
from robot_orl.errors import RunError

T = TypeVar("T")
QUIET_S = 0.001  # the line is quiet when nothing has come for so long
ALERT = 0x80  # bit of a status packet's error: the servo has a hardware error
ID, LENGTH, ERROR, PARAMETERS = 4, 5, 8, 9  # positions in a status packet


class BadPacket(RunError):
    """An answer did not come, came broken or was another's. kind: 'timeout' or 'corrupt'."""

    def __init__(self, text: str, kind: str) -> None:
        super().__init__(text)
        self.kind = kind


class Refused(RunError):
    """A servo understood and would not."""


@dataclass(frozen=True)
class Block:
    """What a servo answered to a read: its bytes from `address` on.  has_alert: of a hardware error."""

    address: int
    data: bytes
    has_alert: bool

    def raw(self, register: Register) -> int:
        """The value of a register that lies in the block."""
        start = register.address - self.address
        return register.decode(self.data[start : start + register.size])


class Bus:
    """Servos on one port. counts: packets by how they went: 'good', 'timeout', 'corrupt', 'drained' bytes."""

    def __init__(
        self,
        port: str,
        baud: int,
        names: Mapping[int, str],
        reply_s: float,
        make_port: MakePort = BusPort,
    ) -> None:
        """names: of the joints by id.  reply_s: how long an answer may be late [s]."""
        self.counts: Counter[str] = Counter()
        self._names = names
        self._port = make_port(port, baud, reply_s)
        self._sdk = Protocol2PacketHandler()

    @property
    def is_open(self) -> bool:
        return bool(self._port.is_open)

    def open(self) -> None:
        """Raises: UsageError: no such port, or no right to it.  PortLost: it cannot be had."""
        self._port.open()

    def close(self) -> None:
        self._port.close()

    def who(self, servo: int) -> str:
        return f"{self._names[servo]} (id {servo})" if servo in self._names else f"id {servo}"

    def retrying(self, action: Callable[[], T], attempts: int = 4) -> T:
        """Where time is no matter: again after a bad packet, each time with three times the patience.

        Also after a refusal, which a broken packet may look like.
        Raises: BadPacket, Refused: the last of them.
        """
        for attempt in range(attempts):
            self._port.patience = 3.0**attempt
            try:
                return action()
            except (BadPacket, Refused):
                if attempt == attempts - 1:
                    raise
            finally:
                self._port.patience = 1.0
        raise AssertionError("at least one attempt")

    def ping(self, servo: int) -> int:
        """Its model number."""
        number, result, error = self._transact(lambda: self._sdk.ping(self._port, servo))
        self._require(servo, result, error)
        return int(number)

    def scan(self) -> dict[int, int]:
        """Model numbers by id of all servos that answer a broadcast; takes most of a second."""
        found, _ = self._transact(lambda: self._sdk.broadcastPing(self._port))
        return {int(servo): int(model[0]) for servo, model in sorted(found.items())}

    def read(self, servo: int, register: Register) -> int:
        """The raw value of a register."""
        data, result, error = self._transact(
            lambda: self._sdk.readTxRx(self._port, servo, register.address, register.size)
        )
        self._require(servo, result, error)
        if len(data) != register.size:
            raise self._bad(f"{self.who(servo)} answered another question", "corrupt")
        return register.decode(bytes(data))

    def write(self, servo: int, register: Register, raw: int) -> None:
        """Write a raw value; the servo acknowledges it. Raises: Refused: by the servo."""
        data = list(register.encode(raw))
        result, error = self._transact(
            lambda: self._sdk.writeTxRx(self._port, servo, register.address, register.size, data)
        )
        self._require(servo, result, error, f" as it was told to set {register.name} to {raw}")

    def reboot(self, servo: int) -> None:
        result, error = self._transact(lambda: self._sdk.reboot(self._port, servo))
        self._require(servo, result, error)

    def sync_read(self, servos: Sequence[int], address: int, size: int) -> dict[int, Block]:
        """`size` bytes from `address` on of every servo: one question, an answer each, in their order.

        Raises: BadPacket: names the first whose answer did not come or was broken.
        """

        blocks: dict[int, Block] = {}

        def exchange() -> bool:
            """Whether all that came was sound."""
            sent = self._sdk.syncReadTx(self._port, address, size, list(servos), len(servos), False)
            return sent != COMM_SUCCESS or self._collect(blocks, servos, address, size)

        is_sound = self._transact(exchange)
        if len(blocks) < len(servos):
            silent = next(servo for servo in servos if servo not in blocks)  # those behind it wait for it
            raise self._bad(f"no good answer from {self.who(silent)}", "timeout" if is_sound else "corrupt")
        self.counts["good"] += 1
        return blocks

    def sync_write(self, register: Register, raws: Mapping[int, int]) -> None:
        """Raw values by id in one packet that no servo answers."""
        data = [byte for servo, raw in raws.items() for byte in (servo, *register.encode(raw))]
        result = self._transact(
            lambda: self._sdk.syncWriteTxOnly(self._port, register.address, register.size, data, len(data))
        )
        if result != COMM_SUCCESS:
            raise self._bad("the port did not take a packet", "timeout")

    def _collect(self, blocks: dict[int, Block], servos: Sequence[int], address: int, size: int) -> bool:
        """Add the good answers to a sync read; they come in the order of the question.

        Returns: whether nothing broken or unasked for came between.
        """
        is_sound = True
        while len(blocks) < len(servos):
            packet, result = self._sdk.rxPacket(self._port, False)
            if result == COMM_RX_TIMEOUT:
                return is_sound
            if result != COMM_SUCCESS:
                is_sound = False
                if self._port.packet_timeout == 0:  # the SDK's mark: the deadline passed within a packet
                    return False
                continue  # those behind it may be good, and then it is known whose was bad
            servo, length = packet[ID], packet[LENGTH] + 256 * packet[LENGTH + 1]
            if servo in servos and length == size + 4:
                data = bytes(packet[PARAMETERS : PARAMETERS + size])
                blocks[servo] = Block(address, data, bool(packet[ERROR] & ALERT))
            else:
                is_sound = False
            if servo == servos[-1]:
                break
        return is_sound

    def _transact(self, exchange: Callable[[], Any]) -> Any:
        """One call of the SDK. Raises: PortLost; BadPacket: what came made no sense even to the SDK."""
        if not self._port.is_open:
            raise PortLost(f"{self._port.port_name} is not open")
        self._port.is_using = False  # an exception may have left it taken
        try:
            return exchange()
        except Overrun:
            raise self._bad("bytes without end on the line", "corrupt") from None
        except (IndexError, ValueError, TypeError) as error:  # the SDK trusts lengths that it was sent
            if not self._port.is_open:
                raise PortLost(f"{self._port.port_name} was closed") from error
            raise self._bad("garbage on the line", "corrupt") from error
        except (OSError, termios.error) as error:  # pyserial lets termios' own error through
            self._port.close()
            raise PortLost(f"{self._port.port_name} is gone: cable, adapter or power ({error})") from error

    def _require(self, servo: int, result: int, error: int, doing: str = "") -> None:
        """Raises: BadPacket: no success.  Refused: the servo said so."""
        if result != COMM_SUCCESS:
            kind = "timeout" if result == COMM_RX_TIMEOUT else "corrupt"
            said = "does not answer" if kind == "timeout" else "answered, but broken"
            raise self._bad(f"{self.who(servo)} {said}{doing}", kind)
        self.counts["good"] += 1
        if error & ~ALERT:
            reason = self._sdk.getRxPacketError(error & ~ALERT).removeprefix("[RxPacketError] ")
            raise Refused(f"{self.who(servo)} answered '{reason}'{doing}")

    def _bad(self, text: str, kind: str) -> BadPacket:
        """Count it, and let what is still on its way not be taken for the answer to the next question."""
        self.counts[kind] += 1
        try:
            self.counts["drained"] += self._port.drain(QUIET_S)
        except (OSError, termios.error):
            self._port.close()
        return BadPacket(text, kind)


def model_name(number: int) -> str:
    return MODELS[number].name if number in MODELS else f"model {number}"
