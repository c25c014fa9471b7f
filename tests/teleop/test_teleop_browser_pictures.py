"""How old what a page shows is."""

from data_collection.teleop.browser.pictures import FRESH_S, Pictures


def test_a_page_that_has_drawn_nothing_shows_nothing_fresh() -> None:
    pictures = Pictures()
    assert not pictures.is_fresh(0.0)
    pictures.sent(0.0)
    assert not pictures.is_fresh(0.1)


def test_a_picture_is_as_old_as_the_time_since_it_was_sent_however_late_it_is_drawn() -> None:
    pictures = Pictures()
    number = pictures.sent(10.0)
    assert pictures.drawn(number)
    assert pictures.is_fresh(10.0 + FRESH_S)
    assert not pictures.is_fresh(10.01 + FRESH_S)
    late = pictures.sent(20.0)
    assert pictures.drawn(late)
    assert not pictures.is_fresh(23.0)


def test_no_more_than_two_pictures_are_on_the_way() -> None:
    pictures = Pictures()
    first, second = pictures.sent(0.0), pictures.sent(0.1)
    assert not pictures.may_send
    assert pictures.drawn(first)
    assert pictures.may_send
    pictures.sent(0.2)
    assert not pictures.may_send
    assert pictures.drawn(second)
    assert pictures.may_send


def test_a_page_that_skips_a_picture_has_drawn_the_later_one() -> None:
    pictures = Pictures()
    first, second = pictures.sent(0.0), pictures.sent(0.4)
    assert pictures.drawn(second)
    assert pictures.is_fresh(0.4 + FRESH_S)
    assert not pictures.drawn(first), "an older one does not come after"
    assert pictures.is_fresh(0.4 + FRESH_S)


def test_a_page_that_draws_slowly_draws_the_latest_that_it_has_got() -> None:
    pictures = Pictures()
    for tenth in range(1, 9):
        assert pictures.may_send
        assert pictures.got(pictures.sent(tenth / 10))
    assert not pictures.is_fresh(0.8), "what it has got is not what it shows"
    assert pictures.drawn(8)
    assert pictures.is_fresh(0.8 + FRESH_S)
    assert not pictures.got(8)
    assert not pictures.got(9)


def test_a_picture_that_was_not_sent_cannot_be_drawn() -> None:
    pictures = Pictures()
    number = pictures.sent(0.0)
    assert not pictures.drawn(number + 1)
    assert not pictures.is_fresh(0.0)
    assert pictures.drawn(number)
    assert not pictures.drawn(number), "twice"
