"""hand_dapg pickles: what a person did, as our simulator shows it."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs  # registers the tasks
from robot_orl.data.store import Dataset, SegmentWriter
from robot_orl.errors import DataError, RobotOrlError, UsageError
from robot_orl.interop.base import Request
from robot_orl.interop.formats import hand_dapg
from robot_orl.rollout import rollout
from robot_orl.types import Actor, Proposal

RECORDED = Path(__file__).parents[3] / "shared/data/adroit_door_human/door-v0_demos.pickle"
DOOR = Request(task="adroit_door")
START = {"qpos": np.zeros(30), "qvel": np.zeros(30), "door_body_pos": np.array([-0.1, 0.2, 0.3])}
needs_recordings = pytest.mark.skipif(
    not RECORDED.exists(), reason="the human demonstrations are not at ../shared/data/adroit_door_human"
)


def demonstration(**changes: Any) -> dict[str, Any]:
    made = {
        "observations": np.full((2, 39), 7.0),
        "actions": np.linspace(-1.5, 1.5, 56).reshape(2, 28),
        "rewards": np.full(2, 7.0),
        "init_state_dict": START,
    }
    return {**made, **changes}


def write(path: Path, content: Any) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def test_recorded_actions_are_played_from_the_recorded_start(tmp_path: Path) -> None:
    source = hand_dapg.read(write(tmp_path / "demos.pickle", [demonstration(), demonstration()]), DOOR)
    assert source.count == 2
    _, episode = source.episodes
    env = envs.make("adroit_door")
    obs, _ = env.reset(seed=1, options={"initial_state_dict": START})
    for step, action in enumerate(demonstration()["actions"]):
        assert episode.obs["observation"][step].tobytes() == obs["observation"].tobytes()
        obs, reward, *_ = env.step(np.clip(action, -1, 1))
        assert episode.reward[step] == reward
    assert episode.obs["observation"][2].tobytes() == obs["observation"].tobytes()
    assert episode.sim_state is not None
    assert episode.sim_state[2].tobytes() == env.unwrapped.get_sim_state().tobytes()  # type: ignore[attr-defined]


def test_what_was_asked_is_kept_beside_what_was_executed(tmp_path: Path) -> None:
    source = hand_dapg.read(write(tmp_path / "demos.pickle", [demonstration()]), DOOR)
    (episode,) = source.episodes
    asked = np.linspace(-1.5, 1.5, 56).reshape(2, 28).astype(np.float32)
    np.testing.assert_array_equal(episode.action_operator, asked)
    np.testing.assert_array_equal(episode.action, np.clip(asked, -1, 1))
    assert np.isnan(episode.action_policy).all()
    assert (episode.actor == Actor.HUMAN).all()
    # -1.5, 1.5 and the 9 next to each of them: 1.5 - k * 3 / 55 > 1 for k < 9.2
    assert source.provenance["clipped_action_values"] == 20
    assert episode.t_ns.tolist() == [0, 10_000_000]
    assert episode.truncated.tolist() == [False, True]
    meta = episode.meta
    assert (meta.operator, meta.origin, meta.end_reason) == ("human", "demos.pickle#0", "recording")
    assert meta.reset_options == {"initial_state_dict": {k: v.tolist() for k, v in START.items()}}


WRONG = {
    "no list": ({"a": 1}, "holds no list of demonstrations"),
    "empty": ([], "holds no list of demonstrations"),
    "not a dict": ([1], "demonstration 0 is a int, not a dict"),
    "no start": ([{"actions": np.ones((2, 28))}], "has no 'init_state_dict'; it has: actions"),
    "another hand": (
        [demonstration(actions=np.ones((2, 26)))],
        r"shape \(2, 26\); adroit_door takes \(T, 28\)",
    ),
    "no step": ([demonstration(actions=np.ones((0, 28)))], "has 0 steps"),
    "not a number": ([demonstration(actions=np.full((2, 28), np.nan))], "holds nan in its row 0"),
    "a nested start": ([demonstration(init_state_dict={"qpos": [[[1.0]]]})], "'qpos' is a list"),
    "the second": ([demonstration(), 1], "demonstration 1 is a int"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_demonstration_is_named(tmp_path: Path, what: str) -> None:
    content, said = WRONG[what]
    with pytest.raises(DataError, match=said):
        hand_dapg.read(write(tmp_path / "demos.pickle", content), DOOR)


def test_a_start_of_another_task_is_named(tmp_path: Path) -> None:
    start = {"qpos": np.zeros(30), "qvel": np.zeros(30), "board_pos": np.zeros(3)}
    source = hand_dapg.read(write(tmp_path / "d.pickle", [demonstration(init_state_dict=start)]), DOOR)
    with pytest.raises(DataError, match=r"d.pickle#0: adroit_door: .* has no 'door_body_pos'"):
        next(source.episodes)


def test_the_task_must_be_said_and_be_one_of_this_stack(tmp_path: Path) -> None:
    path = write(tmp_path / "demos.pickle", [demonstration()])
    for task in (None, "door"):
        with pytest.raises(UsageError, match="add task=adroit_door"):
            hand_dapg.read(path, Request(task=task))
    with pytest.raises(UsageError, match="adroit_door runs at 100 Hz"):
        hand_dapg.read(path, Request(task="adroit_door", control_hz=30))
    with pytest.raises(DataError, match="is a folder"):
        hand_dapg.read(tmp_path, DOOR)


@pytest.mark.e2e
@pytest.mark.parametrize("task", ["adroit_door", "adroit_hammer", "adroit_pen", "adroit_relocate"])
def test_a_demonstration_of_every_hand_task_is_played_as_it_was(tmp_path: Path, task: str) -> None:
    env = envs.make(task)
    env.reset(seed=5)
    start = env.unwrapped._sim.get_env_state()  # type: ignore[attr-defined]
    rng = np.random.default_rng(0)
    action = rng.uniform(-1.2, 1.2, (12, env.action_space.shape[0]))  # type: ignore[index]
    path = write(tmp_path / "demos.pickle", [{"actions": action, "init_state_dict": start}] * 2)
    first, second = hand_dapg.read(path, Request(task=task)).episodes
    actions = iter(np.clip(action, -1, 1))
    known = {name: start[name] for name in env.unwrapped._sim._state_space}  # type: ignore[attr-defined]
    expected = rollout(
        env,
        lambda _: Proposal(next(actions), Actor.HUMAN),
        seed=0,
        steps=12,
        options={"initial_state_dict": known},
    )
    assert first.sim_state is not None
    assert expected.sim_state is not None
    assert first.sim_state.tobytes() == expected.sim_state.tobytes()
    np.testing.assert_allclose(second.obs["observation"], first.obs["observation"], atol=1e-5)


@pytest.mark.e2e
@needs_recordings
def test_human_door_demonstrations_succeed_as_often_as_their_page_says(tmp_path: Path) -> None:
    source = hand_dapg.read(RECORDED, DOOR)
    with SegmentWriter(tmp_path / "door", source.spec, "hand_dapg", config=source.provenance) as writer:
        for made in source.episodes:
            writer.append(made)
    dataset = Dataset.open(tmp_path / "door")
    episodes = list(dataset.load_all())
    assert (len(episodes), sum(map(len, episodes))) == (25, 6729)
    assert {len(episode) for episode in episodes} <= set(range(223, 301))
    hinge = [episode.obs["observation"][1:, 28] for episode in episodes]
    assert sum(bool(episode.meta.success_any) for episode in episodes) == 8
    assert sum(int((episode.reward == 0).sum()) > 25 for episode in episodes) == 6
    assert [bool(episode.meta.success_any) for episode in episodes] == [
        angle.max() >= 1.35 for angle in hinge
    ]
    assert all(episode.meta.operator == "human" for episode in episodes)


@needs_recordings
def test_a_recording_with_a_call_inside_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    content = RECORDED.read_bytes()
    assert content[-1:] == b"."
    call = b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    (tmp_path / "door.pickle").write_bytes(content[:-1] + call)
    with pytest.raises(RobotOrlError, match=r"door.pickle is refused: .*names os.system"):
        hand_dapg.read(tmp_path / "door.pickle", DOOR)
    assert not mark.exists()
