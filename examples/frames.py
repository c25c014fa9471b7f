"""Film three episodes, then draw batches of frames and, for the same steps, of everything else.

python examples/frames.py [folder]
"""

import sys

import numpy as np

import envs
from data_collection.operators.scripted import ScriptedConfig, ScriptedOperator
from data_collection.record import record_episode
from robot_orl.data.sampling.frames import FrameStream
from robot_orl.data.sampling.replay import Replay, Sampling
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.tasks import spec_of

folder = sys.argv[1] if len(sys.argv) > 1 else "demo/example_frames"
env = envs.make("fetch_reach", cameras={"default": [96, 96]})
operator = ScriptedOperator(ScriptedConfig(), spec_of(env))

with SegmentWriter(folder, spec_of(env), source="example") as writer:
    for seed in range(3):
        writer.append(record_episode(env, operator, seed))

dataset = Dataset.open(folder)
sampling = Sampling(batch_size=64)
rng = np.random.default_rng(0)
replay = Replay(dataset.spec).extend(dataset.load_all(sim_state=False))
# Frames are large: they are read as they are needed, in random order. `open_frames(dataset, cache_folder)` of
# data/sampling/frame_cache.py offers the same batches, faster, from raw frames where the disk has room.
stream = FrameStream(dataset, n_step=sampling.n_step)

for frames in stream.batches(sampling.batch_size, rng, epochs=1):
    batch = replay.gather(frames.step, sampling, rng)  # the same steps, in the same order
    images = frames.images["default"]
    print(f"images {images.shape} {images.dtype}, obs {batch.obs.shape}, action {batch.action.shape}")
