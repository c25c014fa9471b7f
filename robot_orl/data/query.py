"""The query language over episodes, of `where=...` in training and in the dataset tools.

    query      = clause { "or" clause }               clause = factor { "and" factor }
    factor     = "not" factor | "(" query ")" | test
    test       = FIELD                                 success, success_any
               | FIELD ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) VALUE
               | FIELD [ "not" ] "in" "(" VALUE { "," VALUE } ")"
               | FIELD "has" NAME                      who acted; for text: contains
               | FIELD "is" [ "not" ] ( "known" | "unknown" )
    VALUE      = 12, 0.5, 'text', "text", true, false

Unknown is neither true nor false (Kleene): a comparison with it is unknown, so is its negation, and only
what is true is selected. `operator` and `end_reason` that say 'unknown' are unknown, and so is who acted in
episodes of format version 1, which do not tell: there `actor has ...` selects nothing.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

from robot_orl.data.store.reader import Dataset
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import UsageError, unknown
from robot_orl.types import Actor

Value = bool | float | str
Test = Callable[[EpisodeRecord], bool | None]
Actors = tuple[str, ...]

MAX_DEPTH = 50  # of parentheses and `not` within each other
BOOLEANS = ("success", "success_any")
NUMBERS = ("quality", "length", "return", "seed", "rate_hz")
TEXTS = ("operator", "end_reason", "policy_hash", "notes", "instruction", "origin", "segment", "uid", "id")
FIELDS = (*BOOLEANS, *NUMBERS, *TEXTS, "actor")
ACTORS = tuple(who.name.lower() for who in Actor if who is not Actor.UNKNOWN)
OPERATORS: dict[str, Callable[[Value, Value], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
KINDS: dict[type, str] = {bool: "true or false", float: "a number", str: "a text", tuple: "who acted"}
EXAMPLES = {float: "{} > 0.5", str: "{} == 'text'", tuple: "{} has intervention"}
RESERVED = ("and", "or", "not", "in", "is", "has", "known", "unknown", "true", "false")
_TOKEN = re.compile(
    r"""\s*(?: (?P<number> [+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]) )
             | (?P<text>   '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
             | (?P<word>   [^\W\d]\w* )
             | (?P<sign>   ==|!=|<=|>=|<|>|\(|\)|, ) )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Query:
    """A question about an episode. Make one with `parse`."""

    text: str
    evaluate: Test

    def matches(self, record: EpisodeRecord) -> bool:
        """Whether it is true of the episode; not where it is unknown."""
        return self.evaluate(record) is True


def parse(text: str) -> Query:
    """Raises: UsageError: one line that says at which column, and what would be valid there."""
    return Query(text, _Parser(text).query())


def select(dataset: Dataset, text: str) -> Dataset:
    """The dataset with only those of its episodes in use of which the query is true; nothing is copied."""
    query = parse(text)
    return dataset.choose(record for record in dataset.episodes if query.matches(record))


def value_of(record: EpisodeRecord, name: str) -> Value | Actors | None:
    """What an episode says of a field; None: unknown."""
    if name == "actor":
        return record.actors
    if name in ("length", "segment", "uid", "id", "rate_hz"):
        found = getattr(record, name)
    else:
        found = record.episode_return if name == "return" else getattr(record.meta, name)
    if name in ("operator", "end_reason") and found == "unknown":
        return None
    if isinstance(found, float) and math.isnan(found):
        return None
    return found


@dataclass(frozen=True)
class _Token:
    """kind: number, text, word, sign or end.  column: where it begins, from 1."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return {"end": "the end", "text": _short(self.text)}.get(self.kind, f"'{_short(self.text)}'")


def _tokens(text: str) -> list[_Token]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise _error(start + 1, _misread(text[start:]))
        kind = str(match.lastgroup)
        tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*tokens, _Token("end", "", end + 1)]


def _misread(rest: str) -> str:
    if rest[0] in "'\"":
        return f"the text that begins with {rest[0]} has no end"
    if rest[0] == "=":
        return "'=' is not a comparison; write =="
    if rest[0] in "&|!":
        return f"'{rest[0]}' is not known; write and, or, not"
    word = re.match(r"\S+", rest)
    assert word is not None
    return f"'{_short(word[0])}' cannot be read"


def _short(text: str) -> str:
    """For an error's one line."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def _error(column: int, message: str) -> UsageError:
    return UsageError(f"where, column {column}: {message}")


