"""Something slow that a page waits for and says how far it is.

It goes on in a thread of its own: a click, a reload or a closed tab interrupts the page and not the work,
and a second visitor joins it. What a cached function draws would be drawn again at every hit, so no
cached function may be given what draws: it returns the Work, and the page waits for its result.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")
Say = Callable[[str], object]  # what draws may return anything
Report = Callable[[str], None]
POLL_S = 0.1


class Work(Generic[T]):
    """do() under way; `sentence` is what it last said."""

    def __init__(self, do: Callable[[Report], T], sentence: str) -> None:
        self.sentence = sentence
        worker = ThreadPoolExecutor(1)
        self._future: Future[T] = worker.submit(do, self._say)
        worker.shutdown(wait=False)

    def result(self, say: Say, forget: Callable[[], object] = lambda: None) -> T:
        """Return what do() gives or raise what it raises, in the end.

        say: until then it is told how far the work is, again and again. forget: called when do() failed,
        so that the next visitor tries again; not when a click interrupts the page, as the work goes on.
        """
        while wait([self._future], POLL_S).not_done:
            say(f"{self.sentence.removesuffix(' …')} …")
        if self._future.exception():
            forget()
        return self._future.result()

    def _say(self, sentence: str) -> None:
        self.sentence = sentence
