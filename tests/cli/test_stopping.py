"""Signals end a command cleanly, wherever Python is when they come."""

import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from hybrid.cli.bench import Stopped, stoppable


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """A script's & starts pytest with SIGINT ignored; here it is not."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert sys.unraisablehook is hook
    for number, handler in before.items():
        signal.signal(number, handler)


def tell(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(1)


class ToldWhileFinalized:
    def __del__(self) -> None:
        tell(signal.SIGTERM)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_raised_with_its_exit_code(number: int, code: int):
    with pytest.raises(Stopped) as stopped, stoppable():
        tell(number)
    assert stopped.value.exit_code == code


def test_a_second_signal_does_not_interrupt_the_end():
    def ends() -> None:
        try:
            tell(signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped), stoppable():
        ends()


def test_a_signal_that_a_finalizer_swallows_comes_again():
    def works() -> None:
        garbage = ToldWhileFinalized()
        del garbage
        time.sleep(5)

    with pytest.raises(Stopped) as stopped, stoppable():
        works()
    assert stopped.value.exit_code == 143


def test_one_that_was_swallowed_at_the_very_end_harms_nobody():
    with stoppable():
        garbage = ToldWhileFinalized()
        del garbage
    time.sleep(0.2)


def test_what_else_a_finalizer_raises_is_reported_as_ever(monkeypatch: pytest.MonkeyPatch):
    class Fails:
        def __del__(self) -> None:
            raise ValueError

    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda what: seen.append(what.exc_type))
    with stoppable():
        fails = Fails()
        del fails
    assert seen == [ValueError]
    monkeypatch.undo()


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with stoppable():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
