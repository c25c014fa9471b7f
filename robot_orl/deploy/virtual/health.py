"""What a virtual servo watches itself for: heat, load, voltage; and the errors that stay until a reboot.

The thermal and overload numbers are plausible, not measured: a stalled motor is too hot after about 45 s and
overloaded after one. Source of the errors: section Shutdown(63) of
https://emanual.robotis.com/docs/en/dxl/x/xl430-w250/
"""

from dataclasses import dataclass

from robot_orl.deploy.dynamixel.registers import HardwareError
from robot_orl.deploy.virtual.table import ControlTable

AMBIENT_C = 28.0
HEATING_C_S = 1.0  # at the full torque; falls with its square
COOLING_S = 300.0  # time constant
NO_ERROR = HardwareError(0)
OVERLOAD_SHARE, OVERLOAD_S = 0.95, 1.0  # of the full torque, and for how long


@dataclass
class Health:
    """temperature: degC.  voltage: V.  latched: errors since the last start."""

    voltage: float
    temperature: float = AMBIENT_C
    latched: HardwareError = NO_ERROR
    _overload_s: float = 0.0

    def restart(self) -> None:
        """Forget errors; what caused them may still be there."""
        self.latched = NO_ERROR
        self._overload_s = 0.0

    def cool(self) -> None:
        """A long pause."""
        self.temperature = AMBIENT_C

    def watch(self, share: float, dt: float, table: ControlTable) -> HardwareError:
        """What is wrong after `dt` seconds at that share of the full torque."""
        cooling = (self.temperature - AMBIENT_C) / COOLING_S
        self.temperature += (HEATING_C_S * share**2 - cooling) * dt
        self._overload_s = self._overload_s + dt if share >= OVERLOAD_SHARE else 0.0
        found = NO_ERROR
        if self._overload_s > OVERLOAD_S:
            found |= HardwareError.OVERLOAD
        if self.temperature > table["temperature_limit"]:
            found |= HardwareError.OVERHEATING
        if not table["min_voltage_limit"] <= round(10 * self.voltage) <= table["max_voltage_limit"]:
            found |= HardwareError.INPUT_VOLTAGE
        return found
