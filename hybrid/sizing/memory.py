"""Memory and money that models need, from their sizes: of a pair, and of all that a grid measures at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from hybrid.errors import EngineError, StoreError
from hybrid.models.arithmetic import (
    BYTES,
    QUANTIZED,
    attention_width,
    bytes_per_weight,
    cache_bytes,
    parameters,
    writer_of,
)
from hybrid.models.shapes import Shape
from hybrid.schema import METHODS, Device, Grid, Model
from hybrid.schema.grids import Participant, participants, sizes
from hybrid.sizing.prediction import Pair, Request
from hybrid.sizing.profile import Profile
from hybrid.store.typed_json import convert

CGROUP = Path("/sys/fs/cgroup")
FLOAT32 = int(BYTES["float32"])  # what 8-bit engines are made from, and what they compute in
SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one method: of its weights, and of keys and values. What else an engine takes is not in it."""

    weights: int
    caches: int

    @property
    def total(self) -> int:
        return self.weights + self.caches


def memory_estimate(method: Model, pair: Pair, request: Request, profile: Profile) -> MemoryEstimate:
    """Compute the memory of a method, in bytes."""
    writer = writer_of(method, pair.llm, pair.slm)
    reading, writing = profile.bytes_each
    written = writer.decoder_parameters
    read = parameters(method, pair.llm, pair.slm) - written
    caches = cache_bytes(writer, request.prompt, request.output, request.batch, profile.dtype)
    return MemoryEstimate(int(read * reading + written * writing), caches)


def cost_per_million_tokens(total_s: float, request: Request, price_per_hour: float) -> float:
    """Return the cost of output tokens on a machine that does nothing else, in the price's own currency.

    total_s: seconds that the request takes end to end.
    """
    an_hour = request.batch * request.output * SECONDS_AN_HOUR / total_s
    return price_per_hour * 1e6 / an_hour


def shapes_of(grid: Grid) -> dict[str, Shape]:
    """Return the shapes that a grid was begun with, by name. Raises StoreError when they are damaged."""
    shapes = {}
    for name, numbers in grid.shapes.items():
        try:
            shapes[name] = convert(Shape, numbers)
        except (ValueError, TypeError) as error:
            raise StoreError(f"Grid {grid.grid_id} does not describe {name!r} ({error}).") from error
    return shapes


def check_lengths(grid: Grid) -> None:
    """Raise EngineError when a model has no positions for so long a prompt or answer."""
    prompt, output = max(grid.prompts), max(grid.outputs)
    for shape in shapes_of(grid).values():
        tokens = shape.tokens_beside(prompt, output)
        if shape.positions is not None and tokens > shape.positions:
            longest = f"--{'prompt' if prompt > shape.positions else 'output'} asks"
            options = "--prompt and --output together ask" if shape.decoder_only else longest
            raise EngineError(
                f"{shape.name} has positions for {shape.positions} tokens and {options} for {tokens}. "
                "Shorten it, or take a T5, which has no such limit."
            )


def check_memory(grid: Grid, free: int | None) -> None:
    """Raise EngineError, with both numbers, when what is measured together needs more than `free` bytes.

    free: None where it is not known; then nothing is refused.
    """
    for llm in grid.llms:
        needed = needed_bytes(grid, llm)
        if free is not None and needed > free:
            raise EngineError(
                f"{llm} with {', '.join(grid.slms)} needs about {needed / 1e9:.1f} GB of memory and "
                f"{free / 1e9:.1f} GB are free on {grid.device}. Name fewer or smaller models, smaller "
                "--batch or --prompt, or a shorter --dtype."
            )


def needed_bytes(grid: Grid, llm: str) -> int:
    """Memory for everything that takes turns beside an LLM, in bytes, roughly.

    Its weights, keys and values of the largest batch for each engine, and the
    activations of the one that is measured.
    """
    shapes = shapes_of(grid)
    largest = max(sizes(grid), key=lambda size: size.batch * (size.prompt + size.output))
    caches = widest = 0
    for participant in participants(grid, llm):
        pair = _pair(grid, llm, participant, shapes)
        for model in METHODS[participant.method].models:
            writer = writer_of(model, *pair)
            caches += cache_bytes(writer, largest.prompt, largest.output, largest.batch, grid.dtype)
        width = max(3 * attention_width(shape) + 2 * shape.d_ff for shape in pair) + pair[0].states_width
        logits = max(shape.vocabulary for shape in pair)
        widest = max(widest, largest.batch * (largest.prompt * width + logits) * FLOAT32)
    return weight_bytes(grid, llm) + caches + widest


def weight_bytes(grid: Grid, llm: str) -> int:
    """Weights of all that takes turns beside an LLM, once as they are built and once as engines pack them."""
    shapes = shapes_of(grid)
    each = bytes_per_weight(grid.dtype)
    packed = 0
    built: dict[tuple[Model, str | None, str | None], int] = {}
    turns = participants(grid, llm)
    # The hybrids read with the LLM's encoder where that is there.
    shared = any("llm" in METHODS[participant.method].models for participant in turns)
    for participant in turns:
        pair = _pair(grid, llm, participant, shapes)
        for model in METHODS[participant.method].models:
            count = parameters(model, *pair)
            packed += int(count * each)
            names = None if model == "slm" else participant.llm, None if model == "llm" else participant.slm
            own = count - pair[0].read_parameters if model == "hybrid" and shared else count
            built[model, *names] = int(own * (FLOAT32 if grid.dtype in QUANTIZED else each))
    return packed + sum(built.values())


def _pair(grid: Grid, llm: str, participant: Participant, shapes: Mapping[str, Shape]) -> tuple[Shape, Shape]:
    """Return the two shapes beside which `one` is measured, whether it needs both or not."""
    return shapes[participant.llm or llm], shapes[participant.slm or grid.slms[0]]


def free_bytes(device: Device) -> int | None:
    """Free memory of a device in bytes; of a CPU what can be had without swapping. None when unknown."""
    if device.kind != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    available = int(psutil.virtual_memory().available)  # caches of files included
    left = _left_of_cgroup()
    return available if left is None else min(available, left)


def _left_of_cgroup() -> int | None:
    """Return what a container's limit leaves, where there is one; without what the system can take back."""
    try:
        limit, used = (int((CGROUP / name).read_text("utf-8")) for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (CGROUP / "memory.stat").read_text("utf-8").splitlines())
        return limit - used + int(statistics.get("inactive_file", 0))
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return None
