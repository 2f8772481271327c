"""A grid of latencies: what it is asked for, and each cell that was measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hybrid.schema.runs import Environment
from hybrid.schema.systems import Device, Phase

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
