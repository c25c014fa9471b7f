"""One environment and one set of episodes for all training tests."""

from typing import Any

import gymnasium
import pytest
from training_toys import WatchedReplay, random_episodes, reach, watched_replay

from robot_orl.types import Episode


@pytest.fixture(scope="session")
def env() -> gymnasium.Env[Any, Any]:
    return reach()


@pytest.fixture(scope="session")
def episodes(env: gymnasium.Env[Any, Any]) -> list[Episode]:
    return random_episodes(env, 4)


@pytest.fixture
def replay(env: gymnasium.Env[Any, Any], episodes: list[Episode]) -> WatchedReplay:
    return watched_replay(env, episodes)
