"""When the policy is called for nothing: just before the next question is due, once."""

from robot_orl.deploy.processes.rhythm import LEAD_NS, SHORTEST_NS, Rhythm

MS = 1_000_000


def test_the_next_question_is_due_one_period_after_the_last() -> None:
    rhythm = Rhythm()
    assert rhythm.rest_ns(0) is None
    rhythm.heard(10 * MS)
    assert rhythm.rest_ns(10 * MS) is None  # one question has no rhythm
    rhythm.heard(50 * MS)
    assert rhythm.rest_ns(50 * MS) == 40 * MS - LEAD_NS
    assert rhythm.rest_ns(89 * MS) == 1 * MS - LEAD_NS
    assert rhythm.rest_ns(95 * MS) == 0


def test_it_is_called_once_before_each_question() -> None:
    rhythm = Rhythm()
    for asked_ms in (0, 40):
        rhythm.heard(asked_ms * MS)
    rhythm.rehearsed()
    assert rhythm.rest_ns(80 * MS) is None
    rhythm.heard(80 * MS)
    assert rhythm.rest_ns(80 * MS) == 40 * MS - LEAD_NS


def test_questions_in_a_quick_row_need_none() -> None:
    rhythm = Rhythm()
    rhythm.heard(0)
    rhythm.heard(SHORTEST_NS - 1)
    assert rhythm.rest_ns(SHORTEST_NS - 1) is None
    rhythm.heard(2 * SHORTEST_NS)
    assert rhythm.rest_ns(2 * SHORTEST_NS) == SHORTEST_NS + 1 - LEAD_NS
