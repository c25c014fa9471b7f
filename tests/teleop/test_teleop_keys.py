"""Laws of a terminal's bytes and of held keys."""

import pytest

from data_collection.teleop.terminal.keys import PRESSED, RELEASED, REPEATED, Held, Key, read_keys


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


def test_a_terminal_is_believed_that_says_it_tells_of_the_releases_of_every_key() -> None:
    for flags in (31, 27, 2 | 8):
        assert read_keys(b"\x1b[?%du" % flags)[0] == [Key("kitty")]
    for flags in (b"0", b"1", b"2", b"8", b"21", b"", b"9" * 40):
        assert read_keys(b"\x1b[?%su" % flags)[0] == []


def test_another_alphabet_counts_as_the_letters_of_a_us_keyboard() -> None:
    assert read_keys(b"\x1b[1089::99;5u")[0] == [Key("ctrl+c")]
    assert read_keys(b"\x1b[1094::119;1:1;1094u")[0] == [Key("w", PRESSED, "\u0446")]
    assert read_keys(b"\x1b[1103:1071:122;2;1071u")[0] == [Key("Z", PRESSED, "\u042f")]
    assert read_keys(b"\x1b[1094::119;1:3u")[0] == [Key("w", RELEASED)]
    assert read_keys(b"\x1b[122::119;1;122u")[0] == [Key("z", PRESSED, "z")]  # AZERTY: what is on the key


def test_digits_are_what_is_typed() -> None:
    assert read_keys(b"\x1b[38:49:49;2;49u")[0] == [Key("1", PRESSED, "1")]  # AZERTY: shift and &
    assert read_keys(b"\x1b[233:50:50;2;50u")[0] == [Key("2", PRESSED, "2")]
    assert read_keys(b"\x1b[57402;129;51u")[0] == [Key("3", PRESSED, "3")]  # of the number pad
    assert read_keys(b"\x1b[38::49;1;38u")[0] == [Key("&", PRESSED, "&")]


def test_a_window_that_is_left_is_noticed() -> None:
    assert [key.name for key in read_keys(b"\x1b[I\x1b[O\x1bOA")[0]] == ["unfocused", "up"]


@pytest.mark.parametrize("code", [b"1114112", b"99999999999", b"9" * 5_000, b"55296"])
def test_codes_that_are_no_letters_are_dropped(code: bytes) -> None:
    assert read_keys(b"\x1b[97;1;%su" % code)[0] in ([], [Key("a")])
    assert read_keys(b"\x1b[%s;1u" % code)[0] == []
    assert read_keys(b"\x1b[1094::%s;1u" % code)[0] in ([], [Key("\u0446")])


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
    held.take(Key("a", PRESSED), 0.5)
    for tick in range(1_000):
        held.take(Key("a", REPEATED), 0.5 + 0.1 * tick)  # the latest repeats
        assert held.shares(0.5 + 0.1 * tick) == {"w": 1.0, "a": 1.0}
    held.take(Key("w", RELEASED), 100.5)
    assert held.shares(100.5) == {"a": 1.0}


def test_on_a_line_that_has_been_silent_for_a_second_no_key_is_held() -> None:
    held = Held(delay_s=0.6, gap_s=0.15)
    held.tells_release = True
    held.take(Key("w", PRESSED), 0.0)
    assert held.shares(0.99) == {"w": 1.0}
    held.heard(0.99)  # a note, a window that is looked at
    assert held.shares(1.98) == {"w": 1.0}
    assert held.shares(2.0) == {}
    held.take(Key("w", PRESSED), 5.0)
    held.take(Key("a", PRESSED), 9.0)  # nobody has looked in between
    assert held.shares(9.0) == {"a": 1.0}
    held = Held(delay_s=1.5, gap_s=0.15)  # a keyboard that is slow to repeat
    held.tells_release = True
    held.take(Key("w", PRESSED), 0.0)
    assert held.shares(1.4) == {"w": 1.0}
    assert held.shares(1.5) == {}


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


@pytest.mark.parametrize(
    "content",
    [
        b"\x03",
        b"\x1b[99;5u",
        b"\x1b[99;69u",  # with caps lock
        b"\x1b[1089::99;5u",  # of a Russian keyboard, with its place
        b"\x1b[1089;5u",  # and without
        b"\x1b[968;5u",  # of a Greek one
    ],
)
def test_ctrl_c_is_ctrl_c_whatever_the_key_types(content: bytes) -> None:
    keys, rest = read_keys(content)
    assert ([key.name for key in keys], rest) == (["ctrl+c"], b"")
