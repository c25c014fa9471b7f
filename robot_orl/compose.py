"""From `key=value` words to a checked config object, through Hydra, with errors that help."""

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import is_dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString, RangeSweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from robot_orl.config import COMMANDS
from robot_orl.errors import UsageError, unknown
from robot_orl.intervention import check_takes_over
from robot_orl.registry import PACKAGES, discover, not_found, schema_of, third_party
from robot_orl.schema import own_first

GROUPS_OF = {
    "collect": ("task", "operator"),
    "pretrain": ("agent",),
    "finetune": ("agent", "operator"),
    "deploy": ("robot", "operator"),
    "calibrate": ("robot",),
    "virtual-arm": ("task",),
    "doctor": ("robot",),
    "demo": ("task",),
}
BESIDE_A_POLICY = ("finetune", "deploy")  # their operator takes over from it


def config_folder() -> Path:
    """The YAML files: beside the packages in a checkout, inside site-packages when installed."""
    return Path(str(files("configs")))


def choices(group: str) -> list[str]:
    """The valid values of `group=`."""
    files = [path.stem for path in (config_folder() / group).glob("*.yaml")]
    return sorted({*files, *third_party(group)})


def parse(words: list[str]) -> list[Override]:
    """Words of the command line as Hydra overrides. Raises: UsageError: not `key=value`, or adds keys."""
    overrides = []
    for word in words:
        if word.startswith(("+", "~")):
            raise UsageError(f"'{word}': fields can be set, not added or removed; write key=value")
        overrides.append(_override(word))
    keys = [override.key_or_group for override in overrides]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"{key}= is given more than once")
    return overrides


def _override(word: str) -> Override:
    """Raises: UsageError: not `key=value`."""
    parser = OverridesParser.create()
    key, equals, text = word.partition("=")
    is_query = key == "where" and text not in ("", "null")
    is_quoted = text.startswith(("'", '"'))  # no query begins so
    if is_query and not is_quoted:
        return parser.parse_override(_literal(key, text))
    try:
        return parser.parse_override(word)
    except HydraException as error:
        if not re.fullmatch(r"[\w.]+=", key + equals) or is_quoted or set(text) & set("[]{}"):
            raise UsageError(f"'{word}' is not of the form key=value") from error
    return parser.parse_override(_literal(key, text))


def _literal(key: str, text: str) -> str:
    """The text as it was typed: Hydra's grammar has no place for a query, nor for a folder named würfel."""
    literal = text.replace("${", "\\${")  # else OmegaConf would look such a field up
    return f"{key}={QuotedString(literal, Quote.single).with_quotes()}"


def build(command: str, words: list[str], base: dict[str, Any] | None = None) -> Any:
    """The config object of a command, every field checked.

    base: values under `agent` that replace the defaults but not what `words` say (a run's own).
    Raises: UsageError: one line that names the valid choices.
    """
    config = resolve(command, words, base)
    with _one_line():
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise UsageError(f"{command} needs {', '.join(f'{key}=...' for key in missing)}")
        empty = [str(name) for name, value in config.items() if value == ""]
        if empty:  # as a folder it would be the current one
            raise UsageError(f"{empty[0]}= is empty; leave it out or give it a value")
        return OmegaConf.to_object(config)


def resolve(command: str, words: list[str], base: dict[str, Any] | None = None) -> DictConfig:
    """Like `build`, before it becomes objects; required fields may still be missing."""
    overrides = parse(words)
    groups = [o for o in overrides if o.key_or_group in GROUPS_OF.get(command, ())]
    fields = [o for o in overrides if o not in groups]
    for group in GROUPS_OF.get(command, ()):
        if group in PACKAGES:
            discover(group)
    for override in groups:
        if override.value() not in choices(override.key_or_group):
            raise not_found(override.key_or_group, override.value(), choices(override.key_or_group))
        if override.key_or_group == "operator" and command in BESIDE_A_POLICY:
            check_takes_over(str(override.value()))  # before it is asked for what it needs to act by itself
    if command == "collect" and not any(o.key_or_group == "task" for o in groups):
        raise UsageError(f"collect needs task=..., one of: {', '.join(choices('task'))}")
    defaults = deepcopy(_defaults(config_folder(), command, tuple(o.input_line or "" for o in groups)))
    if base is not None:
        OmegaConf.set_struct(defaults, False)
        with _one_line():
            defaults.agent = completed(base)
    keys = [_full_key(defaults, override.key_or_group) for override in fields]
    for key in keys:
        if keys.count(key) > 1:
            raise UsageError(f"{key}= is given more than once")
        _check_key(command, defaults, key)
    with _one_line():
        for key, override in zip(keys, fields, strict=True):
            _set(defaults, key, override)
    return defaults


