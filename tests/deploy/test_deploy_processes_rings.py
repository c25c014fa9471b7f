"""Rings, and the way of a recording through one: rows come out as they went in, or are counted as lost."""

import mmap
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from deploy_toys import Kept
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_orl.deploy.answers import Answer, AnswerLayout
from robot_orl.deploy.processes.recorder import Taking
from robot_orl.deploy.processes.recording import RecordingProcess
from robot_orl.deploy.processes.records import Records, capacity_of, ring_of
from robot_orl.deploy.processes.ring import Doorbell, Ring, ring_bytes
from robot_orl.deploy.processes.rows import answer_row, question_row, step_row
from robot_orl.deploy.recording import RecordedHere, Step
from robot_orl.types import Actor, Array, Outcome, Safety, Spec

ROW = np.dtype([("number", "<i8"), ("values", "<f4", (3,))], align=True)


def both_ends(capacity: int, row: np.dtype = ROW) -> tuple[Ring, Ring]:
    """Producer and consumer, as two processes have them: each with views of its own."""
    memory = mmap.mmap(-1, 128 + ring_bytes(row, capacity))
    return Ring(memory, 128, row, capacity), Ring(memory, 128, row, capacity)


def put(ring: Ring, number: int, leave: int = 0) -> bool:
    if (slot := ring.claim(leave)) is None:
        return False
    ring.columns["number"][slot] = number
    ring.columns["values"][slot] = (number, -number, 0.5)
    ring.push()
    return True


def take(ring: Ring) -> int | None:
    if (slot := ring.oldest()) is None:
        return None
    number = int(ring.columns["number"][slot])
    assert ring.columns["values"][slot].tolist() == [number, -number, 0.5]
    ring.pop()
    return number


@settings(max_examples=40)
@given(st.integers(1, 5), st.lists(st.booleans(), max_size=60))
def test_however_pushes_and_pops_are_mixed_rows_come_out_whole_and_in_order(
    capacity: int, pushes: list[bool]
) -> None:
    producer, consumer = both_ends(capacity)
    model: deque[int] = deque()
    for number, is_push in enumerate(pushes):
        if is_push:
            assert put(producer, number) == (len(model) < capacity)
            if len(model) < capacity:
                model.append(number)
        else:
            assert take(consumer) == (model.popleft() if model else None)
        assert len(producer) == len(consumer) == len(model)


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(0, 2), st.integers(0, 9))
def test_slots_that_are_to_be_left_are_left(capacity: int, leave: int, before: int) -> None:
    """before: rows that went through, so that the ring wraps around somewhere."""
    producer, consumer = both_ends(capacity)
    for number in range(before):
        assert put(producer, number)
        assert take(consumer) == number
    fitted = sum(put(producer, number, leave) for number in range(2 * capacity))
    assert fitted == max(0, capacity - leave)


def test_a_row_is_nobodys_before_it_is_pushed_and_not_written_over_before_it_is_popped() -> None:
    producer, consumer = both_ends(1)
    slot = producer.claim()
    assert slot == 0
    assert consumer.oldest() is None
    producer.push()
    assert consumer.oldest() == 0
    assert producer.claim() is None
    consumer.pop()
    assert producer.claim() == 0


def test_the_layouts_are_as_drawn() -> None:
    """Offsets in bytes, by hand: D = 3, A = 2, S = 4."""
    row, places = question_row(3), {"number": 0, "asked_ns": 8, "flat": 16}
    assert {name: row.fields[name][1] for name in places} == places  # type: ignore[index]
    assert row.itemsize == 32  # 28, aligned to 8
    answer = answer_row(8)
    assert (answer.fields["answer"][1], answer.itemsize) == (24, 56)  # type: ignore[index]
    step = step_row(3, 2, 4)
    drawn = {"kind": 0, "seed": 8, "t_ns": 16, "reward": 24, "success": 32, "safety": 40, "ends": 48}
    drawn |= {"actor": 56, "reason": 64, "proposed": 88, "operator": 96, "executed": 104, "flat": 112}
    drawn |= {"state": 128}
    assert {name: step.fields[name][1] for name in drawn} == drawn  # type: ignore[index]
    assert step.itemsize == 128 + 32


def test_an_answer_goes_through_a_row_unchanged() -> None:
    layout = AnswerLayout(2)
    producer, consumer = both_ends(2, answer_row(layout.size))
    answer = Answer(np.array([0.5, -1], np.float32), 2.0, 0.25, np.array([0, 1], np.float32), -3.0, 4)
    slot = producer.claim()
    assert slot is not None
    layout.pack(answer, producer.columns["answer"][slot])
    producer.push()
    found = layout.unpack(consumer.columns["answer"][slot])
    assert found.action.tolist() == [0.5, -1]
    assert found.shadow_action.tolist() == [0, 1]
    assert (found.value, found.disagreement, found.shadow_value, found.bundle_number) == (2, 0.25, -3, 4)


def test_a_doorbell_rings_once_for_all_that_came_before_and_is_heard_by_another_end() -> None:
    bell = Doorbell()
    other = Doorbell(os.dup(bell.descriptor))
    assert not other.wait(0)
    bell.ring()
    bell.ring()
    assert other.wait(10**9)
    assert not other.hush()
    bell.close()
    other.close()


# --- a recording through a ring --------------------------------------------------------------------------


