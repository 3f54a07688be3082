import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.states import TRANSITIONS, Signal, State, after


@given(st.lists(st.sampled_from(Signal)))
def test_ready_is_reached_from_synchronising_alone(signals):
    state = State.DOWN
    for signal in signals:
        before, state = state, after(state, signal)
        if state is State.READY and before is not State.READY:
            assert (before, signal) == (State.SYNCING, Signal.SYNCED)


@pytest.mark.parametrize("state", State)
def test_a_connection_that_ends_is_down(state):
    assert after(state, Signal.ENDED) is State.DOWN


@pytest.mark.parametrize("state", State)
def test_every_state_can_come_back_to_ready(state):
    reached = {state}
    for _ in State:
        reached |= {after(one, signal) for one, signal in itertools.product(reached, Signal)}
    assert reached == set(State)


def test_the_table_names_only_changes():
    assert all(before is not now for (before, _), now in TRANSITIONS.items() if before is not State.DOWN)
