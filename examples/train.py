"""AWAC on a dataset without the command line: replay, agent, update, evaluate.

python examples/collect.py demo/example_data && python examples/train.py demo/example_data
"""

import sys

import numpy as np
import torch

import envs
from robot_orl.agents.awac import AWAC
from robot_orl.agents.awac_config import AWACConfig
from robot_orl.agents.base import act
from robot_orl.data.sampling.normalizer import Normalizer, features_of
from robot_orl.data.sampling.replay import Replay
from robot_orl.data.store.reader import Dataset
from robot_orl.seeds import VALIDATION_SEEDS
from robot_orl.training.evaluate import evaluate

torch.set_num_threads(1)
dataset = Dataset.open(sys.argv[1] if len(sys.argv) > 1 else "demo/example_data")
spec = dataset.spec
env = envs.make(spec.task)

replay = Replay(spec, env.unwrapped.reward_for).extend(dataset.load_all(sim_state=False))
normalizer = Normalizer.fit(features_of(replay.observations(), spec))
config = AWACConfig(batch_size=256, discount=0.95, bound_targets=True, hindsight_share=0.5, hidden=[128, 128])
agent = AWAC(config, spec, normalizer, seed=0)

rng = np.random.default_rng(0)
for step in range(1, 1001):
    metrics = agent.update(replay.sample(agent.sampling, rng))
    if step % 250 == 0:
        policy = agent.policy()
        result = evaluate(env, lambda obs: act(policy, spec.flatten(obs)), VALIDATION_SEEDS[:20])  # noqa: B023
        print(f"update {step}: critic loss {metrics['critic/loss']:.3f}, success {result.success:.0%}")
