"""`robot-orl compare`: may the new bundle take the place of the current one? Loads no PyTorch."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from robot_orl.commands.tables import out, print_rows
from robot_orl.config import CompareConfig
from robot_orl.deploy.bundle import Bundle, check_robot
from robot_orl.deploy.promotion.comparison import MOST, compared
from robot_orl.errors import RunError, UsageError
from robot_orl.interrupt import StopFlag
from robot_orl.progress import Bar
from robot_orl.rollout import rollout
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Actor, Episode, Observation, Proposal


def run(cfg: CompareConfig) -> None:
    new, current = Bundle.load(cfg.bundle), Bundle.load(cfg.current)
    _require_same_task(new, current)
    file = Path(cfg.out) if cfg.out else new.path / "compare.json"
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"cannot write {file}; choose another out=")  # before anything is played
    if new.policy_hash == current.policy_hash:
        out.print("both bundles hold the same policy")
    env = make_env(TaskConfig(new.task, dict(new.task_kwargs)))
    for bundle in (new, current):
        check_robot(bundle.spec, spec_of(env))
    episodes = _play(env, new, current, EVALUATION_SEEDS[: cfg.episodes])
    found = compared(
        [bool(ours.meta.success) for ours, _ in episodes],
        [bool(theirs.meta.success) for _, theirs in episodes],
        np.array([ours.reward.sum() for ours, _ in episodes]),
        np.array([theirs.reward.sum() for _, theirs in episodes]),
        cfg.margin,
        np.random.default_rng(0),
    )
    for name, bundle in (("new", new), ("current", current)):
        found[name] |= {"bundle": str(bundle.path.resolve()), "policy_hash": bundle.policy_hash}
    _print(found, cfg)
    try:
        file.write_text(json.dumps({"task": new.task} | found, indent=2) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {file}: {error.strerror}") from error
    out.print(f"{_told(found)}; written to {file}", soft_wrap=True)


def _require_same_task(new: Bundle, current: Bundle) -> None:
    if (new.task, dict(new.task_kwargs)) != (current.task, dict(current.task_kwargs)):
        raise UsageError(
            f"{new.path} was made for task '{new.task}' {dict(new.task_kwargs)}, {current.path} for "
            f"'{current.task}' {dict(current.task_kwargs)}: they have no starts in common"
        )


def _play(
    env: gymnasium.Env[Any, Any], new: Bundle, current: Bundle, seeds: Sequence[int]
) -> list[tuple[Episode, Episode]]:
    """One episode of each from every start. Raises: Interrupted: nothing is kept."""
    found = []
    with StopFlag() as stop, Bar("compare", len(seeds)) as bar:
        for seed in seeds:
            stop.check("the same command compares again")
            pair = _episode(env, new, seed), _episode(env, current, seed)
            if any((pair[0].obs[key][0] != pair[1].obs[key][0]).any() for key in pair[0].obs):
                raise RunError(f"task '{new.task}' does not start twice alike from seed {seed}")
            found.append(pair)
            bar.advance()
    return found


def _episode(env: gymnasium.Env[Any, Any], bundle: Bundle, seed: int) -> Episode:
    def choose(obs: Observation) -> Proposal:
        action = bundle.policy(bundle.spec.flatten(obs))
        return Proposal(action, Actor.POLICY, policy=action)

    return rollout(env, choose, seed=seed, keep_state=False)


def _print(found: dict[str, Any], cfg: CompareConfig) -> None:
    pairs = found["pairs"]
    print_rows(
        [
            *((f"{name} {path}", _rate(found[name], found["episodes"])) for name, path in _named(cfg)),
            ("difference", _interval(found["difference"], found["difference95"], 100, "%")),
            ("only new, only current", f"{pairs['only_new']}, {pairs['only_current']}"),
            ("exact McNemar test", f"p = {found['mcnemar_p']:.3g}"),
            ("return", _interval(found["return_difference"], found["return_difference95"], 1, "")),
        ]
    )


def _named(cfg: CompareConfig) -> tuple[tuple[str, str], ...]:
    return ("new", cfg.bundle), ("current", cfg.current)


def _rate(figures: dict[str, Any], n: int) -> str:
    low, high = figures["wilson95"]
    return f"{figures['success']:.1%} ({low:.1%} .. {high:.1%}) of {n}, return {figures['return']:.1f}"


def _interval(value: float, interval: Sequence[float], scale: float, unit: str) -> str:
    low, high = interval
    return f"{value * scale:+.1f}{unit} ({low * scale:+.1f} .. {high * scale:+.1f})"


def _told(found: dict[str, Any]) -> str:
    """The decision, in a sentence."""
    low, margin = found["difference95"][0], found["margin"]
    if found["may_be_promoted"]:
        how = f"better by {low:.1%} at least" if low > 0 else f"worse by {-low:.1%} at most"
        return f"may be promoted: {how}, {margin:.1%} worse is allowed"
    if found["verdict"] == "keep":
        return f"may not be promoted: it is worse by more than {margin:.1%}"
    needed = found["episodes_needed"]
    more = f"about episodes={needed} would tell" if needed else "and so far it looks worse than allowed"
    if needed and needed > MOST:
        more = f"more than episodes={MOST}, the most that can be played, would be needed"
    return f"may not be promoted yet: not enough episodes, it may be worse by {-low:.1%}; {more}"
