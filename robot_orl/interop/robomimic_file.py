"""The structure of a robomimic file, as `formats/robomimic` draws it, checked before it is believed."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from robot_orl.errors import DataError, printable
from robot_orl.interop.hdf5 import Column, text, texts


@dataclass(frozen=True)
class Demo:
    """The arrays of one demonstration, each of T rows."""

    name: str
    seen: Mapping[str, Column]
    seen_next: Mapping[str, Column]
    action: Column
    reward: Column | None
    done: Column | None
    state: Column | None

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What every demonstration of a file must have alike."""
        groups = (("obs", self.seen), ("next_obs", self.seen_next))
        rows = {f"{group}/{key}": column.row for group, held in groups for key, column in held.items()}
        single = {"actions": self.action, "rewards": self.reward, "dones": self.done, "states": self.state}
        return rows | {name: column.row for name, column in single.items() if column is not None}


def group_of(path: Path, file: Any, name: str) -> Any:
    group = file.get(name)
    if group is None or not hasattr(group, "keys"):
        raise DataError(f"{path} has no group '{printable(name)}'")
    if not all(isinstance(key, str) and key.isprintable() for key in (*group, *group.attrs)):
        raise DataError(f"{path} is damaged: a name in '{printable(name)}' is no text")
    return group


def names_of(path: Path, file: Any) -> list[str]:
    """Of the demonstrations, in the order of their numbers."""
    found = list(group_of(path, file, "data"))
    if not found:
        raise DataError(f"{path}: 'data' holds no demonstration")
    return sorted(found, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])


def env_args_of(path: Path, file: Any) -> dict[str, Any]:
    content = text(group_of(path, file, "data").attrs.get("env_args"))
    if content is None:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: attribute 'env_args' of 'data' is not JSON") from error
    return found if isinstance(found, dict) else {}


def masks_of(path: Path, file: Any, names: list[str]) -> dict[str, list[str]]:
    """The filter keys of each demonstration. Raises: DataError: one names another demonstration."""
    found: dict[str, list[str]] = {}
    known = set(names)
    for key, node in group_of(path, file, "mask").items() if "mask" in file else ():
        if len(getattr(node, "shape", None) or ()) != 1 or len(node) > len(names):
            raise DataError(f"{path}: 'mask/{key}' is not a list of demonstrations")
        for name in texts(file["mask"], key, len(node)):
            if name not in known:
                raise DataError(f"{path}: 'mask/{key}' names '{name}', which is not in 'data'")
            found.setdefault(name, []).append(key)
    return found


def demo_of(path: Path, file: Any, name: str) -> Demo:
    """Its arrays, checked against each other."""
    group = group_of(path, file, f"data/{name}")
    if "obs" not in group:
        raise DataError(
            f"{path}: 'data/{name}' has no 'obs': extract them with robomimic's dataset_states_to_obs"
        )
    action = Column(group, "actions")
    length = len(action)
    if len(action.row) != 1 or length == 0 or group.attrs.get("num_samples", length) != length:
        raise DataError(
            f"{path}: '{action.name}' has shape {(length, *action.row)}; expected (num_samples, n)"
        )
    obs = group_of(path, file, f"data/{name}/obs")
    seen = {key: Column(obs, key).expect(length) for key in obs}
    following = group_of(path, file, f"data/{name}/next_obs") if "next_obs" in group else {}
    seen_next = {key: Column(following, key) for key in following}
    if seen_next.keys() != seen.keys() and seen_next:
        raise DataError(f"{path}: 'data/{name}' has other keys in 'next_obs' than in 'obs'")
    for key, column in seen_next.items():
        column.expect(length, seen[key].row)
    optional = {
        key: Column(group, key).expect(length, (), (1,)) if key in group else None
        for key in ("rewards", "dones")
    }
    state = group.get("states")
    has_state = state is not None and prod(getattr(state, "shape", None) or (0,)) > 0
    return Demo(
        name=name,
        seen=seen,
        seen_next=seen_next,
        action=action,
        reward=optional["rewards"],
        done=optional["dones"],
        state=Column(group, "states").expect(length) if has_state else None,
    )


def check_alike(path: Path, first: Demo, demo: Demo) -> None:
    left, right = first.shapes(), demo.shapes()
    for key in left | right:
        if left.get(key) != right.get(key):
            raise DataError(
                f"{path}: '{key}' has rows of {left.get(key, 'nothing')} in {first.name}, "
                f"of {right.get(key, 'nothing')} in {demo.name}"
            )
