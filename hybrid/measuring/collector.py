"""Python's garbage collector, kept out of what is timed and of what is slow enough."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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


@contextmanager
def collector_off() -> Iterator[None]:
    """No collection in the block: one would stop whoever is measured just then.

    It is also a fifth of the time that importing torch and transformers takes.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
