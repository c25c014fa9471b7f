"""What is typed at the terminal, as the session takes it."""

import pytest

from data_collection.teleop.hands import Order, Value, Verb
from data_collection.teleop.session import MOST_SEED, RecordingSession
from data_collection.teleop.terminal.console import value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 8", (2, 8)),
        (" 3,8 ", (2, 8)),
        ("3 .. 8", (2, 8)),
        ("3-8", (2, 8)),
        ("0 5", (-1, 5)),
        ("-5 8", "-5 8"),
    ]
    + [(text, text) for text in ("", "3", "3 -8", "1 2 3", "1.5 8", "three 8", "3 8 steps")],
)
def test_a_trim_is_two_whole_numbers_counted_from_1(text: str, value: Value) -> None:
    assert value_of(Verb.TRIM, text) == value


@pytest.mark.parametrize("text", ["-5", "1 2", "1.5", "seed 3", "12345678901"])
def test_a_start_is_one_whole_number_or_any_other(text: str) -> None:
    assert value_of(Verb.SEED, text) == text
    assert value_of(Verb.SEED, " 41 ") == 41
    assert value_of(Verb.SEED, " ") is None


@pytest.mark.parametrize(("text", "is_taken"), [(str(MOST_SEED), True), (str(MOST_SEED + 1), False)])
def test_seeds_of_ten_digits_are_taken_up_to_those_that_policies_are_judged_by(
    text: str, is_taken: bool
) -> None:
    session = RecordingSession(1)
    assert bool(session.take(Order(Verb.SEED, value_of(Verb.SEED, text)))) == is_taken
    assert session.said == (
        "" if is_taken else f"a seed is 0 .. {MOST_SEED}, not {text}: policies are judged by those above"
    )
