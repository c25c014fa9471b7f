"""Words of the dataset tools and of `import`: taken as typed, or refused in one line by their name."""

from dataclasses import dataclass

import pytest

from robot_orl.errors import UsageError
from robot_orl.help import tool_help
from robot_orl.plain import build
from robot_orl.schema import Schema, setting


@dataclass
class Config(Schema):
    """A tool."""

    paths: list[str] = setting(help="Folders.")
    reason: str = setting(help="Why.")
    where: str | None = setting("all", "Which.")
    shares: list[float] = setting(help="Parts.", factory=lambda: [0.5, 0.5])
    count: int = setting(3, "How many.", low=1)
    rate: float | None = setting(None, "How fast.", unit="Hz", low=0, high=10)
    dry_run: bool = setting(False, "Only say it.")


def test_words_become_the_fields_they_name() -> None:
    words = [
        "a b",
        "./c=d",
        "reason=x=y",
        "shares=[0.25, .75]",
        "count=7",
        "rate=2",
        "--dry-run",
        "paths=[ü,01]",
    ]
    assert build("tool", Config, words) == Config(
        paths=["a b", "./c=d", "ü", "01"],
        reason="x=y",
        shares=[0.25, 0.75],
        count=7,
        rate=2.0,
        dry_run=True,
    )
    assert build("tool", Config, ["a", "reason=x", "where=null", "rate=null"]).where is None


@pytest.mark.parametrize("text", ["${oc.env:HOME}", "???", 'notes has "[a, b]"', "1e3", "true", " x "])
def test_a_text_is_taken_as_it_was_typed(text: str) -> None:
    found = build("tool", Config, [text, f"reason={text}", f"where={text}"])
    assert (found.paths, found.reason, found.where) == ([text], text, text)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "tool needs PATH, reason=..."),
        (["a"], "tool needs reason=..."),
        (["a", "reason="], "reason= is empty; leave it out or give it a value"),
        (["", "reason=x"], "paths= is empty; leave it out or give it a value"),
        (["a", "reason=x", "reason=y"], "reason= is given more than once"),
        (
            ["reson=x"],
            "no field of tool 'reson'; did you mean 'reason'? valid: paths, reason, where, shares, ",
        ),
        (["--dryrun"], "no option '--dryrun'; did you mean '--dry-run'? valid: --dry-run"),
        (["-n"], "no option '-n'; valid: --dry-run"),
        (["count=1.5"], "count=1.5 is not a whole number"),
        (["count=null"], "count=null is not a whole number"),
        (["rate=fast"], "rate=fast is not a number"),
        (["dry_run=maybe"], "dry_run=maybe is not true or false"),
        (["shares=0.5"], "shares=0.5 is not a list; write shares=[A,B]"),
        (["shares=[[1]]"], "shares=[[1]] is not a list; write shares=[A,B]"),
        (["shares=[a,b]"], "shares=a is not a number"),
        (["a", "reason=x", "count=0"], "count=0 is outside 1 .. inf"),
    ],
)
def test_a_wrong_word_is_refused_by_name(words: list[str], line: str) -> None:
    with pytest.raises(UsageError) as caught:
        build("tool", Config, words)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("columns", [50, 80, 110, 200])
def test_help_fits_the_terminal_and_shows_flags_as_they_are_typed(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = tool_help("tool", Config).splitlines()
    assert lines[:3] == ["usage: robot-orl tool PATH ... key=value ...", "", "A tool."]
    assert max(map(len, lines)) <= min(columns, 110)
    words = [" ".join(line.split()) for line in lines]
    assert "--dry-run Only say it." in words
    assert "reason (required) Why." in " ".join(words)
    assert "count = 3 How many. [at least 1]" in " ".join(words)
    assert "rate = null How fast. [Hz, 0 .. 10]" in " ".join(words)
