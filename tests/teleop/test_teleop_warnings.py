"""What a person is told while they record what would mislead a learner."""

from pathlib import Path

import pytest
from teleop_toys import MS, Clock, Person, ScriptedHands, drive, order, pushes, until

from data_collection.teleop.hands import Verb

pytestmark = pytest.mark.e2e  # a dataset for each


def test_standing_still_is_told_after_whole_seconds(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(80, None)
        yield from pushes(2)
        yield order(Verb.STOP)
        yield None, []
        yield order(Verb.QUIT)

    hands, _ = drive(tmp_path / "data", script)
    said = [status.warning for status in hands.seen if status.state == "recording"]
    assert said[:50] == [""] * 50  # 2 s at 25 Hz
    assert said[51] == "nobody has acted for 2 s: standing still is being recorded"
    assert said[76] == "nobody has acted for 3 s: standing still is being recorded"
    assert said[-1] == ""  # somebody does again
    reviewed = next(status for status in hands.seen if status.state == "reviewing")
    assert reviewed.warning.startswith(
        "nobody acts for 3 s in a row: standing still would be learned; 83 steps"
    )


def test_a_label_that_the_task_contradicts_is_told(tmp_path: Path) -> None:
    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(1)
        yield order(Verb.SUCCESS)
        yield from pushes(1)
        yield order(Verb.FAILURE)
        yield from pushes(1)
        yield order(Verb.QUIT)

    hands, _ = drive(tmp_path / "data", script)
    said = [status.warning for status in hands.seen if status.state == "reviewing"]
    wrong = "you say success, but the task does not: its rewards stay those of a failure"
    assert said[0] == wrong
    assert said[-1] == ""


def test_late_steps_are_told(tmp_path: Path) -> None:
    """Every tick 30 ms late: of the slots of 40 ms every other one is missed, 12.5 Hz are left."""

    def script(hands: ScriptedHands) -> Person:
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(60)
        yield order(Verb.QUIT)

    class Busy(Clock):
        def now_ns(self) -> int:
            self.time_ns += 25 * MS
            return self.time_ns

    hands, _ = drive(tmp_path / "data", script, clock=Busy())
    assert any(status.warning.endswith("Hz instead of 25: steps are late") for status in hands.seen)


def test_that_a_kill_would_lose_the_episode_is_told(tmp_path: Path) -> None:
    """There is no room for journals: a file lies where their folder should be."""

    def script(hands: ScriptedHands) -> Person:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "journal").write_text("")
        yield order(Verb.START)
        yield from until(hands, "recording")
        yield from pushes(2)
        yield order(Verb.QUIT)

    hands, session = drive(tmp_path / "data", script)
    said = [status.warning for status in hands.seen if status.state == "recording"]
    assert said[0].startswith("no journal: cannot write ")
    assert said[0].endswith("had this process been killed, steps would be lost")
    assert session.episodes == 1


def test_an_episode_longer_than_the_tasks_horizon_is_told(tmp_path: Path) -> None:
    """Fetch has 50 steps."""

    def script(hands: ScriptedHands) -> Person:
        for steps in (50, 51):  # the first is taken before the script is asked
            yield order(Verb.START)
            yield from until(hands, "recording")
            yield from pushes(steps - 1)
            yield order(Verb.STOP)
            yield None, []
            yield order(Verb.DISCARD)
        yield order(Verb.QUIT)

    hands, _ = drive(tmp_path / "data", script)
    reviewed = [status for status in hands.seen if status.state == "reviewing"]
    said = {status.step: status.warning for status in reviewed}
    assert said == {50: "", 51: "51 steps; policies have 50 to do it, the task's horizon"}
