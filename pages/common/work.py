"""Something slow that a page waits for and says how far it is.

It goes on in a thread of its own: a click, a reload or a closed tab interrupts the page and not the work,
and a second visitor joins it. What a cached function draws would be drawn again at every hit, so no
cached function may be given what draws: it returns the Work, and the page watches that.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")
Say = Callable[[str], None]
POLL_S = 0.1


class Work(Generic[T]):
    """do() under way; `sentence` is what it last said."""

    def __init__(self, do: Callable[[Say], T], sentence: str) -> None:
        self.sentence = sentence
        worker = ThreadPoolExecutor(1)
        self.made: Future[T] = worker.submit(do, self._say)
        worker.shutdown(wait=False)

    def watched(self, say: Say) -> T:
        """What do() gives or raises, in the end; until then `say` is told how far it is, again and again."""
        while wait([self.made], POLL_S).not_done:
            say(f"{self.sentence.removesuffix(' …')} …")
        return self.made.result()

    def _say(self, sentence: str) -> None:
        self.sentence = sentence
