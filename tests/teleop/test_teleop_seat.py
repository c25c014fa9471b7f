"""Who stands by at a learner's desk: what they order, what the learner sees, what their hands get to show."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from teleop_toys import Clock, Person, ScriptedHands, order, reach
from test_teleop_takeover import played, standing

from data_collection.teleop.hands import Overseeing, Verb
from data_collection.teleop.settings import PersonConfig
from data_collection.teleop.standby import Standby
from robot_orl.tasks import spec_of
from robot_orl.training.online.desk import Desk, Seat, Seated
from robot_orl.types import Episode


class Screen(ScriptedHands):
    """Hands that show how learning goes."""

    board = (-1, 0)

    def oversee(self, board: int, board_bytes: int) -> None:
        self.board = board, board_bytes

    def keep(self, number: int, env: Any, episode: Episode) -> None:
        assert env.unwrapped is reach().unwrapped
        self.kept = number, episode


def at_a_desk(standby: Standby) -> tuple[Desk, Seat]:
    size = spec_of(standby.env).observation_size
    desk = Desk(size, now_ns=lambda: 0)
    seat = Seat(*desk.descriptors, size, now_ns=lambda: 0)
    assert isinstance(standby, Seated)
    standby.sit(seat)
    return desk, seat


def test_orders_of_training_go_to_the_learner_and_others_nowhere() -> None:
    def script(hands: ScriptedHands) -> Person:
        for verb in (Verb.PAUSE, Verb.SAVE, Verb.CHECKPOINT, Verb.RESUME, Verb.QUIT):
            yield order(verb)

    standby, _ = standing(script)
    desk, _ = at_a_desk(standby)
    assert set(standby.allowed) == {Verb.PAUSE, Verb.RESUME, Verb.CHECKPOINT, Verb.QUIT}
    played(standby, 2)
    assert desk.orders() == ["pause"]
    for _ in range(3):
        standby.idle()  # a paused learner is told to go on between two episodes
    assert desk.orders() == ["checkpoint", "resume", "stop"]


def test_the_learner_sees_what_is_so_at_every_step() -> None:
    def script(hands: ScriptedHands) -> Person:
        while True:
            seen.append(desk.seen())
            yield None, []

    seen: list[Any] = []
    standby, _ = standing(script)
    desk, _ = at_a_desk(standby)
    episode = played(standby, 4)
    assert seen[0] is None
    flat = spec_of(standby.env).flatten(episode.obs)
    np.testing.assert_array_equal(np.array(seen[1:]), flat[:3])
    np.testing.assert_array_equal(desk.seen(), flat[3])


def test_hands_with_a_screen_get_the_board_and_every_episode() -> None:
    def script(hands: ScriptedHands) -> Person:
        while True:
            yield None, []

    hands = Screen(script)
    assert isinstance(hands, Overseeing)
    cfg = PersonConfig(name="person")
    operator: Any = SimpleNamespace(name="person", cfg=cfg, make_hands=lambda env, alone=False: hands)
    standby = Standby(reach(), operator, Clock())
    _, seat = at_a_desk(standby)
    assert hands.board == (seat.board, seat.board_bytes)
    episode = played(standby, 3)
    standby.ended(episode)
    assert hands.kept == (0, episode)
