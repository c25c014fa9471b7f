"""`operator=keyboard` as a person meets it: a real process at a pseudo-terminal."""

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from terminal_toys import PATIENCE_S, Terminal, terminal

import envs
from data_collection.operators.keyboard import KeyboardConfig, KeyboardHands, KeyboardOperator
from data_collection.teleop.terminal.terminal import LEAVE
from robot_orl.data.store.reader import Dataset
from robot_orl.errors import UsageError
from robot_orl.tasks import spec_of
from robot_orl.types import Actor


def words(path: Path, *more: str) -> list[str]:
    return [
        "operator=keyboard",
        "task=fetch_reach",
        f"out={path}",
        "episodes=3",
        "operator.countdown_s=0",
        *more,
    ]


def is_restored(found: Terminal) -> bool:
    return found.now() == found.modes and LEAVE in found.said


@pytest.mark.e2e
def test_a_person_at_a_terminal_records_labels_and_takes_back(tmp_path: Path) -> None:
    with terminal(*words(tmp_path / "data", "operator.stop_at_success=false")) as person:
        person.wait(r"IDLE")
        person.press(b"\r")
        person.wait(r"RECORDING   step \d+ of 500")
        person.hold(b"w", until=r"step [2-9]\d of")
        person.press(b"y4Nneat \xc3\xbc\x7fo\r")
        person.wait(r"said     success, quality 4, 'neat o'")
        person.press(b"S")
        person.wait(r"saved; 1 of 3 good episodes")
        person.press(b"U")
        person.wait(r"taken back; 0 of 3 good episodes")
        person.press(b"\r")
        person.wait(r"RECORDING   step ([2-9]|\d\d+) of")
        person.press(b"n")
        person.wait(r"REVIEWING")
        person.press(b"E1 2\r")
        person.wait(r"said     failure, steps 1 .. 2")
        person.press(b"\rQ")  # save and record the next, and leave at once
        assert person.end() == 0
        assert is_restored(person)
    dataset = Dataset.open(tmp_path / "data")
    first, second, *rest = dataset.records
    assert (first.deleted, first.meta.success, first.meta.quality, first.meta.notes) == (
        True, True, 0.75, "neat o",
    )  # fmt: skip
    episode = dataset.load(first)
    pushed = np.flatnonzero(episode.action[:, 0])
    assert len(pushed) > 10
    assert (np.diff(pushed) == 1).all()  # a held key is held between its repeats
    assert (episode.action[:, 1:] == 0).all()
    assert (episode.actor == Actor.HUMAN).all()
    assert (second.deleted, second.meta.success, second.meta.seed) == (False, False, 1)
    assert second.length == 2
    assert {record.meta.end_reason for record in rest} <= {"interrupt"}


@pytest.mark.e2e
def test_who_only_reads_the_screen_can_solve_a_task(tmp_path: Path) -> None:
    """Somebody over ssh, who again and again presses the key of the longest way that is left."""
    keys = {"forward": b"w", "back": b"s", "left": b"a", "right": b"d", "up": b"r", "down": b"f"}
    with terminal(*words(tmp_path / "data")) as person:
        person.wait(r"IDLE")
        person.press(b"\r")
        person.wait(r"RECORDING")
        deadline_s = time.monotonic() + PATIENCE_S
        while "the task is solved" not in (screen := person.look(0.05)):
            assert time.monotonic() < deadline_s, screen[-2_000:]
            if said := re.findall(r"tool to goal([^\r]*?(?:up|down))", screen):
                way = [part.split() for part in said[-1].split(",")]  # [['2.0', 'cm', 'left'], ...]
                person.press(keys[max(way, key=lambda part: float(part[0]))[2]])
        person.press(b"SQ")
        assert person.end() == 0
        assert "1 of 3 good episodes of 'keyboard' with seed=0" in person.look()
    (record,) = Dataset.open(tmp_path / "data").episodes
    assert (record.meta.success, record.meta.end_reason) == (True, "success")


