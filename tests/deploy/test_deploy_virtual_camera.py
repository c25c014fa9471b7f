"""The camera before a virtual arm: what it sends is what the model looks like, and it ends with its arm."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import envs  # noqa: F401  chooses how to draw without a screen
from envs.arm_model import ASSETS, HOME_POSE
from robot_orl.deploy.sensors.object_pose import ObjectPose, ObjectPoseConfig
from robot_orl.deploy.virtual.camera import VirtualCamera, lens, pose_base_camera
from robot_orl.deploy.virtual.eye import Eye
from robot_orl.types import Array

SCENE = ASSETS / "arm_cube.xml"


def qpos_with_cube(place: tuple[float, float, float], turn_rad: float) -> Array:
    half = turn_rad / 2
    return np.array([*HOME_POSE, *place, np.cos(half), 0, 0, np.sin(half)])


def test_the_camera_looks_at_the_bench_from_before_the_arm() -> None:
    """x right, y down, z forward, so the arm's left, y, is on the camera's right, seen face to face."""
    pose = pose_base_camera()
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(pose[:3, 0], [0, 1, 0], atol=1e-12)
    assert pose[2, 1] < 0
    assert pose[2, 2] < 0
    # 36 degrees over 480 pixels: 240 / tan(18 degrees).
    np.testing.assert_allclose(np.diag(lens().matrix)[:2], 738.644, atol=1e-3)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualCamera]:
    camera = VirtualCamera(tmp_path_factory.mktemp("arm") / "camera", SCENE, 13, 30.0)
    try:
        camera.start()
        yield camera
    finally:
        camera.close()
    assert not (camera.folder / "stream").exists()


@pytest.mark.e2e
def test_the_cube_is_found_where_the_model_has_it_and_when(camera: VirtualCamera) -> None:
    folder = camera.folder
    files = str(folder / "stream"), 30.0, str(folder / "camera.yaml"), str(folder / "hand_eye.yaml")
    with ObjectPose(ObjectPoseConfig(*files, marker=0, size_mm=22.0, cube_mm=30.0)) as sensor:
        for place, turn_rad in (
            ((0.15, 0.0, 0.015), 0.1),
            ((0.12, 0.10, 0.015), 0.7),
            ((0.14, -0.09, 0.08), -0.6),
        ):
            t_ns = time.monotonic_ns()
            deadline_ns = t_ns + 20_000_000_000
            while (seen := sensor.read()) is None or seen.t_ns < t_ns:
                assert time.monotonic_ns() < deadline_ns, sensor.status()
                camera.show(qpos_with_cube(place, turn_rad), time.monotonic_ns())
                time.sleep(0.01)
            np.testing.assert_allclose(seen.position_m, place, atol=1.5e-3)
            # The cube's own frame, and not that of some marker on it.
            forward = np.array([np.cos(turn_rad), np.sin(turn_rad), 0])
            assert seen.pose_base_object[:3, 0] @ forward > np.cos(np.radians(5))


@pytest.mark.e2e
def test_no_goal_is_drawn_that_nobody_could_see(camera: VirtualCamera) -> None:
    """Frames with the goal's marker anywhere would tell a policy that looks at them what a camera cannot."""
    eye = Eye(str(SCENE))
    try:
        qpos = qpos_with_cube((0.15, 0.0, 0.015), 0.0)
        before = eye.look(qpos)
        eye.model.site("goal").pos[:] = 0.15, 0.1, 0.05
        assert (eye.look(qpos) == before).all()
        assert (eye.look(qpos_with_cube((0.15, 0.01, 0.015), 0.0)) != before).any()
    finally:
        eye.close()


@pytest.mark.e2e
def test_it_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    words = (
        "import sys, time; from pathlib import Path; import envs;"
        "from robot_orl.deploy.virtual.camera import VirtualCamera;"
        "camera = VirtualCamera(Path(sys.argv[1]), Path(sys.argv[2]), 13, 30.0); camera.start();"
        "print(camera._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", words, str(tmp_path / "camera"), str(SCENE)], stdout=subprocess.PIPE
    ) as parent:
        try:
            assert parent.stdout is not None
            drawing = int(parent.stdout.readline())
        finally:
            parent.kill()
    deadline_s = time.monotonic() + 20
    while _is_alive(drawing):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    return not (status.exists() and "State:\tZ" in status.read_text())