class _Parser:
    """Recursive descent: one method per rule of the grammar, each returns a test."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def query(self) -> Test:
        found = self._or()
        if self._next.kind != "end":
            self._expected("and, or or the end")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        self._at += token.kind != "end"
        return token

    def _accepts(self, *texts: str) -> str | None:
        """Takes the next token if it is one of these words or signs."""
        token = self._next
        if token.kind in ("word", "sign") and token.text in texts:
            return self._take().text
        return None

    def _expect(self, text: str) -> None:
        if not self._accepts(text):
            self._expected(f"'{text}'")

    def _expected(self, what: str) -> NoReturn:
        raise _error(self._next.column, f"expected {what}, found {self._next}")

    def _or(self) -> Test:
        tests = [self._and()]
        while self._accepts("or"):
            tests.append(self._and())
        return tests[0] if len(tests) == 1 else _any(tests)

    def _and(self) -> Test:
        tests = [self._factor()]
        while self._accepts("and"):
            tests.append(self._factor())
        return tests[0] if len(tests) == 1 else _all(tests)

    def _factor(self) -> Test:
        column = self._next.column
        begins = self._accepts("not", "(")
        if begins is None:
            return self._test()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(column, f"more than {MAX_DEPTH} of ( and not lie within each other")
        if begins == "not":
            found = _not(self._factor())
        else:
            found = self._or()
            self._expect(")")
        self._depth -= 1
        return found

    def _test(self) -> Test:
        token = self._next
        if token.kind != "word" or token.text in RESERVED:
            self._expected("a field")
        name = self._take().text
        if name not in FIELDS:
            raise _error(token.column, str(unknown("episode field", _short(name), FIELDS)))
        kind = _kind(name)
        column = self._next.column
        sign = self._accepts(*OPERATORS)
        if sign is not None:
            return self._comparison(name, sign, column)
        if self._accepts("is"):
            return self._known(name)
        if self._accepts("has"):
            return self._has(name, column)
        if self._accepts("in"):
            return self._within(name)
        if self._next.text == "not" and self._tokens[self._at + 1].text == "in":
            self._at += 2
            return _not(self._within(name))
        if kind is bool:
            return lambda record: value_of(record, name) is True if _is_known(record, name) else None
        self._not_bare(name, token)

    def _not_bare(self, name: str, token: _Token) -> NoReturn:
        """A field that is not true or false stands alone, or before something that is no comparison."""
        if self._next.kind != "end" and self._next.text not in ("and", "or", ")"):
            self._expected(f"a comparison after {name}")
        example = EXAMPLES[_kind(name)].format(name)
        raise _error(token.column, f"{name} is {KINDS[_kind(name)]}, not true or false; write {example}")

    def _comparison(self, name: str, sign: str, column: int) -> Test:
        kind = _kind(name)
        if kind is tuple:
            raise _error(column, "actor takes 'has', as in: actor has intervention")
        if kind is bool and sign not in ("==", "!="):
            raise _error(column, f"{name} is true or false and cannot be compared by {sign}")
        wanted, compare = self._value(name), OPERATORS[sign]

        def test(record: EpisodeRecord) -> bool | None:
            found = value_of(record, name)
            return None if found is None or isinstance(found, tuple) else compare(found, wanted)

        return test

    def _within(self, name: str) -> Test:
        if _kind(name) is tuple:
            raise _error(self._next.column, "actor takes 'has', as in: actor has intervention")
        self._expect("(")
        values = {self._value(name)}
        while self._accepts(","):
            values.add(self._value(name))
        self._expect(")")
        wanted = frozenset(values)
        return lambda record: value_of(record, name) in wanted if _is_known(record, name) else None

    def _value(self, name: str) -> Value:
        """A value of the field's own kind."""
        token, kind = self._next, _kind(name)
        found = self._literal()
        given = float if type(found) is int else type(found)
        if given is not kind:
            raise _error(token.column, f"{name} is {KINDS[kind]}; {token} is {KINDS[given]}")
        if found == "unknown" and name in ("operator", "end_reason"):
            raise _error(token.column, f"nothing equals what is unknown; write: {name} is unknown")
        return found

    def _literal(self) -> Value:
        token = self._next
        if token.kind == "number":
            self._take()
            if math.isinf(float(token.text)):
                raise _error(token.column, f"{token} is too large")
            return int(token.text) if token.text.lstrip("+-").isdigit() else float(token.text)
        if token.kind == "text":
            return re.sub(r"\\(.)", r"\1", self._take().text[1:-1], flags=re.DOTALL)
        if (word := self._accepts("true", "false")) is not None:
            return word == "true"
        if token.kind == "word" and token.text.lower() in ("true", "false"):
            raise _error(token.column, f"{token} is not known; write {token.text.lower()}")
        if token.kind == "word" and token.text.lower() in ("unknown", "none", "null", "nan"):
            raise _error(token.column, "nothing equals what is unknown; write: FIELD is unknown")
        if token.kind == "word" and token.text not in RESERVED:
            raise _error(token.column, f"{token} is no value; a text stands in quotes, a number in digits")
        self._expected("a value")

    def _has(self, name: str, column: int) -> Test:
        if name == "actor":
            return self._acted()
        if _kind(name) is not str:
            raise _error(column, f"'has' is for texts and actor; {name} is {KINDS[_kind(name)]}")
        if self._next.kind != "text":
            self._expected("a text in quotes")
        part = str(self._literal())

        def test(record: EpisodeRecord) -> bool | None:
            found = value_of(record, name)
            return part in found if isinstance(found, str) else None

        return test

    def _acted(self) -> Test:
        """Who acted, of a record that also says 'unknown', is known only where it is asked for by name."""
        token = self._next
        if token.kind not in ("word", "text"):
            self._expected("who, as in: actor has intervention")
        self._take()
        who = token.text.strip("'\"")
        if who == "unknown":
            raise _error(token.column, "nothing equals what is unknown; write: actor is unknown")
        if who not in ACTORS:
            raise _error(token.column, str(unknown("actor", _short(who), ACTORS)))

        def test(record: EpisodeRecord) -> bool | None:
            if record.actors is None:
                return None
            return True if who in record.actors else None if "unknown" in record.actors else False

        return test

    def _known(self, name: str) -> Test:
        wanted = self._accepts("not") is None
        word = self._accepts("known", "unknown")
        if word is None:
            self._expected("known or unknown")
        wanted = wanted == (word == "known")
        return lambda record: _is_known(record, name) == wanted


def _kind(name: str) -> type:
    return bool if name in BOOLEANS else float if name in NUMBERS else str if name in TEXTS else tuple


def _is_known(record: EpisodeRecord, name: str) -> bool:
    found = value_of(record, name)
    return found is not None and not (isinstance(found, tuple) and "unknown" in found)


def _all(tests: Iterable[Test]) -> Test:
    """False where one is false, else unknown where one is unknown."""
    parts = tuple(tests)

    def test(record: EpisodeRecord) -> bool | None:
        result: bool | None = True
        for part in parts:
            found = part(record)
            if found is False:
                return False
            result = None if found is None else result
        return result

    return test


def _any(tests: Iterable[Test]) -> Test:
    return _not(_all(_not(test) for test in tests))


def _not(test: Test) -> Test:
    def negated(record: EpisodeRecord) -> bool | None:
        found = test(record)
        return None if found is None else not found

    return negated
