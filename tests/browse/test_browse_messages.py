"""What a page asks is taken exactly as it is written down, or refused."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_collection.browse.messages import MAX_BYTES, MAX_FRAMES, MAX_QUERY, Malformed, Question, read

FRAMES = {"say": "frames", "number": 6, "episode": "a:0", "camera": "front", "from": 32, "to": 64}
RELABEL = {"say": "relabel", "number": 7, "episodes": {"a": [2, 0], "b": [1]}, "values": {"quality": "1"}}
RELABEL |= {"reason": " seen again "}


def test_each_question_is_read_as_it_is_meant() -> None:
    assert read('{"say": "list", "number": 1}') == Question("list", 1)
    assert read('{"say": "match", "number": 2, "where": " success "}') == Question(
        "match", 2, where="success"
    )
    assert read('{"say": "take", "number": 0, "episode": "a:3"}').episode == "a:3"
    picture = read('{"say": "picture", "number": 5, "episode": "a:3", "camera": "front"}')
    assert (picture.episode, picture.camera) == ("a:3", "front")
    assert read(json.dumps(FRAMES)).frames == (32, 64)
    relabel = read(json.dumps(RELABEL))
    assert relabel.episodes == ("a:2", "a:0", "b:1")
    assert (relabel.values, relabel.reason) == ({"quality": "1"}, "seen again")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"say": "list", "number": 1, "more": 1}, "not the fields"),
        ({"say": "fetch", "number": 1}, "not the fields"),
        ({"say": ["list"], "number": 1}, "not the fields"),
        ({"say": "match", "number": 1, "where": 3}, "a query is a text of up to 4,000 letters"),
        ({"say": "match", "number": 1, "where": "x" * (MAX_QUERY + 1)}, "up to 4,000"),
        ({"say": "match", "number": 1, "where": "a\nb"}, "a line's end"),
        ({**FRAMES, "from": 64}, f"not 1 to {MAX_FRAMES} frames"),
        ({**FRAMES, "from": 0, "to": MAX_FRAMES + 1}, "frames"),
        ({**FRAMES, "from": -1}, "not a whole number"),
        ({**FRAMES, "to": 33.5}, "not a whole number"),
        ({**RELABEL, "values": {}}, "labels are: success, quality, notes, deleted"),
        ({**RELABEL, "values": {"operator": "eve"}}, "labels are"),
        ({**RELABEL, "values": {"success": True}}, "a text"),
        ({**RELABEL, "episodes": {}}, "no episodes"),
        ({**RELABEL, "episodes": {"a": []}}, "no episodes"),
        ({**RELABEL, "episodes": {"a": [True]}}, "not a whole number"),
        ({**RELABEL, "episodes": ["a:0"]}, "no episodes"),
    ],
)
def test_what_is_not_exactly_so_is_refused_under_its_number(said: dict[str, Any], why: str) -> None:
    with pytest.raises(Malformed, match=why) as refused:
        read(json.dumps(said))
    assert refused.value.number == said["number"]


@pytest.mark.parametrize(
    "raw",
    ["", "[]", "7", "{", b"\x00", '{"say": "list"}', '{"say": "list", "number": -1}', "[" * 10**5],
)
def test_what_has_no_number_is_no_question(raw: str | bytes) -> None:
    with pytest.raises(Malformed) as refused:
        read(raw)
    assert refused.value.number is None


def test_more_than_a_megabyte_is_not_even_parsed() -> None:
    with pytest.raises(Malformed, match="megabyte"):
        read(" " * (MAX_BYTES + 1))


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
        max_leaves=12,
    ),
    st.sampled_from([{}, FRAMES, RELABEL]),
    st.sampled_from(["say", "number", "episode", "episodes", "values", "reason", "from", "camera"]),
)
def test_whatever_a_page_sends_is_a_question_or_refused(what: Any, base: dict[str, Any], name: str) -> None:
    with suppress(Malformed):
        assert isinstance(read(json.dumps({**base, name: what})), Question)
