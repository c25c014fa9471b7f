"""When the policy is called for nothing: just before the next question is due, once."""

from robot_orl.deploy.processes.rhythm import LEAD_NS, LONGEST_NS, SHORTEST_NS, Rhythm

MS, US = 1_000_000, 1_000
TOOK = 50 * US
LEAD = LEAD_NS + 2 * TOOK


def test_the_next_question_is_due_one_period_after_the_last() -> None:
    rhythm = Rhythm()
    assert rhythm.rest_ns(0) is None
    rhythm.heard(10 * MS, TOOK)
    assert rhythm.rest_ns(10 * MS) is None  # one question has no rhythm
    rhythm.heard(50 * MS, TOOK)
    assert rhythm.rest_ns(50 * MS) == 40 * MS - LEAD
    assert rhythm.rest_ns(89 * MS) == 1 * MS - LEAD
    assert rhythm.rest_ns(95 * MS) == 0


def test_it_is_called_once_before_each_question() -> None:
    rhythm = Rhythm()
    for asked_ms in (0, 40):
        rhythm.heard(asked_ms * MS, TOOK)
    rhythm.rehearsed()
    assert rhythm.rest_ns(80 * MS) is None
    rhythm.heard(80 * MS, TOOK)
    assert rhythm.rest_ns(80 * MS) == 40 * MS - LEAD


def test_questions_in_a_quick_row_need_none() -> None:
    rhythm = Rhythm()
    rhythm.heard(0, TOOK)
    rhythm.heard(SHORTEST_NS - 1, TOOK)
    assert rhythm.rest_ns(SHORTEST_NS - 1) is None
    rhythm.heard(2 * SHORTEST_NS, TOOK)
    assert rhythm.rest_ns(2 * SHORTEST_NS) == SHORTEST_NS + 1 - LEAD


def test_a_policy_that_computes_for_long_is_not_in_its_own_way() -> None:
    rhythm = Rhythm()
    rhythm.heard(0, TOOK)
    rhythm.heard(40 * MS, LONGEST_NS + 1)
    assert rhythm.rest_ns(40 * MS) is None
    rhythm.heard(80 * MS, LONGEST_NS)  # 1.2 ms before
    assert rhythm.rest_ns(80 * MS) == 40 * MS - LEAD_NS - 2 * LONGEST_NS
    rhythm.heard(82 * MS, LONGEST_NS)  # of 2 ms it would take more than a half
    assert rhythm.rest_ns(82 * MS) is None
