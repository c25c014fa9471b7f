"""One environment, one set of episodes and one pretrained run for all training tests."""

import shutil
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from finetuning_toys import TWO, made
from resume_toys import STEPS
from training_toys import (
    LONG,
    RECIPE,
    WatchedReplay,
    awac_config,
    offline,
    online,
    random_episodes,
    reach,
    watched_replay,
)

from robot_orl.training.finetune import finetune
from robot_orl.training.pretrain import pretrain
from robot_orl.training.runs.run import Run
from robot_orl.types import Episode

Env = gymnasium.Env[Any, Any]


@pytest.fixture(scope="session")
def env() -> Env:
    return reach()


@pytest.fixture(scope="session")
def episodes(env: Env) -> list[Episode]:
    return random_episodes(env, 4)


@pytest.fixture
def replay(env: Env, episodes: list[Episode]) -> WatchedReplay:
    return watched_replay(env, episodes)


@pytest.fixture(scope="session")
def offline_run(tmp_path_factory: pytest.TempPathFactory, env: Env, episodes: list[Episode]) -> Path:
    path = tmp_path_factory.mktemp("offline")
    with Run(path) as run:
        run.save_config({"task": {"name": "fetch_reach"}})
        pretrain(offline(run, env, watched_replay(env, episodes)), "offline", awac_config(), 20)
    return path


@pytest.fixture
def run(offline_run: Path, tmp_path: Path) -> Run:
    """Pretrained, and to be finetuned by the test."""
    return Run(shutil.copytree(offline_run, tmp_path / "run"))


@pytest.fixture(scope="session")
def one(
    tmp_path_factory: pytest.TempPathFactory, offline_run: Path, env: Env, episodes: list[Episode]
) -> Run:
    """Undisturbed, with one environment."""
    return made(tmp_path_factory.mktemp("one"), offline_run, env, episodes, LONG)


@pytest.fixture(scope="session")
def two(
    tmp_path_factory: pytest.TempPathFactory, offline_run: Path, env: Env, episodes: list[Episode]
) -> Run:
    """Undisturbed, with two environments."""
    return made(tmp_path_factory.mktemp("two"), offline_run, env, episodes, TWO)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, env: Env, episodes: list[Episode]) -> Run:
    """A whole run: offline, then online."""
    replay = watched_replay(env, episodes)
    with Run(tmp_path_factory.mktemp("undisturbed")) as run:
        pretrain(offline(run, env, replay), "offline", awac_config(), STEPS)
        finetune(online(run, env, replay), RECIPE)
    return run
