"""Config fields carry their range, and a value outside of it answers in one line."""

import math
from dataclasses import dataclass, fields

import pytest
from omegaconf import MISSING, OmegaConf

from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting


@dataclass
class Example(Schema):
    speed: float = setting(0.5, "How fast.", unit="m/s", low=0, high=2)
    count: int = setting(3, "How many.", low=1)
    mode: str = setting("fast", "In which way.", choices=["fast", "slow"])
    limit: float | None = setting(None, "Null is no limit.", low=0)
    sizes: list[int] = setting(factory=lambda: [8], help="Widths.", low=1, high=512)
    is_on: bool = setting(False, "A switch.", low=5)
    path: str = setting(help="Required.")


def test_values_in_range_are_taken_bounds_included() -> None:
    for speed in (0, 2, 0.5):
        assert Example(speed=speed).speed == speed
    assert Example(count=1).count == 1
    assert Example(limit=0.0).limit == 0.0
    assert Example(sizes=[1, 512]).sizes == [1, 512]
    assert Example(is_on=True).is_on is True  # ranges are for numbers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": 2.0001}, "speed=2.0001 is outside 0 .. 2 [m/s]"),
        ({"speed": -0.0001}, "speed=-0.0001 is outside 0 .. 2 [m/s]"),
        ({"speed": math.nan}, "speed=nan is outside 0 .. 2 [m/s]"),
        ({"speed": math.inf}, "speed=inf is outside 0 .. 2 [m/s]"),
        ({"count": 0}, "count=0 is outside 1 .. inf"),
        ({"limit": math.nan}, "limit=nan is outside 0 .. inf"),
        ({"mode": "fats"}, "mode=fats is not one of: fast, slow"),
        ({"sizes": [8, 0]}, "sizes=0 is outside 1 .. 512"),
        ({"mode": ""}, "mode= is not one of: fast, slow"),
    ],
)
def test_values_outside_are_refused_in_one_line(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Example(**settings)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_nan_is_refused_even_without_a_range() -> None:
    @dataclass
    class Free(Schema):
        value: float = setting(0.0, "Any number.")

    assert Free(value=math.inf).value == math.inf
    with pytest.raises(UsageError, match="value=nan is outside"):
        Free(value=math.nan)


def test_a_field_without_a_default_is_required() -> None:
    assert Example().path == MISSING
    assert OmegaConf.missing_keys(OmegaConf.structured(Example)) == {"path"}
    assert Example(path="here").path == "here"


def test_null_is_taken_where_it_is_the_default() -> None:
    assert Example().limit is None


def test_a_list_is_each_ones_own() -> None:
    first, second = Example(), Example()
    first.sizes.append(9)
    assert second.sizes == [8]


def test_sentence_unit_and_range_travel_with_the_field() -> None:
    speed = next(item for item in fields(Example) if item.name == "speed")
    assert speed.metadata["help"] == "How fast."
    assert (speed.metadata["unit"], speed.metadata["low"], speed.metadata["high"]) == ("m/s", 0, 2)


def test_ranges_are_checked_when_a_config_file_becomes_an_object() -> None:
    config = OmegaConf.merge(OmegaConf.structured(Example), {"speed": 3, "path": "here"})
    with pytest.raises(Exception, match=r"speed=3.0 is outside 0 .. 2"):
        OmegaConf.to_object(config)
