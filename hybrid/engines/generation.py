"""What every engine does with ids, wherever they come from: note them, end answers, make text of them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from hybrid.errors import EngineError
from hybrid.schema import FinishReason, Step

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Serving:
    """Which generation caches belong to: an engine serves one at a time."""

    def __init__(self) -> None:
        self._current: object = None

    def begin(self) -> Callable[[], None]:
        """A new generation; what is returned raises EngineError once another one has begun."""
        self._current = generation = object()

        def check() -> None:
            if self._current is not generation:
                raise EngineError(
                    "An engine serves one generation at a time; a second one has ended this one."
                )

        return check


class Answers:
    """B answers as they grow, each until it ends with `stop`; with None they only end together."""

    def __init__(self, batch: int, stop: int | None) -> None:
        self.ids: list[list[int]] = [[] for _ in range(batch)]
        self._stop = stop

    def extend(self, new: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        """Add each row's new ids; what it really got, as a Step holds it: nothing after its end."""
        return tuple(tuple(self._extend(row, ids)) for row, ids in zip(self.ids, new, strict=True))

    def _extend(self, row: list[int], new: Sequence[int]) -> Sequence[int]:
        if self._stop is not None:
            if row and row[-1] == self._stop:
                return ()
            if self._stop in new:
                new = new[: list(new).index(self._stop) + 1]
        row.extend(new)
        return new

    def follow(self, steps: Iterable[Step], check: Callable[[], None]) -> Iterator[Step]:
        """The steps as they come, their ids noted; `check` is called before each is asked for."""
        check()
        for step in steps:
            if step.token_ids:
                self.extend(step.token_ids)
            yield step
            check()

    @property
    def finish_reasons(self) -> tuple[FinishReason, ...]:
        return tuple("eos" if ids[-1] == self._stop else "length" for ids in self.ids)

    def detokenized(self, tokenizer: "PreTrainedTokenizerBase") -> Step:
        """The last Step: what was written, and why each answer ended."""
        written = (str(tokenizer.decode(ids, skip_special_tokens=True)) for ids in self.ids)
        return Step("detokenize", texts=tuple(written), finish_reasons=self.finish_reasons)
