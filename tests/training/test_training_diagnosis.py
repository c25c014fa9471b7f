"""What is said of critics whose values are known: worked out by hand."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import identity, point_spec, points
from torch import Tensor, nn
from training_toys import awac_config

from robot_orl.agents.bc import BCConfig
from robot_orl.data.sampling.mixture import Mixture
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.training.checks.diagnosis import (
    FILE,
    PAIRS,
    STEPS,
    diagnose,
    discounted,
    rank_correlation,
    read_diagnosis,
)
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, new_state
from robot_orl.types import Actor, Episode


class Known:
    """Two critics: Q = s + 10 a and Q = s + 10 a + 2; the policy's action is 0.2 everywhere."""

    def __init__(self) -> None:
        self.sampling = Sampling(batch_size=4, discount=0.5)

    def q_values(self, obs: Tensor, action: Tensor) -> Tensor:
        q = (obs + 10 * action).squeeze(-1)
        return torch.stack([q, q + 2])

    def policy(self) -> nn.Module:
        class Constant(nn.Module):
            def forward(self, obs: Tensor) -> Tensor:
                return torch.full_like(obs, 0.2)

        return Constant()


@pytest.fixture
def known() -> TrainingState:
    state = new_state(BCConfig(hidden=[4]), point_spec(), identity(point_spec()), seed=0)
    return replace(state, agent=Known())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def by(actor: Actor, made: Episode) -> Episode:
    return replace(made, actor=np.full(len(made), actor, np.uint8))


def replay_of(*episodes: Episode) -> Replay:
    return Replay(point_spec()).extend(episodes)


def test_a_terminated_episode_is_compared_with_its_own_return(run: Run, known: TrainingState) -> None:
    """States 1 and 2, actions 0.1 and 0.2, rewards 4 and 8: returns 4 + 8 / 2 = 8 and 8; Q = 3 and 5."""
    found = diagnose(run, "offline", known, replay_of(points([1, 2, 3], [4, 8], terminated=True)))
    assert found["diagnosis/q"] == 4  # mean of (2 and 4) and (4 and 6)
    assert found["diagnosis/return"] == 8
    assert found["diagnosis/bias"] == pytest.approx(-4)
    assert found["diagnosis/tail"] == 0
    assert found["diagnosis/disagreement"] == pytest.approx(1)  # each lies 1 from their mean
    assert "diagnosis/rank_correlation" not in found  # both returns are 8


def test_an_episode_that_was_cut_off_goes_on_with_the_policys_value(run: Run, known: TrainingState) -> None:
    """Behind s = 3 the critics promise 3 + 2 + 1 = 6: returns 8 + 6 / 2 = 11 and 4 + 11 / 2 = 9.5."""
    found = diagnose(run, "offline", known, replay_of(points([1, 2, 3], [4, 8], terminated=False)))
    assert found["diagnosis/return"] == pytest.approx((11 + 9.5) / 2)
    assert found["diagnosis/tail"] == pytest.approx((0.5 + 0.25) / 2)
    assert found["diagnosis/rank_correlation"] == pytest.approx(1)


def test_everybodys_steps_are_judged_apart(run: Run, known: TrainingState) -> None:
    """The action of s is s / 10 where the policy's is 0.2: advantage 10 (s / 10 - 0.2) = s - 2."""
    stored = replay_of(
        by(Actor.SCRIPT, points([1, 5], [0], terminated=True)),
        by(Actor.HUMAN, points([4, 5], [0], terminated=True)),
        by(Actor.INTERVENTION, points([5, 5], [1], terminated=True)),
        by(Actor.UNKNOWN, points([6, 5], [1], terminated=True)),
    )
    found = diagnose(run, "offline", known, stored)
    names = ("script", "human", "intervention", "unknown")
    assert [round(found[f"diagnosis/advantage_{name}"], 5) for name in names] == [-1, 2, 3, 4]
    assert found["diagnosis/bias_script"] == pytest.approx(1 + 1 + 1 - 0)
    assert found["diagnosis/bias_human"] == pytest.approx(4 + 4 + 1 - 0)
    assert "diagnosis/advantage_policy" not in found


