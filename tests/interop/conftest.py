"""Datasets that several tests read and none changes."""

import pytest
from finite_episodes import finite_dataset

from robot_orl.data.store import Dataset
from robot_orl.types import Episode


@pytest.fixture(scope="session")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, list[Episode]]:
    """Three episodes with frames and states, in a folder called `data` that is alone in its own."""
    return finite_dataset(tmp_path_factory.mktemp("filmed") / "data")
