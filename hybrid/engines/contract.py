"""What an engine is to everybody outside this package, and what it is made of."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hybrid.schema import CPU, METHODS, Device, EncodedPrompt, Model, Observer, Sampling, Step, System, silent

if TYPE_CHECKING:  # they import torch
    from hybrid.models.bundle import Bundle
    from hybrid.models.prompts import TextCodec
    from hybrid.models.sources import Source


class Engine(Protocol):
    """What can be measured: ids in, ids out.

    method: that it answers by, one of METHODS. name, device, dtype, options: what
    a run records of it, such as "torch", "cuda:0", "bfloat16". synchronize: waits
    for the device; None where nothing is left running.
    """

    @property
    def method(self) -> str: ...

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

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps encode, (project,) prefill, decode and so on, as far as they exist.

        Ids include the end-of-sequence id; nothing follows it in a row. A new
        generation ends one that is under way. Raises EngineError for what the
        engine cannot answer.
        """


@dataclass(frozen=True, kw_only=True)
class LoadedSystem:
    """A system ready to answer texts. codec: of its engine's prompts and answers."""

    system: System
    engine: Engine
    codec: "TextCodec"


@dataclass(frozen=True)
class EngineConfig:
    """What engines are made of.

    source: the pair. methods: of METHODS, an engine for each.
    device: cpu, cuda or cuda:N. dtype: of those that the engine has for it; empty
        until `create_engines` has put in the default.
    threads: of the CPU. options: of those that the engine has, by name.
    observer: told of what takes a while.
    """

    source: "Source"
    methods: tuple[str, ...]
    device: Device = CPU
    dtype: str = "float32"
    threads: int = 1
    options: Mapping[str, str] = field(default_factory=dict)
    observer: Observer = silent

    @property
    def spreads(self) -> bool:
        """Whether the LLM goes to several GPUs, as it does not fit on the device alone."""
        return self.device.kind == "cuda" and self.source.spreads(self.device, self.dtype)

    def bundle(self, models: Collection[Model]) -> "Bundle":
        """Load models of the pair; for a GPU the LLM in the engine's precision, spread where it must be."""
        if self.device.kind == "cpu" and not self.spreads:
            return self.source.bundle(models)
        from hybrid.models.bundle import Placement

        return self.source.bundle(models, Placement(self.dtype, self.spreads))

    def __post_init__(self) -> None:
        unknown = [method for method in self.methods if method not in METHODS]
        if unknown or not self.methods:
            raise ValueError(f"methods are {', '.join(self.methods) or 'none'}; known: {', '.join(METHODS)}")
