"""How old what a page knows is."""

from data_collection.teleop.browser.pictures import FRESH_S, Pictures


def test_a_page_that_has_got_nothing_knows_nothing_fresh() -> None:
    pictures = Pictures()
    assert not pictures.is_fresh(0.0)
    pictures.sent(0.0)
    assert not pictures.is_fresh(0.1)


def test_a_picture_is_as_old_as_the_time_since_it_was_sent_however_late_it_comes() -> None:
    pictures = Pictures()
    assert pictures.got(pictures.sent(10.0))
    assert pictures.is_fresh(10.0 + FRESH_S)
    assert not pictures.is_fresh(10.01 + FRESH_S)
    late = pictures.sent(20.0)
    assert pictures.got(late)
    assert not pictures.is_fresh(23.0)


def test_no_more_than_two_pictures_are_on_the_way() -> None:
    pictures = Pictures()
    first, second = pictures.sent(0.0), pictures.sent(0.1)
    assert not pictures.may_send
    assert pictures.got(first)
    assert pictures.may_send
    pictures.sent(0.2)
    assert not pictures.may_send
    assert pictures.got(second)
    assert pictures.may_send


def test_a_later_picture_makes_up_for_those_before() -> None:
    pictures = Pictures()
    first, second = pictures.sent(0.0), pictures.sent(0.4)
    assert pictures.got(second)
    assert pictures.is_fresh(0.4 + FRESH_S)
    assert not pictures.got(first), "an older one does not come after"


def test_a_picture_that_was_not_sent_cannot_be_got() -> None:
    pictures = Pictures()
    number = pictures.sent(0.0)
    assert not pictures.got(number + 1)
    assert not pictures.is_fresh(0.0)
    assert pictures.got(number)
    assert not pictures.got(number), "twice"
