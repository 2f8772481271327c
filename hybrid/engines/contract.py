"""What an engine is to everybody outside this package."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from hybrid.schema import Device, Sampling, Step


class Engine(Protocol):
    """What can be measured: the answers to B texts as one stream of Steps.

    system: the method that it answers by, one of METHODS. name, device, dtype,
    options: what a run records of it, such as "torch", "cuda:0", "bfloat16".
    synchronize: waits for the device; None where nothing is left running.
    """

    @property
    def system(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> Device: ...

    @property
    def dtype(self) -> str: ...

    @property
    def options(self) -> Mapping[str, str]: ...

    @property
    def synchronize(self) -> Callable[[], None] | None: ...

    def generate(self, task: str, texts: Sequence[str], sampling: Sampling) -> Iterator[Step]: ...
