"""Config fields that carry their own sentence, unit and range; every schema is a dataclass of them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any

from omegaconf import MISSING

from robot_orl.errors import UsageError


def setting(
    default: Any = NO_DEFAULT,
    help: str = "",
    *,
    unit: str = "",
    low: float = -math.inf,
    high: float = math.inf,
    choices: Sequence[str] = (),
    factory: Callable[[], Any] | None = None,
) -> Any:
    """A documented dataclass field. Without a default and a factory it is required.

    low, high: inclusive range, checked when the config is built.  choices: the valid strings.
    Both hold for every element of a list.
    """
    metadata = {"help": help, "unit": unit, "low": low, "high": high, "choices": tuple(choices)}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(default=MISSING if default is NO_DEFAULT else default, metadata=metadata)


@dataclass
class Schema:
    """Base of every config: checks each field against its declared range or choices."""

    def __post_init__(self) -> None:
        for item in fields(self):
            self._check(item.name, getattr(self, item.name), item.metadata)

    def _check(self, name: str, value: Any, rule: Any) -> None:
        if not rule or value is None or value == MISSING:
            return
        if isinstance(value, list):
            for element in value:
                self._check(name, element, rule)
            return
        if rule["choices"] and value not in rule["choices"]:
            raise UsageError(f"{name}={value} is not one of: {', '.join(rule['choices'])}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        if not rule["low"] <= value <= rule["high"]:  # also catches NaN
            unit = f" [{rule['unit']}]" if rule["unit"] else ""
            raise UsageError(f"{name}={value} is outside {rule['low']} .. {rule['high']}{unit}")


def own_first(schema: type) -> list[Field[Any]]:
    """The fields as they are shown: what a schema shares with others comes behind its own."""
    return sorted(fields(schema), key=lambda item: item.name not in schema.__annotations__)


def defaults_of(config: Any) -> dict[str, Any]:
    """What every field of a config is unless somebody says otherwise; of those in it, by their own types."""
    plain = type(config)()
    values = {item.name: (getattr(config, item.name), getattr(plain, item.name)) for item in fields(config)}
    return {
        name: defaults_of(now) if is_dataclass(now) else default for name, (now, default) in values.items()
    }


def differing(before: Any, now: Any, prefix: str = "", defaults: Any = None) -> list[str]:
    """Dotted names of the fields of two nested mappings that differ.

    defaults: what a field was in `before` where it is missing, because it was written down by a version
    that did not have it yet; None without one.
    """
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [] if before == now else [prefix.rstrip(".")]
    known = defaults if isinstance(defaults, dict) else {}
    return [
        deeper
        for name in {**before, **now}
        for deeper in differing(
            before.get(name, known.get(name)), now.get(name), f"{prefix}{name}.", known.get(name)
        )
    ]