@cache
def _defaults(folder: Path, command: str, groups: tuple[str, ...]) -> DictConfig:
    """What a command runs with but for single fields: a sweep asks for it again and again."""
    with initialize_config_dir(str(folder), version_base="1.3"), _one_line():
        return compose(command, list(groups))


def completed(agent: dict[str, Any]) -> DictConfig:
    """The settings of a run's agent; what was no field yet when it was made is as the schema says.

    Not as today's YAML does: that may switch on what the run did without.
    """
    discover("agent")
    found = OmegaConf.merge(OmegaConf.structured(schema_of("agent", agent["name"])()), agent)
    assert isinstance(found, DictConfig)
    return found


def _full_key(config: DictConfig, key: str) -> str:
    """`port` is `operator.port` where the command has no such field, and its operator does."""
    first = key.partition(".")[0]
    operator = config.get("operator")
    names = list(operator) if isinstance(operator, DictConfig) else []  # `in` knows none that is missing
    is_operators = first not in config and first in names
    return f"operator.{key}" if is_operators else key


def _set(config: DictConfig, key: str, override: Override) -> None:
    try:
        OmegaConf.update(config, key, override.value(), force_add=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{override.input_line}: {reason}") from error


def _check_key(command: str, config: DictConfig, key: str) -> None:
    """Every part of a dotted key must exist, except below a free-form mapping such as task.kwargs."""
    node: Any = config
    done: list[str] = []
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            raise UsageError(f"{'.'.join(done)} is a single value, so there is no {key}")
        if OmegaConf.get_type(node) is dict and done:
            return
        if part == "name" and done and done[0] in GROUPS_OF.get(command, ()):
            raise UsageError(f"{key} cannot be set; choose with {done[0]}=...")
        names = [str(name) for name in node]
        if part not in names:
            kind = OmegaConf.get_type(node)
            names = [item.name for item in own_first(kind)] if is_dataclass(kind) else names
            where = f"field of {command}" if not done else f"field of {'.'.join(done)}"
            raise unknown(where, part, names)
        done.append(part)
        node = None if OmegaConf.is_missing(node, part) else node[part]


@contextmanager
def _one_line() -> Iterator[None]:
    """Hydra's and OmegaConf's own errors as one line."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ or error
        raise UsageError(" ".join(str(cause).split())) from error


def sweep(words: list[str]) -> list[tuple[list[str], str]]:
    """`--multirun`: each combination of the comma-separated values, with a name such as `seed=0,lr=1`."""
    alternatives: list[list[tuple[str, bool]]] = []
    for override in parse(words):
        line = override.input_line or ""
        if override.is_sweep_override():
            if not isinstance(override.value(), (ChoiceSweep, RangeSweep)):
                raise UsageError(f"'{line}': a sweep is a list of values such as 0,1,2 or range(0,3)")
            key = override.get_key_element()
            alternatives.append([(f"{key}={value}", True) for value in override.sweep_string_iterator()])
        else:
            alternatives.append([(line, False)])
    jobs = []
    for combination in itertools.product(*alternatives):
        name = ",".join(word for word, varies in combination if varies)
        jobs.append(([word for word, _ in combination], name.replace("/", "_")))
    return jobs


__all__ = ["COMMANDS", "build", "choices", "config_folder", "parse", "resolve", "sweep"]
