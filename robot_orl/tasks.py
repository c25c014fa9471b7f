"""Tasks by Gymnasium id: which one, how to make it, and what it offers beyond Gymnasium's API."""

from dataclasses import dataclass
from typing import Any, cast

import gymnasium
from hydra.core.config_store import ConfigStore

from robot_orl.errors import UsageError, unknown
from robot_orl.mirror import Mirror
from robot_orl.schema import Schema, setting
from robot_orl.types import Spec, TaskEnv


@dataclass
class TaskConfig(Schema):
    """Which task to work on."""

    name: str = setting(help="Gymnasium id of the task")
    kwargs: dict[str, Any] = setting(
        help="what the task is made with, such as width, height and camera of its frames", factory=dict
    )


ConfigStore.instance().store(group="schema", name="task", node=TaskConfig)


def make_env(task: TaskConfig, render: bool = False) -> gymnasium.Env:
    """Make a registered task; whoever calls has imported the package that registers it.

    Raises: UsageError: no such task; the tasks are the ids without a version.
    """
    if task.name not in gymnasium.registry:
        raise unknown("task", task.name, [i for i, s in gymnasium.registry.items() if s.version is None])
    render_mode = "rgb_array" if render else None
    env = gymnasium.make(task.name, render_mode=render_mode, disable_env_checker=True, **task.kwargs)
    task_env(env)
    return env


def task_env(env: gymnasium.Env) -> TaskEnv:
    """What the task offers beyond Gymnasium's API. Raises: UsageError: it is not one of this stack."""
    base = env.unwrapped
    missing = [n for n in ("task_spec", "get_sim_state", "set_sim_state") if not hasattr(base, n)]
    if missing:
        raise UsageError(f"{type(base).__name__} is not a task of this stack: it has no {', '.join(missing)}")
    return cast(TaskEnv, base)


def mirror_of_task(env: gymnasium.Env) -> Mirror | None:
    """What the task looks like in the mirror; None: it is no mirror image of itself, or does not say so."""
    found = getattr(env.unwrapped, "mirror", None)
    return found if isinstance(found, Mirror) else None


def spec_of(env: gymnasium.Env) -> Spec:
    """What the task shows and takes."""
    return task_env(env).task_spec
