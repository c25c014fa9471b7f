"""What is to be measured, opened before the first measurement: wrong words are refused at once."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robot_orl.deploy.bundle import Bundle
from robot_orl.deploy.doctor.example_policy import SIZES, random_layers, write_policy
from robot_orl.deploy.dynamixel.bus import Bus
from robot_orl.deploy.dynamixel.config import DynamixelConfig
from robot_orl.deploy.dynamixel.port import choose_port
from robot_orl.deploy.policy import OnnxPolicy
from robot_orl.deploy.sensors.camera import Camera
from robot_orl.deploy.sensors.source import CameraConfig, is_device
from robot_orl.deploy.sensors.stored_frames import require_stored
from robot_orl.errors import UsageError

EXAMPLE = f"made on the spot, {' x '.join(map(str, SIZES))}"


def open_policy(bundle: str | None) -> Callable[[], object]:
    """A call of the policy on some observation. bundle: its folder; None: an example is made."""
    if bundle is not None:
        loaded = Bundle.load(bundle)
        policy, size = loaded.policy, loaded.spec.observation_size
    else:
        size = SIZES[0]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "policy.onnx"
            write_policy(path, random_layers(np.random.default_rng(0)))
            policy = OnnxPolicy(path, size, SIZES[-1])
        policy.warm_up()
    obs = np.zeros(size, np.float32)
    return lambda: policy(obs)


@contextmanager
def open_bus(robot: Any) -> Iterator[tuple[Bus, list[int]] | None]:
    """The bus of an arm's configuration and the ids of its servos; None: there is no arm.

    Raises: UsageError, RunError: it has no bus, or it cannot be had.
    """
    if robot is None:
        yield None
        return
    if not isinstance(robot, DynamixelConfig) or not robot.servos:
        raise UsageError(f"robot={robot.name} has no bus to measure; robot=koch has")
    ids = {servo: joint for joint, servo in robot.ids.items()}
    bus = Bus(choose_port(robot.port), robot.baud, ids, robot.reply_s)
    bus.open()
    try:
        yield bus, list(ids)
    finally:
        bus.close()


@contextmanager
def open_camera(cfg: CameraConfig | None) -> Iterator[Camera | None]:
    """A camera that gives frames; None: there is none. Raises: UsageError, RunError: no frame comes."""
    if cfg is None:
        yield None
        return
    if not is_device(cfg.source):
        require_stored(cfg.source)
    with Camera(cfg) as camera:
        camera.wait()
        yield camera
