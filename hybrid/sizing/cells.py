"""Which cells a grid has, and in which order they are measured."""

from collections.abc import Iterator
from typing import NamedTuple

from hybrid.errors import EngineError, StoreError
from hybrid.models.shapes import Shape
from hybrid.schema import METHODS, CellKey, Grid
from hybrid.store.typed_json import convert


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


def shapes_of(grid: Grid) -> dict[str, Shape]:
    """Return the shapes that a grid was begun with, by name. Raises StoreError when they are damaged."""
    shapes = {}
    for name, sizes in grid.shapes.items():
        try:
            shapes[name] = convert(Shape, sizes)
        except (ValueError, TypeError) as error:
            raise StoreError(f"Grid {grid.grid_id} does not describe {name!r} ({error}).") from error
    return shapes


def check_lengths(grid: Grid) -> None:
    """Raise EngineError when a model has no positions for so long a prompt or answer."""
    for shape in shapes_of(grid).values():
        for what, lengths in (("prompt", grid.prompts), ("output", grid.outputs)):
            if shape.positions is not None and max(lengths) > shape.positions:
                raise EngineError(
                    f"{shape.name} has positions for {shape.positions} tokens and --{what} asks for "
                    f"{max(lengths)}. Shorten it, or take a T5, which has no such limit."
                )


def _keys(grid: Grid) -> Iterator[CellKey]:
    for llm in grid.llms:
        for size in sizes(grid):
            for participant in participants(grid, llm):
                if participant.measured_at(size):
                    yield participant.key(size)
