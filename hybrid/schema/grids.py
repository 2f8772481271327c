"""A grid of latencies: what it is asked for, its cells in the order of measuring, each that was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hybrid.schema.runs import Environment
from hybrid.schema.systems import METHODS, Device, Phase

# Method, LLM, SLM, batch, tokens of the prompt, of the answer: what a grid holds once. A method that
# does not need one of the models has None in its place.
CellKey = tuple[str, str | None, str | None, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a grid is asked for, and where it is measured: the first line of its file.

    llms, slms: names of shapes; all pairs of them are meant. methods: of
    METHODS. batches, prompts, outputs: prompts at once, tokens of each, tokens
    of each answer; all combinations are meant. repeats: measured answers of a
    cell. shapes: the sizes behind each name. weights: always "random".
    """

    grid_id: str
    llms: tuple[str, ...]
    slms: tuple[str, ...]
    methods: tuple[str, ...]
    batches: tuple[int, ...]
    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    repeats: int
    engine: str
    device: Device
    dtype: str
    threads: int
    environment: Environment
    created_at: str
    engine_options: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    weights: str = "random"

    @property
    def product(self) -> str:
        """Version of the product that began it."""
        return self.environment.product


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method at one size. Times are in seconds, one for each repeat, in the order of measuring.

    llm, slm: names of shapes, None where the method does without.
    phases_s: by phase; their sum is the end-to-end latency of the batch.
    ttft_s: to the first token. tpot_s: per token after it; empty when there is one.
    drafted, accepted: ids of all answers, of lossless methods; else empty.
    options: what the engine says of itself, such as why another one answered for it.
    environment: where it was measured, None for the grid's own.
    """

    method: str
    llm: str | None
    slm: str | None
    batch: int
    prompt_tokens: int
    output_tokens: int
    started_at: str
    phases_s: Mapping[Phase, tuple[float, ...]]
    ttft_s: tuple[float, ...]
    tpot_s: tuple[float, ...] = ()
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None

    @property
    def key(self) -> CellKey:
        """What a grid holds once."""
        return self.method, self.llm, self.slm, self.batch, self.prompt_tokens, self.output_tokens

    @property
    def total_s(self) -> tuple[float, ...]:
        """End-to-end latency of each repeat."""
        return tuple(map(sum, zip(*self.phases_s.values(), strict=True)))

    @property
    def median_total_s(self) -> float:
        return _median(self.total_s)

    @property
    def median_ttft_s(self) -> float:
        return _median(self.ttft_s)

    @property
    def median_tpot_s(self) -> float | None:
        """None when only one token was written."""
        return _median(self.tpot_s) if self.tpot_s else None

    @property
    def median_phases_s(self) -> dict[Phase, float]:
        """By phase. Medians of parts need not sum to the median of the whole."""
        return {phase: _median(times) for phase, times in self.phases_s.items()}


def _median(values: tuple[float, ...]) -> float:
    from statistics import median  # brings fractions and decimals, which few need

    return median(values)


def describe_cell(key: CellKey) -> str:
    """Return a cell's key in words."""
    method, llm, slm, batch, prompt, output = key
    models = "+".join(name for name in (llm, slm) if name)
    return f"{method} of {models} at batch {batch}, prompt {prompt}, output {output}"


class Size(NamedTuple):
    """Prompts at once, tokens of each, tokens of each answer."""

    batch: int
    prompt: int
    output: int


class Participant(NamedTuple):
    """A way to answer with certain models: what takes turns at a size. Names are None where not needed."""

    method: str
    llm: str | None
    slm: str | None

    def key(self, size: Size) -> CellKey:
        """Of its cell at this size."""
        return *self, *size

    def measured_at(self, size: Size) -> bool:
        """Whether it answers so many prompts at once: what is drafted for one does not fit another."""
        return size.batch == 1 or not METHODS[self.method].lossless


def participants(grid: Grid, llm: str) -> tuple[Participant, ...]:
    """All that take turns beside this LLM, each once."""
    named = (models_named(method, llm, slm) for slm in grid.slms for method in grid.methods)
    return tuple(dict.fromkeys(named))


def models_named(method: str, llm: str, slm: str) -> Participant:
    """Name the method with those of the two models that it needs."""
    models = METHODS[method].models
    reads = "llm" in models or "hybrid" in models
    writes = "slm" in models or "hybrid" in models
    return Participant(method, llm if reads else None, slm if writes else None)


def sizes(grid: Grid) -> tuple[Size, ...]:
    """In the order of measuring: the longest answers to a batch and prompt first, which warm up the rest."""
    return tuple(
        Size(batch, prompt, output)
        for batch in grid.batches
        for prompt in grid.prompts
        for output in sorted(grid.outputs, reverse=True)
    )


def planned(grid: Grid) -> tuple[CellKey, ...]:
    """Every cell of the grid once, in the order of measuring."""
    return tuple(dict.fromkeys(_keys(grid)))


def _keys(grid: Grid) -> Iterator[CellKey]:
    for llm in grid.llms:
        for size in sizes(grid):
            for participant in participants(grid, llm):
                if participant.measured_at(size):
                    yield participant.key(size)
