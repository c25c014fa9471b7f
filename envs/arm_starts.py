"""Where episodes of the arm begin: the goal [m] and, where there is one, the cube's place and turn."""

import numpy as np

from robot_orl.types import Array

CUBE_M = 0.015  # half its edge: the height of its centre on the bench


def reach_start(rng: np.random.Generator) -> dict[str, Array]:
    return {"goal": np.append(_around_the_base(rng, (0.12, 0.24), 0.9), rng.uniform(0.04, 0.2))}


def push_start(rng: np.random.Generator) -> dict[str, Array]:
    """The goal lies 5 to 10 cm from the cube, where the arm can push it to."""
    cube = _around_the_base(rng, (0.12, 0.18), 0.7)
    while True:
        distance, heading = rng.uniform(0.05, 0.1), rng.uniform(-np.pi, np.pi)
        goal = cube + distance * np.array([np.cos(heading), np.sin(heading)])
        if 0.12 < np.hypot(*goal) < 0.18 and abs(np.arctan2(goal[1], goal[0])) < 0.8:
            return {"goal": np.append(goal, CUBE_M), "object_pos": cube, "object_turn": _turn(rng, cube)}


def lift_start(rng: np.random.Generator) -> dict[str, Array]:
    """The goal lies 6 to 10 cm over the bench, within 3 cm of the cube in x and in y."""
    cube = _around_the_base(rng, (0.13, 0.19), 0.7)
    goal = np.append(cube + rng.uniform(-0.03, 0.03, 2), rng.uniform(0.06, 0.1))
    return {"goal": goal, "object_pos": cube, "object_turn": _turn(rng, cube)}


def _turn(rng: np.random.Generator, cube: Array) -> Array:
    """(2,) w and z of the quaternion of a cube that faces the base, give or take 0.2 rad.

    Not more, since how it is turned is not observed.
    """
    half = 0.5 * (np.arctan2(cube[1], cube[0]) + rng.uniform(-0.2, 0.2))
    return np.array([np.cos(half), np.sin(half)])


def _around_the_base(rng: np.random.Generator, radius: tuple[float, float], angle: float) -> Array:
    """(2,) m: a place between two radii [m] from the base, at most `angle` [rad] from straight ahead."""
    r, phi = rng.uniform(*radius), rng.uniform(-angle, angle)
    return np.array([r * np.cos(phi), r * np.sin(phi)])
