"""A real task, tiny networks and a few random episodes; and comparisons of checkpoints."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch

import envs  # noqa: F401  registers the tasks
from robot_orl.agents.awac_config import AWACConfig, AWACOnline
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.interrupt import StopFlag
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env
from robot_orl.training.online.stage import Online, Recipe
from robot_orl.training.pretrain import Cadence, Offline
from robot_orl.training.runs.run import Run, read_metrics
from robot_orl.training.state import unpack
from robot_orl.types import Actor, Array, Batch, Episode, Observation, Proposal

CADENCE = Cadence(log_every=4, eval_every=12, eval_episodes=1, checkpoint_every=5, final_episodes=1)
RECIPE = Recipe(env_steps=150, updates_per_step=1, offline_share=0.5, noise=0.2, warmup_steps=50)
LONG = replace(RECIPE, env_steps=400)  # 8 episodes, with few checkpoints and points of the learning curve
SPARSE = replace(CADENCE, log_every=50, eval_every=100, checkpoint_every=150)


def reach() -> gymnasium.Env[Any, Any]:
    return make_env(TaskConfig("fetch_reach"))


def awac_config(**settings: Any) -> AWACConfig:
    """Everything on that keeps state of its own."""
    values: dict[str, Any] = {
        "hidden": [8],
        "batch_size": 16,
        "critics": 3,
        "critic_subset": 2,
        "layer_norm": True,
        "n_step": 2,
        "hindsight_share": 0.5,
        "weights": "exp_std",
        "actor_average": 0.1,
        "online": AWACOnline(n_step=3, temperature=0.7),
    }
    return AWACConfig(**(values | settings))


def random_episodes(env: gymnasium.Env[Any, Any], count: int) -> list[Episode]:
    rng = np.random.default_rng(0)

    def choose(obs: Observation) -> Proposal:
        return Proposal(rng.uniform(-1, 1, 4).astype(np.float32), Actor.SCRIPT)

    return [rollout(env, choose, seed=seed, keep_state=False) for seed in range(count)]


class WatchedReplay(Replay):
    """Real replay; `before` is called with the number of batches drawn so far."""

    before: Callable[[int], None] | None = None
    drawn = 0

    def sample(self, sampling: Sampling, rng: np.random.Generator) -> Batch:
        if self.before is not None:
            self.before(self.drawn)
        self.drawn += 1
        return super().sample(sampling, rng)


def watched_replay(env: gymnasium.Env[Any, Any], episodes: list[Episode]) -> WatchedReplay:
    replay = WatchedReplay(spec_of(env), task_env(env).reward_for)
    replay.extend(episodes)
    return replay


def offline(run: Run, env: gymnasium.Env[Any, Any], replay: Replay, stop: StopFlag | None = None) -> Offline:
    return Offline(run, env, replay, "fingerprint", 0, CADENCE, stop or StopFlag())


def online(
    run: Run,
    env: gymnasium.Env[Any, Any],
    replay: Replay,
    stop: StopFlag | None = None,
    config: AWACConfig | None = None,
) -> Online:
    task = TaskConfig("fetch_reach")
    config = config or awac_config()
    return Online(run, task, env, replay, "fingerprint", 0, config, CADENCE, stop or StopFlag())


def assert_bitwise_equal(found: Any, expected: Any, where: str = "state") -> None:
    """Nested dictionaries and lists of tensors and plain values; seconds may differ."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected.keys() - {"wall_s"}:
            assert_bitwise_equal(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(found) == len(expected), where
        for number, (left, right) in enumerate(zip(found, expected, strict=True)):
            assert_bitwise_equal(left, right, f"{where}[{number}]")
    elif isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype, where
        assert found.numpy().tobytes() == expected.numpy().tobytes(), where
    else:
        assert found == expected, where


def lines(path: Path) -> list[dict[str, Any]]:
    """A run's metrics by step, without the seconds: a point of the curve is logged when it is known."""
    rows = [{k: v for k, v in row.items() if not is_time(k)} for row in read_metrics(path)]
    return sorted(rows, key=lambda row: (row["stage"], row["step"], "eval/success" in row))


def figures(run: Run) -> dict[str, Any]:
    """A run's summary without the seconds."""
    return {key: value for key, value in run.summary.items() if key not in ("wall_s", "engine")}


def is_time(name: str) -> bool:
    return name == "wall_s" or name.startswith("time/")


def assert_same_runs(found: Run, expected: Run, stage: str, replay: Replay) -> None:
    """Checkpoints bit for bit, the next batch, the metrics and the figures."""
    left, right = found.load(stage), expected.load(stage)
    assert_bitwise_equal(left, right)
    states = unpack(left), unpack(right)
    batches = [replay.sample(state.agent.sampling, state.rng) for state in states]
    for name in ("obs", "action", "reward", "discount", "next_obs"):
        values: list[Array] = [getattr(batch, name) for batch in batches]
        assert values[0].tobytes() == values[1].tobytes()
    assert json.dumps(lines(found.path)) == json.dumps(lines(expected.path))
    assert_bitwise_equal(figures(found), figures(expected), "summary")
