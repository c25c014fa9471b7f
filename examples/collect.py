"""Record ten demonstrations of mixed skill, then read them back as arrays.

python examples/collect.py [folder]
"""

import sys

import envs
from data_collection.operators.scripted import ScriptedConfig, ScriptedOperator
from data_collection.record import record_episode
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.tasks import spec_of

folder = sys.argv[1] if len(sys.argv) > 1 else "demo/example_data"
env = envs.make("fetch_reach")
operator = ScriptedOperator(ScriptedConfig(skill_low=0.2), spec_of(env))

with SegmentWriter(folder, spec_of(env), source="example") as writer:
    for seed in range(10):
        episode = record_episode(env, operator, seed)
        writer.append(episode)  # committed: it survives whatever happens now
        print(f"seed {seed}: skill {episode.meta.quality:.2f}, return {episode.reward.sum():.0f}")

dataset = Dataset.open(folder)
first = dataset.load(dataset.episodes[0])
print(f"{len(dataset.episodes)} episodes; the first has actions {first.action.shape}, and observations:")
print({key: values.shape for key, values in first.obs.items()})
