"""What engines share while they answer: a turn each, where each answer ends, and a thread to wait for.

The thread is for a library that answers in one blocking call: it hands over what it
finds, and whoever waits for it gets that as an iterator. The call never waits for the
reader, so the ids come at the pace at which the library's own users see them.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

from hybrid.errors import EngineError
from hybrid.schema import Step

T = TypeVar("T")
HandOver = Callable[[T], bool]  # it says whether nobody reads on, so that the work can end


class GenerationGuard:
    """Whose turn it is where caches belong to one generation at a time."""

    def __init__(self) -> None:
        self._current: object = None

    def follow(self, steps: Iterable[Step]) -> Iterator[Step]:
        """Give the steps of a new generation; raises EngineError once another one has begun."""
        self._current = generation = object()
        for step in steps:
            yield step
            if self._current is not generation:
                raise EngineError(
                    "An engine serves one generation at a time; a second one has ended this one."
                )


class GenerationState:
    """B answers as they grow, each until it ends with an id of `stop`; without one they only end together."""

    def __init__(self, batch: int, stop: Collection[int]) -> None:
        self.ids: list[list[int]] = [[] for _ in range(batch)]
        self._stop = stop

    def extend(self, new: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """Add each row's new ids; gives those that it really got: nothing after its end."""
        return tuple(tuple(self._extend(row, ids)) for row, ids in zip(self.ids, new, strict=True))

    def _extend(self, row: list[int], new: Sequence[int]) -> Sequence[int]:
        if row and row[-1] in self._stop:
            return ()
        new = until(self._stop, new)
        row.extend(new)
        return new


def until(stop: Collection[int], ids: Sequence[int]) -> Sequence[int]:
    """Cut off what follows the first id that is in `stop`."""
    end = next((place for place, token in enumerate(ids, 1) if token in stop), None)
    return ids[:end]


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
