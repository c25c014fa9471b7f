"""The socket between a task and LeRobot: frames, who is sent what, and who holds the robot when."""

import math
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lerobot_toys import ToyLeRobot, served, wait_for

from robot_orl.deploy.dynamixel.bus import BadPacket
from robot_orl.deploy.lerobot_link import server as protocol
from robot_orl.deploy.lerobot_link.link import Link, ServerLost
from robot_orl.deploy.lerobot_link.server import Frame, Inbox, ProtocolError, Served
from robot_orl.errors import RunError, UsageError

SOON_S = 5.0


def greeted(link: Link) -> Link:
    link.hello(lambda: False, SOON_S)
    return link


def state(answer: Frame) -> tuple[tuple[float, ...], tuple[float, ...], bool]:
    """Values, goals, whether the watchdog has held it."""
    assert answer.kind == protocol.STATE, answer.payload
    numbers = answer.numbers()
    half = len(numbers) // 2
    return numbers[:half], numbers[half:], bool(answer.flags & protocol.TRIPPED)


def goal(*values: float, t_ns: int = 0, is_watched: bool = True) -> Frame:
    flags = protocol.WATCHED if is_watched else 0
    return Frame(protocol.GOAL, 1, t_ns, Frame.packed(values), flags)


LOOK = Frame(protocol.LOOK, 1, 0)

# --- frames ---------------------------------------------------------------------------------------------


def test_a_frame_is_laid_out_as_drawn() -> None:
    frame = Frame(protocol.GOAL, sequence=5, t_ns=258, payload=Frame.packed([1.0]), flags=protocol.WATCHED)
    assert frame.to_bytes().hex(" ", 4) == (
        "08000000 03010000 05000000 02010000 00000000 00000000 0000f03f"
    )  # length 8, kind 3, flags 1, sequence 5, t_ns 0x0102, 1.0


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(0, 140), max_size=6), flags=st.integers(0, 255))
def test_frames_arrive_whole_however_the_stream_is_cut(cuts: list[int], flags: int) -> None:
    frames = [LOOK, goal(1.5, -2.0, t_ns=-1), Frame(protocol.FAILED, 2**32 - 1, 2**62, b"why", flags)]
    stream = b"".join(frame.to_bytes() for frame in frames)
    inbox, got, places = Inbox(), [], sorted([0, *cuts, len(stream)])
    for begin, end in pairwise(places):
        got += inbox.feed(stream[begin:end])
    assert got == frames


@pytest.mark.parametrize("head", [b"\x00" * 20, b"\xff" * 20, b"\x01\x00\x20\x00\x02" + b"\x00" * 15])
def test_what_is_no_frame_is_refused(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Inbox().feed(head))


# --- what a robot is sent -------------------------------------------------------------------------------


def test_an_observation_comes_in_the_order_of_the_features_and_without_images() -> None:
    robot = ToyLeRobot()
    robot.position = {"b.pos": 2.0, "a.pos": 1.0}
    with served(robot) as link:
        hello = link.hello(lambda: False, SOON_S)
        assert [feature.name for feature in hello.features] == ["a.pos", "b.pos"]
        assert hello.left_out == ("wrist",)
        before_ns = time.monotonic_ns()
        found = link.look(SOON_S)
        assert found.values == (1.0, 2.0)
        assert before_ns <= found.t_ns <= time.monotonic_ns()


def test_an_answer_tells_what_the_robot_made_of_the_goals() -> None:
    robot = ToyLeRobot(reach=30.0)
    with served(robot) as link:
        greeted(link)
        status = link.goal([10.0, 50.0], is_watched=False, wait_s=SOON_S)
        assert status is not None
        assert status.goals == (10.0, 30.0)
    assert robot.sent[0] == {"a.pos": 10.0, "b.pos": 50.0}


def test_of_goals_that_came_together_only_the_last_is_sent() -> None:
    robot = ToyLeRobot()
    with served(robot) as link:
        greeted(link)
        now_ns = time.monotonic_ns()
        link._stream.send(b"".join(goal(n, n, t_ns=now_ns).to_bytes() for n in (1.0, 2.0, 3.0)))
        wait_for(lambda: robot.sent)
        link.look(SOON_S)
    assert [action["a.pos"] for action in robot.sent] == [3.0, 3.0]  # the second holds it there at the end


