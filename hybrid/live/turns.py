"""Who may run a model: one at a time, in the order in which they came.

A plain lock would let whoever asks again at once, such as a visitor with a
hundred prompts, go before one who has been waiting.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

POLL_S = 0.1


class Turns:
    """A queue of those who want to run a model, of all threads of this process."""

    def __init__(self) -> None:
        self._queue: deque[object] = deque()
        self._moved = Condition()

    @contextmanager
    def mine(self, waiting: Callable[[int], None] = lambda _: None) -> Iterator[None]:
        """Wait for the turn, and have it while the block runs.

        waiting: called again and again meanwhile, with how many are before. It
        may raise: whoever gives up leaves the queue.
        """
        ticket = object()
        with self._moved:
            self._queue.append(ticket)
        try:
            while before := self._before(ticket):
                waiting(before)
                with self._moved:
                    self._moved.wait_for(lambda: self._queue[0] is ticket, POLL_S)
            yield
        finally:
            with self._moved:
                self._queue.remove(ticket)
                self._moved.notify_all()

    @property
    def taken(self) -> bool:
        """Whether somebody runs a model now."""
        return bool(self._queue)

    def _before(self, ticket: object) -> int:
        with self._moved:
            return self._queue.index(ticket)
