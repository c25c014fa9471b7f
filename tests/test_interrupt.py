"""What a signal does to work that can be stopped only at its safe points."""

import os
import signal

import pytest

from robot_orl.interrupt import Interrupted, StopFlag

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_request_and_handlers_are_given_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopFlag() as stop:
        stop.check("nothing")
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=r"^interrupted; all is saved$"):
            stop.check("all is saved")
    assert signal.getsignal(number) == before


def test_a_second_ctrl_c_stops_at_once_but_not_a_second_hang_up() -> None:
    """A closing terminal hangs up more than once, from the shell and from the system."""
    with StopFlag() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_hang_up_that_is_ignored_as_under_nohup_stays_ignored() -> None:
    handler = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopFlag() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested
    finally:
        signal.signal(signal.SIGHUP, handler)
