"""The memory of a virtual servo: what a read sees and which writes its table refuses."""

from collections.abc import Callable, Iterable, Mapping

from robot_orl.deploy.dynamixel.registers import Area, Model, Register
from robot_orl.deploy.virtual.packets import ErrorNumber


class Refused(Exception):
    """An instruction that the servo does not carry out; its status says why."""

    def __init__(self, error: ErrorNumber) -> None:
        super().__init__(error.name)
        self.error = error


class ControlTable:
    """Bytes by address and raw values by name. Bytes are made when they are read, which is seldom.

    measure: fills in the measured registers before they are looked at, once after each `outdate`.

    Bytes between two registers read as zero; a read of nothing else, or of more than the table, is refused,
    and so is a write that touches anything but whole writable registers.
    """

    def __init__(self, model: Model, own: Mapping[str, int]) -> None:
        """own: EEPROM values in which this servo differs from the factory's."""
        self.model = model
        self._size = max(register.end for register in model.registers.values())
        self._memory = bytearray(self._size)
        self._raws: dict[str, int] = {}
        self._changed: set[str] = set()  # since their bytes were made
        self._measured = frozenset(n for n, r in model.registers.items() if _is_measured(r))
        self._is_outdated = False
        self.measure: Callable[[], None] = lambda: None
        self._register_at = {
            address: register
            for register in model.registers.values()
            for address in range(register.address, register.end)
        }
        self.reset(Area.EEPROM)
        self.reset(Area.RAM)
        for name, raw in own.items():
            self[name] = raw

    def __getitem__(self, name: str) -> int:
        if self._is_outdated and name in self._measured:
            self._update()
        return self._raws[name]

    def __setitem__(self, name: str, raw: int) -> None:
        """Unchecked: for the servo itself."""
        self._raws[name] = raw
        self._changed.add(name)

    def outdate(self) -> None:
        """What is measured has changed."""
        self._is_outdated = True

    def _update(self) -> None:
        self._is_outdated = False
        self.measure()

    def __contains__(self, name: str) -> bool:
        return name in self.model.registers

    def reset(self, area: Area, keep: Iterable[str] = ()) -> None:
        """To the factory's values; what has none becomes zero, for the servo to fill in."""
        for register in self.model.registers.values():
            if register.area == area and register.name not in keep:
                self[register.name] = register.initial or 0

    def read(self, address: int, length: int) -> bytes:
        """Raises: Refused: nothing is defined there."""
        end = address + length
        if end > self._size or not any(at in self._register_at for at in range(address, end)):
            raise Refused(ErrorNumber.ACCESS)
        if self._is_outdated:
            self._update()
        for name in self._changed:
            register = self.model.registers[name]
            self._memory[register.address : register.end] = register.encode(self._raws[name])
        self._changed.clear()
        return bytes(self._memory[address:end])

    def parts(self, address: int, data: bytes) -> list[tuple[Register, int]]:
        """What a write means, in the order of addresses. Raises: Refused: it cannot be meant."""
        found = []
        at, end = address, address + len(data)
        if not data:
            raise Refused(ErrorNumber.DATA_LENGTH)
        while at < end:
            register = self._register_at.get(at)
            if register is None or not register.writable:
                raise Refused(ErrorNumber.ACCESS)
            if at != register.address or register.end > end:
                raise Refused(ErrorNumber.DATA_LENGTH)
            found.append((register, register.decode(data[at - address : register.end - address])))
            at = register.end
        return found

    def check(self, register: Register, raw: int, *, bounded: bool = True) -> None:
        """Raises: Refused: outside of the register's range or, if `bounded`, of other registers' limits."""
        if (
            register.low is not None
            and register.high is not None
            and not register.low <= raw <= register.high
        ):
            raise Refused(ErrorNumber.DATA_RANGE)
        if bounded and register.within is not None:
            lowest, highest = (self._bound(name) for name in register.within)
            if not lowest <= raw <= highest:
                raise Refused(ErrorNumber.DATA_LIMIT)

    def _bound(self, name: str) -> int:
        return -self[name[1:]] if name.startswith("-") else self[name]


def _is_measured(register: Register) -> bool:
    return register.area == Area.RAM and not register.writable
