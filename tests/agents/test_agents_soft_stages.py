"""Every agent with a squashed policy goes the whole way, by the commands that a user would type."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from linear_soft import batch, small

from robot_orl.cli import main
from robot_orl.deploy.bundle import Bundle
from robot_orl.nn.compute import Compute
from robot_orl.training.runs.run import Run
from robot_orl.training.state import unpack

pytestmark = pytest.mark.e2e
# What makes an agent quick enough for a test, and lets it reach all that it does within a few updates.
QUICK: dict[str, dict[str, Any]] = {
    "rlpd": {"critics": 3, "critic_updates": 2},
    "cql": {"action_samples": 2, "action_gap": 1.0},
    "cal_ql": {"action_samples": 2, "backup_actions": 2},
    "brac": {"behaviour_updates": 4},
    "bear": {"warmup_updates": 4, "matched_actions": 2},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reach"
    assert main(["collect", "task=fetch_reach", "episodes=4", f"out={path}"]) == 0
    return path


@pytest.mark.parametrize("name", QUICK)
def test_it_is_pretrained_finetuned_evaluated_and_exported(name: str, data: Path, tmp_path: Path) -> None:
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    settings = {"hidden": "[8]", "batch_size": 16} | QUICK[name]
    words = [f"agent.{key}={value}" for key, value in settings.items()]
    once = ["final_episodes=1", "eval_every=1000", "eval_episodes=1"]
    assert main(["pretrain", f"agent={name}", f"data={data}", f"out={run}", "steps=12", "baseline_steps=0",
                 *once, *words]) == 0  # fmt: skip
    assert (
        main(["finetune", f"run={run}", "env_steps=100", "updates_per_step=1", "warmup_steps=50", *once]) == 0
    )
    assert main(["evaluate", f"run={run}", "episodes=1"]) == 0
    assert main(["export", f"run={run}", f"out={bundle}"]) == 0
    agent = unpack(Run(run).load("online")).agent
    obs = np.zeros(Bundle.load(bundle).spec.observation_size, np.float32)
    expected = agent.policy()(torch.from_numpy(obs[None]))[0]
    np.testing.assert_allclose(Bundle.load(bundle).policy(obs), expected.detach(), atol=1e-5)
    again = unpack(Run(run).load("online")).agent.state_dict()
    assert again.keys() == agent.state_dict().keys()


@pytest.mark.parametrize("name", QUICK)
def test_compiled_updates_are_those_of_eager_execution(name: str) -> None:
    eager, compiled = small(name, **QUICK[name]), small(name, **QUICK[name])
    compiled.use(Compute(compiled=True))
    data = batch(eager.sampling.batch_size)
    expected, found = eager.update(data), compiled.update(data)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)
