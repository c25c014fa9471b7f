"""A run that diverges stops at the update where it began, with its batch, and saves nothing bad."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import identity, point_spec, points
from training_toys import awac_config

from robot_orl.data.sampling.replay import Replay
from robot_orl.errors import RunError
from robot_orl.training.checks.watch import ABSURD, MOST_UPDATES, Watch, tensors_in
from robot_orl.training.runs.run import Run
from robot_orl.training.state import TrainingState, new_state
from robot_orl.types import Batch


@pytest.fixture
def replay() -> Replay:
    return Replay(point_spec()).extend([points([0, 1, 2, 3, 4], [-1, -1, -1, 0])])


@pytest.fixture
def state(replay: Replay) -> TrainingState:
    config = awac_config(discount=0.9, n_step=2, hindsight_share=0.0, batch_size=4)
    return new_state(config, replay.spec, identity(replay.spec), seed=0)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def draw(replay: Replay, state: TrainingState) -> Batch:
    return replay.sample(state.agent.sampling, state.rng)


def learn(watch: Watch, replay: Replay, state: TrainingState, updates: range, **bad: Any) -> None:
    """Real updates; batches from update 7 on hold `bad` in their first row, first column."""
    for update in updates:
        batch = draw(replay, state)
        if update >= 7 and bad:
            (name, value) = next(iter(bad.items()))
            column = getattr(batch, name).copy()
            column.reshape(4, -1)[0, 0] = value
            batch = replace(batch, **{name: column})
        watch.saw(update, batch, state.agent.update(batch))


def test_what_is_sound_is_let_through(run: Run, state: TrainingState, replay: Replay) -> None:
    watch = Watch(run, "offline", state, [replay])
    learn(watch, replay, state, range(1, MOST_UPDATES + 10))
    watch.check_weights()
    assert not (run.path / "diverged.npz").exists()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("obs", "obs 'position' x is nan in 1 of the 4 transitions"),
        ("next_obs", "next_obs 'position' x is nan in 1 of the 4 transitions"),
        ("action", "action 'push0' is nan in 1 of the 4 transitions"),
        ("reward", "reward is nan in 1 of the 4 transitions"),
        ("discount", "discount is nan in 1 of the 4 transitions"),
    ],
)
def test_the_first_bad_update_is_told_with_what_was_odd_in_its_batch(
    run: Run, state: TrainingState, replay: Replay, field: str, said: str
) -> None:
    watch = Watch(run, "offline", state, [replay])
    learn(watch, replay, state, range(1, 21), **{field: np.nan})
    with pytest.raises(RunError) as raised:
        watch.check()
    line = str(raised.value)
    assert line.startswith(f"offline diverged at update 7: {said}; its batch is in {run.path}/diverged.npz; ")
    assert "no checkpoint was saved before it" in line
    assert "\n" not in line
    kept = np.load(run.path / "diverged.npz")
    assert np.isnan(kept[field]).sum() == 1
    assert (kept["obs"].shape, kept["action"].shape, str(kept["stage"])) == ((4, 1), (4, 1), "offline")
    assert kept["update"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert kept["metrics"].shape == (7, len(kept["metric_names"]))
    assert np.isfinite(kept["metrics"][:6]).all()
    assert not np.isfinite(kept["metrics"][6]).all()


def test_an_absurd_reward_is_named_where_it_overflows(run: Run, state: TrainingState, replay: Replay) -> None:
    watch = Watch(run, "offline", state, [replay])
    learn(watch, replay, state, range(1, 9), reward=1e30)
    with pytest.raises(RunError, match=r"update 7: reward is 1e\+30 in 1 of the 4"):
        watch.check()
    assert ABSURD < 1e30


def test_with_a_sound_batch_the_metric_is_named(run: Run, state: TrainingState, replay: Replay) -> None:
    watch, batch = Watch(run, "online", state, [replay]), draw(replay, state)
    watch.saw(1, batch, {"critic/loss": torch.tensor(1.0), "actor/loss": torch.tensor(2.0)})
    watch.saw(2, batch, {"critic/loss": torch.tensor(3.0), "actor/loss": torch.tensor(-np.inf)})
    watch.saw(3, batch, {"critic/loss": torch.tensor(np.nan), "actor/loss": torch.tensor(np.nan)})
    with pytest.raises(RunError, match="online diverged at update 2: actor/loss is -inf; its batch is in"):
        watch.check()


def test_updates_are_looked_at_before_too_many_are_kept(
    run: Run, state: TrainingState, replay: Replay
) -> None:
    watch, batch = Watch(run, "offline", state, [replay]), draw(replay, state)
    bad = {"critic/loss": torch.tensor(np.nan)}
    for update in range(1, MOST_UPDATES):
        watch.saw(update, batch, bad)
    with pytest.raises(RunError, match="at update 1: critic/loss is nan"):
        watch.saw(MOST_UPDATES, batch, bad)


@pytest.mark.parametrize("name", ["critic/q", "critic/value"])
@pytest.mark.parametrize(("q", "stops"), [(-99.0, False), (-101.0, True), (101.0, True)])
def test_values_far_beyond_what_rewards_can_give_stop_a_run(
    run: Run, state: TrainingState, replay: Replay, q: float, stops: bool, name: str
) -> None:
    """Rewards of at most 1 and discount 0.9 give at most 10; ten times that is divergence."""
    watch = Watch(run, "offline", state, [replay])
    watch.saw(5, draw(replay, state), {name: torch.tensor(q)})
    if not stops:
        return watch.check()
    with pytest.raises(RunError) as raised:
        watch.check()
    assert f"update 5: {name} is {q:g}, far beyond the 10 that rewards of at most 1 give" in str(raised.value)


def test_large_rewards_may_have_large_values(run: Run, state: TrainingState) -> None:
    seldom = Replay(point_spec()).extend([points([0, 1, 2], [0, 100], terminated=True)])
    watch, batch = Watch(run, "offline", state, [seldom]), draw(seldom, state)
    watch.saw(1, replace(batch, reward=np.zeros(4, np.float32)), {"critic/q": torch.tensor(500.0)})
    watch.check()  # the batch does not show that 100 is paid


def test_rewards_that_come_later_raise_the_bound(run: Run, state: TrainingState, replay: Replay) -> None:
    """Online: two rewards of 20, the second discounted, are 38 in a 2-step batch: values up to 200."""
    watch, batch = Watch(run, "online", state, [replay]), draw(replay, state)
    watch.saw(1, replace(batch, reward=np.full(4, 38, np.float32)), {"critic/q": torch.tensor(1900.0)})
    watch.check()
    watch.saw(2, batch, {"critic/q": torch.tensor(2100.0)})
    with pytest.raises(RunError, match="far beyond the 200 that rewards of at most 20 give"):
        watch.check()


def test_a_bad_weight_is_named_before_it_is_saved(run: Run, state: TrainingState, replay: Replay) -> None:
    watch = Watch(run, "offline", state, [replay])
    learn(watch, replay, state, range(1, 4))
    run.save("offline", state.pack("offline", ""))
    weights = state.agent.state_dict()["critic"]
    name = next(key for key in weights if key.endswith("weight"))
    weights[name].view(-1)[:2] = torch.nan  # state_dict shares memory with the network
    with pytest.raises(RunError) as raised:
        watch.check_weights()
    found = re.sub(r"of \d+ values", "of N values", str(raised.value))
    assert found.startswith(
        f"offline diverged at update 3: 2 of N values of critic.{name} are not finite; its batch is in"
    )
    assert f"checkpoint {run.path}/checkpoints/offline.ckpt of update 0 is kept" in found


def test_nothing_is_saved_before_all_updates_were_looked_at(
    run: Run, state: TrainingState, replay: Replay
) -> None:
    watch = Watch(run, "offline", state, [replay])
    watch.saw(1, draw(replay, state), {"critic/loss": torch.tensor(np.inf)})
    with pytest.raises(RunError, match="update 1: critic/loss is inf"):
        watch.check_weights()


def test_everything_that_a_checkpoint_holds_is_looked_at(state: TrainingState, replay: Replay) -> None:
    state.agent.update(draw(replay, state))
    whole = state.agent.state_dict()
    names = {name for name, _ in tensors_in(whole)}
    for part in ("policy", "average", "critic", "target_critic"):
        assert {f"{part}.{name}" for name in whole[part]} <= names
    assert "critic_optimizer.state.0.exp_avg_sq" in names


def test_a_full_disk_does_not_hide_the_divergence(
    tmp_path: Path, state: TrainingState, replay: Replay
) -> None:
    watch = Watch(Run(tmp_path / "nowhere"), "offline", state, [replay])
    watch.saw(1, draw(replay, state), {"critic/loss": torch.tensor(np.nan)})
    with pytest.raises(RunError, match=r"critic/loss is nan; its batch is not kept \(.*No such file"):
        watch.check()
