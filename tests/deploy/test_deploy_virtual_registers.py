"""The control table against the maker's own tables, as their SDK carries them."""

import math
from importlib.resources import files

import pytest

from robot_orl.deploy.dynamixel.registers import MODELS, XL330_M288, XL430_W250, Area, Model

# Ours are the e-manual's names; the SDK's files lack what the manual added later.
ONLY_IN_THE_MANUAL = {"startup_configuration", "backup_ready"}


def makers_table(model: Model) -> dict[str, tuple[int, int]]:
    """(address, size) by name, the indirect registers left out."""
    name = model.name.lower().replace("-", "_")
    text = (files("dynamixel_easy_sdk") / "control_table" / f"{name}.model").read_text()
    rows = [line.split("\t") for line in text.split("[control table]")[1].strip().splitlines()[1:]]
    snake = {name.lower().replace("(shadow)", "").replace(" ", "_"): (int(a), int(s)) for a, s, name in rows}
    return {name: where for name, where in snake.items() if not name.startswith("indirect")}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_addresses_and_sizes_are_the_makers(model: Model) -> None:
    ours = {name: (register.address, register.size) for name, register in model.registers.items()}
    assert {name: where for name, where in ours.items() if name not in ONLY_IN_THE_MANUAL} == makers_table(
        model
    )


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_registers_do_not_overlap_and_hold_their_values(model: Model) -> None:
    end = 0
    for register in model.registers.values():
        assert register.address >= end
        end = register.end
        assert (register.address < 64) == (register.area == Area.EEPROM)
        for raw in (register.initial, register.low, register.high):
            if raw is not None:
                assert register.decode(register.encode(raw)) == raw
        if register.initial is not None and register.low is not None and register.high is not None:
            assert register.low <= register.initial <= register.high


def test_units_by_hand() -> None:
    registers = XL330_M288.registers
    assert registers["present_position"].from_raw(1024) == pytest.approx(math.pi / 2)
    assert registers["present_velocity"].from_raw(-100) == pytest.approx(-22.9 * 2 * math.pi / 60)
    assert registers["present_current"].from_raw(-1750) == pytest.approx(-1.75)
    assert registers["bus_watchdog"].from_raw(100) == pytest.approx(2.0)
    assert registers["return_delay_time"].from_raw(250) == pytest.approx(0.0005)
    assert registers["profile_acceleration"].from_raw(1) == pytest.approx(214.577 * 2 * math.pi / 3600)
    assert registers["goal_position"].to_raw(math.pi / 4) == 512


def test_the_models_differ_where_the_manual_says() -> None:
    assert "current_limit" not in XL430_W250.registers
    assert "present_load" not in XL330_M288.registers
    assert (
        XL430_W250.registers["present_load"].address == XL330_M288.registers["present_current"].address == 126
    )
    assert (XL430_W250.registers["shutdown"].initial, XL330_M288.registers["shutdown"].initial) == (52, 53)
    assert XL330_M288.registers["max_voltage_limit"].high == 70
