"""The recording session as a state machine: orders and time go in, what is to be done comes out.

                  redo: the same start again
                .------------------------------+---------------------------------.
                v                              |                                 |
    IDLE --> COUNTDOWN --time is up--> RECORDING --stop, success, failure--> REVIEWING
     ^  start   |                          |    \\--horizon, task's success-->   |  \\--start: save, and
     |          |                          |                                    |           the next
     +<--stop---'      (discarded)         |                                    |
     +<---------------discard--------------'          (saved)                   |
     +<---------------------------------------save, or discard------------------'
     +<----(saved as 'disconnect')--nobody is there any more: while RECORDING

    any --quit, or Ctrl-C--> OVER    what was RECORDING is saved as 'interrupt', what was REVIEWING as it is

No clock and no I/O: it can be played through in a test. Success, failure, quality and a note can be said
while RECORDING and REVIEWING, which steps are kept while REVIEWING, the seed of the next start while IDLE;
an instruction at any time, for the episodes that begin later.
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from data_collection.teleop.hands import Order, Value, Verb
from data_collection.teleop.settings import LONGEST_TEXT
from robot_orl.seeds import VALIDATION_SEEDS

BEST, WORST = 5, 1  # of the quality that a person says
MOST_SEED = VALIDATION_SEEDS.start - 1  # from there on are those that policies are judged by
OPERATOR, SUCCESS, INTERRUPT, DISCONNECT = "operator", "success", "interrupt", "disconnect"  # end reasons


class State(StrEnum):
    IDLE = "idle"
    COUNTDOWN = "countdown"
    RECORDING = "recording"
    REVIEWING = "reviewing"
    OVER = "over"


class Do(StrEnum):
    """What the loop is to do, in this order."""

    BEGIN = "begin"  # record, from the start that is shown
    END = "end"  # the episode, for `reason`
    SAVE = "save"  # it, with `label`; then tell `saved`
    DISCARD = "discard"
    NEXT = "next"  # show the next start
    SEED = "seed"  # show the start of `seed`; the one that was to be next comes after it
    UNDO = "undo"  # take the episode saved last back; then tell `undone`
    QUIT = "quit"


@dataclass
class Label:
    """What a person says about an episode; None: nothing.  quality: WORST .. BEST.

    trim: first step and step behind the last of those that are kept; None: all of them.
    """

    success: bool | None = None
    quality: int | None = None
    note: str = ""
    trim: tuple[int, int] | None = None

    @property
    def stored_quality(self) -> float | None:
        """In [0, 1], as datasets keep it."""
        return None if self.quality is None else (self.quality - WORST) / (BEST - WORST)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


_LABELS = (Verb.SUCCESS, Verb.FAILURE, Verb.QUALITY, Verb.NOTE)
_ALWAYS = (Verb.INSTRUCTION, Verb.QUIT)
_ALLOWED: dict[State, tuple[Verb, ...]] = {
    State.IDLE: (Verb.START, Verb.UNDO, Verb.SEED, *_ALWAYS),
    State.COUNTDOWN: (Verb.STOP, Verb.DISCARD, *_ALWAYS),
    State.RECORDING: (Verb.STOP, *_LABELS, Verb.DISCARD, Verb.REDO, *_ALWAYS),
    State.REVIEWING: (Verb.SAVE, Verb.START, *_LABELS, Verb.TRIM, Verb.DISCARD, Verb.REDO, *_ALWAYS),
    State.OVER: (),
}


class RecordingSession:
    """countdown_s: between start and the first step [s].  target: good episodes wanted; good, episodes:
    there are already.  reason: why the last episode ended, after `steps`.  said: the latest news, one line.
    seed: that was asked for last.
    """

    def __init__(
        self,
        target: int,
        *,
        good: int = 0,
        episodes: int = 0,
        countdown_s: float = 0.0,
        instruction: str = "",
        stop_at_success: bool = True,
    ) -> None:
        self.state = State.IDLE
        self.label = Label()
        self.reason, self.steps, self.seed = "", 0, 0
        self.said = _progress(good, target) if good >= target else ""
        self.instruction = instruction
        self.target, self.good, self.episodes = target, good, episodes
        self.left_s = 0.0  # of the countdown
        self._countdown_s = countdown_s
        self._stop_at_success = stop_at_success
        self._mine: list[bool] = []  # of the episodes saved here, whether they are good

    def allowed(self) -> tuple[Verb, ...]:
        """Verbs that make sense now."""
        return tuple(verb for verb in _ALLOWED[self.state] if verb != Verb.UNDO or self._mine)

    def take(self, order: Order) -> list[Do]:
        """What a person wants. One that makes no sense now changes nothing, and `said` says so."""
        verb = order.verb
        if verb not in self.allowed():
            self.said = f"cannot {verb} while {self.state}" + (
                "; nothing was saved in this session" if verb == Verb.UNDO and not self._mine else ""
            )
            return []
        if verb in (*_LABELS, Verb.INSTRUCTION):
            return self._labelled(verb, order.value)
        if verb == Verb.TRIM:
            return self._trimmed(order.value)
        if verb == Verb.SEED:
            return self._chosen(order.value)
        if verb == Verb.START:
            saving = [Do.SAVE, Do.NEXT] if self.state == State.REVIEWING else []
            return [*saving, *self._start()]
        if verb == Verb.REDO:
            ending, self.label = self._end(OPERATOR), Label()
            return [*ending, Do.DISCARD, *self._start()]
        if verb == Verb.QUIT:
            return self.interrupt()
        if verb == Verb.UNDO:
            return [Do.UNDO]
        if self.state == State.COUNTDOWN:  # stop, discard: it has not begun
            self.state = State.IDLE
            return []
        if verb == Verb.STOP:
            return self._end(OPERATOR, State.REVIEWING)
        ending = self._end(OPERATOR)
        self.state = State.IDLE
        if verb == Verb.DISCARD:
            self.label, self.said = Label(), "discarded"
        return [*ending, Do.SAVE if verb == Verb.SAVE else Do.DISCARD, Do.NEXT]

    def wait(self, seconds: float) -> list[Do]:
        """Time passes [s]."""
        if self.state != State.COUNTDOWN:
            return []
        self.left_s -= seconds
        if self.left_s > 0:
            return []
        self.state, self.label = State.RECORDING, Label()
        return [Do.BEGIN]

    def reached(self) -> list[Do]:
        """The task calls it a success."""
        stops = self.state == State.RECORDING and self._stop_at_success
        return self._end(SUCCESS, State.REVIEWING) if stops else []

    def ended(self, reason: str, steps: int) -> None:
        """The episode has so many steps; if it is still recorded it ended by itself, at its horizon maybe."""
        self.steps = steps
        if self.state == State.RECORDING:
            self._end(reason, State.REVIEWING)

    def gone(self) -> list[Do]:
        """Nobody is there any more; somebody may come back."""
        ending = [*self._end(DISCONNECT), Do.SAVE, Do.NEXT] if self.state == State.RECORDING else []
        if self.state in (State.RECORDING, State.COUNTDOWN):
            self.state = State.IDLE
        return ending

    def interrupt(self) -> list[Do]:
        """It is over, at once; nothing that was recorded is lost."""
        unsaved = self.state in (State.RECORDING, State.REVIEWING)
        ending = self._end(INTERRUPT)
        self.state = State.OVER
        return [*ending, *([Do.SAVE] if unsaved else []), Do.QUIT]

    def saved(self, is_good: bool) -> None:
        """An episode was saved."""
        self.label = Label()
        self._mine.append(is_good)
        self.episodes += 1
        self.good += is_good
        self.said = f"saved; {_progress(self.good, self.target)}"

    def undone(self) -> None:
        """The episode saved last was taken back."""
        self.good -= self._mine.pop()
        self.episodes -= 1
        self.said = f"taken back; {_progress(self.good, self.target)}"

    def _trimmed(self, value: Value) -> list[Do]:
        """Success is what the person said, or what the task says of what is left. People count from 1."""
        match value:
            case (int(start), int(stop)) if 0 <= start < stop <= self.steps:
                self.label.trim = None if (start, stop) == (0, self.steps) else (start, stop)
                self.said = f"keeps {stop - start} of {self.steps} steps" if self.label.trim else ""
            case (int(start), int(stop)):
                self.said = f"there are steps 1 to {self.steps}, but no {start + 1} to {stop}"
            case _:
                self.said = f"trim takes the first and the last step of 1 to {self.steps}, not {value!r}"
        return []

    def _chosen(self, value: Value) -> list[Do]:
        if value is None:
            return [Do.NEXT]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_SEED:
            self.said = f"a seed is 0 .. {MOST_SEED}, not {value!r}: policies are judged by those above"
            return []
        self.seed, self.said = value, ""
        return [Do.SEED]

    def _labelled(self, verb: Verb, value: Value) -> list[Do]:
        if verb in (Verb.SUCCESS, Verb.FAILURE):
            self.label.success = verb == Verb.SUCCESS
            return self._end(OPERATOR, State.REVIEWING)
        if verb == Verb.QUALITY:
            if isinstance(value, bool) or not isinstance(value, int) or not WORST <= value <= BEST:
                self.said = f"quality is {WORST} .. {BEST}, not {value!r}"
            else:
                self.label.quality = value
        elif not isinstance(value, str) or len(value) > LONGEST_TEXT:
            self.said = f"{verb} takes a text of up to {LONGEST_TEXT} letters"
        elif verb == Verb.NOTE:
            self.label.note = value.strip()
        else:
            self.instruction = value.strip()
        return []

    def _start(self) -> list[Do]:
        """The first step comes with time, so that what is to be saved has been saved by then."""
        self.state, self.left_s, self.said = State.COUNTDOWN, self._countdown_s, ""
        return []

    def _end(self, reason: str, then: State | None = None) -> list[Do]:
        """If an episode is under way, it ends."""
        if self.state != State.RECORDING:
            return []
        self.reason = reason
        self.state = then or self.state
        return [Do.END]


def _progress(good: int, target: int) -> str:
    rest = ": that is all, quit or go on" if good >= target else ""
    return f"{good} of {target} good episodes{rest}"
