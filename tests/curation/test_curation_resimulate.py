"""Our own recordings happen again bit for bit, and whatever does not is told at its step."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs  # noqa: F401  registers the tasks
from robot_orl.cli import main
from robot_orl.curation.resimulate import START, Replayed, Resimulator, other_versions
from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.writer import SegmentWriter
from robot_orl.errors import DataError
from robot_orl.rollout import rollout
from robot_orl.tasks import TaskConfig, make_env, spec_of
from robot_orl.types import Actor, Episode, EpisodeMeta, Observation, Proposal

Env = gymnasium.Env[Any, Any]


def wave(obs: Observation) -> Proposal:
    """Depends on the observation alone; 25 steps of it would be enough for any law here."""
    return Proposal(np.sin(40 * obs["observation"][:4]).astype(np.float32), Actor.SCRIPT)


@pytest.fixture(scope="module")
def reach() -> Iterator[Env]:
    env = make_env(TaskConfig("fetch_reach"))
    yield env
    env.close()


@pytest.fixture(scope="module")
def episode(reach: Env) -> Episode:
    return rollout(reach, wave, seed=5)


def stored(path: Path, env: Env, *episodes: Episode) -> Dataset:
    with SegmentWriter(path, spec_of(env), "test") as writer:
        for episode in episodes:
            writer.append(episode)
    return Dataset.open(path)


def replayed(dataset: Dataset, index: int = 0) -> Replayed:
    with Resimulator(dataset) as simulator:
        return simulator.replay(dataset.episodes[index])


def test_a_fresh_recording_deviates_nowhere(fresh: Dataset) -> None:
    found = replayed(fresh)
    assert (found.is_equal, found.first, found.deviating, found.steps) == (True, None, 0, 50)
    assert (found.start, found.differences, found.packages) == ("stored state", (), {})


def test_a_changed_action_deviates_exactly_at_its_step(reach: Env, episode: Episode, tmp_path: Path) -> None:
    action = episode.action.copy()
    action[17, 0] = np.nextafter(action[17, 0] + 0.5, 1)
    found = replayed(stored(tmp_path / "set", reach, replace(episode, action=action)))
    assert (found.first, found.is_equal) == (17, False)
    assert found.deviating > 25, "what follows is another episode"
    sizes = [d.size for d in found.differences if "state" not in d.signal]
    assert sizes == sorted(sizes, reverse=True)
    assert "observation.grip_pos_x" in {difference.signal for difference in found.differences}


def test_a_single_bit_of_an_observation_or_a_state_is_seen(
    reach: Env, episode: Episode, tmp_path: Path
) -> None:
    assert episode.sim_state is not None
    obs, state = episode.obs["observation"].copy(), episode.sim_state.copy()
    obs[9, 2] = np.nextafter(obs[9, 2], np.float32(2))
    state[12, 4] = np.nextafter(state[12, 4], 2.0)
    changed = replace(episode, obs={**episode.obs, "observation": obs}, sim_state=state)
    found = replayed(stored(tmp_path / "set", reach, changed))
    assert (found.first, found.deviating) == (8, 2), "obs[9] and state[12] are the results of steps 8 and 11"
    assert [(d.signal, d.unit) for d in found.differences] == [("observation.grip_pos_z", "m")]
    assert found.differences[0].recorded == obs[9, 2]
    assert found.differences[0].replayed == episode.obs["observation"][9, 2]


def test_a_reward_that_the_task_does_not_pay_is_told_and_an_unknown_one_is_not(
    reach: Env, episode: Episode, tmp_path: Path
) -> None:
    wrong, unknown = episode.reward.copy(), episode.reward.copy()
    wrong[3] = -1.0 - wrong[3]
    unknown[:] = np.nan
    dataset = stored(
        tmp_path / "set", reach, replace(episode, reward=wrong), replace(episode, reward=unknown)
    )
    found = replayed(dataset)
    assert (found.first, found.deviating) == (3, 1)
    assert [(d.signal, d.size) for d in found.differences] == [("reward", 1.0)]
    assert replayed(dataset, 1).is_equal


def test_rewards_that_were_relabelled_are_not_held_against_the_task(fresh: Dataset) -> None:
    relabelled = replace(fresh.episodes[0], reward=np.full(50, 7.0, np.float32))
    with Resimulator(fresh) as simulator:
        assert fresh.load(relabelled).reward[0] == 7
        assert simulator.replay(relabelled).is_equal


def test_another_start_is_told_before_the_first_step(reach: Env, episode: Episode, tmp_path: Path) -> None:
    goal = episode.obs["desired_goal"].copy()
    goal[0, 1] += 0.25
    changed = replace(episode, obs={**episode.obs, "desired_goal": goal})
    found = replayed(stored(tmp_path / "set", reach, changed))
    assert (found.first, found.deviating) == (START, 0)
    assert [(d.signal, round(d.size, 6)) for d in found.differences] == [("desired_goal.desired_pos_y", 0.25)]


def test_without_states_an_episode_begins_from_its_seed(reach: Env, episode: Episode, tmp_path: Path) -> None:
    bare = replace(episode, sim_state=None)
    dataset = stored(tmp_path / "set", reach, bare, replace(bare, meta=replace(bare.meta, seed=None)))
    found = replayed(dataset)
    assert (found.start, found.is_equal) == ("reset with seed 5", True)
    with pytest.raises(DataError, match=":1 has neither a simulator state nor a seed to begin from"):
        replayed(dataset, 1)


def test_other_versions_are_told(fresh: Dataset) -> None:
    segment = fresh.segments[0]
    packages = {**segment.attributes["packages"], "mujoco": "3.10.0", "torch": "1.0"}
    old = replace(segment, attributes={**segment.attributes, "packages": packages})
    assert other_versions(segment) == {}
    assert other_versions(old) == {"mujoco": ("3.10.0", "3.11.0")}, "torch decides no simulation"


@pytest.mark.e2e
def test_the_command_says_it_in_lines_json_and_exit_code(
    reach: Env, episode: Episode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    action = episode.action.copy()
    action[17] = -action[17]
    bare = replace(episode, sim_state=None, action=action, meta=EpisodeMeta())
    path = str(tmp_path / "set")
    stored(tmp_path / "set", reach, episode, replace(episode, action=action))
    stored(tmp_path / "set", reach, bare)
    assert main(["dataset", "replay", path, "episode=0"]) == 0
    assert "from its stored state: bit for bit equal, 50 steps" in capsys.readouterr().out
    assert main(["dataset", "replay", path, "episode=1"]) == 1
    said = capsys.readouterr()
    assert "deviates at step 17" in said.out
    assert said.err.splitlines()[-1].endswith(":1 deviates at step 17")
    assert main(["dataset", "replay", path, "--all"]) == 1
    said = capsys.readouterr()
    assert "1 of 3 episodes bit for bit equal, 50 steps" in said.out
    assert said.err.splitlines()[-1] == ("robot-orl: 1 of 3 episodes deviate, 1 cannot be re-simulated")
    assert main(["dataset", "replay", path, "where=seed == 5", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [item["first"] for item in document["episodes"]] == [None, 17]
    assert (document["equal"], document["failed"]) == (1, [])


@pytest.fixture(scope="module")
def fresh(reach: Env, episode: Episode, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return stored(tmp_path_factory.mktemp("fresh") / "set", reach, episode)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "dataset replay needs episode=..., where=... or --all"),
        (["episode=0", "--all"], "takes episode=... or --all, not both"),
        (["--all", "video=a.mp4"], "name it by episode=..."),
        (["episode=0", "video=a.avi"], "video=a.avi does not end in .mp4"),
        (["episode=1"], "no episode '1' in .*; valid: 0 .. 0, or an id such as"),
        (["where=quality > 2"], "0 of 1 episodes match where=quality > 2"),
    ],
)
def test_a_bad_request_is_one_line(
    words: list[str], said: str, fresh: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "replay", str(fresh.path), *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(said, lines[0])


@pytest.mark.e2e
def test_our_own_adroit_recording_deviates_nowhere(tmp_path: Path) -> None:
    path = str(tmp_path / "set")
    assert main(["collect", "task=adroit_door", "operator=random", "episodes=1", f"out={path}"]) == 0
    assert main(["dataset", "replay", path, "--all"]) == 0


@pytest.mark.e2e
def test_the_video_shows_every_step_at_the_control_rate(reach: Env, episode: Episode, tmp_path: Path) -> None:
    if os.environ.get("MUJOCO_GL") == "disable":
        pytest.skip("no OpenGL library on this system")
    import av

    stored(tmp_path / "set", reach, episode)
    file = tmp_path / "videos" / "one.mp4"
    assert main(["dataset", "replay", str(tmp_path / "set"), "episode=0", f"video={file}"]) == 0
    with av.open(str(file)) as video:
        stream = video.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(stream)]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 25)
    assert (len(frames), frames[0].shape) == (51, (360, 480, 3))
    assert np.abs(frames[0].astype(int) - frames[-1]).mean() > 1, "the arm has moved"
    assert [entry.name for entry in file.parent.iterdir()] == ["one.mp4"], "nothing is left beside it"