def test_a_goal_that_is_older_than_the_watchdogs_time_is_not_sent() -> None:
    robot, now_ns = ToyLeRobot(), 1_000_000_000
    known = Served(robot, watchdog_s=0.2, now_ns=lambda: now_ns)
    assert known.answer(goal(1, 1, t_ns=now_ns - 200_000_000)).kind == protocol.STATE
    answer = known.answer(goal(2, 2, t_ns=now_ns - 201_000_000))
    assert (answer.kind, answer.payload) == (
        protocol.FAILED,
        b"TimeoutError: a goal came 201 ms late and was not sent",
    )
    assert [action["a.pos"] for action in robot.sent] == [1]


@pytest.mark.parametrize("values", [(1.0,), (1.0, math.nan), (1.0, 2.0, 3.0), (math.inf, 0.0)])
def test_goals_that_are_not_one_finite_number_a_feature_are_not_sent(values: tuple[float, ...]) -> None:
    robot = ToyLeRobot()
    assert Served(robot, 0.0).answer(goal(*values)).kind == protocol.FAILED
    assert not robot.sent


def test_an_action_that_is_no_number_is_refused_by_its_name() -> None:
    robot = ToyLeRobot()
    robot.action_features["mode"] = str
    with pytest.raises(ValueError, match="'mode'"):
        Served(robot, 0.0)


# --- who holds it ---------------------------------------------------------------------------------------


def test_a_silent_client_has_the_robot_held_where_it_is_until_somebody_means_to_move_it() -> None:
    robot, time_ns = ToyLeRobot(), [0]
    known = Served(robot, watchdog_s=0.2, now_ns=lambda: time_ns[0])
    known.answer(goal(10, 10))
    robot.position = {"a.pos": 4.0, "b.pos": 5.0}  # on its way
    time_ns[0] = 200_000_000
    known.watch()
    assert len(robot.sent) == 1
    time_ns[0] += 1
    known.watch()
    assert robot.sent[1:] == [{"a.pos": 4.0, "b.pos": 5.0}]
    known.watch()
    assert len(robot.sent) == 2  # once is enough
    assert state(known.answer(goal(11, 11, t_ns=time_ns[0])))[2]
    assert len(robot.sent) == 2
    assert not state(known.answer(goal(12, 12, t_ns=time_ns[0], is_watched=False)))[2]
    assert robot.sent[2] == {"a.pos": 12.0, "b.pos": 12.0}


def test_looking_keeps_the_watchdog_quiet_and_a_goal_that_is_not_watched_ends_it() -> None:
    robot, time_ns = ToyLeRobot(), [0]
    known = Served(robot, watchdog_s=0.2, now_ns=lambda: time_ns[0])
    known.answer(goal(10, 10))
    for _ in range(5):
        time_ns[0] += 150_000_000
        known.answer(LOOK)
        known.watch()
    assert len(robot.sent) == 1
    known.answer(goal(10, 10, t_ns=time_ns[0], is_watched=False))
    time_ns[0] += 10**9
    known.watch()
    assert len(robot.sent) == 2


def test_a_robot_that_could_not_be_held_is_held_at_the_next_look() -> None:
    robot, time_ns = ToyLeRobot(), [0]
    known = Served(robot, watchdog_s=0.2, now_ns=lambda: time_ns[0])
    known.answer(goal(10, 10))
    time_ns[0], robot.failing = 300_000_000, 100
    known.watch()
    robot.failing = 0
    known.watch()
    assert len(robot.sent) == 2


def test_a_client_that_goes_leaves_a_robot_that_is_held_and_keeps_its_torque() -> None:
    robot = ToyLeRobot()
    with served(robot) as link:
        greeted(link)
        link.goal([10.0, 10.0], is_watched=True, wait_s=SOON_S)
        robot.position = {"a.pos": 7.0, "b.pos": 8.0}
    assert robot.sent[-1] == {"a.pos": 7.0, "b.pos": 8.0}
    assert robot.is_connected
    assert robot.is_torque_on


def test_a_server_that_ends_disconnects_without_letting_go() -> None:
    robot = ToyLeRobot()
    assert Served(robot, 0.0).leave() == "torque stays on"
    assert (robot.is_connected, robot.is_torque_on) == (False, True)


def test_a_robot_that_cannot_be_told_to_keep_its_torque_is_not_disconnected_by_a_server_that_ends() -> None:
    robot = ToyLeRobot()
    del robot.config.disable_torque_on_disconnect
    assert "not known" in Served(robot, 0.0).leave()
    assert robot.is_connected


@pytest.mark.parametrize("lets_go", [True, False])
def test_a_release_disconnects_as_lerobot_is_configured_and_ends_the_server(lets_go: bool) -> None:
    robot = ToyLeRobot()
    robot.config.disable_torque_on_disconnect = lets_go
    with served(robot) as link:
        assert link.hello(lambda: False, SOON_S).torque_off is lets_go
        link.release(SOON_S)
        with pytest.raises(ServerLost):
            link.look(SOON_S)
    assert (robot.is_connected, robot.is_torque_on) == (False, not lets_go)
    assert not robot.sent  # and is not held any more


