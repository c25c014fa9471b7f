"""Gradient updates of d3rlpy's AWAC, in an environment of its own; benchmarks/updates.py asks for them.

    python d3rlpy_updates.py TRANSITIONS OBSERVATIONS ACTIONS BATCH HIDDEN...

Reads a number of updates per line and answers with the seconds that they took, sampling included.
"""

import sys
import time

import d3rlpy
import numpy as np
import torch

torch.set_num_threads(1)
size, observations, actions, batch_size, *hidden = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
ends = np.zeros(size, np.float32)
ends[99::100] = 1
dataset = d3rlpy.dataset.MDPDataset(
    rng.standard_normal((size, observations)).astype(np.float32),
    np.tanh(rng.standard_normal((size, actions))).astype(np.float32),
    -np.ones(size, np.float32),
    terminals=np.zeros(size, np.float32),
    timeouts=ends,
)
encoder = d3rlpy.models.VectorEncoderFactory(hidden)
agent = d3rlpy.algos.AWACConfig(
    actor_encoder_factory=encoder, critic_encoder_factory=encoder, batch_size=batch_size
).create(device="cpu:0")
agent.build_with_dataset(dataset)
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(line)):
        agent.update(dataset.sample_transition_batch(batch_size))
    print(time.perf_counter() - start, flush=True)
