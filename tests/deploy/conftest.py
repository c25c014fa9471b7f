"""Fixtures of the deploy tests; what they are made of lies in deploy_toys.py."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock, MakeBundle, ToyRobot, write_bundle
from servo_toys import ServoBench

from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.supervisor.limits import Limits
from robot_orl.types import Array, Signal, Spec


@pytest.fixture
def spec() -> Spec:
    """D = 3, A = 2, 10 Hz, 5 steps."""
    observation = {"joint": (Signal("a", "rad"), Signal("b", "rad")), "goal": (Signal("x", "m"),)}
    return Spec("toy", observation, (Signal("push", low=-1, high=1), Signal("grip", low=-1, high=1)), 10.0, 5)


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """make_bundle(spec, limits=..., weight=..., bias=...) -> a loaded Bundle."""

    def make(
        spec: Spec, limits: Limits | None = None, weight: Array | None = None, bias: Array | None = None
    ) -> Bundle:
        shape = (spec.observation_size, spec.action_size)
        weight = np.random.default_rng(1).normal(size=shape) if weight is None else weight
        bias = np.zeros(spec.action_size) if bias is None else bias
        folder = tmp_path / f"bundle{len(list(tmp_path.glob('bundle*')))}"
        return Bundle.load(write_bundle(folder, spec, limits or Limits(), weight, bias))

    return make


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def robot(spec: Spec, clock: FakeClock) -> ToyRobot:
    return ToyRobot(spec, clock)


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[ServoBench]:
    """Three servos at a real port."""
    with ServoBench(tmp_path / "arm", clock).running() as bench:
        yield bench
