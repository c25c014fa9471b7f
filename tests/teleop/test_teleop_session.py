"""Laws of the recording session's states, played through without a clock."""

import pytest

from data_collection.teleop.hands import Order, Value, Verb
from data_collection.teleop.session import MOST_SEED, Do, RecordingSession, State


def order(session: RecordingSession, verb: Verb, value: Value = None) -> list[Do]:
    return session.take(Order(verb, value))


def recording(countdown_s: float = 0.0, target: int = 3) -> RecordingSession:
    session = RecordingSession(target, countdown_s=countdown_s)
    assert order(session, Verb.START) == []
    assert session.wait(countdown_s) == [Do.BEGIN]
    assert session.state == State.RECORDING
    return session


def reviewing(target: int = 3, steps: int = 100) -> RecordingSession:
    session = recording(target=target)
    assert order(session, Verb.STOP) == [Do.END]
    session.ended("operator", steps)
    assert session.state == State.REVIEWING
    return session


def test_recording_begins_when_the_countdown_is_over_and_not_before() -> None:
    session = RecordingSession(1, countdown_s=1.0)
    assert session.wait(10.0) == []  # idle: nobody has pressed start
    order(session, Verb.START)
    assert session.wait(0.75) == []
    assert (session.state, session.left_s) == (State.COUNTDOWN, 0.25)
    assert session.wait(0.25) == [Do.BEGIN]
    assert session.wait(5.0) == []


@pytest.mark.parametrize("verb", [Verb.STOP, Verb.DISCARD])
def test_a_countdown_can_be_called_off(verb: Verb) -> None:
    session = RecordingSession(1, countdown_s=1.0)
    order(session, Verb.START)
    assert order(session, verb) == []
    assert session.state == State.IDLE
    assert session.wait(5.0) == []


LABELS = [(Verb.SUCCESS, True), (Verb.FAILURE, False), (Verb.STOP, None)]


@pytest.mark.parametrize(("verb", "success"), LABELS)
def test_a_label_ends_what_is_being_recorded(verb: Verb, success: bool | None) -> None:
    session = recording()
    assert order(session, verb) == [Do.END]
    assert (session.state, session.reason, session.label.success) == (State.REVIEWING, "operator", success)


def test_labels_can_be_changed_until_they_are_saved() -> None:
    session = recording()
    order(session, Verb.QUALITY, 2)
    assert session.state == State.RECORDING
    order(session, Verb.SUCCESS)
    assert order(session, Verb.FAILURE) == []
    order(session, Verb.QUALITY, 4)
    order(session, Verb.NOTE, " slipped ")
    assert session.label.to_dict() == {"success": False, "quality": 4, "note": "slipped", "trim": None}
    assert order(session, Verb.SAVE) == [Do.SAVE, Do.NEXT]
    assert session.label.note == "slipped"  # until it is saved
    session.saved(is_good=False)
    assert session.label.to_dict() == {"success": None, "quality": None, "note": "", "trim": None}


@pytest.mark.parametrize(("said", "stored"), [(1, 0.0), (2, 0.25), (3, 0.5), (4, 0.75), (5, 1.0)])
def test_quality_from_one_to_five_is_stored_from_zero_to_one(said: int, stored: float) -> None:
    session = reviewing()
    order(session, Verb.QUALITY, said)
    assert session.label.stored_quality == stored


@pytest.mark.parametrize("value", [0, 6, -1, "5", True, None])
def test_no_other_quality_is_taken(value: int | str | None) -> None:
    session = reviewing()
    assert order(session, Verb.QUALITY, value) == []
    assert session.label.quality is None
    assert session.said == f"quality is 1 .. 5, not {value!r}"


@pytest.mark.parametrize("value", [None, 3, "x" * 501])
def test_a_note_is_a_text_that_is_not_endless(value: int | str | None) -> None:
    session = reviewing()
    order(session, Verb.NOTE, value)
    assert (session.label.note, session.said) == ("", "note takes a text of up to 500 letters")


def test_what_is_trimmed_can_be_changed_until_it_is_saved() -> None:
    session = reviewing(steps=40)
    assert order(session, Verb.TRIM, (5, 30)) == []
    assert (session.label.trim, session.said) == ((5, 30), "keeps 25 of 40 steps")
    order(session, Verb.TRIM, (0, 40))
    assert (session.label.trim, session.said) == (None, ""), "all of it is no trim"
    order(session, Verb.TRIM, (0, 1))
    assert order(session, Verb.START) == [Do.SAVE, Do.NEXT]
    assert session.label.trim == (0, 1)  # until it is saved
    session.saved(is_good=True)
    assert session.label.trim is None


@pytest.mark.parametrize("verb", [Verb.REDO, Verb.DISCARD])
def test_what_is_thrown_away_takes_its_trim_with_it(verb: Verb) -> None:
    session = reviewing(steps=40)
    order(session, Verb.TRIM, (5, 30))
    order(session, verb)
    assert session.label.trim is None


@pytest.mark.parametrize(
    ("value", "counted"), [((0, 41), "1 to 41"), ((-1, 5), "0 to 5"), ((5, 5), "6 to 5"), ((9, 3), "10 to 3")]
)
def test_no_steps_are_kept_that_there_are_not_and_people_count_from_1(value: Value, counted: str) -> None:
    session = reviewing(steps=40)
    assert order(session, Verb.TRIM, value) == []
    assert session.label.trim is None
    assert session.said == f"there are steps 1 to 40, but no {counted}"


@pytest.mark.parametrize("value", [(0.0, 3.0), 3, "-5 8", None, (1, 2, 3)])
def test_what_is_no_two_steps_is_no_trim(value: Value) -> None:
    session = reviewing(steps=40)
    assert order(session, Verb.TRIM, value) == []
    assert session.label.trim is None
    assert session.said == f"trim takes the first and the last step of 1 to 40, not {value!r}"


