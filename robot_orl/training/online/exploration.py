"""Where online episodes come from: players beside the learner, or the store, after a kill.

With one environment, episode by episode (w_j: the weights after learning from episode j):

    learner | take 0 | learn from 0     | take 1 | learn from 1     | take 2 | ...
    player    play 0   play 1 with w_-1 |          play 2 with w_0  |          play 3 with w_1

So neither waits for the other within an episode, and what is played with what does not depend on how fast
either is: with N environments, episode j is played with w_(j-N-1), its noise has a generator of its own,
and it is learned from in the order of the numbers. `AsTheyCome` gives the order up for the freshest weights.

Every episode is committed before it is learned from. Those that a checkpoint does not know were committed
after it: they are learned from again, from there.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from torch import nn

from robot_orl.data.sampling.replay import Replay
from robot_orl.data.store.layout import DATASET_FILE
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import DataError
from robot_orl.seeds import finetune_seed
from robot_orl.training.playing.players import Players, Request
from robot_orl.types import Array, Episode, EpisodeMeta

LOOK_S = 0.05  # how often a learner that waits does something else


def _nothing() -> None:
    """While it waits."""


@dataclass
class Source:
    """What both orders share. seed: of the run.  noise: see `Request`.  stored: committed episodes that were
    not learned from yet, in the order of their commits.  waited_s: by the learner, for episodes [s].
    meanwhile: what it does again and again while it waits; whatever was begun can be saved there.
    """

    players: Players
    writer: SegmentWriter
    dataset: Dataset | None
    stored: list[EpisodeRecord]
    seed: int
    noise: float
    waited_s: float = 0.0
    meanwhile: Callable[[], None] = _nothing

    def begin(self, player: int, number: int, weights: Array) -> None:
        """Ask for the episode of this number."""
        meta = EpisodeMeta(operator="policy", policy_hash=self.players.name_of(weights))
        self.players.start(
            player,
            Request(finetune_seed(self.seed, number), meta, self.noise, (self.seed, 1, number), True),
            weights,
        )

    def wait(self, is_played: Callable[[float], bool]) -> None:
        """Until it is. is_played: waits for that at most so long [s]."""
        before_s = time.monotonic()
        while not is_played(LOOK_S):
            self.meanwhile()
        self.waited_s += time.monotonic() - before_s

    def keep(self) -> None:
        """A stop: what a person did in the episode under way is committed, which ends now.

        There is one player where there is a person, so that it is the next one to learn from.
        """
        for player in range(self.players.count):
            if (episode := self.players.interrupt(player)) is not None:
                self.writer.append(episode)

    def load(self, record: EpisodeRecord) -> Episode:
        assert self.dataset is not None
        return self.dataset.load(record, sim_state=False)

    def number_of(self, record: EpisodeRecord) -> int:
        return _number(record, self.seed)


class Exploration(Protocol):
    """The episodes of a run, each once."""

    @property
    def under_way(self) -> Mapping[int, Array]:
        """Weights (bytes,) uint8 by number, of what is played now and would be played the same again."""

    def take(self, policy: nn.Module) -> Episode:
        """The next one to learn from, committed; before it returns, players go on with this policy."""


class InOrder:
    """Episodes in the order of their numbers. under_way: as of the checkpoint."""

    def __init__(
        self, source: Source, learned: int, policy: nn.Module, under_way: Mapping[int, Array]
    ) -> None:
        self._source, self._next = source, learned
        self._stored = {source.number_of(record): record for record in source.stored}
        self._under_way: dict[int, Array] = {}
        now = source.players.weights(policy)
        for number in range(learned, learned + source.players.count):
            self._begin(number, under_way.get(number, now))

    @property
    def under_way(self) -> Mapping[int, Array]:
        return self._under_way

    def _begin(self, number: int, weights: Array) -> None:
        self._under_way[number] = weights
        if number not in self._stored:
            self._source.begin(number % self._source.players.count, number, weights)

    def take(self, policy: nn.Module) -> Episode:
        source, number = self._source, self._next
        record = self._stored.pop(number, None)
        if record is not None:
            episode = source.load(record)
        else:
            player = number % source.players.count
            source.wait(partial(source.players.is_played, player))
            episode = source.players.take(player)
        del self._under_way[number]
        self._begin(number + source.players.count, source.players.weights(policy))
        if record is None:
            source.writer.append(episode)
        self._next += 1
        return episode


class AsTheyCome:
    """Episodes as they are there, each with the weights of its beginning.

    Of several the one that was begun first: a learner that is slower than the players leaves none waiting.
    """

    def __init__(self, source: Source, known: Sequence[int]) -> None:
        """known: numbers of all committed episodes."""
        self._source = source
        self.under_way: Mapping[int, Array] = {}  # a resumed run plays with the weights that it has
        self._known = set(known)
        self._stored = list(source.stored)
        self._idle = list(range(source.players.count))
        self._playing: dict[int, int] = {}  # numbers of their episodes, by player
        self._number = 0

    def take(self, policy: nn.Module) -> Episode:
        source = self._source
        if self._stored:
            return source.load(self._stored.pop(0))
        self._fill(policy)  # nobody plays yet at the beginning
        source.wait(lambda timeout_s: bool(source.players.played(timeout_s)))
        player = min(source.players.played(), key=self._playing.__getitem__)
        episode = source.players.take(player)
        self._idle.append(player)
        self._fill(policy)
        source.writer.append(episode)
        return episode

    def _fill(self, policy: nn.Module) -> None:
        weights = self._source.players.weights(policy)
        while self._idle:
            while self._number in self._known:
                self._number += 1
            player = self._idle.pop()
            self._source.begin(player, self._number, weights)
            self._playing[player] = self._number
            self._number += 1


@dataclass
class Recorded:
    """A run's own episodes: those that were learned from, in RAM, and those committed after them."""

    dataset: Dataset | None
    learned: Replay
    later: list[EpisodeRecord]
    numbers: list[int]


def recorded(
    folder: Path,
    empty: Replay,
    learned: int,
    seed: int,
    in_order: bool,
    seeing: Callable[[Iterable[Episode]], Iterable[Episode]] = iter,
) -> Recorded:
    """What a run recorded. learned: how many episodes its checkpoint learned from, which `seeing` sees too.

    Raises: DataError: they are not there any more.
    """
    exists = (folder / DATASET_FILE).exists()  # killed before the first episode was committed, it does not
    dataset = Dataset.open(folder, allow_empty=True) if exists else None
    records = dataset.episodes if dataset is not None else []
    numbers = [_number(record, seed) for record in records]
    found = len(records[:learned])
    if in_order:
        found = next((i for i, number in enumerate(numbers[:learned]) if i != number), found)
    if found < learned:
        raise DataError(f"{folder} holds {found} of the {learned} episodes that the checkpoint learned from")
    if dataset is not None:
        empty.extend(seeing(dataset.load_many(records[:learned], sim_state=False)))
    return Recorded(dataset, empty, records[learned:], numbers)


def _number(record: EpisodeRecord, seed: int) -> int:
    return (record.meta.seed or 0) - finetune_seed(seed, 0)
