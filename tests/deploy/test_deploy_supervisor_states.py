"""The ways between the states of a supervised robot."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robot_orl.deploy.supervisor.states import TRANSITIONS, Event, Machine, State
from robot_orl.errors import RunError


def walk(*events: Event) -> Machine:
    machine = Machine()
    for event in events:
        machine.handle(event, "wire cut")
    return machine


TO_RUNNING = (Event.CONNECTED, Event.HOME, Event.HOMED, Event.RUN)


def test_a_run_goes_through_every_state_in_order() -> None:
    machine = Machine()
    states = [machine.handle(event) for event in (*TO_RUNNING, Event.STOP, Event.HALTED, Event.DISCONNECTED)]
    assert states == ["idle", "homing", "ready", "running", "stopping", "stopped", "disconnected"]


def test_a_noted_fault_decides_where_stopping_ends() -> None:
    assert walk(*TO_RUNNING, Event.STOP, Event.HALTED).state is State.STOPPED
    assert walk(*TO_RUNNING, Event.FAULT, Event.HALTED).state is State.FAULT
    assert walk(*TO_RUNNING, Event.STOP, Event.FAULT, Event.HALTED).state is State.FAULT
    assert walk(*TO_RUNNING, Event.STOP, Event.HALTED, Event.FAULT).state is State.FAULT


def test_a_new_connection_forgets_the_faults_and_the_next_stop_is_no_fault() -> None:
    machine = walk(*TO_RUNNING, Event.FAULT, Event.HALTED)
    assert machine.faults == ["wire cut"]
    for event in (Event.DISCONNECTED, *TO_RUNNING, Event.STOP, Event.HALTED):
        machine.handle(event)
    assert (machine.state, machine.faults) == (State.STOPPED, [])


def test_no_path_leads_from_fault_to_running_without_idle_and_homing() -> None:
    """Every path, by cutting the state in question out of the graph."""
    for needed in (State.IDLE, State.HOMING):
        reached, queue = {State.FAULT}, [State.FAULT]
        while queue:
            state = queue.pop()
            for event in Event:
                following = TRANSITIONS.get((state, event))
                if following not in (None, needed, *reached):
                    reached.add(following)
                    queue.append(following)
        assert State.RUNNING not in reached


def test_what_is_not_drawn_is_refused_and_changes_nothing() -> None:
    machine = walk(*TO_RUNNING, Event.FAULT, Event.HALTED)
    with pytest.raises(RunError, match="the robot is fault: no run from here; possible: disconnected"):
        machine.handle(Event.RUN)
    assert machine.state is State.FAULT


@given(st.lists(st.sampled_from(list(Event)), max_size=60))
def test_whatever_happens_running_is_reached_only_from_ready_and_a_stop_ends_it(events: list[Event]) -> None:
    machine = Machine()
    history = [machine.state]
    for event in events:
        before = machine.state
        try:
            machine.handle(event)
        except RunError:
            assert machine.state is before
            assert event not in (Event.STOP, Event.FAULT, Event.DISCONNECTED)
        if event in (Event.STOP, Event.FAULT):
            assert machine.state is not State.RUNNING
        if machine.state is not before:
            history.append(machine.state)
    for before, after in pairwise(history):
        assert after is not State.RUNNING or before is State.READY
        assert after is not State.READY or before is State.HOMING
    last_fault = max((i for i, state in enumerate(history) if state is State.FAULT), default=None)
    if last_fault is not None and State.RUNNING in (later := history[last_fault:]):
        between = later[: later.index(State.RUNNING)]
        assert State.IDLE in between
        assert State.HOMING in between
