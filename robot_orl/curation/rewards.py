"""Rewards as the task itself pays them, for episodes that were recorded with other ones or with none."""

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np

from robot_orl.data.store.layout import to_json
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.data.store.segment import Segment
from robot_orl.errors import DataError
from robot_orl.tasks import TaskConfig, make_env, spec_of, task_env
from robot_orl.types import Array, Episode, Spec


def recomputed(
    dataset: Dataset, records: Sequence[EpisodeRecord]
) -> Iterator[tuple[EpisodeRecord, Array, Array]]:
    """Each episode with its rewards (T,) float32 as they hold now, and as its task pays them.

    Goal tasks pay by the goals stored in the observation; others are put into each stored state of the
    simulator, and step. Raises: DataError: the episodes are not of the task as it is now, or lack the
    simulator's states; said before the first is yielded.
    """
    segments = {segment.path.name: segment for segment in dataset.segments}
    envs: dict[bytes, gymnasium.Env[Any, Any]] = {}
    names = dict.fromkeys(record.segment for record in records)
    try:
        for name in names:
            key = _kwargs(segments[name])
            if key not in envs:
                envs[key] = _task_of(dataset.spec, segments[name])
            _require(envs[key], dataset.spec, segments[name])
        for record in records:
            episode = dataset.load(record, images=False)
            env = envs[_kwargs(segments[record.segment])]
            try:
                yield record, episode.reward, paid(env, episode)
            except DataError as error:
                raise DataError(f"episode {record.id}: {error}") from error
    finally:
        for env in envs.values():
            env.close()


def paid(env: gymnasium.Env[Any, Any], episode: Episode) -> Array:
    """(T,) float32: what the task pays for the steps of an episode."""
    task, spec = task_env(env), spec_of(env)
    if _pays_by_goal(spec):
        achieved, desired = str(spec.achieved_goal), str(spec.desired_goal)
        return np.asarray(task.reward_for(episode.obs[achieved][1:], episode.obs[desired][1:]), np.float32)
    assert episode.sim_state is not None
    rewards = np.empty(len(episode), np.float32)
    for step, action in enumerate(episode.action):
        task.set_sim_state(episode.sim_state[step])
        rewards[step] = env.unwrapped.step(action)[1]
    return rewards


def _pays_by_goal(spec: Spec) -> bool:
    return spec.achieved_goal is not None and spec.desired_goal is not None


def _kwargs(segment: Segment) -> bytes:
    return to_json(segment.attributes["env_kwargs"], sort_keys=True)


def _task_of(spec: Spec, segment: Segment) -> gymnasium.Env[Any, Any]:
    """The task as it was made for the segment, without cameras: nothing is drawn."""
    kwargs = dict(segment.attributes["env_kwargs"])
    kwargs.pop("cameras", None)
    return make_env(TaskConfig(spec.task, kwargs))


def _require(env: gymnasium.Env[Any, Any], spec: Spec, segment: Segment) -> None:
    if lacking := spec.lacks(spec_of(env)):
        raise DataError(
            f"{segment.path} is not of the task {spec.task} as it is now: {', '.join(lacking)} differ"
        )
    if not _pays_by_goal(spec_of(env)) and segment.attributes["sim_state_size"] is None:
        raise DataError(
            f"{segment.path} has no simulator states, and {spec.task} has no goals to pay by: "
            "its rewards cannot be recomputed"
        )
