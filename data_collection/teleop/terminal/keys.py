"""Bytes of a terminal as keys, and which of them are held.

A terminal tells when a key is pressed and, after a delay, that it repeats; that it is released only those
tell that speak kitty's protocol (https://sw.kovidgoyal.net/kitty/keyboard-protocol/):

    w                          pressed, or repeated        any terminal
    ESC [ 119 ; 1 : 3 u        w released                  kitty, foot, WezTerm, Ghostty, ...
          code  mods : 1 pressed, 2 repeated, 3 released ; text as codes
    ESC [ 1094 :: 119 ; 1 u    the key of w where it types another alphabet
          code : with shift : on a US keyboard

    any terminal    |press ------ delay ------|repeat|repeat|repeat ---- gap ----|
    counts as held   ........ a little .......###################################|
"""

import re
import sys
from dataclasses import dataclass

_RELEASES, _EVERY_KEY = 2, 8
# Every key as a sequence, with releases, its place on a US keyboard and its text; and what of that it does.
# And when the person turns to another window, which then gets the releases.
ASK = b"\x1b[>31u\x1b[?u\x1b[?1004h"
END = b"\x1b[?1004l\x1b[<u"
SILENT_S = 1.0  # a key that is held repeats; on a line that has been silent for so long none is
LONGEST_SEQUENCE = 64  # bytes; longer is nothing that a key sends
PRESSED, REPEATED, RELEASED = 1, 2, 3
_SHIFT, _CONTROL = 1, 4
_CODES = {9: "tab", 13: "enter", 27: "escape", 32: "space", 127: "backspace", 57414: "enter"}
_DIGITS = tuple("0123456789")  # some keyboards type them with shift
_FINALS = {"A": "up", "B": "down", "C": "right", "D": "left"}
_TILDES = {5: "pageup", 6: "pagedown"}
_PLAIN = {0x08: "backspace", 0x09: "tab", 0x0A: "enter", 0x0D: "enter", 0x20: "space", 0x7F: "backspace"}
# What the key of c types in Russian, Greek, Hebrew, Arabic, Persian, Thai and Georgian: not every terminal
# that speaks kitty's protocol tells the place of a key, and Ctrl-C must not be lost.
_ON_C = frozenset("\u0441\u03c8\u05d1\u0624\u0632\u0e41\u10ea")
_SEQUENCE = re.compile(rb"\x1b\[([0-9:;<=>?]*)[ -/]*([@-~])")
_FIRST_WORDS = re.compile(rb"\x1bO([A-D])")


@dataclass(frozen=True)
class Key:
    """name: 'w', 'S', 'enter', 'up', 'ctrl+c' ...; 'kitty': the terminal tells of releases; 'unfocused': and
    does so no longer, because the person has turned to another window.

    kind: PRESSED, REPEATED or RELEASED; a terminal that cannot tell says PRESSED.  text: what it types.
    """

    name: str
    kind: int = PRESSED
    text: str = ""


def read_keys(content: bytes) -> tuple[list[Key], bytes]:
    """The keys in it, and what may be the beginning of another one."""
    keys: list[Key] = []
    while content:
        if content[0] == 0x1B:
            found = _SEQUENCE.match(content) or _FIRST_WORDS.match(content)
            if found is None:
                if len(content) == 1 or (content[1:2] in b"[O" and len(content) < LONGEST_SEQUENCE):
                    return keys, content
                content = content[1:]
                continue
            key = _of_sequence(*(part.decode() for part in found.groups()))
            keys += [key] if key else []
            content = content[found.end() :]
            continue
        size = _size_of_letter(content)
        if len(content) < size:
            return keys, content
        keys += _of_letter(content[:size])
        content = content[size:]
    return keys, b""


def _size_of_letter(content: bytes) -> int:
    """Bytes that its first letter has in UTF-8; 1 where that is none."""
    first = content[0]
    size = 2 if 0xC0 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF8 else 1
    return size if all(0x80 <= byte < 0xC0 for byte in content[1:size]) else 1


