"""The query language: what is true is selected; what is unknown is not; a mistake is told with its place."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_episodes import made_episode, made_spec

from robot_orl.data.query import FIELDS, parse, select
from robot_orl.data.store import Dataset, EpisodeRecord, SegmentWriter
from robot_orl.errors import UsageError
from robot_orl.types import EpisodeMeta

UNKNOWN = EpisodeRecord("20260101T000000Z_x_1", 0, 0, 10, math.nan, EpisodeMeta(end_reason="unknown"), {})
KNOWN = EpisodeRecord(
    "20260102T000000Z_x_2",
    3,
    30,
    20,
    -7.0,
    EpisodeMeta(
        seed=5,
        success=True,
        success_any=False,
        quality=0.5,
        operator="gamepad",
        policy_hash="ab",
        notes="slipped twice",
        instruction="push it",
        origin="f#1",
    ),
    {},
    uid="u1",
    actors=("human", "intervention"),
    rate_hz=25.0,
)


def verdict(text: str, record: EpisodeRecord) -> bool | None:
    return parse(text).evaluate(record)


@pytest.mark.parametrize(
    "text",
    [
        "success",
        "success == true",
        "not success_any",
        "success and quality > 0.4",
        "quality >= .5 and quality <= 5e-1 and quality == 0.5",
        "quality != 0.25",
        "success_any or length == 20",
        "length in (1, 20, 3)",
        "length not in (1, 2)",
        "return < -6.5",
        "seed == 5",
        "rate_hz > 24",
        "operator == 'gamepad'",
        "operator in (\"gamepad\", 'spacemouse')",
        "end_reason == 'horizon'",
        "notes has 'slip'",
        r"notes != 'it\'s'",
        "instruction == 'push it' and origin has '#' and policy_hash is known",
        "segment >= '20260102'",
        "uid == 'u1' and id == '20260102T000000Z_x_2:3'",
        "actor has intervention",
        "actor has 'human' and not actor has policy",
        "success_any and success_any or success",  # `and` binds more tightly than `or`
        "not success_any and success",  # and `not` than `and`
        "not (success and success_any)",
        "(((success)))",
        "not not success",
    ],
)
def test_a_true_query_selects(text: str) -> None:
    assert verdict(text, KNOWN) is True
    assert verdict(f"not ({text})", KNOWN) is False


@pytest.mark.parametrize(
    "text",
    [
        "success",
        "success == false",
        "success_any != true",
        "quality > 0",
        "quality in (0.5)",
        "return <= 0",
        "seed != 1",
        "operator == 'x'",
        "end_reason != 'x'",
        "instruction has ''",
        "actor has human",
        "uid != 'a'",
        "length == 10 and quality > 0",
        "length == 11 or quality > 0",
    ],
)
def test_what_is_unknown_is_selected_neither_way(text: str) -> None:
    assert verdict(text, UNKNOWN) is None
    assert not parse(text).matches(UNKNOWN)
    assert not parse(f"not ({text})").matches(UNKNOWN)


def test_unknown_does_not_hide_what_is_certain() -> None:
    assert verdict("quality > 0 or length == 10", UNKNOWN) is True
    assert verdict("quality > 0 and length == 11", UNKNOWN) is False
    maybe = replace(KNOWN, actors=("policy", "unknown"))
    assert verdict("actor has policy", maybe) is True
    assert verdict("actor has human", maybe) is None


@pytest.mark.parametrize("name", sorted(set(FIELDS) - {"length", "notes", "segment", "id"}))
def test_every_field_that_may_be_unknown_can_be_asked_for(name: str) -> None:
    for text, of_unknown in (("is unknown", True), ("is known", False), ("is not known", True)):
        assert verdict(f"{name} {text}", UNKNOWN) is of_unknown
        assert verdict(f"{name} {text}", KNOWN) is not of_unknown


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        (
            "success and qualty > 0.5",
            13,
            "no episode field 'qualty'; did you mean 'quality'? valid: success,",
        ),
        ("operator > 3", 12, "operator is a text; '3' is a number"),
        ("success == 'yes'", 12, "success is true or false; 'yes' is a text"),
        ("success < true", 9, "success is true or false and cannot be compared by <"),
        ("actor has intervenion", 11, "no actor 'intervenion'; did you mean 'intervention'?"),
        ("actor == 'human'", 7, "actor takes 'has', as in: actor has intervention"),
        ("success and", 12, "expected a field, found the end"),
        ("success or or quality > 1", 12, "expected a field, found 'or'"),
        ("", 1, "expected a field, found the end"),
        ("(success", 9, "expected ')', found the end"),
        ("success)", 8, "expected and, or or the end, found ')'"),
        ("  quality", 3, "quality is a number, not true or false; write quality > 0.5"),
        ("quality = 1", 9, "'=' is not a comparison; write =="),
        ("quality > 0.5 && success", 15, "'&' is not known; write and, or, not"),
        ("operator == gamepad", 13, "'gamepad' is no value; a text stands in quotes"),
        ("operator == 'unknown'", 13, "nothing equals what is unknown; write: operator is unknown"),
        ("quality == none", 12, "nothing equals what is unknown"),
        ("success == True", 12, "'True' is not known; write true"),
        ("operator in ('a' 'b')", 18, "expected ')', found 'b'"),
        ("operator in ()", 14, "expected a value, found ')'"),
        ("notes has 'x", 11, "the text that begins with ' has no end"),
        ("quality has 'x'", 9, "'has' is for texts and actor; quality is a number"),
        ("quality is small", 12, "expected known or unknown, found 'small'"),
        ("seed > 1e999", 8, "'1e999' is too large"),
        ("(" * 9_999, 51, "more than 50 of ( and not lie within each other"),
        ("not " * 9_999 + "success", 201, "more than 50 of ( and not lie within each other"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(text: str, column: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    line = str(caught.value)
    assert line.startswith(f"where, column {column}: {message}"), line
    assert "\n" not in line


@settings(max_examples=100, deadline=None, database=None)
@given(
    st.text(max_size=40)
    | st.lists(
        st.sampled_from(
            [
                "success",
                "quality",
                "actor",
                "not",
                "in",
                "has",
                "is",
                "(",
                ")",
                ",",
                "==",
                "'a'",
                "1",
                "and",
                "or",
                "\n",
                "known",
            ]
        )
    ).map(" ".join)
)
def test_any_text_is_a_query_or_one_line_of_error(text: str) -> None:
    line = ""
    try:
        query = parse(text)
    except UsageError as error:
        line = str(error)
    if line:
        assert line.startswith("where, column ")
        assert len(line.splitlines()) == 1
    else:
        assert {query.evaluate(record) for record in (UNKNOWN, KNOWN)} <= {True, False, None}


def test_long_queries_are_read() -> None:
    names = [f"u{i}" for i in range(2_000)]
    assert parse(f"uid in ({', '.join(map(repr, names))})").matches(KNOWN)
    assert parse(" and ".join(["success"] * 2_000)).matches(KNOWN)
    assert parse(" or ".join(["success_any"] * 2_000)).evaluate(KNOWN) is False


# Against an independent evaluation: three values as numbers, `and` the smaller, `or` the larger.

ATOMS = ["success", "success_any", "quality > 0.5", "length < 15", "actor has human", "operator in ('a')"]
EXPRESSIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda below: st.tuples(st.just("not"), below) | st.tuples(st.sampled_from(["and", "or"]), below, below),
    max_leaves=12,
)
RECORDS = st.builds(
    lambda success, any_, quality, length, actors, operator: replace(
        KNOWN,
        length=length,
        actors=actors,
        meta=EpisodeMeta(success=success, success_any=any_, quality=quality, operator=operator),
    ),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.sampled_from([0.25, 0.75]),
    st.sampled_from([10, 20]),
    st.none() | st.sampled_from([("human",), ("policy",)]),
    st.sampled_from(["a", "b", "unknown"]),
)


def written(tree: str | tuple) -> str:
    if isinstance(tree, str):
        return tree
    name, *parts = tree
    inner = [f"({written(part)})" for part in parts]
    return f"not {inner[0]}" if name == "not" else f" {name} ".join(inner)


def truth(tree: str | tuple, record: EpisodeRecord) -> float:
    """0 false, 1 true, 0.5 unknown."""
    if isinstance(tree, tuple):
        values = [truth(part, record) for part in tree[1:]]
        return {"not": lambda: 1 - values[0], "and": lambda: min(values), "or": lambda: max(values)}[
            tree[0]
        ]()
    meta = record.meta
    answer = {
        "success": lambda: meta.success,
        "success_any": lambda: meta.success_any,
        "quality > 0.5": lambda: None if meta.quality is None else meta.quality > 0.5,
        "length < 15": lambda: record.length < 15,
        "actor has human": lambda: None if record.actors is None else "human" in record.actors,
        "operator in ('a')": lambda: None if meta.operator == "unknown" else meta.operator == "a",
    }[tree]()
    return 0.5 if answer is None else float(answer)


@settings(max_examples=100, deadline=None, database=None)
@given(EXPRESSIONS, RECORDS)
def test_queries_mean_what_three_valued_logic_says(tree: str | tuple, record: EpisodeRecord) -> None:
    assert verdict(written(tree), record) is {0.0: False, 1.0: True, 0.5: None}[truth(tree, record)]


@settings(max_examples=100, deadline=None, database=None)
@given(EXPRESSIONS, EXPRESSIONS, RECORDS)
def test_de_morgan_holds(left: str | tuple, right: str | tuple, record: EpisodeRecord) -> None:
    one, other = written(left), written(right)
    both = verdict(f"not (({one}) and ({other}))", record)
    assert both is verdict(f"not ({one}) or not ({other})", record)


def test_a_selection_copies_nothing_and_selects_from_what_is_in_use(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path / "set", made_spec(), "test") as writer:
        for seed in range(4):
            writer.append(made_episode(seed, 5 + seed))
    dataset = Dataset.open(tmp_path / "set")
    dataset.delete(dataset.episodes[:1], "bad")
    before = {file: file.read_bytes() for file in dataset.path.rglob("*") if file.is_file()}
    long = select(dataset, "length > 5")
    assert [record.length for record in long.episodes] == [6, 7, 8]  # the deleted one stays out
    assert [len(e) for e in select(long, "length < 8").load_all()] == [6, 7]
    assert [record.length for record in select(select(dataset, "length < 8"), "length > 6").episodes] == [7]
    assert select(dataset, "length > 99").episodes == []
    prints = [
        one.fingerprint() for one in (dataset, select(dataset, "length < 8"), select(dataset, "seed == 1"))
    ]
    assert len(set(prints)) == 3
    assert {file: file.read_bytes() for file in dataset.path.rglob("*") if file.is_file()} == before
