"""Episodes made from a seed, so that another process can tell what must have been stored."""

from pathlib import Path

import numpy as np

from robot_orl.types import Episode, EpisodeMeta, Signal, Spec

SIM_STATE = 7


def made_spec(task: str = "toy_push", control_hz: float = 25.0) -> Spec:
    def signals(count: int) -> tuple[Signal, ...]:
        return tuple(Signal(f"x{i}", "m", -1.0) for i in range(count))

    # not in alphabetical order: `Spec.flatten` depends on the order
    observation = {"observation": signals(5), "achieved_goal": signals(3)}
    return Spec(task, observation, signals(2), control_hz, horizon=50, achieved_goal="achieved_goal")


def made_episode(seed: int, length: int, sim_state: bool = True, spec: Spec | None = None) -> Episode:
    """An episode of arbitrary bits: denormals, infinities, -0.0 and NaNs of every kind included."""
    spec, rng = spec or made_spec(), np.random.default_rng(seed)

    def bits(dtype: str, *shape: int) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        return np.frombuffer(rng.bytes(size), dtype).reshape(shape)

    return Episode(
        obs={key: bits("f4", length + 1, len(signals)) for key, signals in spec.observation.items()},
        action=bits("f4", length, spec.action_size),
        action_policy=np.full((length, spec.action_size), np.nan, "f4"),
        action_operator=bits("f4", length, spec.action_size),
        reward=-rng.integers(0, 2, length).astype("f4"),
        terminated=rng.random(length) < 0.5,
        truncated=rng.random(length) < 0.5,
        t_ns=bits("i8", length),
        actor=bits("u1", length),
        sim_state=bits("f8", length + 1, SIM_STATE) if sim_state else None,
        meta=EpisodeMeta(
            seed=seed,
            reset_options={"object": [float(rng.random()), 0.1], "name": "würfel"},
            success=bool(rng.random() < 0.5),
            success_any=True,
            end_reason="horizon",
            quality=float(rng.random()),
            operator="made",
        ),
        images={
            camera: bits("u1", length + 1, size.height, size.width, 3)
            for camera, size in spec.cameras.items()
        },
    )


def assert_same_bits(found: Episode, expected: Episode) -> None:
    """Equal in every bit of every array, and in what is known about the episode."""
    assert found.meta == expected.meta
    assert list(found.obs) == list(expected.obs)
    pairs = [(found.obs[key], expected.obs[key]) for key in expected.obs]
    for name in ("action", "action_policy", "action_operator", "reward", "terminated", "truncated", "t_ns"):
        pairs.append((getattr(found, name), getattr(expected, name)))
    pairs.append((found.actor, expected.actor))
    assert list(found.images) == list(expected.images)
    pairs += [(found.images[camera], expected.images[camera]) for camera in expected.images]
    assert (found.sim_state is None) == (expected.sim_state is None)
    if found.sim_state is not None:
        pairs.append((found.sim_state, expected.sim_state))
    assert (found.safety is None) == (expected.safety is None)
    if found.safety is not None:
        pairs.append((found.safety, expected.safety))
    for left, right in pairs:
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        assert left.tobytes() == right.tobytes()


def segment_folders(root: Path) -> list[Path]:
    return sorted((root / "segments").iterdir())
