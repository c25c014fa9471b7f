"""What a person at a terminal sees: the keys, the state and the progress, as lines of text."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby, zip_longest

import numpy as np

from data_collection.teleop.hands import Status, Verb
from data_collection.teleop.places import WIDTH, Map, ways
from robot_orl.types import Array

PLAIN, BOLD, DIM, RED, GREEN, YELLOW = "", "1", "2", "1;37;41", "1;32", "33"
STATE_STYLES = {"recording": RED, "reviewing": YELLOW, "countdown": YELLOW}
MOVES = (("w s", "forward, back"), ("a d", "left, right"), ("r f", "up, down"))
TURNS = {"pitch": ("i k", "tilt down, up"), "roll": ("j l", "roll left, right")}
FINGERS = (("o c", "open, close"), ("x", "fine"), ("space", "halt the arm"))
# What ends or throws away an episode is no letter that moves: caps lock may be on.
VERBS: dict[Verb, tuple[str, str]] = {
    Verb.START: ("enter", "start"),
    Verb.STOP: ("backspace", "stop"),
    Verb.SAVE: ("S", "save"),
    Verb.DISCARD: ("Z", "discard"),
    Verb.REDO: ("B", "begin again"),
    Verb.SUCCESS: ("y", "success"),
    Verb.FAILURE: ("n", "failure"),
    Verb.QUALITY: ("1-5", "quality"),
    Verb.NOTE: ("N", "note"),
    Verb.TRIM: ("E", "keep steps"),
    Verb.SEED: ("G", "go to a start"),
    Verb.UNDO: ("U", "undo the last save"),
    Verb.INSTRUCTION: ("T", "task in words"),
    Verb.QUIT: ("Q", "quit"),
    Verb.HALT: ("H", "halt the deployed robot"),
}
SAVE_NEXT = "save, next"  # what start does while there is an episode to be saved
GROUPS = {
    "episode": (Verb.START, Verb.STOP, Verb.SAVE, Verb.DISCARD, Verb.REDO),
    "label": (Verb.SUCCESS, Verb.FAILURE, Verb.QUALITY, Verb.NOTE, Verb.TRIM),
    "session": (Verb.SEED, Verb.UNDO, Verb.INSTRUCTION, Verb.QUIT, Verb.HALT),
}
ASKED = {Verb.TRIM: ", first and last step", Verb.SEED: " of the start, nothing for any other"}
STYLE_OF = {"T": BOLD, "O": YELLOW, "G": GREEN}
Piece = tuple[str, str]  # text and style


@dataclass(frozen=True)
class Keyboard:
    """What only the keyboard knows.

    held: names of the keys that are.  typing: what is asked for, and what has been typed of it; None:
    nothing is asked for.  axes: of the map, see `places.ways`.  moves: rows that say what moves the robot
    where it is something else; None: the keys.
    """

    held: Collection[str] = ()
    fine: bool = False
    typing: tuple[Verb, str] | None = None
    axes: Array = field(default_factory=lambda: np.eye(3))
    map: Map = field(default_factory=Map)
    moves: "Sequence[Sequence[Piece]] | None" = None


def lines(
    task: str, turns: Sequence[str], status: Status, allowed: Collection[Verb], keyboard: Keyboard
) -> list[list[Piece]]:
    """The picture, top to bottom."""
    state = [(f" {status.state.upper()} ", STATE_STYLES.get(status.state, BOLD))]
    if status.step:
        state += [(f"  step {status.step} of {status.horizon}", PLAIN)]
    state += [("  the task is solved", GREEN)] if status.success else []
    moves = _moves(turns, keyboard) if keyboard.moves is None else keyboard.moves
    rows = [[(f" {task}  ", BOLD), *state], _progress(status), [], *map(list, moves)]
    rows += [[], *_verbs(allowed), [], *_about(status)]
    if keyboard.typing:
        verb, text = keyboard.typing
        asked = f" {verb}{ASKED.get(verb, '')}: "
        rows += [[(asked, BOLD), (f"{text}_", PLAIN), ("   enter: done, escape: leave it", DIM)]]
    elif status.warning:
        rows += [[(f" {status.warning} ", RED)]]
    else:
        rows += [[(f" {status.said}", GREEN)]]
    return [*rows, *_places(status, keyboard)]


def _moves(turns: Sequence[str], keyboard: Keyboard) -> list[list[Piece]]:
    """What the keys do."""
    rows = [[(" move     ", DIM), *_keys(MOVES, keyboard.held), ("or arrows, pages", DIM)]]
    if turns:
        rows += [[(" turn     ", DIM), *_keys([TURNS[name] for name in turns], keyboard.held)]]
    held = {*keyboard.held, "x"} if keyboard.fine else keyboard.held
    return [*rows, [(" fingers  ", DIM), *_keys(FINGERS, held)]]


def row(label: str, keys: Sequence[tuple[str, str]], held: Collection[str] = ()) -> list[Piece]:
    """A row of the legend. keys: names, and what they do.  held: those that are."""
    return [(f" {label:9}", DIM), *_keys(keys, held)]


def _places(status: Status, keyboard: Keyboard) -> list[list[Piece]]:
    """Last, because a small terminal cuts it."""
    found = keyboard.map.rows(status.places, keyboard.axes)
    if not found:
        return []
    rows = [[(f" {what:15}", DIM), (way, PLAIN)] for what, way in ways(status.places, keyboard.axes)]
    scale = f"a letter is {keyboard.map.scale_cm} cm wide, {2 * keyboard.map.scale_cm} high"
    rows += [[(" from above".ljust(WIDTH + 4), DIM), ("from behind   ", DIM), (scale, DIM)]]
    for above, behind in found:
        rows.append([(" ", PLAIN), *_letters(above), ("   ", PLAIN), *_letters(behind)])
    return rows


def _letters(row: str) -> list[Piece]:
    runs = groupby(row, key=lambda letter: STYLE_OF.get(letter, DIM))
    return [("".join(letters), style) for style, letters in runs]


def _progress(status: Status) -> list[Piece]:
    bar, width = "", 12
    if status.target:
        done = min(width, round(width * status.good / status.target))
        bar = "[" + "#" * done + "." * (width - done) + "] "
    rest = f"   {status.episodes} saved   {status.rate_hz:5.1f} Hz   late {status.lag_ms:4.1f} ms"
    return [(f" {bar}{status.good} of {status.target} good episodes", BOLD), (rest, DIM)]


def _keys(keys: Sequence[tuple[str, str]], held: Collection[str]) -> list[Piece]:
    pieces: list[Piece] = []
    for names, meaning in keys:
        for name in names.split():
            pieces += [(f"{name}", "7" if name in held else BOLD), (" ", PLAIN)]
        pieces += [(f"{meaning}   ", PLAIN)]
    return pieces


def _verbs(allowed: Collection[Verb]) -> list[list[Piece]]:
    """All of them at their places; those that make no sense now are dim."""
    rows: list[list[Piece]] = []
    for group, verbs in GROUPS.items():
        rows.append([(f" {group:9}", DIM)])
        for verb in verbs:
            if verb == Verb.HALT and verb not in allowed:  # nothing is deployed here
                continue
            key, meaning = VERBS[verb]
            if verb == Verb.START and Verb.SAVE in allowed:  # reviewing
                meaning = SAVE_NEXT
            styles = (BOLD, PLAIN) if verb in allowed else (DIM, DIM)
            rows[-1] += [(key, styles[0]), (f" {meaning}   ", styles[1])]
    return rows


def _about(status: Status) -> list[list[Piece]]:
    label = status.label
    success = label.get("success")
    said = ["" if success is None else "success" if success else "failure"]
    said += [f"quality {label['quality']}"] if label.get("quality") else []
    said += [f"'{label['note']}'"] if label.get("note") else []
    said += ["steps {} .. {}".format(label["trim"][0] + 1, label["trim"][1])] if label.get("trim") else []
    rows = [[(" said     ", DIM), (", ".join(filter(None, said)) or "-", PLAIN)]]
    if status.instruction:
        rows += [[(" task     ", DIM), (status.instruction, PLAIN)]]
    return rows


def drawn(rows: Sequence[Sequence[Piece]], columns: int, height: int) -> list[str]:
    """The lines of a terminal of that size, with their styles; what does not fit is cut."""
    found = []
    for row in rows[:height]:
        left, text = columns, ""
        for piece, style in row:
            shown = piece[: max(left, 0)]
            left -= len(shown)
            text += f"\x1b[{style}m{shown}\x1b[0m" if style and shown else shown
        found.append(text)
    return found


def changes(before: Sequence[str], now: Sequence[str]) -> str:
    """What makes a screen that shows `before` show `now`: the lines that differ, which spares a slow line."""
    pairs = enumerate(zip_longest(before, now), start=1)
    return "".join(f"\x1b[{row};1H{new or ''}\x1b[K" for row, (old, new) in pairs if old != new)
