"""What a person at a terminal reads."""

import re

from data_collection.operators.keyboard import PUSHES, SAME_AS
from data_collection.teleop.hands import Status, Verb
from data_collection.teleop.terminal.console import ORDERS
from data_collection.teleop.terminal.legend import (
    FINGERS,
    GROUPS,
    MOVES,
    TURNS,
    VERBS,
    Keyboard,
    changes,
    drawn,
    lines,
)

STATUS = Status(
    "recording", step=31, horizon=500, good=12, episodes=15, target=30, rate_hz=24.96, lag_ms=0.31,
    label={"success": None, "quality": 4, "note": "neat"}, instruction="reach",
)  # fmt: skip

ELSEWHERE = {Verb.PAUSE, Verb.RESUME, Verb.CHECKPOINT}  # of training, at the page


def shown(status: Status = STATUS, *, columns: int = 80, height: int = 24, **keyboard: object) -> list[str]:
    picture = lines("fetch_reach", (), status, [Verb.STOP], Keyboard(**keyboard))  # type: ignore[arg-type]
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in drawn(picture, columns, height)]


def test_state_progress_and_rate_are_at_the_top() -> None:
    first, second, *_ = shown()
    assert first == " fetch_reach   RECORDING   step 31 of 500"
    assert second == " [#####.......] 12 of 30 good episodes   15 saved    25.0 Hz   late  0.3 ms"


def test_what_has_been_said_of_the_episode_is_shown() -> None:
    rows = shown()
    assert " said     quality 4, 'neat'" in rows
    assert " task     reach" in rows


def test_every_verb_has_a_key_and_no_key_two_meanings() -> None:
    assert set(VERBS) == set(Verb) - ELSEWHERE == {verb for group in GROUPS.values() for verb in group}
    legend = [name for keys, _ in (*MOVES, *TURNS.values(), *FINGERS) for name in keys.split()]
    verbs = [key for key, _ in VERBS.values()]
    assert len({*legend, *verbs}) == len(legend) + len(verbs)


def test_the_legend_names_keys_that_do_something() -> None:
    for keys, _ in (*MOVES, *TURNS.values()):
        assert set(keys.split()) <= set(PUSHES)
    assert set(SAME_AS.values()) == {key for keys, _ in MOVES for key in keys.split()}
    assert set(ORDERS.values()) == set(Verb) - ELSEWHERE - {Verb.QUALITY}


def test_nobody_is_told_how_to_halt_a_robot_where_none_is_deployed() -> None:
    assert not any("deployed" in row for row in shown(columns=200))


def test_space_is_said_to_halt_the_arm_because_the_fingers_go_on() -> None:
    assert any("space halt the arm" in row for row in shown())


def test_turns_are_shown_where_there_are_some() -> None:
    assert not any("tilt" in row for row in shown())
    picture = "".join(drawn(lines("arm", ("roll", "pitch"), STATUS, [], Keyboard()), 80, 24))
    assert "tilt down, up" in picture
    assert "roll left, right" in picture


def test_a_warning_takes_the_place_of_news_and_typing_that_of_both() -> None:
    status = Status("recording", said="saved", warning="nobody has acted for 3 s")
    assert shown(Status("idle", said="saved"))[-1] == " saved"
    assert shown(status)[-1].strip() == "nobody has acted for 3 s"
    assert shown(status, typing=(Verb.NOTE, "ne"))[-1].startswith(" note: ne_")


def test_the_picture_fits_any_terminal() -> None:
    for columns in (1, 20, 40, 80, 200):
        assert all(len(row) <= columns for row in shown(columns=columns))
    assert len(shown(height=5)) == 5


def test_what_makes_no_sense_now_is_dim() -> None:
    text = "".join(drawn(lines("t", (), STATUS, [Verb.STOP], Keyboard()), 80, 24))
    assert "\x1b[1mbackspace\x1b[0m" in text
    assert "\x1b[2mS\x1b[0m" in text


def test_start_is_said_to_save_where_there_is_an_episode_to_be_saved() -> None:
    def row(*allowed: Verb) -> str:
        picture = lines("t", (), STATUS, allowed, Keyboard())
        (found,) = (row for row in picture if row and row[0][0].strip() == "episode")
        return "".join(text for text, _ in found)

    assert row(Verb.START).startswith(" episode  enter start   ")
    assert row(Verb.START, Verb.SAVE).startswith(" episode  enter save, next   ")
    assert len(row(Verb.START, Verb.SAVE).rstrip()) <= 80


def test_only_lines_that_differ_are_sent() -> None:
    assert changes(["a", "b", "c"], ["a", "x", "c", "d"]) == "\x1b[2;1Hx\x1b[K\x1b[4;1Hd\x1b[K"
    assert changes(["a", "b"], ["a"]) == "\x1b[2;1H\x1b[K"
    assert changes(["a"], ["a"]) == ""


def test_where_things_are_is_below_everything_else() -> None:
    places = {"tool": [0.0, 0.0, 0.0], "object": [0.08, 0.0, 0.0], "goal": [0.08, -0.05, 0.04]}
    rows = shown(Status("idle", places=places))
    assert " tool to object  8.0 cm forward,  0.0 cm left,  0.0 cm up" in rows
    assert " object to goal  0.0 cm forward,  5.0 cm right,  4.0 cm up" in rows
    assert rows[-8] == " from above                        from behind   a letter is 1 cm wide, 2 high"


def test_caps_lock_while_driving_throws_nothing_away() -> None:
    harmless = {Verb.SAVE}  # while recording it is refused
    for verb, (key, _) in VERBS.items():
        assert key.lower() not in PUSHES or verb in harmless
