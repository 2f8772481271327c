"""What every measurement needs: the clock, settled threads and memory, and where it ran.

Here: Python's garbage collector, kept out of what is timed and of what is slow enough.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


@contextmanager
def settled_heap() -> Iterator[None]:
    """Keep the collector from what is there already: 400,000 objects of libraries and models.

    The collections between measurements then take microseconds instead of 0.2
    seconds, and do not drive the models out of the CPU's caches.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class CollectorOff:
    """Keep the collector off in blocks, also of several threads: the last one that ends turns it on.

    One would stop whoever is measured just then. It is also a fifth of the time
    that importing torch and transformers takes, and a quarter of that of reading answers.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._blocks += 1
            gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    gc.enable()


collector_off = CollectorOff()
