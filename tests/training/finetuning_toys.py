"""Finetuning a small run, and stopping it at any moment."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from training_toys import LONG, SPARSE, WatchedReplay, online, watched_replay

from robot_orl.training.finetune import finetune
from robot_orl.training.online.stage import Recipe
from robot_orl.training.runs.run import Run
from robot_orl.types import Episode

Env = gymnasium.Env[Any, Any]
TWO = replace(LONG, environments=2)


class Crash(Exception):
    """Stands for a kill: nothing after it runs."""


def on_call(owner: Any, name: str, number: int, after: bool) -> Callable[[pytest.MonkeyPatch], None]:
    """Crash before or after the so many-th call of a method."""
    original, calls = getattr(owner, name), []

    def crashing(*args: Any, **words: Any) -> Any:
        calls.append(1)
        if len(calls) == number and not after:
            raise Crash
        result = original(*args, **words)
        if len(calls) == number and after:
            raise Crash
        return result

    return lambda patch: patch.setattr(owner, name, crashing)


def tune(run: Run, env: Env, replay: WatchedReplay, recipe: Recipe, **settings: Any) -> Any:
    with run:
        return finetune(replace(online(run, env, replay), **{"cadence": SPARSE} | settings), recipe)


def made(path: Path, offline_run: Path, env: Env, episodes: list[Episode], recipe: Recipe) -> Run:
    run = Run(shutil.copytree(offline_run, path / "run"))
    tune(run, env, watched_replay(env, episodes), recipe)
    return run
