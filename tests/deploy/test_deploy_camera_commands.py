"""The whole path by the commands, on frames that MuJoCo draws: board, lens, the camera's place, an object."""

import io
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from children import child

import envs  # noqa: F401  chooses what MuJoCo draws with
from benchmarks.marker_scene import Lens, MarkerScene, random_view, with_margin
from robot_orl.cli import main
from robot_orl.deploy.sensors.boards import Board, draw_marker
from robot_orl.deploy.sensors.hand_eye import HandEye, load_views
from robot_orl.deploy.sensors.intrinsics import Intrinsics
from robot_orl.deploy.sensors.object_pose import ObjectPose, ObjectPoseConfig
from robot_orl.deploy.sensors.transforms import angle_between, inverse, rigid, to_quaternion
from robot_orl.errors import RunError, UsageError
from robot_orl.types import Array

pytestmark = pytest.mark.e2e
LENS = Lens()
POSE_BASE_CAMERA = rigid((-2.2, 0.15, -0.1), (0.25, -0.45, 0.55))
TOOL_MARKER = rigid((0.3, -0.2, 1.1), (0.01, -0.02, 0.03))
OBJECT = rigid((2.8, 0.2, 0.3), (0.03, -0.02, 0.35))  # of the marker on it, in the camera's frame
DEPTH_M = 0.02


@dataclass(frozen=True)
class Rendered:
    """folder: board/, tool/ with its poses as lines, object/, whose frames show it in one place, but for the
    last three, which do not show it."""

    folder: Path
    lines: str


def save(folder: Path, frames: list[Array]) -> None:
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def marker_scene(number: int, size_m: float) -> MarkerScene:
    printed, wider = with_margin(draw_marker(number, "4X4_50", 360), 6)
    return MarkerScene(LENS, {"marker": (printed, np.full(2, size_m * wider), np.eye(4))})


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder, rng = tmp_path_factory.mktemp("rendered"), np.random.default_rng(2)
    board = Board()
    drawn = np.pad(board.draw(3.0), 60, constant_values=255)
    scene = MarkerScene(LENS, {"board": (drawn, np.array(drawn.shape[::-1]) / 3e3, np.eye(4))})
    views = [random_view(rng, LENS, 0.27, 0.45, 45, 0.6) for _ in range(10)]
    save(folder / "board", [scene.frame(view, rng) for view in views])
    scene.close()
    scene = marker_scene(0, 0.04)
    views = [random_view(rng, LENS, 0.2, 0.4, 45, 0.6) for _ in range(8)]
    save(folder / "tool", [scene.frame(view, rng) for view in views])
    poses = [POSE_BASE_CAMERA @ view @ inverse(TOOL_MARKER) for view in views]
    lines = "".join(" ".join(map(str, [*p[:3, 3], *to_quaternion(p)])) + "\n" for p in poses)
    scene.close()
    scene = marker_scene(3, 0.03)
    away = rigid((0.2, 0, 0), (0, 0, -1.0))
    save(folder / "object", [scene.frame(OBJECT, rng) for _ in range(3)] * 2 + [scene.frame(away, rng)] * 3)
    scene.close()
    return Rendered(folder, lines)


@pytest.fixture(scope="module")
def calibrated(rendered: Rendered) -> Path:
    """The folder of board.png, board.yaml, camera.yaml and hand_eye.yaml, all made by the commands."""
    folder = rendered.folder / "made"
    assert main(["camera", "board", f"out={folder}/board.png"]) == 0
    views = [f"source={rendered.folder}/board", f"board={folder}/board.yaml", "views=10"]
    assert main(["camera", "intrinsics", *views, f"out={folder}/camera.yaml"]) == 0
    listed = []
    for number, line in enumerate(rendered.lines.splitlines()):
        x, y, z, *turn = map(float, line.split())
        listed.append({"image": f"{number}.png", "position_m": [x, y, z], "quaternion_wxyz": turn})
    content = {"kind": "views of a marker", "views": listed}
    (rendered.folder / "tool" / "views.yaml").write_text(json.dumps(content))  # JSON is YAML
    words = [f"views={rendered.folder}/tool/views.yaml", f"intrinsics={folder}/camera.yaml"]
    assert main(["camera", "hand-eye", *words, "size_mm=40", f"out={folder}/hand_eye.yaml"]) == 0
    return folder


