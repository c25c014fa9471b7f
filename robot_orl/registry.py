"""One file, one YAML: an agent, operator or robot registers its schema and its factory by name."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from hydra.core.config_store import ConfigStore

from robot_orl.errors import unknown

T = TypeVar("T", bound=Callable[..., Any])

PACKAGES = {
    "agent": "robot_orl.agents",
    "operator": "data_collection.operators",
    "robot": "robot_orl.deploy.robots",
}
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
    """Import every module of the group's package, so that each registers itself."""
    package = import_module(PACKAGES[group])
    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def factory(group: str, name: str) -> Callable[..., Any]:
    """The class registered as `group=name`. Raises: UsageError: names the valid ones."""
    return _find(_factories, group, name)


def schema_of(group: str, name: str) -> type:
    """The dataclass that configures `group=name`. Raises: UsageError: names the valid ones."""
    return _find(_schemas, group, name)


def _find(table: dict[tuple[str, str], Any], group: str, name: str) -> Any:
    discover(group)
    if (group, name) not in table:
        raise unknown(group, name, sorted(n for g, n in table if g == group))
    return table[(group, name)]