def _of_letter(letter: bytes) -> list[Key]:
    code = letter[0]
    if code in _PLAIN:
        return [Key(_PLAIN[code], text=" " if code == 0x20 else "")]
    if code < 0x20:
        return [Key(f"ctrl+{chr(code + 0x60)}")]
    text = letter.decode(errors="ignore")
    return [Key(text, text=text)] if text.isprintable() and text else []


def _of_sequence(parameters: str, final: str = "") -> Key | None:
    if not final:  # ESC O A: an arrow of old
        return Key(_FINALS[parameters])
    if final == "u" and (flags := re.fullmatch(r"\?([0-9]{1,7})", parameters)):
        return Key("kitty") if int(flags[1]) & _RELEASES and int(flags[1]) & _EVERY_KEY else None
    if final == "O" and not parameters:
        return Key("unfocused")
    if not re.fullmatch(r"[0-9]{0,7}([:;][0-9]{0,7})*", parameters):
        return None
    fields = [[int(number or 0) for number in field.split(":")] for field in parameters.split(";")]
    code = fields[0][0]
    modifiers, kind = [*fields[1], PRESSED][:2] if len(fields) > 1 else [1, PRESSED]
    bits = max(modifiers - 1, 0)
    text = "".join(chr(one) for one in fields[2] if 0 < one <= sys.maxunicode) if len(fields) > 2 else ""
    if final == "u":
        name = text if text in _DIGITS else _of_code(code, fields[0][2] if len(fields[0]) > 2 else 0)
        name = name.upper() if bits & _SHIFT and len(name) == 1 else name
    else:
        name = _FINALS.get(final, "") or (_TILDES.get(code, "") if final == "~" else "")
    if not name:
        return None
    if bits & _CONTROL:
        return Key(f"ctrl+{'c' if name in _ON_C else name}", kind)
    return Key(name, kind, text if text.isprintable() else "")


def _of_code(code: int, place: int) -> str:
    """The name of a key; "" for none that is known.

    place: its code on a US keyboard, or 0. A Latin letter is the one on the key, as the legend says; a key of
    another alphabet counts as the Latin one at its place, because else it would be none.
    """
    name = _CODES.get(code) or (chr(code) if 0x20 <= code < 0xD800 else "")
    return chr(place) if not name.isascii() and 97 <= place <= 122 else name


class Held:
    """Which keys are held.

    delay_s, gap_s: a little longer than until the first repeat, and between two.  tap: how far a key counts
    as held that has not repeated yet, so that one that is only tapped does not go far, (0, 1].
    tells_release: the terminal tells when a key is released, unless the line stalls, which `heard` is for.
    """

    def __init__(self, delay_s: float, gap_s: float, tap: float = 1.0) -> None:
        self.tells_release = False
        self._delay_s, self._gap_s, self._tap = delay_s, gap_s, tap
        self._heard_s = -float("inf")
        self._held: dict[str, tuple[float, float]] = {}  # until when [s], and how far

    def heard(self, now_s: float) -> None:
        """Something has come, be it a key or not."""
        self.shares(now_s)
        self._heard_s = now_s

    def take(self, key: Key, now_s: float) -> None:
        self.heard(now_s)
        name = key.name.lower()
        if key.kind == RELEASED:
            self._held.pop(name, None)
        elif self.tells_release:
            self._held[name] = float("inf"), 1.0
        elif name in self.shares(now_s):  # it repeats
            self._held[name] = now_s + self._gap_s, 1.0
        else:
            self._held[name] = now_s + self._delay_s, self._tap

    def release_all(self) -> None:
        self._held.clear()

    def shares(self, now_s: float) -> dict[str, float]:
        """The keys that are held, and how far each counts."""
        if self.tells_release and now_s - self._heard_s >= max(SILENT_S, self._delay_s):
            self._held.clear()
        self._held = {name: held for name, held in self._held.items() if held[0] > now_s}
        return {name: share for name, (_, share) in self._held.items()}