def test_the_commands_find_lens_and_place(calibrated: Path) -> None:
    found = Intrinsics.load(calibrated / "camera.yaml")
    assert np.abs(np.diag(found.matrix)[:2] / 520 - 1).max() < 0.005
    assert np.abs(found.matrix[:2, 2] - LENS.intrinsics.matrix[:2, 2]).max() < 3
    assert found.quality["rms_px"] < 0.15
    place = HandEye.load(calibrated / "hand_eye.yaml").pose_mount_camera
    assert np.linalg.norm((place - POSE_BASE_CAMERA)[:3, 3]) < 0.003
    assert angle_between(place, POSE_BASE_CAMERA) < np.radians(0.5)


def test_the_sensor_tells_the_object_in_the_base_and_keeps_what_it_saw_last(
    rendered: Rendered, calibrated: Path
) -> None:
    cfg = ObjectPoseConfig(
        source=str(rendered.folder / "object"),
        intrinsics=str(calibrated / "camera.yaml"),
        hand_eye=str(calibrated / "hand_eye.yaml"),
        marker=3,
        size_mm=30,
        depth_mm=1e3 * DEPTH_M,
    )
    truth = POSE_BASE_CAMERA @ OBJECT @ rigid((0, 0, 0), (0, 0, -DEPTH_M))
    with ObjectPose(cfg) as sensor:
        first = sensor.wait()
        while sensor.status().state != "ended":
            pass
        last = sensor.read()
        assert last is not None
        assert last.t_ns >= first.t_ns
        assert np.linalg.norm(last.position_m - truth[:3, 3]) < 0.003
        assert angle_between(last.pose_base_object, truth) < np.radians(2)
        assert last.age_s(last.t_ns + 1_500_000_000) == 1.5
        gone_for_s = last.age_s(sensor.status().t_ns)
        assert gone_for_s > 2.5 / cfg.fps, "the three frames that do not show it renewed nothing"


def test_a_sensor_that_sees_nothing_says_so_and_one_on_the_tool_wants_its_pose(
    rendered: Rendered, calibrated: Path, tmp_path: Path
) -> None:
    moved = (calibrated / "hand_eye.yaml").read_text().replace("mount: fixed", "mount: tool")
    (tmp_path / "tool.yaml").write_text(moved)
    files = {"intrinsics": str(calibrated / "camera.yaml"), "hand_eye": str(tmp_path / "tool.yaml")}
    source = str(rendered.folder / "object")
    with (
        ObjectPose(ObjectPoseConfig(source=source, marker=9, **files)) as sensor,
        pytest.raises(RunError, match="does not see marker 9"),
    ):
        sensor.wait()
    tool = rigid((0, 0, 0.5), (0.1, 0.2, 0.3))
    with ObjectPose(ObjectPoseConfig(source=source, marker=3, **files)) as sensor:
        reading = sensor.wait(pose_base_tool=tool)
        in_tool = HandEye.load(files["hand_eye"]).pose_mount_camera
        assert np.linalg.norm(reading.pose_base_object - tool @ in_tool @ OBJECT) < 0.05
        with pytest.raises(UsageError, match="read needs pose_base_tool"):
            sensor.read()


