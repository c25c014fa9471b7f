"""BC, AWR, IQL and TD3+BC go the whole way by the commands that a user would type; compiled as eagerly."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_toys import goal_spec, identity
from linear_agents import batch

from robot_orl.agents.base import act
from robot_orl.cli import main
from robot_orl.deploy.bundle import Bundle
from robot_orl.nn.compute import Compute
from robot_orl.registry import factory, schema_of
from robot_orl.training.runs.run import Run
from robot_orl.training.state import unpack

pytestmark = pytest.mark.e2e
ONCE = ("final_episodes=1", "eval_every=1000", "eval_episodes=1")
SMALL = ("agent.hidden=[8]", "agent.batch_size=16")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "reach"
    assert main(["collect", "task=fetch_reach", "episodes=4", f"out={path}"]) == 0
    return path


def pretrained(run: Path, name: str, data: Path, *words: str) -> Run:
    assert main(["pretrain", f"agent={name}", f"data={data}", f"out={run}", "steps=7", "baseline_steps=0",
                 *ONCE, *SMALL, *words]) == 0  # fmt: skip
    return Run(run)


def assert_exports(run: Run, stage: str, bundle: Path) -> None:
    """What is deployed does as the agent of the checkpoint."""
    assert main(["export", f"run={run.path}", f"out={bundle}"]) == 0
    deployed = Bundle.load(bundle)
    obs = np.random.default_rng(0).normal(size=deployed.spec.observation_size).astype(np.float32)
    expected = act(unpack(run.load(stage)).agent.policy(), obs)
    np.testing.assert_allclose(deployed.policy(obs), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["awr", "iql", "td3_bc"])
def test_it_is_pretrained_finetuned_and_exported(name: str, data: Path, tmp_path: Path) -> None:
    run = pretrained(tmp_path / "run", name, data)
    before = unpack(run.load("offline")).agent.state_dict()
    steps = ["env_steps=100", "updates_per_step=1", "warmup_steps=50"]
    assert main(["finetune", f"run={run.path}", *steps, *ONCE]) == 0
    after = unpack(run.load("online")).agent.state_dict()
    assert not torch.equal(before["policy"]["actor.net.0.weight"], after["policy"]["actor.net.0.weight"])
    assert_exports(run, "online", tmp_path / "bundle")


def test_cloning_of_the_best_episodes_is_pretrained_and_exported(data: Path, tmp_path: Path) -> None:
    run = pretrained(tmp_path / "run", "bc", data, "agent.best_share=0.25")
    assert unpack(run.load("bc")).agent.sampling.best_share == 0.25
    assert_exports(run, "bc", tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["awr", "iql", "td3_bc"])
def test_compiled_updates_are_those_of_eager_execution(name: str) -> None:
    def built() -> Any:
        spec = goal_spec()
        return factory("agent", name)(schema_of("agent", name)(hidden=[8]), spec, identity(spec, extra=2), 0)

    eager, compiled = built(), built()
    compiled.use(Compute(compiled=True))
    for number in range(2):  # TD3's delay has two kinds of updates
        one = batch(seed=number, returns=name == "awr")
        expected, found = eager.update(one), compiled.update(one)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)
    for left, right in zip(eager._policy.parameters(), compiled._policy.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)
