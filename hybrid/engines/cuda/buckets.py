"""The sizes that work is recorded for: a request is padded up to the next of each.

A CUDA graph replays the same kernels over the same memory, so every size is a
graph of its own. Few sizes mean few recordings, many mean little padding: from
128 tokens on, at most a fifth of a prompt is padding. Below that a prompt costs
what its launches cost, whatever its length.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

BATCHES = (1, 2, 4, 8, 16, 32)  # prompts at once
LENGTHS = (32, 64, 96, *range(128, 257, 32), *range(320, 513, 64), *range(640, 1025, 128))  # prompt tokens
CAPACITIES = (64, 128, 256, 512)  # generated tokens, the end included


def bucket(size: int, sizes: Sequence[int]) -> int | None:
    """The smallest of `sizes` that holds `size`; None when none does."""
    return next((one for one in sizes if one >= size), None)


class Sized(Protocol):
    """What takes memory on the device, in bytes."""

    @property
    def nbytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class Kept(Generic[K, V]):
    """What was made last, up to so many things and bytes; what was not used for longest goes first."""

    def __init__(self, count: int, nbytes: int) -> None:
        self._count, self._limit = count, nbytes
        self._things: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The thing of this key, made when it is not here; it stays even when it alone is too large."""
        if key not in self._things:
            self._things[key] = make()
        self._things.move_to_end(key)
        while len(self._things) > 1 and (len(self._things) > self._count or self.nbytes > self._limit):
            self._things.popitem(last=False)
        return self._things[key]

    def drop(self, unwanted: Callable[[K], bool]) -> None:
        """Let go of all things with such keys."""
        for key in [key for key in self._things if unwanted(key)]:
            del self._things[key]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(thing.nbytes for thing in self._things.values())

    def __len__(self) -> int:
        return len(self._things)
