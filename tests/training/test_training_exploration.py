"""In the order of arrival, a slow learner leaves nobody's episode lying."""

from typing import Any, cast

import numpy as np
from torch import nn

from robot_orl.training.online.exploration import AsTheyCome, Source


class Quick:
    """Players that have played before anybody looks; an episode is its number."""

    count = 3

    def __init__(self) -> None:
        self.playing: dict[int, int] = {}

    def weights(self, policy: nn.Module) -> Any:
        return np.zeros(1, np.uint8)

    def name_of(self, weights: Any) -> str:
        return "0"

    def start(self, player: int, request: Any, weights: Any) -> None:
        self.playing[player] = request.noise_seed[-1]

    def played(self, timeout_s: float | None = None) -> list[int]:
        return sorted(self.playing)

    def take(self, player: int) -> int:
        return self.playing.pop(player)


class Nowhere:
    def append(self, episode: Any) -> None: ...


def test_a_slow_learner_takes_from_all_players() -> None:
    source = Source(cast(Any, Quick()), cast(Any, Nowhere()), None, [], seed=0, noise=0.1)
    episodes = AsTheyCome(source, known=[1])
    assert [cast(Any, episodes.take(nn.Identity())) for _ in range(7)] == [0, 2, 3, 4, 5, 6, 7]
