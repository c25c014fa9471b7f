"""The commands that make a run again: only what differs from the defaults, quoted for a shell."""

import json
import math
import os
import shlex
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from robot_orl.compose import choices, completed, parse, resolve
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.report.sources import Sources

Values = dict[str, Any]


def commands(sources: Sources) -> list[str]:
    """One line each, in the order in which they are run; a line that starts with '#' is a remark."""
    run, summary, config = shown(sources.run.path), sources.summary, sources.config
    lines = [line for dataset in sources.datasets for line in collecting(dataset)]
    if "data" in sources.missing:
        lines.append(f"# the data must lie at {', '.join(shown(path) for path in config['data'])}")
    data = [shown(path) for path in config["data"]]
    agent = _completed(config["agent"])
    asked = config | {"agent": agent} | {"data": data[0] if len(data) == 1 else data, "out": run}
    lines.append(command("pretrain", ("agent",), asked, first=("agent", "data", "out")))
    if "finetune" in summary:
        last = summary["finetune"]
        for part in (*last.get("before", ()), last):  # earlier parts, whose settings differed, come first
            asked = {**part, "run": run, "agent": _completed(part["agent"])}
            if asked.get("data") == config["data"]:
                del asked["data"]
            lines.append(command("finetune", ("agent",), asked, first=("run",), base=agent))
    bundle = summary.get("bundle")
    if bundle is not None:
        lines.append(_exporting(sources, run, shown(bundle)))
    if sources.deploy is not None:
        lines.append(_deploying(sources.deploy, bundle))
    lines.append(command("report", (), {"run": run}))
    return lines


def _completed(agent: Values) -> Values:
    """The settings of a run's agent with those that its version did not have yet."""
    found = OmegaConf.to_container(completed(agent))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}


def collecting(dataset: Dataset) -> list[str]:
    """The `collect` commands behind a dataset; a remark for what was recorded in another way."""
    path = shown(str(dataset.path))
    asked: dict[str, Values] = {}
    others: dict[str, int] = {}
    for segment in dataset.segments:
        config = segment.attributes.get("config") or {}
        if not {"operator", "task", "episodes"} <= set(config):
            source = str(segment.attributes.get("source"))
            others[source] = others.get(source, 0) + len(segment.records)
            continue
        key = json.dumps(config | {"episodes": 0, "out": ""}, sort_keys=True)
        if key not in asked or asked[key]["episodes"] < config["episodes"]:  # asked again for more
            asked[key] = {**config, "out": path}
    lines = [
        command("collect", ("task", "operator"), config, first=("task", "operator", "episodes", "out"))
        for config in asked.values()
    ]
    return lines + [f"# {path} also holds {n} episodes recorded by {name}" for name, n in others.items()]


def command(
    name: str,
    groups: tuple[str, ...],
    asked: Values,
    first: tuple[str, ...] = (),
    base: Values | None = None,
) -> str:
    """`robot-orl NAME key=value ...` that leads to `asked`; fields that the command lacks are left out.

    groups: config groups among the keys, named by the YAML that is nearest to what was asked.
    base: the run's own agent, which finetuning goes on with and which is therefore not named.
    """
    chosen = {group: _nearest(name, group, asked[group]) for group in groups}
    defaults = _defaults(name, tuple(f"{group}={choice}" for group, choice in chosen.items()))
    if base is not None:
        defaults = defaults | {"agent": base}
    known = {key: asked[key] for key in defaults if key in asked}
    said = {} if base is not None else {group: [f"{group}={choice}"] for group, choice in chosen.items()}
    for key, value in _differences(defaults, known):
        text = value if key == "where" else written(value)  # a query is taken as it is typed
        said.setdefault(key.partition(".")[0], []).append(f"{key}={text}")
    ordered = [*(key for key in first if key in said), *(key for key in said if key not in first)]
    return shlex.join(["robot-orl", name, *(word for key in ordered for word in said[key])])


def shown(path: str | Path) -> str:
    """Relative to the working folder where it lies below it, else absolute."""
    path = Path(os.path.abspath(path))
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) and path != here else str(path)


def _exporting(sources: Sources, run: str, bundle: str) -> str:
    """The stage is named where it is not the one that an export of the finished run takes."""
    asked = {**sources.summary.get("export", {}), "run": run, "out": bundle}
    last = "online" if "finetune" in sources.summary else (sources.stages or ["latest"])[-1]
    if asked.get("stage") == last:
        asked["stage"] = "latest"
    return command("export", (), asked, first=("run", "out", "stage"))


def _deploying(figures: Values, bundle: str | None) -> str:
    """As it was asked for; a deploy.json from before that was kept tells neither seed nor recording."""
    config = figures.get("config")
    if isinstance(config, Mapping) and isinstance(config.get("robot"), Mapping):
        paths = {key: shown(config[key]) for key in ("record", "out") if config.get(key) is not None}
        own = str(config.get("bundle"))
        folder = own if Path(own).is_dir() else bundle or own
        asked = {**config, **paths, "bundle": shown(folder)}
        if config["robot"].get("name") in choices("robot"):
            return command("deploy", ("robot",), asked, first=("bundle", "robot", "duration_s"))
    seconds = figures["slots"] / figures["control_hz"]
    asked = {"bundle": shown(bundle or figures.get("bundle", "BUNDLE")), "duration_s": round(seconds, 3)}
    line = shlex.join(["robot-orl", "deploy", f"bundle={written(asked['bundle'])}"])
    robot = str(figures["robot"])
    extra = [f"robot={robot}"] if robot in choices("robot") else []
    return f"{line} {shlex.join([*extra, 'duration_s=' + format(asked['duration_s'], 'g')])}"


def _nearest(name: str, group: str, asked: Values) -> str:
    """The YAML of the group with the same `name` inside and the fewest differences."""
    best: tuple[float, str] = (math.inf, str(asked["name"]))
    for choice in choices(group):
        words: tuple[str, ...] = (f"{group}={choice}",)
        if name == "collect" and group == "operator":  # which cannot be composed without a task
            words = (f"task={choices('task')[0]}", *words)
        values = _defaults(name, words)[group]
        if values["name"] == asked["name"]:
            best = min(best, (len(list(_differences(values, asked))), choice))
    if best[0] is math.inf:
        raise UsageError(f"no {group} '{asked['name']}' is registered any more")
    return best[1]


def _differences(defaults: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of `asked` that are not what `defaults` say."""
    for key, value in asked.items():
        default = defaults.get(key, "???")
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            yield from ((f"{key}.{below}", found) for below, found in _differences(default, value))
        elif value != default:
            yield key, value


@cache
def _defaults(name: str, words: tuple[str, ...]) -> Values:
    """The configuration of a command that is given these words; required fields are '???'."""
    values: Any = OmegaConf.to_container(resolve(name, list(words)))
    return values


def written(value: Any) -> str:
    """A value as Hydra's grammar writes it: bare where it reads back equal, else in quotes."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{','.join(written(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{name}:{written(item)}' for name, item in value.items())}}}"
    if not isinstance(value, str):
        return repr(value)
    try:
        if parse([f"key={value}"])[0].value() == value:
            return value
    except UsageError:
        pass
    return "'" + value.replace("'", "\\'") + "'"
