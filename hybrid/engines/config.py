"""What an engine is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybrid.schema import CPU, METHODS, Device

if TYPE_CHECKING:
    from hybrid.models.source import Source  # it imports torch

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """Says nothing."""


@dataclass(frozen=True)
class Order:
    """One engine's part of a run.

    source: the pair. methods: of METHODS, an engine for each.
    device: cpu, cuda or cuda:N. dtype: of those that the engine has for it; empty
        until `make_engines` has put in the default.
    threads: of the CPU. options: of those that the engine has, by name.
    progress: called with a short sentence before what takes a while.
    """

    source: "Source"
    methods: tuple[str, ...]
    device: Device = CPU
    dtype: str = "float32"
    threads: int = 1
    options: Mapping[str, str] = field(default_factory=dict)
    progress: Progress = _silent

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise ValueError(f"methods are {', '.join(self.methods) or 'none'}; known: {', '.join(METHODS)}")