def test_steps_of_two_actors_in_one_episode_are_told_apart(run: Run, known: TrainingState) -> None:
    mixed = points([1, 2, 3], [0, 0], terminated=True)
    actor = np.array([Actor.POLICY, Actor.INTERVENTION], np.uint8)
    found = diagnose(run, "offline", known, replay_of(replace(mixed, actor=actor)))
    assert found["diagnosis/advantage_policy"] == pytest.approx(-1)
    assert found["diagnosis/advantage_intervention"] == pytest.approx(0, abs=1e-5)


def test_the_latest_episodes_of_the_policy_are_looked_at(run: Run, known: TrainingState) -> None:
    long = points([0.0] * (STEPS + 1), [0.0] * STEPS)
    old, new = by(Actor.POLICY, points([9, 9], [0])), by(Actor.POLICY, long)
    online = replay_of(old, new)
    found = diagnose(run, "online", known, Mixture(replay_of(points([1, 2], [0])), online, 0.75))
    assert found["diagnosis/advantage_policy"] == pytest.approx(-2)  # only s = 0
    assert found["diagnosis/online_share"] == 0.25
    assert len(read_diagnosis(run)["online"]["pairs"]["policy"]) == PAIRS


def test_the_pairs_of_each_stage_are_kept(run: Run, known: TrainingState) -> None:
    stored = replay_of(points([1, 2, 3], [4, 8], terminated=True))
    known.progress.updates = 70
    found = diagnose(run, "offline", known, stored)
    known.progress.env_steps = 500
    online = replay_of(by(Actor.POLICY, points([1, 2], [0], terminated=True)))
    diagnose(run, "online", known, Mixture(stored, online))
    kept = json.loads((run.path / FILE).read_text())
    assert kept["offline"]["pairs"] == {"script": [[8, 3], [8, 5]]}
    assert kept["offline"]["metrics"] == found
    assert (kept["offline"]["updates"], kept["online"]["env_steps"]) == (70, 500)
    assert kept["online"]["pairs"] == {"script": [[8, 3], [8, 5]], "policy": [[0, 3]]}


def test_before_the_first_episode_of_its_own_all_batches_are_offline(run: Run, known: TrainingState) -> None:
    found = diagnose(run, "online", known, Mixture(replay_of(points([1, 2], [0])), replay_of(), 0.75))
    assert found["diagnosis/online_share"] == 0


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_damaged_file_is_made_again(run: Run, known: TrainingState, content: str) -> None:
    (run.path / FILE).write_text(content)
    diagnose(run, "offline", known, replay_of(points([1, 2], [0])))
    assert list(read_diagnosis(run)) == ["offline"]


def test_a_real_agent_learns_on_as_if_it_had_not_been_asked(run: Run) -> None:
    stored = replay_of(points([0, 1, 2, 3], [-1, -1, 0]), points([3, 2, 1], [-1, -1]))
    weights = []
    for is_asked in (False, True):
        config = awac_config(hindsight_share=0.0, batch_size=4)
        state = new_state(config, stored.spec, identity(stored.spec), seed=0)
        for _ in range(3):
            state.agent.update(stored.sample(state.agent.sampling, state.rng))
            found = diagnose(run, "offline", state, stored) if is_asked else {}
        weights.append(state.agent.policy().state_dict())
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])
    assert all(np.isfinite(value) for value in found.values())


def test_cloning_has_no_critics_to_ask(run: Run) -> None:
    state = new_state(BCConfig(hidden=[4]), point_spec(), identity(point_spec()), seed=0)
    assert diagnose(run, "bc", state, replay_of(points([1, 2], [0]))) == {}
    assert not (run.path / FILE).exists()


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ([1, 2, 3], [10, 100, 1000], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 2, 3], [1, 2, 3, 4], 0.9486833),  # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
        ([1, 1, 1], [1, 2, 3], None),
    ],
)
def test_ranks_are_compared(x: Sequence[float], y: Sequence[float], expected: Any) -> None:
    found = rank_correlation(np.array(x), np.array(y))
    assert found is None if expected is None else found == pytest.approx(expected)


def test_returns_are_discounted_towards_the_end() -> None:
    assert discounted(np.array([1.0, 2.0, 4.0]), 8.0, 0.5).tolist() == [1 + 3, 2 + 4, 4 + 4]
