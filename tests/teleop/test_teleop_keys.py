"""Laws of a terminal's bytes and of held keys."""

import pytest

from data_collection.teleop.keys import PRESSED, RELEASED, REPEATED, Held, Key, read_keys


def names(content: bytes) -> list[str]:
    keys, rest = read_keys(content)
    assert rest == b""
    return [key.name for key in keys]


def test_letters_are_keys_of_their_name() -> None:
    assert names(b"wS5") == ["w", "S", "5"]
    assert names("äß".encode()) == ["ä", "ß"]


def test_named_keys() -> None:
    assert names(b"\r\x7f \t\x03") == ["enter", "backspace", "space", "tab", "ctrl+c"]
    assert names(b"\x1b[A\x1b[D\x1b[5~\x1b[6~\x1bOB") == ["up", "left", "pageup", "pagedown", "down"]


def test_a_key_may_come_in_pieces() -> None:
    whole = b"\x1b[119;1:3u" + "ü".encode() + b"\x1b[A"
    for cut in range(len(whole) + 1):
        first, rest = read_keys(whole[:cut])
        second, rest = read_keys(rest + whole[cut:])
        keys = [*first, *second]
        assert [key.name for key in keys] == ["w", "ü", "up"]
        assert rest == b""


def test_the_protocol_of_kitty_tells_of_releases_and_text() -> None:
    keys, _ = read_keys(b"\x1b[119;1:1;119u\x1b[119;1:2;119u\x1b[119;1:3u")
    assert keys == [Key("w", PRESSED, "w"), Key("w", REPEATED, "w"), Key("w", RELEASED)]
    assert read_keys(b"\x1b[115;2;83u")[0] == [Key("S", PRESSED, "S")]  # shift
    assert read_keys(b"\x1b[115;2:3u")[0] == [Key("S", RELEASED)]
    assert read_keys(b"\x1b[99;5u")[0] == [Key("ctrl+c")]
    assert read_keys(b"\x1b[1;1:3A\x1b[13u\x1b[127u")[0] == [
        Key("up", RELEASED), Key("enter"), Key("backspace"),
    ]  # fmt: skip
    assert read_keys(b"\x1b[?27u")[0] == [Key("kitty")]


@pytest.mark.parametrize("junk", [b"\x1b[" + b"1;" * 400, b"\x1b[<0;1;1M", b"\xff\xfe\x80", b"\x1b[57441;2u"])
def test_what_is_no_key_is_dropped_and_the_next_is_read(junk: bytes) -> None:
    keys, rest = read_keys(junk + b"\x1b[Aw")
    assert [key.name for key in keys][-2:] == ["up", "w"]
    assert rest == b""


def test_without_releases_a_key_is_held_a_little_longer_than_it_takes_to_repeat() -> None:
    held = Held(delay_s=0.6, gap_s=0.15)
    held.take(Key("w"), 0.0)
    assert held.shares(0.59) == {"w": 1.0}
    held.take(Key("w"), 0.5)  # it repeats
    held.take(Key("w"), 0.54)
    assert held.shares(0.68) == {"w": 1.0}
    assert held.shares(0.70) == {}
    held.take(Key("w"), 5.0)  # pressed anew
    assert held.shares(5.59) == {"w": 1.0}
    assert held.shares(5.61) == {}


def test_with_releases_a_key_is_held_exactly_as_long_as_it_is() -> None:
    held = Held(delay_s=0.6, gap_s=0.15)
    held.tells_release = True
    held.take(Key("w", PRESSED), 0.0)
    held.take(Key("a", PRESSED), 1.0)
    assert held.shares(100.0) == {"w": 1.0, "a": 1.0}
    held.take(Key("w", RELEASED), 100.0)
    assert held.shares(100.0) == {"a": 1.0}


def test_shift_does_not_leave_a_key_behind() -> None:
    held = Held(delay_s=0.6, gap_s=0.15)
    held.tells_release = True
    held.take(Key("w", PRESSED), 0.0)
    held.take(Key("W", RELEASED), 0.1)
    assert held.shares(0.1) == {}


def test_a_key_that_is_only_tapped_counts_less_until_it_repeats() -> None:
    held = Held(delay_s=0.6, gap_s=0.15, tap=0.3)
    held.take(Key("w"), 0.0)
    assert held.shares(0.1) == {"w": 0.3}
    held.take(Key("w"), 0.5)
    assert held.shares(0.51) == {"w": 1.0}
    held.take(Key("a"), 0.55)  # the terminal repeats the latest key only
    assert held.shares(0.6) == {"w": 1.0, "a": 0.3}
    held.tells_release = True
    held.take(Key("s", PRESSED), 0.6)
    assert held.shares(0.61)["s"] == 1.0  # nothing is uncertain
