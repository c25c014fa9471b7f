"""Which episodes to show: a failure before and a success after, from the same start if there is one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium

from robot_orl.data.store.reader import Dataset
from robot_orl.errors import RobotOrlError
from robot_orl.policies import load_policy
from robot_orl.report.sources import Sources
from robot_orl.seeds import EVALUATION_SEEDS
from robot_orl.tasks import task_env
from robot_orl.training.evaluate import Act, play
from robot_orl.types import Episode

SEEDS_TRIED = 20
SEARCH_S = 4.0  # bound on each of the two searches

Clock = Callable[[], float]


@dataclass(frozen=True)
class Take:
    """An episode with simulator states. who: 'bc', 'data', or the stage of the policy."""

    who: str
    episode: Episode


@dataclass(frozen=True)
class Takes:
    """before: a failure.  after: a success.  Either may be None.  note: what a reader must know of them."""

    before: Take | None
    after: Take | None
    note: str


def find_takes(sources: Sources, env: gymnasium.Env[Any, Any], clock: Clock) -> Takes:
    """The failure is BC's on an evaluation seed, else one of the demonstrations; time is bounded."""
    stages = [stage for stage in sources.stages if sources.run.has(stage)]
    if not stages:
        return Takes(None, None, "No video: there is no trained policy yet.")
    spec, last = task_env(env).task_spec, stages[-1]
    try:
        final, _ = load_policy(sources.run.checkpoint_path(last), spec)
        bc = load_policy(sources.run.checkpoint_path("bc"), spec)[0] if "bc" in stages[:-1] else None
    except RobotOrlError as error:
        return Takes(None, None, f"No video: {error}.")
    first: Take | None = None
    for take in _failures(env, bc, sources.datasets, clock):
        first = first or take
        seed = take.episode.meta.seed
        if seed is not None:
            played = play(env, final, seed, keep_state=True)
            if played.meta.success:
                return Takes(take, Take(last, played), _same_start(take, first, last, bc is not None))
    after = _success(env, final, last, clock)
    return Takes(first, after, _apart(first, after, last))


def _failures(
    env: gymnasium.Env[Any, Any], bc: Act | None, datasets: list[Dataset], clock: Clock
) -> Iterator[Take]:
    """Failures of BC on the first evaluation seeds, then of the demonstrations; one of these in any case."""
    deadline = clock() + SEARCH_S
    if bc is not None:
        for seed in EVALUATION_SEEDS[:SEEDS_TRIED]:
            if clock() > deadline:
                break
            episode = play(env, bc, seed, keep_state=True)
            if not episode.meta.success:
                yield Take("bc", episode)
    failed = [(d, record) for d in datasets for record in d.episodes if record.meta.success is False]
    for tried, (dataset, record) in enumerate(failed[:SEEDS_TRIED]):
        if tried and clock() > deadline:
            return
        episode = dataset.load(record)
        if episode.sim_state is not None:
            yield Take("data", episode)


def _success(env: gymnasium.Env[Any, Any], final: Act, last: str, clock: Clock) -> Take | None:
    deadline = clock() + SEARCH_S
    for seed in EVALUATION_SEEDS[:SEEDS_TRIED]:
        episode = play(env, final, seed, keep_state=True)
        if episode.meta.success:
            return Take(last, episode)
        if clock() > deadline:
            break
    return None


def _same_start(take: Take, first: Take, last: str, has_bc: bool) -> str:
    seed = take.episode.meta.seed
    if take.who == "bc":
        return f"Both begin at the same start: evaluation seed {seed}, on which neither policy was trained."
    if not has_bc:
        why = "There is no other policy to compare with"
    elif first.who == "bc":
        why = f"Where behaviour cloning was seen to fail, the {last} policy failed too"
    else:
        why = "Behaviour cloning failed at none of the starts tried"
    return f"{why}, so the failure is one of the demonstrations; both begin at the same start, seed {seed}."


def _apart(before: Take | None, after: Take | None, last: str) -> str:
    if before is not None and after is not None:
        return "At no start tried does the one fail and the other succeed, so these two starts differ."
    if after is not None:
        return "No failure was found to compare with: neither of behaviour cloning nor among the data."
    if before is not None:
        return f"The {last} policy succeeded at none of the starts tried, so there is no success to show."
    return "No video: neither a failure nor a success was found in the time for it."