class Unstarted(RecordingProcess):
    """The end of the robot's process, with nobody at the other one but who calls `taking`."""

    def __init__(self, spec: Spec) -> None:
        self.descriptor = os.memfd_create("test")
        self.told: list[object] = []
        self.lost = 0
        self._spec, self._memory, self._doorbell = spec, self.descriptor, Doorbell()
        self._ring, self._seed = None, 0
        self._is_under_way = self._is_lost = False
        self.child = self  # type: ignore[assignment]

    def tell(self, order: object) -> None:
        self.told.append(order)

    def taking(self, kept: Kept, state_size: int = 0) -> Taking:
        ring = ring_of(self.descriptor, self._spec, state_size)
        return Taking(ring, RecordedHere(self._spec, "hash", kept))


@pytest.fixture
def process(spec: Spec) -> Iterator[Unstarted]:
    process = Unstarted(spec)
    yield process
    process._doorbell.close()
    os.close(process.descriptor)


def step(number: int, *, state: Array | None = None, ends: bool = False) -> Step:
    """D = 3, A = 2."""
    flat = np.full(3, number, np.float32)
    proposed, executed = np.array([1, number], np.float32), np.array([0.5, number], np.float32)
    outcome = Outcome(reward=-1.0, success=number > 2, terminated=ends, sim_state=state)
    done = Step(proposed, executed, number * 7, int(Safety.SPEED), flat, outcome, truncated=False)
    return replace(done, actor=Actor.INTERVENTION, operator=-executed) if number == 2 else done


def test_what_is_recorded_through_the_ring_is_what_is_recorded_here(spec: Spec, process: Unstarted) -> None:
    direct, through = Kept(), Kept()
    here = RecordedHere(spec, "hash", direct)
    for recording in (here, process):
        recording.home(5)
        recording.begin(np.zeros(3, np.float32), np.arange(4.0))
        for number in (1, 2, 3):
            recording.step(step(number, state=np.full(4, float(number)), ends=number == 3))
        recording.mark(int(Safety.OVERLOAD))
        recording.end("terminated")
    assert process.told == [{"state_size": 4}]
    process.taking(through, 4).take_all()
    (one,), (other,) = direct, through
    assert one.meta == other.meta
    assert (other.meta.seed, other.meta.success, other.meta.success_any) == (5, True, True)
    names = ("action", "action_policy", "action_operator", "actor", "reward", "terminated", "truncated")
    for name in (*names, "t_ns", "safety", "sim_state"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    assert other.actor.tolist() == [Actor.POLICY, Actor.INTERVENTION, Actor.POLICY]
    assert np.isnan(other.action_operator).all(axis=1).tolist() == [True, False, True]
    assert other.safety is not None
    assert other.safety.tolist() == [Safety.SPEED, Safety.SPEED, Safety.SPEED | Safety.OVERLOAD]
    for key in spec.observation:
        assert np.array_equal(one.obs[key], other.obs[key])


def test_an_episode_whose_recorder_does_not_keep_up_ends_as_lost_and_the_next_one_is_whole(
    spec: Spec, process: Unstarted
) -> None:
    capacity, kept = capacity_of(spec), Kept()
    taking = None
    for seed, steps in ((1, 2 * capacity), (2, 3)):
        process.home(seed)
        process.begin(np.zeros(3, np.float32), None)
        for number in range(steps):
            process.step(step(number))
        process.end("horizon")
        taking = taking or process.taking(kept)
        taking.take_all()
    assert process.lost == 1
    first, second = kept
    assert (first.meta.seed, first.meta.end_reason, len(first)) == (1, "lost", capacity - 2)
    assert first.truncated.tolist() == [False] * (capacity - 3) + [True]
    assert (second.meta.seed, second.meta.end_reason, len(second)) == (2, "horizon", 3)


def test_an_episode_that_finds_not_even_room_to_begin_is_counted_and_nothing_of_it_comes(
    spec: Spec, process: Unstarted
) -> None:
    kept = Kept()
    process.home(1)
    process.begin(np.zeros(3, np.float32), None)
    for number in range(2 * capacity_of(spec)):
        process.step(step(number))
    process.end("horizon")
    process.home(2)
    process.begin(np.zeros(3, np.float32), None)
    process.step(step(0))
    process.end("horizon")
    process.taking(kept).take_all()
    assert (process.lost, [episode.meta.seed for episode in kept]) == (2, [1])


def test_where_the_robots_process_dies_the_episode_under_way_ends_as_a_crash_with_all_of_its_steps(
    spec: Spec, process: Unstarted
) -> None:
    kept = Kept()
    process.home(1)
    process.begin(np.zeros(3, np.float32), None)
    for number in (1, 2):
        process.step(step(number))
    process.taking(kept).finish()
    (episode,) = kept
    assert (episode.meta.end_reason, episode.truncated.tolist()) == ("crash", [False, True])


def test_an_episode_without_steps_leaves_nothing(spec: Spec, process: Unstarted) -> None:
    kept = Kept()
    process.home(1)
    process.begin(np.zeros(3, np.float32), None)
    process.end("interrupt")
    process.taking(kept).finish()
    assert not kept


def test_where_to_record_goes_to_the_process_as_plain_json(spec: Spec) -> None:
    records = Records("data", spec, "hash", {"seed": 1}, {})
    assert Records.from_dict(records.to_dict()) == records
