"""An episode as a page plays it: where everything was at each moment, beside reward, actions and who acted.

    packed   | bytes of header, uint32 | header, JSON, padded to 4 | moments | reward | action | value | actor

    header   {"steps": T, "signals": [names of an action], "hz": ..., "success": true, false or null,
             "title": ..., "moments": how many, 0 for none, "every": steps between two of them,
             "size": float32 of each, "hasValue": bool}
    moments  (moments, size)       float32, see `scene.Scene.moment`; moment i is before step i * every, and
                                   the last one after the last step
    reward   (T,)                  float32, NaN where unknown
    action   (T, A)                float32
    value    (T,) or nothing       float32
    actor    (T,)                  uint8, see `types.Actor`

timeline.js reads it.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np

from data_collection.viewer.scene import Scene
from robot_orl.tasks import spec_of, task_env
from robot_orl.types import Array, Episode, Spec

MOST_BYTES = 32 * 2**20  # of the moments that a page gets; of longer episodes, every second, third ... one


@dataclass(frozen=True, eq=False)
class Take:
    """T steps.  moments: (T+1, m) float32, see `scene.Scene.moment`; None: not known.
    reward: (T,) float32, NaN where unknown.  action: (T, A) float32.  actor: (T,) uint8.
    names: of the A signals.  hz: steps per second.  success: at the end; None: unknown.
    value: (T,) float32, a critic's before each step; None: there is none.
    """

    moments: Array | None
    reward: Array
    action: Array
    actor: Array
    names: tuple[str, ...]
    hz: float
    success: bool | None = None
    value: Array | None = None
    title: str = ""

    def __len__(self) -> int:
        return len(self.action)

    def packed(self, most_bytes: int = MOST_BYTES) -> bytes:
        """As it goes to a page.  most_bytes: of moments; where there are more, only every so many of them."""
        moments, every = _thinned(self.moments, most_bytes)
        header = {
            "steps": len(self),
            "signals": list(self.names),
            "hz": self.hz,
            "success": self.success,
            "title": self.title,
            "moments": len(moments),
            "every": every,
            "size": moments.shape[1],
            "hasValue": self.value is not None,
        }
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 4)
        numbers = [moments, self.reward, self.action, *([] if self.value is None else [self.value])]
        parts = [np.uint32(len(raw)).tobytes(), raw]
        parts += [np.asarray(part, np.float32).tobytes() for part in numbers]
        return b"".join([*parts, np.asarray(self.actor, np.uint8).tobytes()])


def plain_take(
    spec: Spec, episode: Episode, moments: Array | None = None, value: Array | None = None, title: str = ""
) -> Take:
    """Of an episode whose moments are known already, or are not known."""
    return Take(
        moments=moments,
        reward=episode.reward,
        action=episode.action,
        actor=episode.actor,
        names=tuple(signal.name for signal in spec.action),
        hz=spec.control_hz,
        success=episode.meta.success,
        value=value,
        title=title,
    )


def take_of(
    scene: Scene,
    env: gymnasium.Env[Any, Any],
    episode: Episode,
    value: Array | None = None,
    title: str = "",
) -> Take:
    """Its moments are those of the recorded simulator states, which leaves `env` at the last of them.

    scene: of the model of `env`.  value, title: see `Take`.
    Raises: DataError: a state is none of this task.
    """
    take = plain_take(spec_of(env), episode, None, value, title)
    if episode.sim_state is None:
        return take
    task, drawn = task_env(env), np.empty((len(episode) + 1, scene.size // 4), np.float32)
    shown: Any = env.unwrapped
    for i, state in enumerate(episode.sim_state):
        task.set_sim_state(state)
        drawn[i] = scene.moment(shown.data)
    return replace(take, moments=drawn)


def _thinned(moments: Array | None, most_bytes: int) -> tuple[Array, int]:
    """Every `every`-th of the moments and the last, so that they fit; and `every`."""
    if moments is None:
        return np.zeros((0, 0), np.float32), 1
    every = max(1, -(-moments.nbytes // max(most_bytes, 1)))
    kept = np.unique(np.append(np.arange(0, len(moments), every), len(moments) - 1))
    return moments[kept], every
