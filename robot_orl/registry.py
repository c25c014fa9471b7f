"""One file, one YAML: an agent, operator or robot registers its schema and its factory by name.

A robot may also come with another distribution, found by an entry point of the robot's name:

    [project.entry-points."robot_orl.robots"]
    my_arm = "my_package.my_arm"          # importing it runs @register("robot", "my_arm", MyArmConfig)
"""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore

from robot_orl.errors import UsageError, unknown

T = TypeVar("T", bound=Callable[..., Any])

PACKAGES = {
    "agent": "robot_orl.agents",
    "operator": "data_collection.operators",
    "robot": "robot_orl.deploy.robots",
}
ENTRY_POINTS = {"robot": "robot_orl.robots"}
_theirs: set[tuple[str, str]] = set()  # those of other distributions
_broken: dict[tuple[str, str], str] = {}  # of these, why one could not be loaded
_factories: dict[tuple[str, str], Callable[..., Any]] = {}
_schemas: dict[tuple[str, str], type] = {}


def register(group: str, name: str, schema: type) -> Callable[[T], T]:
    """Decorator: make `factory` known as `group=name`, configured by the dataclass `schema`."""

    def decorate(factory: T) -> T:
        ConfigStore.instance().store(group=f"schema/{group}", name=name, node=schema)
        _factories[(group, name)] = factory
        _schemas[(group, name)] = schema
        return factory

    return decorate


def discover(group: str) -> None:
    """Import every module of the group's package, so that each registers itself, and those of others."""
    _import_own(group)
    third_party(group)


def _import_own(group: str) -> None:
    package = import_module(PACKAGES[group])
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def third_party(group: str) -> list[str]:
    """Names that other distributions have registered; one that cannot be loaded costs only itself."""
    for entry in (entries := _entries(group, tuple(sys.path))):
        if (group, entry.name) not in _theirs | _broken.keys():
            _import_own(group)  # first, so that none of theirs takes the place of one of ours
            _load((group, entry.name), entry)
    return [entry.name for entry in entries if (group, entry.name) in _theirs]


@cache
def _entries(group: str, path: tuple[str, ...]) -> list[EntryPoint]:
    """path: where they are looked for, which is sys.path; here it tells when to look again."""
    return list(entry_points(group=ENTRY_POINTS[group])) if group in ENTRY_POINTS else []


def _load(key: tuple[str, str], entry: EntryPoint) -> None:
    origin = f"{entry.value} of {entry.dist.name if entry.dist else 'an unknown distribution'}"
    if key in _factories:
        _broken[key] = f"{origin} has the name of a built-in one"
        return
    try:
        entry.load()
    except Exception as error:  # whatever somebody else's module raises while it is imported
        _broken[key] = f"{origin}: {type(error).__name__}: {' '.join(str(error).split())}"
        return
    if key not in _factories:
        _broken[key] = f"{origin} registers no {key[0]} of this name"
        return
    _theirs.add(key)
    ConfigStore.instance().store(group=key[0], name=key[1], node=_schemas[key])  # in the place of a YAML


def not_found(group: str, name: object, valid: list[str]) -> UsageError:
    """What to say about a name that is not among the valid ones."""
    if why := _broken.get((group, str(name))):
        return UsageError(f"{group} '{name}' cannot be loaded: {why}")
    return unknown(group, name, valid)


def factory(group: str, name: str) -> Callable[..., Any]:
    """The class registered as `group=name`. Raises: UsageError: names the valid ones."""
    return _find(_factories, group, name)


def registered(group: str) -> dict[str, Callable[..., Any]]:
    """The class of every `group=name`, in the order of the names."""
    discover(group)
    return {name: _factories[(found, name)] for found, name in sorted(_factories) if found == group}


def schema_of(group: str, name: str) -> type:
    """The dataclass that configures `group=name`. Raises: UsageError: names the valid ones."""
    return _find(_schemas, group, name)


def _find(table: dict[tuple[str, str], Any], group: str, name: str) -> Any:
    discover(group)
    if (group, name) not in table:
        raise not_found(group, name, sorted(n for g, n in table if g == group))
    return table[(group, name)]
