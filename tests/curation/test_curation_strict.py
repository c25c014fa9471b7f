"""`verify --strict` tells intact data that would mislead a learner, and says nothing about sound data."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_orl.curation.checking.chunks import Rows
from robot_orl.curation.checking.findings import Severity
from robot_orl.curation.checking.frozen import longest_run
from robot_orl.curation.checking.lag import LagTest
from robot_orl.curation.checking.plausibility import Plausibility
from robot_orl.curation.checking.segment_scan import Scan
from robot_orl.curation.checking.verify import verify
from robot_orl.data.store import Dataset, EpisodeRecord, SegmentWriter
from robot_orl.data.store.layout import crc32c, fields_of, to_columns
from robot_orl.data.store.places import place_at
from robot_orl.types import Array, Camera, Episode, EpisodeMeta, Signal, Spec

SPEC = Spec(
    "toy",
    {"arm": (Signal("x"), Signal("y"))},
    (Signal("u"), Signal("v")),
    10.0,
    60,
    cameras={"top": Camera(2, 2)},
)
PERIOD_NS = 100_000_000
Change = Callable[[Episode], Episode]


def sound(seed: int, length: int = 60) -> Episode:
    """A point that actions push about, with some inertia; it succeeds at its last step."""
    rng = np.random.default_rng(seed)
    action = np.clip(np.cumsum(rng.normal(0, 0.2, (length, 2)), axis=0), -1, 1).astype("f4")
    speed, place = np.zeros(2), rng.normal(0, 1, 2)
    places = [place]
    for step in range(length):
        speed = 0.3 * speed + 0.1 * action[step] + rng.normal(0, 0.002, 2)
        places.append(places[-1] + speed)
    reward = np.full(length, -1, "f4")
    reward[-1] = 0
    return Episode(
        obs={"arm": np.array(places, "f4")},
        action=action,
        action_policy=np.full_like(action, np.nan),
        action_operator=np.full_like(action, np.nan),
        reward=reward,
        terminated=np.zeros(length, bool),
        truncated=np.arange(length) == length - 1,
        t_ns=np.arange(length) * PERIOD_NS,
        actor=np.zeros(length, "u1"),
        sim_state=None,
        meta=EpisodeMeta(seed=seed, success=True, success_any=True, end_reason="horizon"),
        images={"top": rng.integers(0, 255, (length + 1, 2, 2, 3), "u1")},
    )


def told(episodes: list[Episode]) -> dict[str, tuple[Severity, list[int]]]:
    """What is said of these episodes of one segment: message -> severity, positions."""
    looks = Plausibility()
    scan = Scan(place_at("somewhere"), "segment", spec=SPEC)
    for index, episode in enumerate(episodes):
        columns = to_columns(episode, fields_of(SPEC, None))
        crc = {name: crc32c(rows) for name, rows in columns.items()}
        record = EpisodeRecord("segment", index, 0, len(episode), 0.0, episode.meta, crc, uid=f"u{index}")
        looks.see(scan, record, Rows(columns, {}))
    found = {f.message: (f.severity, [n.rpartition(":")[2] for n in f.episodes]) for f in looks.findings()}
    return {message: (severity, list(map(int, ids))) for message, (severity, ids) in found.items()}


def with_one(change: Change, count: int = 3) -> list[Episode]:
    """Sound episodes, the last of them changed."""
    return [*(sound(seed) for seed in range(count - 1)), change(sound(count - 1))]


def altered(**rows: Callable[[Array], None]) -> Change:
    """Change arrays of an episode in place."""

    def change(episode: Episode) -> Episode:
        copies = {name: getattr(episode, name).copy() for name in rows}
        for name, alter in rows.items():
            alter(copies[name])
        return replace(episode, **copies)

    return change


def labelled(**changes: Any) -> Change:
    return lambda episode: replace(episode, meta=replace(episode.meta, **changes))


def put(place: Any, value: Any) -> Callable[[Array], None]:
    return lambda rows: rows.__setitem__(place, value)


def observed(alter: Callable[[Array], None]) -> Change:
    def change(episode: Episode) -> Episode:
        rows = episode.obs["arm"].copy()
        alter(rows)
        return replace(episode, obs={"arm": rows})

    return change


def stretched(factor: float) -> Callable[[Array], None]:
    return lambda t_ns: t_ns.__setitem__(slice(None), (t_ns * factor).astype("i8"))


def delayed(episode: Episode, steps: int) -> Episode:
    """Every observation arrives so many steps late."""
    rows = episode.obs["arm"]
    return replace(episode, obs={"arm": np.concatenate([np.repeat(rows[:1], steps, 0), rows])[: len(rows)]})


CASES: dict[str, Change] = {
    "actions never change": altered(action=put(slice(None), 0.5)),
    "actions are NaN or infinite": altered(action=put(3, np.nan)),
    "actions lie outside of [-1, 1]": altered(action=put(3, 1.01)),
    "observation 'arm' is NaN or infinite": observed(put(3, np.inf)),
    "observation 'arm' stands still for up to 20 steps while actions move": observed(
        lambda rows: rows.__setitem__(slice(11, 31), rows[10])
    ),
    "rewards are infinite": altered(reward=put(3, np.inf)),
    "rewards are unknown at some steps": altered(reward=put(3, np.nan)),
    "rewards are not success - 1, as those of other episodes are": altered(reward=put(3, 0.5)),
    "success contradicts the last reward, which is success - 1": altered(reward=put([-2, -1], [0, -1])),
    "success_any contradicts the rewards, which are success - 1": labelled(success=None, success_any=False),
    "is successful at the last step, but at no step": labelled(success_any=False),
    "times are unknown at some steps": altered(t_ns=put(3, -1)),
    "times stand still or run backwards": altered(t_ns=put(3, 0)),
    "the realised rate is off the declared 10 Hz by more than 20%": altered(t_ns=stretched(1.26)),
    "times have gaps of more than 2 control periods": altered(
        t_ns=lambda t_ns: t_ns.__setitem__(slice(30, None), t_ns[30:] + 2 * PERIOD_NS)
    ),
    "is terminated before its last step": altered(terminated=put(5, True)),
    "is truncated before its last step": altered(truncated=put(5, True)),
    "has end_reason 'horizon', but its last step is not truncated": altered(truncated=put(-1, False)),
    "has end_reason 'terminated', but its last step is not terminated": labelled(end_reason="terminated"),
}


def test_sound_data_gives_no_finding() -> None:
    """A rate within 20%, single late ticks, and labels nobody knows are sound."""
    slow = altered(t_ns=stretched(1.19))(sound(10))
    late = altered(t_ns=lambda t_ns: t_ns.__setitem__(slice(9, None), t_ns[9:] + PERIOD_NS // 2))(sound(11))
    unlabelled = labelled(success=None, success_any=None)(sound(12))
    held = observed(lambda rows: rows.__setitem__(slice(20, 29), rows[20]))(sound(13))
    assert told([*map(sound, range(8)), slow, late, unlabelled, held]) == {}


@pytest.mark.parametrize("message", CASES)
def test_what_misleads_is_told_with_its_episode(message: str) -> None:
    findings = told(with_one(CASES[message]))
    assert findings[message] == (Severity.MISLEADING, [2])


def test_what_nobody_knows_is_a_note() -> None:
    unknown = altered(reward=put(slice(None), np.nan), t_ns=put(slice(None), -1))
    episodes = [labelled(success=None, success_any=None)(unknown(sound(seed))) for seed in range(2)]
    assert told(episodes) == {
        "success is unknown in every episode": (Severity.NOTE, []),
        "rewards are unknown": (Severity.NOTE, [0, 1]),
        "times are unknown": (Severity.NOTE, [0, 1]),
    }


def test_an_action_that_is_dead_in_all_episodes_is_named() -> None:
    dead = altered(action=put((slice(None), 1), 0.25))
    findings = told([dead(sound(seed)) for seed in range(3)])
    assert list(findings) == ["action 'v' never changes: it is 0.25 at every step"]


def test_a_camera_that_shows_one_frame_or_hangs_is_told() -> None:
    still = [replace(e, images={"top": np.zeros((61, 2, 2, 3), "u1")}) for e in map(sound, range(2))]
    assert list(told(still)) == ["camera 'top' shows the same frame at all times"]
    frames = sound(2).images["top"].copy()
    frames[11:41] = frames[10]
    hanging = told(with_one(lambda e: replace(e, images={"top": frames})))
    assert hanging == {
        "camera 'top' stands still for up to 30 steps while actions move": (Severity.MISLEADING, [2])
    }


def test_a_robot_that_is_not_asked_to_move_may_stand_still() -> None:
    def rest(episode: Episode) -> Episode:
        rows, action = episode.obs["arm"].copy(), episode.action.copy()
        rows[21:], action[20:] = rows[20], 0.0
        return replace(episode, obs={"arm": rows}, action=action)

    assert told(with_one(rest)) == {}


def test_copies_are_told_and_labels_do_not_hide_them() -> None:
    [(message, (severity, copies))] = told(
        [sound(0), sound(1), labelled(quality=0.5, seed=9)(sound(0))]
    ).items()
    assert message.startswith("repeats the observations and actions of another episode, as ")
    assert (severity, copies) == (Severity.MISLEADING, [2])


def test_deleted_episodes_mislead_nobody_and_rewards_that_were_put_right_count(tmp_path: Path) -> None:
    wrong = altered(reward=put(-1, -1))
    with SegmentWriter(tmp_path / "set", SPEC, "test") as writer:
        list(writer.extend((episode, None) for episode in (sound(0), wrong(sound(1)), wrong(sound(2)))))
    [last, any_] = verify(place_at(tmp_path / "set"), strict=True).findings
    assert len(last.episodes) == len(any_.episodes) == 2
    dataset = Dataset.open(tmp_path / "set")
    dataset.delete(dataset.episodes[1:2], "bad")
    dataset.set_rewards([(dataset.records[2], sound(2).reward)], "mended")
    assert verify(place_at(tmp_path / "set"), strict=True).is_clean


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5])
def test_observations_that_lag_by_two_steps_and_more_are_told_with_the_number(
    tmp_path: Path, steps: int
) -> None:
    findings = told([delayed(sound(seed), steps) for seed in range(12)])
    late = [f"observations lag actions by {steps} steps: they respond to what was done before"]
    assert list(findings) == (late if steps >= 2 else [])


def test_the_response_is_found_at_its_step_by_hand() -> None:
    """Change of step i = action of step i - 1 exactly: all of it is explained at lag 1, by no other."""
    rng = np.random.default_rng(0)
    action = rng.normal(0, 0.5, (2000, 1))
    obs = np.concatenate([[[0.0], [0.0]], np.cumsum(action[:-1], axis=0)])
    test = LagTest(1, 1)
    test.add(obs, action)
    explained = test.explained()
    assert explained is not None
    assert explained[1, 0] > 0.99
    assert np.delete(explained[:, 0], 1).max() < 0.02
    assert LagTest(1, 1).lag() is None  # of nothing, nothing is said


@pytest.mark.parametrize(("held", "longest"), [([], 0), ([0, 0], 0), ([1, 1, 0, 1], 2), ([0, 1, 1, 1], 3)])
def test_the_longest_run_counts_consecutive_steps(held: list[int], longest: int) -> None:
    assert longest_run(np.array(held, bool)) == longest
