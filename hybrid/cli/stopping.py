"""A command that ends cleanly on Ctrl-C and SIGTERM."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_S = 0.05


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came. exit_code: as a shell reports it, 130 or 143."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped, once: what is then done to end cleanly is not interrupted.

    Python swallows what is raised while an object's finalizer runs; the signal is then sent again.
    """
    # Who starts a command with a signal ignored, as a script's & does, wants it ignored.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    def send_again(number: int) -> None:
        if signal.getsignal(number) is stop:  # else it is too late to end cleanly, or somebody did
            os.kill(os.getpid(), number)

    def swallowed(what: "UnraisableHookArgs") -> None:
        if not isinstance(what.exc_value, Stopped):
            hook(what)
            return
        for each in numbers:
            signal.signal(each, stop)
        threading.Timer(AGAIN_S, send_again, [what.exc_value.number]).start()

    before = {number: signal.signal(number, stop) for number in numbers}
    hook, sys.unraisablehook = sys.unraisablehook, swallowed
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