def test_recording_lists_the_poses_that_it_is_told(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["camera", "record", f"source={rendered.folder}/board", f"out={tmp_path}/views", "fps=100"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n" + rendered.lines.splitlines()[0] + "\n1 2 3\n"))
    assert main(words) == 2
    assert "line 3 is not 7 numbers: x y z" in capsys.readouterr().err
    assert sorted(f.name for f in (tmp_path / "views").iterdir()) == ["0000.png", "0001.png", "views.yaml"]
    assert "image: 0001.png" in (tmp_path / "views" / "views.yaml").read_text()
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err


MODEL = """<mujoco><worldbody><body><joint name="a" axis="0 0 1"/><geom size="0.01"/>
<body pos="0.2 0 0"><joint name="b" axis="0 1 0"/><geom size="0.01"/><site name="tool" pos="0.1 0 0"/></body>
</body></worldbody></mujoco>"""


def test_recording_takes_joint_angles_where_it_is_told_the_arm(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """0.3 m straight ahead; then turned to the left by a quarter, with the last link hanging down."""
    (tmp_path / "arm.xml").write_text(MODEL)
    words = ["camera", "record", f"source={rendered.folder}/board", "fps=100", f"model={tmp_path}/arm.xml"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"0 0\n{np.pi / 2} {np.pi / 2}\n"))
    assert main([*words, f"out={tmp_path}/views"]) == 0
    poses = [pose for _, pose in load_views(tmp_path / "views" / "views.yaml")]
    np.testing.assert_allclose(poses[0], rigid((0, 0, 0), (0.3, 0, 0)), atol=1e-8)
    turned = rigid((0, 0, np.pi / 2), (0, 0.2, -0.1)) @ rigid((0, np.pi / 2, 0), (0, 0, 0))
    np.testing.assert_allclose(poses[1], turned, atol=1e-7)
    assert main([*words, f"out={tmp_path}/more", "site=tol"]) == 2
    error = capsys.readouterr().err
    assert "no site in " in error
    assert "did you mean 'tool'?" in error


def test_a_live_read_out_tells_draws_and_ends_at_ctrl_c(
    rendered: Rendered, calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "seen.png"
    words = [f"intrinsics={calibrated}/camera.yaml", f"hand_eye={calibrated}/hand_eye.yaml", "marker=3"]
    source = f"source={rendered.folder}/object"
    assert main(["camera", "pose", source, *words, f"draw={drawn}", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    truth = (POSE_BASE_CAMERA @ OBJECT)[:3, 3]
    assert np.linalg.norm(np.array(figures["position_m"]) - truth) < 0.003
    assert (figures["state"], figures["frames"] + figures["dropped"]) == ("ended", 9)
    assert cv2.imread(str(drawn)).shape == (480, 640, 3)
    many = tmp_path / "many"
    many.mkdir()
    for number in range(90):
        shutil.copy(rendered.folder / "object" / "0.png", many / f"{number}.png")
    command = [sys.executable, "-m", "robot_orl.cli", "camera", "pose", f"source={many}", *words]
    command += ["fps=2", "duration_s=1000"]
    with child(command, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        assert process.stdout is not None
        while "age" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "standard deviation [mm]" in rest
    assert "streaming, " in rest.splitlines()[-1], "it was Ctrl-C that ended it, not the last frame"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["intrinsics", "source=/none"], "cannot read board.yaml"),
        (["intrinsics", "source={object}", "board={made}/board.yaml"], "shows the board of"),
        (
            ["intrinsics", "source={board}", "board={made}/camera.yaml"],
            "is camera intrinsics, not 'calibration",
        ),
        (
            ["hand-eye", "views={made}/none.yaml", "intrinsics={made}/camera.yaml"],
            "`robot-orl camera record`",
        ),
        (["pose", "source={object}", "intrinsics={made}/board.yaml"], "is calibration board, not 'camera"),
        (["board", "out=board.jpg"], "does not end with .png"),
        (["board", "out=board.png", "columns=50", "rows=50", "dictionary=4X4_50"], "needs 1250 markers"),
    ],
)
def test_wrong_words_and_files_are_one_line_and_exit_code_two(
    rendered: Rendered,
    calibrated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {name: rendered.folder / name for name in ("board", "object", "made")}
    assert main(["camera", *(word.format(**places) for word in words)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
