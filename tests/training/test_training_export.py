"""The exported policy is the trained one, goal differences and normalisation included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_toys import WatchedReplay, awac_config

from robot_orl.agents.base import act
from robot_orl.agents.bc import BCConfig
from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.policy import OnnxPolicy
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.errors import UsageError
from robot_orl.tasks import TaskConfig
from robot_orl.training.calibration import calibration, halves
from robot_orl.training.export import export, to_onnx
from robot_orl.training.state import TrainingState, new_state

TASK = TaskConfig("fetch_reach")


def trained(replay: WatchedReplay, config: Any, updates: int = 5) -> TrainingState:
    normalizer = Normalizer.fit(features_of(replay.observations(), replay.spec))
    state = new_state(config, replay.spec, normalizer, seed=0)
    for _ in range(updates):
        state.agent.update(replay.sample(state.agent.sampling, state.rng))
    return state


@pytest.mark.parametrize("config", [awac_config(hidden=[32, 32]), BCConfig(hidden=[8])], ids=["awac", "bc"])
def test_the_exported_policy_matches_torch(config: Any, tmp_path: Path, replay: WatchedReplay) -> None:
    state = trained(replay, config)
    assert len(state.normalizer.mean) == state.spec.observation_size + 3  # the goal's difference
    policy = state.agent.policy()
    to_onnx(policy, state.spec.observation_size, tmp_path / "policy.onnx")
    onnx = OnnxPolicy(tmp_path / "policy.onnx", state.spec.observation_size, state.spec.action_size)
    rng = np.random.default_rng(0)
    near = replay.observations()[rng.integers(200, size=100)]
    far = rng.normal(0, 30, near.shape).astype(np.float32)  # where features are clipped
    for obs in np.concatenate([near, far]):
        np.testing.assert_allclose(onnx(obs), act(policy, obs), rtol=0, atol=1e-5)
    assert np.std([onnx(obs) for obs in near], axis=0).min() > 1e-3  # it does depend on what it sees


def test_a_bundle_holds_the_deployed_policy_and_is_replaced_whole(
    tmp_path: Path, replay: WatchedReplay
) -> None:
    state, out = trained(replay, awac_config()), tmp_path / "bundles" / "reach"
    export(state, out, TASK, "abc", Limits())
    first = Bundle.load(out)
    assert first.spec == state.spec
    obs = replay.observations()[7]
    np.testing.assert_allclose(first.policy(obs), act(state.agent.policy(), obs), rtol=0, atol=1e-5)
    weights = load_file(out / "policy.safetensors")
    assert weights.keys() == state.agent.policy().state_dict().keys()
    for name, value in state.agent.policy().state_dict().items():
        assert weights[name].equal(value)
    (out / "stray").write_text("of the old bundle")
    for _ in range(20):
        state.agent.update(replay.sample(state.agent.sampling, state.rng))
    export(state, out, TASK, "abc", Limits())
    second = Bundle.load(out)
    assert second.policy_hash != first.policy_hash
    assert not (out / "stray").exists()
    assert [path.name for path in out.parent.iterdir()] == ["reach"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path, replay: WatchedReplay) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=rf"^{tmp_path} exists and is no bundle; choose another out=$"):
        export(trained(replay, awac_config()), tmp_path, TASK, "abc", Limits())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_may_be_given(tmp_path: Path, replay: WatchedReplay) -> None:
    export(trained(replay, awac_config()), tmp_path / "empty", TASK, "abc", Limits())
    (tmp_path / "other").mkdir()
    export(trained(replay, awac_config()), tmp_path / "other", TASK, "abc", Limits())
    assert Bundle.load(tmp_path / "other").policy_hash == Bundle.load(tmp_path / "empty").policy_hash


def test_the_critics_travel_with_the_policy_and_say_the_same_without_torch(
    tmp_path: Path, replay: WatchedReplay
) -> None:
    state = trained(replay, awac_config(hidden=[16], critics=3, layer_norm=True))
    export(state, tmp_path / "with", TASK, "abc", Limits(), with_critic=True)
    critic = Bundle.load(tmp_path / "with").critic
    assert critic is not None
    rng = np.random.default_rng(0)
    for obs in replay.observations()[:20]:
        action = rng.uniform(-1, 1, state.spec.action_size).astype(np.float32)
        q = state.agent.q_values(torch.from_numpy(obs[None]), torch.from_numpy(action[None]))  # type: ignore[attr-defined]
        np.testing.assert_allclose(critic(obs, action), q[:, 0], rtol=1e-5, atol=1e-5)
    export(state, tmp_path / "without", TASK, "abc", Limits())
    assert Bundle.load(tmp_path / "without").critic is None
    export(trained(replay, BCConfig(hidden=[8])), tmp_path / "bc", TASK, "abc", Limits(), with_critic=True)
    assert Bundle.load(tmp_path / "bc").critic is None


def test_the_alarm_is_set_on_episodes_that_it_was_not_fitted_to(replay: WatchedReplay) -> None:
    state = trained(replay, awac_config(hidden=[16]))
    episodes = [np.full((3, state.spec.observation_size), number, np.float32) for number in range(8)]
    reference, held_out = halves(episodes)
    assert sorted(int(part[0, 0]) for part in [*reference, *held_out]) == list(range(8))
    assert len(reference) == len(held_out) == 4
    alarm = calibration(state, reference, held_out, with_critic=True, source="some")
    assert (alarm.states, alarm.episodes) == (12, 4)
    assert alarm.mean.tolist() == pytest.approx(
        [np.mean([part[0, 0] for part in reference])] * len(alarm.mean)
    )
    seen = torch.from_numpy(np.concatenate(held_out))
    q = state.agent.q_values(seen, state.agent.policy()(seen)).numpy()  # type: ignore[attr-defined]
    assert alarm.value_low == pytest.approx(q.mean(axis=0).min())
    bare = calibration(state, reference, held_out, with_critic=False, source="some")
    assert np.isnan(bare.value_low)
