"""LeRobot's own reader and writer, in an environment of their own, which ROBOT_ORL_LEROBOT_PYTHON names.

That Python must import `lerobot` 0.4 or newer, or `ledataset` of the package lerobot-dataset, with a video
decoder (torchcodec, or PyAV through torchvision). Nothing is fetched: both are told to stay offline.
"""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.interop import base
from robot_orl.interop.base import Request
from robot_orl.types import Camera
from tests.data.made_episodes import made_spec
from tests.interop.finite_episodes import finite_episode

PYTHON = os.environ.get("ROBOT_ORL_LEROBOT_PYTHON", "")
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not PYTHON, reason="ROBOT_ORL_LEROBOT_PYTHON names no Python that has lerobot"),
]

OPEN = """
import sys
import numpy as np
try:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
except ImportError:
    from ledataset.datasets.lerobot_dataset import LeRobotDataset
"""
READ = """
data = LeRobotDataset("local/set", root=sys.argv[1], delta_timestamps={"action": [0.0, 0.04]})
items = [data[i] for i in range(len(data))]
names = ["observation.state", "action", "action_is_pad", "next.reward", "next.done", "next.success"]
names += ["observation.images.front", "timestamp", "frame_index", "episode_index", "index"]
stacked = {name: np.stack([np.asarray(item[name]) for item in items]) for name in names}
np.savez(sys.argv[2], tasks=[item["task"] for item in items], fps=data.fps, episodes=data.num_episodes,
         mean=data.meta.stats["action"]["mean"], **stacked)
"""
WRITE = """
names = ["height", "width", "channels"]
features = {
    "observation.state": {"dtype": "float32", "shape": (2,), "names": ["shoulder", "elbow"]},
    "observation.images.top": {"dtype": sys.argv[2], "shape": (48, 64, 3), "names": names},
    "action": {"dtype": "float32", "shape": (2,), "names": ["shoulder", "elbow"]},
}
data = LeRobotDataset.create("local/set", fps=30, features=features, root=sys.argv[1], robot_type="arm")
for episode in range(2):
    for step in range(4 + episode):
        picture = np.full((48, 64, 3), 60 * episode + 5 * step, np.uint8)
        state, action = np.array([episode, step], np.float32), np.array([0.25 * step, -1], np.float32)
        frame = {"observation.state": state, "action": action, "observation.images.top": picture}
        data.add_frame({**frame, "task": f"lift {episode}"})
    data.save_episode()
data.finalize()
"""


def peer(tmp_path: Path, program: str, *words: str) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [PYTHON, "-W", "ignore", "-c", OPEN + program, *words],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_their_reader_returns_the_frames_that_we_wrote(tmp_path: Path) -> None:
    spec = replace(made_spec(), cameras={"front": Camera(48, 64)})
    grid = np.mgrid[:48, :64].transpose(1, 2, 0)
    episodes = []
    for seed, length in ((0, 3), (2, 1), (4, 12)):
        frames = [np.dstack([grid * 3, np.full((48, 64), 20 * i)]) % 256 for i in range(length + 1)]
        one = finite_episode(made_spec(), seed, length)
        episodes.append(replace(one, images={"front": np.stack(frames).astype(np.uint8)}))
    with SegmentWriter(tmp_path / "data", spec, "made") as writer:
        for one in episodes:
            writer.append(one)
    base.writer("lerobot")(Dataset.open(tmp_path / "data"), tmp_path / "set", lambda _: None)
    peer(tmp_path, READ, str(tmp_path / "set"), str(tmp_path / "seen.npz"))
    seen = np.load(tmp_path / "seen.npz")
    assert (int(seen["fps"]), int(seen["episodes"])) == (25, 3)
    assert set(seen["tasks"].tolist()) == {"push it"}
    state = np.concatenate([spec.flatten(one.obs)[:-1] for one in episodes])
    action = np.concatenate([one.action for one in episodes])
    assert seen["observation.state"].tobytes() == state.tobytes()
    assert seen["action"][:, 0].tobytes() == action.tobytes()
    assert seen["action_is_pad"][:, 1].tolist() == [i in (2, 3, 15) for i in range(16)]
    assert seen["next.reward"].tobytes() == np.concatenate([one.reward for one in episodes]).tobytes()
    assert np.flatnonzero(seen["next.done"]).tolist() == [2, 3, 15]
    assert np.flatnonzero(seen["next.success"]).tolist() == [2, 3, 15]
    assert seen["index"].tolist() == list(range(16))
    assert seen["mean"] == pytest.approx(action.mean(0))
    shown = seen["observation.images.front"].transpose(0, 2, 3, 1) * 255
    drawn = np.concatenate([one.images["front"][:-1] for one in episodes])
    assert np.abs(shown - drawn).mean() < 5  # lossy; another frame would be 20 / 3 away


@pytest.mark.parametrize("kind", ["video", "image"])
def test_we_read_what_their_writer_wrote(tmp_path: Path, kind: str) -> None:
    peer(tmp_path, WRITE, str(tmp_path / "set"), kind)
    source = base.reader("lerobot")(tmp_path / "set", Request())
    assert (source.count, source.spec.control_hz, source.provenance["robot_type"]) == (2, 30.0, "arm")
    first, second = source.episodes
    assert first.obs["state"].tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert second.action.tolist() == [[0, -1], [0.25, -1], [0.5, -1], [0.75, -1]]
    assert second.meta.instruction == "lift 1"
    shown = second.images["top"].mean((1, 2, 3))
    assert shown == pytest.approx([60, 65, 70, 75, 80], abs=2)