# --- what goes wrong ------------------------------------------------------------------------------------


def test_a_robot_that_fails_twice_is_asked_again_and_one_that_fails_thrice_is_told_of() -> None:
    robot = ToyLeRobot()
    with served(robot) as link:
        greeted(link)
        robot.failing = 2
        assert link.look(SOON_S).values == (0.0, 0.0)
        robot.failing = 3
        with pytest.raises(BadPacket, match="LeRobot: ConnectionError: There is no status packet!") as told:
            link.look(SOON_S)
        assert told.value.kind == "corrupt"
        assert link.look(SOON_S).values == (0.0, 0.0)
        assert link.counts["failed"] == 1


def test_an_answer_that_came_too_late_for_one_question_is_not_taken_for_that_to_the_next() -> None:
    robot = ToyLeRobot()
    robot.bus = _Port(robot)
    with served(robot) as link:
        greeted(link)
        robot.bus.is_late = True
        assert link.look(SOON_S).values == (0.0, 0.0)  # asked again
        for position in (1.0, 2.0):
            robot.position = dict.fromkeys(robot.position, position)
            assert link.look(SOON_S).values == (position, position)


class _Port:
    """Answers lie in a buffer until somebody reads or drops them. is_late: the next one is not waited for."""

    is_open = True

    def __init__(self, robot: ToyLeRobot) -> None:
        self.port_handler = self.ser = self
        self.is_late = False
        self._buffer: list[dict[str, float]] = []
        self._look = robot.get_observation
        robot.get_observation = self.get_observation  # type: ignore[method-assign]

    def get_observation(self) -> dict[str, float]:
        self._buffer.append(self._look())
        if self.is_late:
            self.is_late = False
            raise ConnectionError("There is no status packet!")
        return self._buffer.pop(0)

    def reset_input_buffer(self) -> None:
        self._buffer.clear()


def test_a_late_answer_is_waited_for_and_no_second_question_is_asked_meanwhile() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    link, asked = Link(ours), Inbox()
    with theirs:
        for _ in range(3):
            with pytest.raises(BadPacket, match="no answer of LeRobot's within 1 ms"):
                link.look(0.001)
        frames = list(asked.feed(theirs.recv(1 << 16)))
        assert [frame.kind for frame in frames] == [protocol.LOOK]
        theirs.send(Frame(protocol.STATE, frames[0].sequence, 77, Frame.packed([1.0, 2.0])).to_bytes())
        status = link.look(0.0)
        assert (status.values, status.t_ns) == ((1.0,), 77)
        assert link.counts["late"] == 3
        link.close()


def test_goals_that_nobody_confirms_are_not_waited_for_and_do_not_pile_up() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    link, asked = Link(ours), Inbox()
    with theirs:
        for n in range(65):
            assert link.goal([float(n)], is_watched=True, wait_s=0.0) is None
        with pytest.raises(BadPacket, match="answers nothing"):
            link.goal([65.0], is_watched=True, wait_s=0.0)
        frames = list(asked.feed(theirs.recv(1 << 16)))
        assert [frame.numbers()[0] for frame in frames] == list(range(65))
        link.close()


def test_a_server_that_has_gone_or_is_another_ones_is_told_of() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    link = Link(ours)
    theirs.send(Frame(protocol.HELLO, 0, 0, b'{"protocol": 99}').to_bytes())
    with pytest.raises(RunError, match="no LeRobot server of this version: protocol 99 is not 1"):
        link.hello(lambda: False, SOON_S)
    theirs.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ServerLost, match="not of its protocol"):
        link.look(SOON_S)
    theirs.close()
    with pytest.raises(ServerLost, match="has gone"):
        link.look(SOON_S)
    link.close()


def test_a_robot_that_does_not_open_says_why() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    link = Link(ours)
    theirs.send(Frame(protocol.FAILED, 0, 0, b"OSError: no such\nport").to_bytes())
    with pytest.raises(RunError, match=r"LeRobot: OSError: no such\?port"):
        link.hello(lambda: False, SOON_S)
    theirs.send(Frame(protocol.FAILED, 0, 0, b"not calibrated", protocol.MENDABLE).to_bytes())
    with pytest.raises(UsageError, match="LeRobot: not calibrated"):
        link.hello(lambda: False, SOON_S)
    with pytest.raises(RunError, match="told to stop"):
        link.hello(lambda: True, SOON_S)
    link.close()
    theirs.close()