@pytest.mark.e2e
def test_a_terminal_that_tells_of_releases_is_believed_and_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    """One press, as many repeats as say that the line is there, and its release."""
    with terminal(*words(tmp_path / "data", "operator.ramp_s=0")) as person:
        person.wait(r"IDLE")
        person.press(b"\x1b[?27u")  # it speaks kitty's protocol
        person.press(b"\x1b[13u")
        person.wait(r"RECORDING")
        person.press(b"\x1b[114;1:1;114u")  # r: up, which is nowhere near the goal
        person.hold(b"\x1b[114;1:2;114u", until=r"step [5-9]\d of")
        person.press(b"\x1b[114;1:3u")
        person.wait(r"step 1\d\d of")
        person.press(b"\x1b[99;5u")  # Ctrl-C
        assert person.end() == 130
        assert is_restored(person)
        assert "the same command goes on" in person.look()
    dataset = Dataset.open(tmp_path / "data")
    (record,) = dataset.episodes
    assert record.meta.end_reason == "interrupt"
    pushed = np.flatnonzero(dataset.load(record).action[:, 2])
    assert len(pushed) > 25  # more than a second
    assert (np.diff(pushed) == 1).all()
    assert pushed[-1] < record.length - 1
    np.testing.assert_array_equal(np.isnan(dataset.load(record).action_operator[:, 0]),
                                  dataset.load(record).action[:, 2] == 0)  # fmt: skip


@pytest.mark.e2e
def test_a_lost_terminal_ends_the_session_and_keeps_the_episode(tmp_path: Path) -> None:
    with terminal(*words(tmp_path / "data")) as person:
        person.wait(r"IDLE")
        person.press(b"\r")
        person.wait(r"RECORDING   step \d+")
        person.hang_up()
        person.process.wait(PATIENCE_S)
    (record,) = Dataset.open(tmp_path / "data").episodes
    assert record.meta.end_reason == "disconnect"


@pytest.mark.e2e
def test_a_kill_leaves_a_working_terminal_and_what_it_cut_off_comes_back(tmp_path: Path) -> None:
    with terminal(*words(tmp_path / "data"), under_shell=True) as person:
        person.wait(r"IDLE")
        person.press(b"\r")
        person.wait(r"RECORDING   step \d+")
        person.press(b"n")
        person.wait(r"REVIEWING")
        person.press(b"\r")
        person.wait(r"RECORDING   step [1-9]\d")
        shell = person.process.pid
        collecting = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0]
        os.kill(int(collecting), signal.SIGKILL)
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_restored(person):  # even then
            assert time.monotonic() < deadline_s
            person.look()
    assert [record.meta.end_reason for record in Dataset.open(tmp_path / "data").episodes] == ["operator"]
    with terminal(*words(tmp_path / "data", "operator.speed_m_s=0.1")) as person:  # a person may change
        person.wait(r"recovered 1 episode \(\d+ steps\) of a recording that was cut off")
        person.wait(r"0 of 3 good episodes   1 saved")
        person.press(b"\x03")  # as any terminal says it
        assert person.end() == 130
        assert is_restored(person)
    found = [(r.meta.seed, r.meta.end_reason) for r in Dataset.open(tmp_path / "data").episodes]
    assert found == [(0, "operator"), (1, "crash")]


@pytest.mark.e2e
def test_a_terminal_that_cannot_draw_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with terminal(*words(tmp_path / "data"), term="dumb") as person:
        assert person.end() == 2
        assert person.now() == person.modes
        assert person.look().strip() == (
            "robot-orl: operator=keyboard needs a terminal that can move its cursor; TERM says it cannot"
        )


def test_without_a_terminal_it_says_so() -> None:
    hands = KeyboardHands(KeyboardConfig(), "fetch_reach")
    reason = r"^operator=keyboard needs a terminal, in the foreground, to read keys from$"
    with pytest.raises(UsageError, match=reason):
        hands.open()
    hands.close()  # works from any state


def test_keys_of_a_terminal_that_is_somebody_elses_are_refused() -> None:
    env = envs.make("fetch_reach")
    with pytest.raises(
        UsageError, match=r"^operator=keyboard needs the terminal to itself.*browser, gamepad"
    ):
        KeyboardOperator(KeyboardConfig(), spec_of(env)).make_hands(env, alone=True)
