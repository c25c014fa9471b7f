import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from deploy_toys import FakeClock, MakeBundle, ToyRobot

import envs  # noqa: F401  registers the tasks
from robot_orl.data.store.background import BackgroundWriter
from robot_orl.data.store.journal import Journal
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.recovery import recover
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.deploy.loop import run
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Episode, EpisodeMeta, Spec

CHILD = Path(__file__).parent / "deploy_child.py"
PATIENCE_S = 60


class Both:
    """Hands every episode to the store and keeps it."""

    def __init__(self, writer: BackgroundWriter) -> None:
        self.writer = writer
        self.kept: list[Episode] = []

    def begin(self, meta: EpisodeMeta) -> Journal | None:
        return self.writer.begin(meta)

    def drop(self) -> None:
        self.writer.drop()

    def append(self, episode: Episode) -> None:
        self.writer.append(episode)
        self.kept.append(episode)

    def settle(self, timeout_s: float) -> bool:
        """As in a run; what was appended so far is then committed."""
        assert self.writer.settle(PATIENCE_S)
        if self.kept:
            assert len(Dataset.open(self.writer.writer.root).records) == len(self.kept)
        return True


def test_deployed_episodes_read_back_equal(
    robot: ToyRobot, clock: FakeClock, spec: Spec, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    with BackgroundWriter(SegmentWriter(tmp_path / "data", spec, source="deploy")) as writer:
        both = Both(writer)
        run(robot, make_bundle(spec), duration_s=1.2, clock=clock, writer=both)
    found = list(Dataset.open(tmp_path / "data").load_all())
    assert [len(episode) for episode in found] == [5, 5, 2]
    for episode, written in zip(found, both.kept, strict=True):
        assert episode.meta == written.meta
        for name in ("action", "action_policy", "reward", "terminated", "truncated", "t_ns", "actor"):
            assert np.array_equal(getattr(episode, name), getattr(written, name)), name
        for key in spec.observation:
            assert np.array_equal(episode.obs[key], written.obs[key])


@pytest.fixture
def child(tmp_path: Path, make_bundle: MakeBundle) -> Iterator["subprocess.Popen[str]"]:
    """A minute of fetch_reach in real time, recorded into tmp_path / 'data'."""
    bundle = make_bundle(spec_of(make_env(TaskConfig("fetch_reach"))))
    command = [sys.executable, str(CHILD), str(bundle.path), "data", "deploy.json", "60"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def wait_for_tick(process: "subprocess.Popen[str]", tick: int) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= tick:
            return
    pytest.fail(f"the deployment ended with {process.wait()} before tick {tick}")


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_deployment_stops_safely_and_keeps_the_episode(
    child: "subprocess.Popen[str]", tmp_path: Path, number: int
) -> None:
    wait_for_tick(child, 5)
    child.send_signal(number)
    child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 130
    report = json.loads((tmp_path / "deploy.json").read_text())
    assert (report["stopped_by"], report["fault"]) == ("interrupt", None)
    assert not report["accepts_commands_afterwards"]
    (record,) = Dataset.open(tmp_path / "data").records
    assert record.meta.end_reason == "interrupt"
    assert record.length == report["ticks"] - 1
    assert list((tmp_path / "data" / "journal").iterdir()) == []


@pytest.mark.e2e
def test_a_killed_deployment_leaves_whole_episodes_and_the_steps_of_the_one_under_way(
    child: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    tick = 50
    while not any(log.stat().st_size for log in tmp_path.glob("data/segments/*/episodes.jsonl")):
        tick += 1
        wait_for_tick(child, tick)
    child.kill()
    child.wait(PATIENCE_S)
    episodes = list(Dataset.open(tmp_path / "data").load_all(verify=True))
    assert episodes
    assert all(len(episode) == 50 for episode in episodes)
    assert np.isfinite(episodes[0].obs["observation"]).all()
    found = recover(tmp_path / "data").found  # a slow disk was still at the episode before
    records = Dataset.open(tmp_path / "data").records
    assert len(records) == len(episodes) + sum(item.steps > 0 for item in found)
    for number, record in enumerate(records):
        assert record.meta.seed == number
        assert record.meta.policy_hash == episodes[0].meta.policy_hash
        assert record.length == (found[-1].steps if record.meta.end_reason == "crash" else 50)
