"""Ids as they come out of a library that answers in one blocking call.

The call runs in a thread of its own and hands over what it finds; whoever
waits for it gets that as an iterator. The call never waits for the reader, so
the ids come at the pace at which the library's own users see them.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

T = TypeVar("T")
HandOver = Callable[[T], bool]  # it says whether nobody reads on, so that the work can end


class Worker(Generic[T]):
    """One thread that works for one reader after another; what is asked of it meanwhile waits."""

    def __init__(self) -> None:
        # One thread for good: each new one would start OpenMP threads of its own.
        self._thread = ThreadPoolExecutor(max_workers=1)

    def stream(self, work: Callable[[HandOver[T]], None]) -> Iterator[T]:
        """Yield what `work` hands over, as soon as it does. Its exceptions come out here, after that.

        Closing the iterator before its end waits until `work` has ended, too.
        """
        queue: SimpleQueue[object] = SimpleQueue()
        end, closed = object(), list[bool]()
        relay = _relay(queue, closed)
        next(relay)

        def run() -> None:
            try:
                work(relay.send)
            finally:
                queue.put(end)

        done = self._thread.submit(run)
        try:
            while (item := queue.get()) is not end:
                yield cast(T, item)
        finally:
            closed.append(True)
            error = done.exception()
        if error is not None:
            raise error


def _relay(queue: SimpleQueue[object], closed: Sequence[bool]) -> Generator[bool, object, None]:
    """Put what is sent into the queue, and say whether that was in vain.

    A generator, since a thread of a C++ library gets a new Python stack for
    each function that it calls: 25 microseconds, against 6 for a send.
    """
    while True:
        queue.put((yield bool(closed)))
