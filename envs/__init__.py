"""Tasks as Gymnasium ids: `import envs`, then `gymnasium.make("fetch_push")` or `envs.make("fetch_push")`.

One file per task family; the simulators are imported only when a task is made.
"""

import ctypes
import os
import sys
from typing import Any

import gymnasium
from farama_notifications import notifications  # type: ignore[import-untyped]

from robot_orl.errors import unknown

_FAMILIES = {
    "envs.fetch:FetchTask": ("fetch_reach", "fetch_push", "fetch_slide", "fetch_pick_and_place"),
    "envs.adroit:AdroitTask": ("adroit_door", "adroit_hammer", "adroit_pen", "adroit_relocate"),
    "envs.arm:ArmTask": ("arm_reach", "arm_push", "arm_lift"),
}


def _headless_backend() -> str:
    """What MuJoCo can render with where there is no display: a missing library must not stop training."""
    for backend, library in (("egl", "libEGL.so.1"), ("osmesa", "libOSMesa.so.8")):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return backend
    return "disable"


# MuJoCo picks its OpenGL backend when it is imported, and fails there if its library is missing.
if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("MUJOCO_GL", _headless_backend())

# gymnasium-robotics prints a notice about its dense Adroit rewards on import; these tasks use none.
notifications.pop("gymnasium_robotics", None)

for _entry_point, _tasks in _FAMILIES.items():
    for _task in _tasks:
        gymnasium.register(
            id=_task,
            entry_point=_entry_point,
            kwargs={"task": _task},
            # The tasks check their input and count their steps themselves: the step count is part of
            # the simulator state, which a TimeLimit wrapper would not know.
            disable_env_checker=True,
            order_enforce=False,
        )


def names() -> list[str]:
    """Every task of this package."""
    return [task for tasks in _FAMILIES.values() for task in tasks]


def make(task: str, render: bool = False, **kwargs: Any) -> gymnasium.Env:
    """Make a task. kwargs: width, height [pixels] and camera of rendered frames; cameras to record.

    Raises: UsageError: no such task or option.
    """
    if task not in names():
        raise unknown("task", task, names())
    return gymnasium.make(task, render_mode="rgb_array" if render else None, **kwargs)
