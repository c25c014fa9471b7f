"""Who drives, as pages come and go."""

import numpy as np
import pytest

from data_collection.teleop.browser.seats import Seats
from data_collection.teleop.hands import Jog
from robot_orl.intervention import HANDS_OFF_S

GRACE_S = 3.0
PUSH = Jog(np.array([1.0, 0, 0]), np.zeros(3))


@pytest.fixture
def seats() -> Seats:
    """The first page drives, the second one watches."""
    made = Seats(GRACE_S)
    made.join("first", 0.0)
    made.join("second", 0.0)
    return made


def test_the_first_page_drives_and_the_next_one_watches(seats: Seats) -> None:
    assert seats.driver == "first"
    assert seats.hear("first", PUSH, 0.1)
    assert not seats.hear("second", PUSH, 0.1)
    assert seats.jog(0.1) is PUSH


def test_a_driver_that_is_not_heard_of_has_let_go(seats: Seats) -> None:
    seats.hear("first", PUSH, 1.0)
    assert seats.jog(1.0 + HANDS_OFF_S) is PUSH
    assert seats.jog(1.01 + HANDS_OFF_S) is None
    assert seats.is_driven(1.01 + HANDS_OFF_S)
    seats.hear("first", PUSH, 2.0)
    assert seats.jog(2.0) is PUSH


def test_a_driver_is_heard_of_or_not_long_before_nobody_drives(seats: Seats) -> None:
    seats.hear("first", None, 1.0)
    assert seats.is_heard(1.0 + HANDS_OFF_S)
    assert not seats.is_heard(1.01 + HANDS_OFF_S)
    assert seats.is_driven(1.01 + HANDS_OFF_S)
    seats.hear("first", None, 2.0)
    assert seats.is_heard(2.0)
    seats.leave("first", 2.1)
    assert not seats.is_heard(2.1)


def test_hands_are_cut_off_that_were_on_until_nothing_was_heard(seats: Seats) -> None:
    seats.hear("first", PUSH, 1.0)
    assert not seats.is_cut_off(1.0 + HANDS_OFF_S)
    assert seats.is_cut_off(1.01 + HANDS_OFF_S)
    seats.leave("first", 8.0)
    assert seats.is_cut_off(8.0)
    seats.join("first", 9.0)
    assert not seats.is_cut_off(9.0)
    seats.hear("first", PUSH, 9.1)
    seats.leave("first", 9.2)
    assert seats.is_cut_off(9.2), "at once"


def test_who_has_let_go_before_is_not_cut_off(seats: Seats) -> None:
    seats.hear("first", PUSH, 1.0)
    seats.hear("first", None, 1.1)
    assert not seats.is_cut_off(2.0 + HANDS_OFF_S)
    seats.leave("first", 2.1)
    assert not seats.is_cut_off(2.1)


def test_a_closed_page_lets_go_at_once_and_nobody_drives_after_its_grace(seats: Seats) -> None:
    seats.hear("first", PUSH, 1.0)
    seats.leave("first", 1.1)
    assert seats.jog(1.1) is None
    assert seats.is_driven(1.1 + GRACE_S)
    assert not seats.is_driven(1.2 + GRACE_S)


def test_a_reload_resumes_the_seat(seats: Seats) -> None:
    seats.leave("first", 1.0)
    seats.join("first", 2.0)
    assert seats.driver == "first"
    assert seats.is_driven(2.0 + GRACE_S)


def test_a_page_that_comes_while_the_driver_reloads_watches() -> None:
    seats = Seats(GRACE_S)
    seats.join("first", 0.0)
    seats.leave("first", 1.0)
    seats.join("other", 1.0 + GRACE_S)
    assert seats.driver == "first"
    seats.leave("other", 1.0 + GRACE_S)
    seats.join("late", 1.1 + GRACE_S)
    assert seats.driver == "late"


def test_control_is_handed_over_on_request_only(seats: Seats) -> None:
    assert not seats.answer("second", True, 0.1), "a page cannot grant itself"
    assert not seats.answer("first", True, 0.1), "nobody asked"
    seats.ask("second", 0.2)
    assert (seats.driver, seats.asking) == ("first", "second")
    assert not seats.answer("second", True, 0.3)
    assert seats.answer("first", False, 0.4)
    assert (seats.driver, seats.asking) == ("first", None)
    seats.ask("second", 0.5)
    seats.hear("first", PUSH, 0.5)
    assert seats.answer("first", True, 0.6)
    assert (seats.driver, seats.asking) == ("second", None)
    assert seats.jog(0.6) is None, "what the first pushed is not the second's"


def test_a_driver_that_is_silent_is_not_waited_for(seats: Seats) -> None:
    seats.ask("second", GRACE_S + 0.1)
    assert seats.driver == "second"


def test_control_goes_to_who_asked_once_the_driver_was_away_for_its_grace(seats: Seats) -> None:
    seats.ask("second", 0.1)
    seats.leave("first", 0.2)
    seats.tick(0.2 + GRACE_S)
    assert (seats.driver, seats.asking) == ("first", "second")
    seats.tick(0.3 + GRACE_S)
    assert (seats.driver, seats.asking) == ("second", None)


def test_who_asks_while_the_driver_is_away_drives_after_its_grace(seats: Seats) -> None:
    seats.leave("first", 1.0)
    seats.ask("second", 1.1)
    seats.tick(1.2 + GRACE_S)
    assert (seats.driver, seats.asking) == ("second", None)


def test_a_driver_that_is_back_in_time_keeps_control_and_is_asked_for_it(seats: Seats) -> None:
    seats.ask("second", 0.1)
    seats.leave("first", 0.2)
    seats.join("first", 1.0)
    seats.tick(0.3 + GRACE_S)
    assert (seats.driver, seats.asking) == ("first", "second")


def test_who_asked_comes_before_who_comes_late(seats: Seats) -> None:
    seats.ask("second", 0.1)
    seats.leave("first", 0.2)
    seats.join("late", 0.3 + GRACE_S)
    assert seats.driver == "second"


def test_a_page_that_asks_and_leaves_is_forgotten(seats: Seats) -> None:
    seats.ask("second", 0.1)
    seats.leave("second", 0.2)
    seats.leave("first", 0.3)
    assert seats.driver == "first"
    assert seats.asking is None
    assert seats.pages == 0
