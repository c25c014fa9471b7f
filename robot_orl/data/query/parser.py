"""From the text of a query to a test of episodes."""

import math
import operator
import re
from collections.abc import Callable
from typing import NoReturn

from robot_orl.data.query.fields import (
    ACTORS,
    FIELDS,
    Test,
    Value,
    all_of,
    any_of,
    is_known,
    kind_of,
    negated,
    value_of,
)
from robot_orl.data.query.tokens import Token, error_at, short, tokens_of
from robot_orl.data.store.records import EpisodeRecord
from robot_orl.errors import unknown

MAX_DEPTH = 50  # of parentheses and `not` within each other
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


class Parser:
    """Recursive descent: one method per rule of the grammar, each returns a test."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens_of(text)
        self._at = 0
        self._depth = 0

    def query(self) -> Test:
        found = self._or()
        if self._next.kind != "end":
            self._expected("and, or or the end")
        return found

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
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
        raise error_at(self._next.column, f"expected {what}, found {self._next}")

    def _or(self) -> Test:
        tests = [self._and()]
        while self._accepts("or"):
            tests.append(self._and())
        return tests[0] if len(tests) == 1 else any_of(tests)

    def _and(self) -> Test:
        tests = [self._factor()]
        while self._accepts("and"):
            tests.append(self._factor())
        return tests[0] if len(tests) == 1 else all_of(tests)

    def _factor(self) -> Test:
        column = self._next.column
        begins = self._accepts("not", "(")
        if begins is None:
            return self._test()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise error_at(column, f"more than {MAX_DEPTH} of ( and not lie within each other")
        if begins == "not":
            found = negated(self._factor())
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
            raise error_at(token.column, str(unknown("episode field", short(name), FIELDS)))
        kind = kind_of(name)
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
            return negated(self._within(name))
        if kind is bool:
            return lambda record: value_of(record, name) is True if is_known(record, name) else None
        self._not_bare(name, token)

    def _not_bare(self, name: str, token: Token) -> NoReturn:
        """A field that is not true or false stands alone, or before something that is no comparison."""
        if self._next.kind != "end" and self._next.text not in ("and", "or", ")"):
            self._expected(f"a comparison after {name}")
        example = EXAMPLES[kind_of(name)].format(name)
        raise error_at(token.column, f"{name} is {KINDS[kind_of(name)]}, not true or false; write {example}")

    def _comparison(self, name: str, sign: str, column: int) -> Test:
        kind = kind_of(name)
        if kind is tuple:
            raise error_at(column, "actor takes 'has', as in: actor has intervention")
        if kind is bool and sign not in ("==", "!="):
            raise error_at(column, f"{name} is true or false and cannot be compared by {sign}")
        wanted, compare = self._value(name), OPERATORS[sign]

        def test(record: EpisodeRecord) -> bool | None:
            found = value_of(record, name)
            return None if found is None or isinstance(found, tuple) else compare(found, wanted)

        return test

    def _within(self, name: str) -> Test:
        if kind_of(name) is tuple:
            raise error_at(self._next.column, "actor takes 'has', as in: actor has intervention")
        self._expect("(")
        values = {self._value(name)}
        while self._accepts(","):
            values.add(self._value(name))
        self._expect(")")
        wanted = frozenset(values)
        return lambda record: value_of(record, name) in wanted if is_known(record, name) else None

    def _value(self, name: str) -> Value:
        """A value of the field's own kind."""
        token, kind = self._next, kind_of(name)
        found = self._literal()
        given = float if type(found) is int else type(found)
        if given is not kind:
            raise error_at(token.column, f"{name} is {KINDS[kind]}; {token} is {KINDS[given]}")
        if found == "unknown" and name in ("operator", "end_reason"):
            raise error_at(token.column, f"nothing equals what is unknown; write: {name} is unknown")
        return found

    def _literal(self) -> Value:
        token = self._next
        if token.kind == "number":
            self._take()
            if math.isinf(float(token.text)):
                raise error_at(token.column, f"{token} is too large")
            return int(token.text) if token.text.lstrip("+-").isdigit() else float(token.text)
        if token.kind == "text":
            return re.sub(r"\\(.)", r"\1", self._take().text[1:-1], flags=re.DOTALL)
        if (word := self._accepts("true", "false")) is not None:
            return word == "true"
        if token.kind == "word" and token.text.lower() in ("true", "false"):
            raise error_at(token.column, f"{token} is not known; write {token.text.lower()}")
        if token.kind == "word" and token.text.lower() in ("unknown", "none", "null", "nan"):
            raise error_at(token.column, "nothing equals what is unknown; write: FIELD is unknown")
        if token.kind == "word" and token.text not in RESERVED:
            raise error_at(token.column, f"{token} is no value; a text stands in quotes, a number in digits")
        self._expected("a value")

    def _has(self, name: str, column: int) -> Test:
        if name == "actor":
            return self._acted()
        if kind_of(name) is not str:
            raise error_at(column, f"'has' is for texts and actor; {name} is {KINDS[kind_of(name)]}")
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
            raise error_at(token.column, "nothing equals what is unknown; write: actor is unknown")
        if who not in ACTORS:
            raise error_at(token.column, str(unknown("actor", short(who), ACTORS)))

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
        return lambda record: is_known(record, name) == wanted
