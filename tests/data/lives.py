"""Episodes that another process lives step by step, so that what must come back of them is known."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from made_episodes import SIM_STATE, assert_same_bits, made_episode, made_spec

from robot_orl.data.store.buffer import EpisodeBuffer
from robot_orl.data.store.journal import Journal
from robot_orl.types import Actor, Array, Episode, EpisodeMeta, Proposal

SPEC = made_spec()
assert SIM_STATE  # every life has simulator states


def made_life(seed: int) -> tuple[Episode, Array]:
    """The whole episode of a seed, and its success flags (T,) int8, -1 where unknown."""
    rng = np.random.default_rng([seed, 1])
    length = 1 + seed % 40 if seed % 7 else 300
    made = made_episode(seed, length)
    flags = rng.integers(-1, 2, length).astype("i1")
    whole = replace(
        made,
        action_operator=np.full_like(made.action, np.nan) if seed % 2 else made.action_operator,
        terminated=np.zeros(length, bool),
        truncated=np.arange(length) == length - 1,
        t_ns=np.arange(length) * 40_000_000 + seed,
        actor=rng.integers(0, 4, length).astype("u1"),
        meta=replace(made.meta, policy_hash="abc", instruction="lift it"),
    )
    return replace(whole, meta=told(whole.meta, flags, "horizon")), flags


def told(meta: EpisodeMeta, flags: Array, end_reason: str) -> EpisodeMeta:
    known = [bool(flag) for flag in flags if flag >= 0]
    last = bool(flags[-1]) if flags[-1] >= 0 else None
    return replace(meta, success=last, success_any=any(known) if known else None, end_reason=end_reason)


def known_before(meta: EpisodeMeta) -> EpisodeMeta:
    return replace(meta, success=None, success_any=None, end_reason="horizon")


def cut_life(seed: int, steps: int) -> Episode:
    """What must be recovered of it when it was killed after so many steps."""
    whole, flags = made_life(seed)
    if steps == len(whole):
        return whole
    names = ("action", "action_policy", "action_operator", "reward", "terminated", "t_ns", "actor")
    return replace(
        whole,
        obs={key: rows[: steps + 1] for key, rows in whole.obs.items()},
        sim_state=None if whole.sim_state is None else whole.sim_state[: steps + 1],
        truncated=np.arange(steps) == steps - 1,
        meta=told(whole.meta, flags[:steps], "crash"),
        **{name: getattr(whole, name)[:steps] for name in names},
    )


def live(
    buffer: EpisodeBuffer,
    journal: Journal | None,
    seed: int,
    steps: int | None = None,
    after_step: Callable[[int], None] = lambda step: None,
    pause_s: float = 0.0,
) -> Episode | None:
    """Record the life of a seed, or its first steps only; then it is not finished."""
    whole, flags = made_life(seed)
    assert whole.sim_state is not None
    buffer.begin({k: rows[0] for k, rows in whole.obs.items()}, whole.sim_state[0], journal=journal)
    for i in range(len(whole) if steps is None else steps):
        operator = None if np.isnan(whole.action_operator[i]).all() else whole.action_operator[i]
        buffer.append(
            Proposal(whole.action[i], Actor(int(whole.actor[i])), operator=operator),
            {key: rows[i + 1] for key, rows in whole.obs.items()},
            float(whole.reward[i]),
            bool(whole.terminated[i]),
            bool(whole.truncated[i]),
            int(whole.t_ns[i]),
            whole.sim_state[i + 1],
            success=None if flags[i] < 0 else bool(flags[i]),
        )
        after_step(i + 1)
        if pause_s:
            time.sleep(pause_s)
    return buffer.finish(whole.meta) if steps is None else None


def assert_lived(found: Episode, seed: int) -> None:
    """It is the whole life, or what must be recovered of it."""
    assert_same_bits(found, cut_life(seed, len(found)))


def header_size(journal: Path) -> int:
    """Where its rows begin."""
    content = journal.read_bytes()
    return content.index(b"\n", content.index(b"\n") + 1) + 1