def test_the_next_start_is_the_one_that_is_asked_for_or_another() -> None:
    session = RecordingSession(1)
    assert order(session, Verb.SEED, 12) == [Do.SEED]
    assert session.seed == 12
    assert order(session, Verb.SEED) == [Do.NEXT]
    assert order(reviewing(), Verb.SEED, 3) == []


@pytest.mark.parametrize("value", [-1, MOST_SEED + 1, 2_000_000_000, "5", True, 1.0])
def test_no_start_can_be_asked_for_that_policies_are_judged_by(value: Value) -> None:
    session = RecordingSession(1)
    assert order(session, Verb.SEED, value) == []
    assert session.said.startswith(f"a seed is 0 .. 1899999999, not {value!r}")


def test_start_while_reviewing_saves_first_and_records_the_next() -> None:
    session = reviewing()
    order(session, Verb.QUALITY, 5)
    assert order(session, Verb.START) == [Do.SAVE, Do.NEXT]
    assert session.label.quality == 5  # what is to be saved keeps its label
    session.saved(is_good=True)
    assert session.wait(0.01) == [Do.BEGIN]
    assert session.label.quality is None


def test_redo_begins_again_from_the_same_start() -> None:
    session = recording()
    assert order(session, Verb.REDO) == [Do.END, Do.DISCARD]  # and no NEXT
    assert session.wait(0.01) == [Do.BEGIN]
    order(session, Verb.QUALITY, 1)
    order(session, Verb.STOP)
    assert order(session, Verb.REDO) == [Do.DISCARD]
    assert session.wait(0.01) == [Do.BEGIN]
    assert session.label.quality is None  # that was of the other


def test_what_is_discarded_is_never_saved() -> None:
    assert order(recording(), Verb.DISCARD) == [Do.END, Do.DISCARD, Do.NEXT]
    assert order(reviewing(), Verb.DISCARD) == [Do.DISCARD, Do.NEXT]


def test_an_episode_ends_at_success_unless_it_is_told_not_to() -> None:
    session = recording()
    assert session.reached() == [Do.END]
    assert (session.state, session.reason) == (State.REVIEWING, "success")
    assert session.reached() == []
    patient = RecordingSession(1, stop_at_success=False)
    order(patient, Verb.START)
    patient.wait(0.01)
    assert patient.reached() == []
    assert patient.state == State.RECORDING


def test_the_horizon_ends_it_too() -> None:
    session = recording()
    session.ended("horizon", 9)
    assert (session.state, session.reason) == (State.REVIEWING, "horizon")


def test_leaving_saves_what_was_recorded() -> None:
    under_way = recording()
    assert order(under_way, Verb.QUIT) == [Do.END, Do.SAVE, Do.QUIT]
    assert (under_way.state, under_way.reason) == (State.OVER, "interrupt")
    done = recording()
    done.ended("horizon", 9)
    assert done.interrupt() == [Do.SAVE, Do.QUIT]
    assert done.reason == "horizon"
    assert RecordingSession(1).interrupt() == [Do.QUIT]


def test_who_is_gone_leaves_an_episode_that_says_so() -> None:
    session = recording()
    assert session.gone() == [Do.END, Do.SAVE, Do.NEXT]
    assert (session.state, session.reason) == (State.IDLE, "disconnect")


def test_who_comes_back_finds_what_was_not_reviewed() -> None:
    session = reviewing()
    assert session.gone() == []
    assert session.state == State.REVIEWING
    counting = RecordingSession(1, countdown_s=3.0)
    order(counting, Verb.START)
    assert counting.gone() == []
    assert counting.wait(10.0) == []  # nothing begins that nobody watches


def test_good_episodes_are_counted_and_taken_back() -> None:
    session = reviewing(target=2)
    session.good, session.episodes = 1, 4
    order(session, Verb.SAVE)
    session.saved(is_good=True)
    assert (session.good, session.episodes) == (2, 5)
    assert session.said == "saved; 2 of 2 good episodes: that is all, quit or go on"
    assert order(session, Verb.UNDO) == [Do.UNDO]
    session.undone()
    assert (session.good, session.episodes) == (1, 4)
    assert order(session, Verb.UNDO) == []  # only what this session has saved
    assert session.said == "cannot undo while idle; nothing was saved in this session"


def test_an_order_that_makes_no_sense_now_changes_nothing() -> None:
    for session in (RecordingSession(1), recording(), reviewing()):
        state = session.state
        for verb in set(Verb) - set(session.allowed()):
            assert order(session, verb) == []
            assert session.state == state
            assert session.said.startswith(f"cannot {verb} while {state}")


def test_every_allowed_order_is_taken() -> None:
    values: dict[Verb, Value] = {Verb.QUALITY: 3, Verb.NOTE: "n", Verb.INSTRUCTION: "i", Verb.TRIM: (2, 9)}
    for make in (lambda: RecordingSession(1), recording, reviewing):
        for verb in make().allowed():
            session = make()
            order(session, verb, values.get(verb))
            assert not session.said.startswith(("cannot", "trim keeps")), verb


def test_an_instruction_is_that_of_the_episodes_that_begin_later() -> None:
    session = RecordingSession(1, instruction="reach")
    order(session, Verb.INSTRUCTION, "push the cube ")
    assert session.instruction == "push the cube"


def test_who_has_enough_already_is_told_at_once() -> None:
    assert RecordingSession(3, good=3).said == "3 of 3 good episodes: that is all, quit or go on"
    assert RecordingSession(3, good=2).said == ""
