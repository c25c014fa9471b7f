"""Where things are, for whoever sees no picture: in words, and as a map of letters."""

from collections.abc import Mapping, Sequence

import numpy as np

from robot_orl.types import Array, Observation, Spec

NAMES = {"grip_pos": "tool", "tool_pos": "tool", "object_pos": "object"}  # by the prefix of their signals
LETTERS = {"goal": "G", "object": "O", "tool": "T"}  # the last is drawn above the others
WIDTH, HEIGHT = 31, 7  # letters of a map, odd: the middle is one
SCALES_CM = (1, 2, 4, 8, 16)  # that a letter is wide; it is twice as high
REACH = np.array([HEIGHT - 1, (WIDTH - 1) / 2, HEIGHT - 1])  # forward, left and up of the middle, in scales
WORDS = (("forward", "back"), ("left", "right"), ("up", "down"))
Places = Mapping[str, Sequence[float]]


def places_of(spec: Spec, obs: Observation) -> dict[str, list[float]]:
    """Of tool, object and goal, as far as the task observes them: x, y, z in the world [m]."""
    found: dict[str, list[float]] = {}
    for key, signals in spec.observation.items():
        names = [signal.name for signal in signals]
        for prefix, what in NAMES.items():
            if key in obs and f"{prefix}_x" in names:
                start = names.index(f"{prefix}_x")
                found[what] = [float(value) for value in obs[key][start : start + 3]]
    goal = obs.get(spec.desired_goal or "")
    if goal is not None and len(goal) == len(WORDS):
        found["goal"] = [float(value) for value in goal]
    return found


def ways(places: Places, axes: Array) -> list[tuple[str, str]]:
    """What is to be brought where, and how far that is still, in words.

    axes: (3, 3) forward, left and up, as columns, in the world.
    """
    pairs = [("tool", "object"), ("object", "goal")] if "object" in places else [("tool", "goal")]
    return [
        (f"{what} to {where}", _in_words(axes.T @ np.subtract(places[where], places[what])))
        for what, where in pairs
        if what in places and where in places
    ]


def _in_words(way: Array) -> str:
    """(3,) m -> '12.0 cm forward, 3.1 cm left, 0.4 cm down'."""
    parts = zip(way, WORDS, strict=True)
    return ", ".join(f"{100 * abs(part):4.1f} cm {words[int(part < 0)]}" for part, words in parts)


class Map:
    """What lies where from above (forward is up) and from behind (up is up); left is left in both.

    It stays as it is until something leaves it.  scale_cm: how wide a letter is.
    """

    def __init__(self) -> None:
        self.scale_cm = SCALES_CM[0]
        self._middle = np.full(3, np.nan)

    def rows(self, places: Places, axes: Array) -> list[tuple[str, str]]:
        """HEIGHT rows of both, WIDTH letters each; none where nothing is known.  axes: see `ways`."""
        if not places:
            return []
        seen = {what: 100 * axes.T @ np.asarray(place, np.float64) for what, place in places.items()}
        self._fit(np.array(list(seen.values())))
        above, behind = ([["."] * WIDTH for _ in range(HEIGHT)] for _ in range(2))
        for what, letter in LETTERS.items():
            if what in seen:
                forward, left, up = np.clip((seen[what] - self._middle) / self.scale_cm, -REACH, REACH)
                column = round((WIDTH - 1) / 2 - left)
                above[round((HEIGHT - 1 - forward) / 2)][column] = letter
                behind[round((HEIGHT - 1 - up) / 2)][column] = letter
        return [("".join(one), "".join(other)) for one, other in zip(above, behind, strict=True)]

    def _fit(self, seen: Array) -> None:
        """seen: (n, 3) cm. What does not fit into the widest map is drawn at its rim."""
        if (np.abs(seen - self._middle) <= REACH * self.scale_cm).all():
            return
        low, high = seen.min(axis=0), seen.max(axis=0)
        self._middle = (low + high) / 2
        room = 1.5 * (high - low) / 2  # to move in before it changes again
        self.scale_cm = next((cm for cm in SCALES_CM if (room <= REACH * cm).all()), SCALES_CM[-1])
