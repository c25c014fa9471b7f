"""A failure before and a success after, from the same start where one is found, as animated WebP.

Animated WebP plays in every current browser without a script, on phones too; a still strip stands in for
it on paper and for readers who asked their system for less motion. OpenCV is imported where it encodes:
it needs the system's libGL, and a machine without one still gets its report.
"""

import base64
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import gymnasium
import numpy as np

from robot_orl.progress import Bar
from robot_orl.report.sources import Sources
from robot_orl.report.takes import Clock, find_takes
from robot_orl.tasks import TaskConfig, make_env, task_env
from robot_orl.types import Array, Episode

SIZE = {"width": 480, "height": 360}  # pixels; a run's task.kwargs win
RENDER_S = 3.0  # bound on the drawing of one clip
MAX_FRAMES, HOLD_MS = 50, 1500
STRIP = (2, 3)  # rows and columns of the still strip
QUALITY = 72
GOOD_BGR, BAD_BGR = (129, 168, 18), (63, 83, 217)


@dataclass(frozen=True)
class Clip:
    """who: 'bc', 'data', 'offline' ...  animation, strip: `data:` addresses of images of one size [px]."""

    who: str
    success: bool
    seed: int | None
    animation: str
    strip: str
    width: int
    height: int


@dataclass(frozen=True)
class Clips:
    """before: a failure.  after: a success.  Either may be None.  note: what a reader must know of them."""

    before: Clip | None
    after: Clip | None
    note: str


def record_clips(sources: Sources, bar: Bar, clock: Clock = time.monotonic) -> Clips:
    """Search, play and draw; whatever hinders it is told in the note."""
    try:
        task = sources.config["task"]
        env = make_env(TaskConfig(task["name"], SIZE | dict(task["kwargs"])), render=True)
    except Exception as error:  # every simulator and OpenGL backend fails in its own way
        return Clips(None, None, f"No video: the task cannot be made here ({_first_line(error)}).")
    try:
        takes = find_takes(sources, env, clock)
        bar.advance()
        drawn = []
        for take in (takes.before, takes.after):
            drawn.append(None if take is None else draw(env, take.episode, take.who, clock))
            bar.advance()
        return Clips(drawn[0], drawn[1], takes.note)
    except Exception as error:
        return Clips(None, None, f"No video: it cannot be rendered here ({_first_line(error)}).")
    finally:
        env.close()


def draw(env: gymnasium.Env[Any, Any], episode: Episode, who: str, clock: Clock) -> Clip:
    """Restore the episode's states and draw as many of them as MAX_FRAMES and RENDER_S allow."""
    assert episode.sim_state is not None
    task = task_env(env)
    task.set_sim_state(episode.sim_state[0])
    env.render()  # sets the renderer up
    start = clock()
    env.render()
    affordable = int(RENDER_S / max(clock() - start, 1e-3))
    steps = len(episode)
    chosen = frame_steps(steps, max(2, min(MAX_FRAMES, affordable)))
    frames = []
    for i in chosen:
        task.set_sim_state(episode.sim_state[i])
        done = bool(i and episode.reward[i - 1] >= 0)
        frames.append(with_progress(env.render(), i / steps, done))  # type: ignore[arg-type]
    period_ms = 1e3 / task.task_spec.control_hz
    durations = [round((b - a) * period_ms) for a, b in pairwise(chosen)] + [HOLD_MS]
    rows, columns = STRIP
    stills = [frames[i] for i in frame_steps(len(frames) - 1, rows * columns - 1)]
    height, width = frames[0].shape[:2]
    meta = episode.meta
    return Clip(
        who,
        bool(meta.success),
        meta.seed,
        animated_webp(frames, durations),
        strip_webp(stills),
        width,
        height,
    )


def frame_steps(last: int, at_most: int) -> list[int]:
    """At most `at_most` + 1 states of 0 .. last, evenly apart, the first and the last among them."""
    return sorted({round(i) for i in np.linspace(0, last, min(at_most, last) + 1).tolist()})


def with_progress(frame: Array, share: float, success: bool) -> Array:
    """A frame, (H, W, 3) RGB in and BGR out, with a bar along its lower edge: how far, and done or not."""
    import cv2

    image = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    height, width = image.shape[:2]
    tall = max(3, height // 60)
    image[height - tall :] = image[height - tall :] // 2
    image[height - tall :, : round(share * width)] = GOOD_BGR if success else BAD_BGR
    return image


def animated_webp(frames: list[Array], durations_ms: list[int]) -> str:
    """Frames (H, W, 3) BGR as an endless animation in a `data:` address."""
    import cv2

    animation = cv2.Animation()
    animation.frames = frames
    animation.durations = durations_ms
    animation.loop_count = 0
    _, encoded = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return _address(encoded)


def strip_webp(frames: list[Array]) -> str:
    """Frames side by side and below each other, the whole as large as one."""
    import cv2

    rows, columns = STRIP
    frames = frames + [frames[-1]] * (rows * columns - len(frames))
    height, width = frames[0].shape[:2]
    small = [cv2.resize(f, (width // columns, height // rows), interpolation=cv2.INTER_AREA) for f in frames]
    grid = np.vstack([np.hstack(small[r * columns : (r + 1) * columns]) for r in range(rows)])
    _, encoded = cv2.imencode(".webp", grid, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return _address(encoded)


def _address(encoded: Array) -> str:
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0] or type(error).__name__
