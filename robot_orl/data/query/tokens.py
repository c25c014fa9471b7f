"""The words, signs and values of a query, each with its column."""

import re
from dataclasses import dataclass

from robot_orl.errors import UsageError, printable

_TOKEN = re.compile(
    r"""\s*(?: (?P<number> [+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]) )
             | (?P<text>   '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
             | (?P<word>   [^\W\d]\w* )
             | (?P<sign>   ==|!=|<=|>=|<|>|\(|\)|, ) )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """kind: number, text, word, sign or end.  column: where it begins, from 1."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return {"end": "the end", "text": short(self.text)}.get(self.kind, f"'{short(self.text)}'")


def tokens_of(text: str) -> list[Token]:
    tokens, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            raise error_at(start + 1, _misread(text[start:]))
        kind = str(match.lastgroup)
        tokens.append(Token(kind, match[kind], match.start(kind) + 1))
        at = match.end()
    return [*tokens, Token("end", "", end + 1)]


def _misread(rest: str) -> str:
    if rest[0] in "'\"":
        return f"the text that begins with {rest[0]} has no end"
    if rest[0] == "=":
        return "'=' is not a comparison; write =="
    if rest[0] in "&|!":
        return f"'{rest[0]}' is not known; write and, or, not"
    word = re.match(r"\S+", rest)
    assert word is not None
    return f"'{short(word[0])}' cannot be read"


def short(text: str) -> str:
    """For an error's one line."""
    shown = printable(text)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def error_at(column: int, message: str) -> UsageError:
    return UsageError(f"where, column {column}: {message}")
