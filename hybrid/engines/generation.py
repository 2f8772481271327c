"""What every engine minds while it answers: one generation at a time, and where each answer ends."""

from collections.abc import Iterable, Iterator, Sequence

from hybrid.errors import EngineError
from hybrid.schema import Step


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
    """B answers as they grow, each until it ends with `stop`; with None they only end together."""

    def __init__(self, batch: int, stop: int | None) -> None:
        self.ids: list[list[int]] = [[] for _ in range(batch)]
        self._stop = stop

    def extend(self, new: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """Add each row's new ids; gives those that it really got: nothing after its end."""
        return tuple(tuple(self._extend(row, ids)) for row, ids in zip(self.ids, new, strict=True))

    def _extend(self, row: list[int], new: Sequence[int]) -> Sequence[int]:
        if self._stop is not None:
            if row and row[-1] == self._stop:
                return ()
            if self._stop in new:
                new = new[: list(new).index(self._stop) + 1]
        row.extend(new)
        return new
