"""What a page may say to the process that serves it."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_collection.teleop.browser.messages import MAX_BYTES, Malformed, read
from data_collection.teleop.hands import Order, Verb
from data_collection.teleop.settings import PersonConfig
from robot_orl.errors import UsageError

JOG = {"say": "jog", "at": 5, "linear": [0, 0.5, 1], "angular": [0, 0, -1], "gripper": 1, "joints": None}


def order(verb: Any, value: Any = None) -> str:
    return json.dumps({"say": "order", "verb": verb, "value": value})


def jog(**changes: Any) -> str:
    return json.dumps(JOG | changes)


def test_a_jog_is_read_as_it_was_said() -> None:
    message = read(jog(), joints=2)
    assert message.at == 5.0
    assert message.jog is not None
    assert message.jog.linear.tolist() == [0.0, 0.5, 1.0]
    assert message.jog.angular.tolist() == [0.0, 0.0, -1.0]
    assert message.jog.gripper == 1.0
    assert message.jog.joints is None


def test_joints_are_as_many_as_the_task_has() -> None:
    said = read(jog(joints=[0.5, -1]), joints=2).jog
    assert said is not None
    np.testing.assert_array_equal(said.joints, [0.5, -1.0])
    with pytest.raises(Malformed):
        read(jog(joints=[0.5, -1]), joints=3)


@pytest.mark.parametrize("joints", [[0.5, -1], [1], []])
def test_a_task_with_a_tool_takes_no_joints_which_no_speed_limits(joints: list[float]) -> None:
    with pytest.raises(Malformed):
        read(jog(joints=joints), joints=0)
    assert read(jog(), joints=0).jog is not None


@pytest.mark.parametrize(
    "verb", [v for v in Verb if v not in (Verb.QUALITY, Verb.NOTE, Verb.INSTRUCTION, Verb.TRIM)]
)
def test_an_order_without_a_value_takes_none(verb: Verb) -> None:
    assert read(order(verb), 2).order == Order(verb)
    with pytest.raises(Malformed):
        read(order(verb, "now"), 2)


def test_quality_is_1_to_5_a_trim_two_steps_a_seed_a_number_and_a_note_a_text() -> None:
    assert read(order("quality", 4), 2).order == Order(Verb.QUALITY, 4)
    assert read(order("trim", [5, 30]), 2).order == Order(Verb.TRIM, (5, 30))
    assert read(order("seed", 12), 2).order == Order(Verb.SEED, 12)
    assert read(order("note", "à côté"), 2).order == Order(Verb.NOTE, "à côté")
    assert read(order("note", ""), 2).order == Order(Verb.NOTE, "")


@pytest.mark.parametrize("verb", [Verb.NOTE, Verb.INSTRUCTION])
@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("10\N{NO-BREAK SPACE}cm\N{NARROW NO-BREAK SPACE}!", "10 cm !"),
        ("a\tb ", "a b"),
        ("Greif\N{SOFT HYPHEN}arm", "Greif\N{SOFT HYPHEN}arm"),
        (
            "\U0001f468\N{ZERO WIDTH JOINER}\U0001f527 did it",
            "\U0001f468\N{ZERO WIDTH JOINER}\U0001f527 did it",
        ),
        ("\N{IDEOGRAPHIC SPACE}赤い\N{IDEOGRAPHIC SPACE}箱", "赤い 箱"),
    ],
)
def test_a_text_is_taken_as_people_type_it_with_plain_spaces(verb: Verb, typed: str, taken: str) -> None:
    assert read(order(verb, typed), 2).order == Order(verb, taken)


@pytest.mark.parametrize("letter", ["\n", "\r", "\0", "\x1b", "\x7f", "\x85", "\ud800"])
def test_control_characters_and_halves_of_letters_are_refused_for_that_order(letter: str) -> None:
    with pytest.raises(Malformed, match="a character that is no text") as refused:
        read(order("note", f"a{letter}b"), 2)
    assert refused.value.verb == Verb.NOTE


def test_an_instruction_is_no_longer_than_the_page_can_show() -> None:
    assert PersonConfig(name="person", instruction="x" * 500).instruction
    with pytest.raises(UsageError, match=r"^operator\.instruction takes up to 500 letters, not 501$"):
        PersonConfig(name="person", instruction="x" * 501)


def test_an_instruction_of_undecodable_bytes_is_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^operator\.instruction: 'reach \?' is no text in UTF-8$"):
        PersonConfig(name="person", instruction="reach \udcff")


def test_the_number_of_a_picture_is_read() -> None:
    assert read('{"say": "got", "number": 12}', 2).number == 12
    for number in ("-1", "1e99", "true", '"12"', "null"):
        with pytest.raises(Malformed):
            read(f'{{"say": "got", "number": {number}}}', 2)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"say": "off", "at": 1}',
        "off",
        "[" * 4_000,
        "null",
        '{"say": ["off"], "at": 1}',
        '{"say": "off"}',
        '{"say": "off", "at": 1, "more": 1}',
        '{"say": "off", "at": true}',
        '{"say": "off", "at": -1}',
        '{"say": "off", "at": NaN}',
        '{"say": "seize"}',
        jog(linear=[0, 0]),
        jog(linear=[0, 0, 1.01]),
        jog(linear="000"),
        jog(linear=[0, 0, None]),
        jog(angular=[0, 0, float("inf")]),
        jog(gripper=2),
        jog(gripper=10**400),
        jog(joints={}),
        order("fly"),
        order(["start"]),
        order({}),
        order("quality", 6),
        order("quality", True),
        order("quality", 4.0),
        order("trim"),
        order("trim", [5]),
        order("trim", [5, 30, 40]),
        order("trim", [-1, 30]),
        order("trim", [0, 10**10]),
        order("trim", [0, 3.0]),
        order("trim", [False, True]),
        order("trim", {"0": 0, "1": 3}),
        order("seed", -1),
        order("seed", True),
        order("seed", "5"),
        order("seed", 2_000_000_000),
        order("note", 5),
        order("note", "two\nlines"),
        order("note", "a" * 501),
        order("note", "a" * MAX_BYTES),
    ],
)
def test_whatever_is_not_a_message_is_refused(raw: str | bytes) -> None:
    with pytest.raises(Malformed):
        read(raw, joints=2)


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_nothing_that_a_page_sends_does_more_than_be_refused(value: Any) -> None:
    for raw in (
        json.dumps(value),
        jog(linear=value),
        jog(joints=value),
        order("quality", value),
        order("trim", [value, value]),
        order("seed", value),
        order(value),
    ):
        with suppress(Malformed):
            read(raw, joints=2)
