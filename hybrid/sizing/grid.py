"""A grid as a stream of cells, measured by the clock outside the engines."""

import gc
import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import torch

from hybrid.engines.contract import Engine, EngineConfig, LoadedSystem
from hybrid.engines.registry import best_engines, create_engines
from hybrid.errors import MeasurementError
from hybrid.measuring import settled_heap
from hybrid.measuring.answers import undisturbed_answers, warm_up
from hybrid.models.arithmetic import QUANTIZED
from hybrid.models.random_pair import TASK, RandomWeights, random_pair, word_prompts
from hybrid.models.shapes import Shape
from hybrid.models.sources import models_of
from hybrid.schema import Cell, CellKey, Generation, Grid, Observer, Phase, Sampling, Status, System, silent
from hybrid.schema.grids import Participant, Size, participants, sizes
from hybrid.sizing.memory import shapes_of

Clock = Callable[[], float]
Make = Callable[[str, EngineConfig], Mapping[str, Engine]]
# What a probe is shrunk to: engines refuse a kind of model, never its size.
TINY: Mapping[str, Any] = {
    "d_model": 64, "d_ff": 128, "heads": 2, "d_kv": 32,
    "encoder_layers": 1, "decoder_layers": 1, "vocabulary": 512,
}  # fmt: skip


def measure_cells(
    grid: Grid,
    done: Collection[CellKey] = frozenset(),
    observer: Observer = silent,
    make: Make = create_engines,
    clock: Clock = time.perf_counter,
) -> Generator[tuple[Cell, ...], None, None]:
    """Yield the cells of each LLM at each size as they are measured, without those in `done`.

    observer: told before models are built. make: as
    create_engines(). Errors of engine and clock pass through.
    """
    measured = set(done)
    for llm in grid.llms:
        for cells in _beside(grid, llm, measured, observer, make, clock):
            measured |= {cell.key for cell in cells}
            yield cells
        gc.collect()  # models refer to themselves in circles; the next ones need their room
        if grid.device.kind != "cpu":
            torch.cuda.empty_cache()


def _beside(
    grid: Grid, llm: str, done: Collection[CellKey], observer: Observer, make: Make, clock: Clock
) -> Iterator[tuple[Cell, ...]]:
    """Yield the cells of one LLM, whose engines are gone when this ends."""
    turns = participants(grid, llm)
    todo = {
        size: [turn for turn in turns if turn.measured_at(size) and turn.key(size) not in done]
        for size in sizes(grid)
    }
    todo = {size: missing for size, missing in todo.items() if missing}
    if not todo:
        return
    needed = {turn for missing in todo.values() for turn in missing}
    engines = _engines(grid, llm, [turn for turn in turns if turn in needed], observer, make)
    with settled_heap():
        for size, ready in _warmed(grid, todo, engines):
            yield _measured(grid, size, ready, clock)


def probed_engine(
    shapes: tuple[Collection[Shape], Collection[Shape]], order: Mapping[str, Any], observer: Observer
) -> str:
    """Name the fastest engine that runs models of these kinds here, found out with tiny ones.

    shapes: of the LLMs and of the SLMs. order: the fields of Order but its
    source. observer: told of each faster engine that does not run.
    """
    llm, slm = (max(group, key=_hardness) for group in shapes)
    source = random_pair(_tiny(llm), _tiny(slm))
    return best_engines(EngineConfig(source=source, **order, observer=observer))[0]


def _tiny(shape: Shape) -> Shape:
    layers = max(1, len(shape.read_layers))
    read = tuple(range(1, layers + 1)) if shape.read_layers else ()
    sizes = {**TINY, "encoder_layers": layers, "decoder_layers": layers, "read_layers": read}
    if shape.decoder_only:
        sizes["encoder_layers"] = 0
    if shape.key_value_heads is not None:
        sizes["key_value_heads"] = 1
    return replace(shape, **sizes)


def _hardness(shape: Shape) -> tuple[bool, bool, int]:
    """Few engines run other families than T5, fewer its first version, and perhaps not several layers."""
    gated = shape.feed_forward.startswith("gated")
    return shape.kind.positions != "relative", not gated, len(shape.read_layers)


def _engines(
    grid: Grid, llm: str, needed: Collection[Participant], observer: Observer, make: Make
) -> dict[Participant, LoadedSystem]:
    """Create an engine for each participant; every model is built once, kept only while one needs it."""
    shapes = shapes_of(grid)
    weights = RandomWeights(
        vocabulary=_vocabulary(grid),
        device=grid.device,
        dtype=getattr(torch, "float32" if grid.dtype in QUANTIZED else grid.dtype),
        max_prompt_tokens=max(grid.prompts),
        held=weakref.WeakValueDictionary(),
    )
    loaded: dict[Participant, LoadedSystem] = {}
    bundles = []  # what the pairs of an LLM share is built once
    for slm in grid.slms:
        group = [turn for turn in needed if turn not in loaded and turn.slm in (slm, None)]
        if not group:
            continue
        observer(Status(sentence=f"Building {llm} and {slm}"))
        source = random_pair(shapes[llm], shapes[slm], weights)
        methods = tuple(turn.method for turn in group)
        bundles.append(source.bundle(models_of(methods)))
        config = EngineConfig(
            source, methods, grid.device, grid.dtype, grid.threads, grid.engine_options, observer
        )
        engines = make(grid.engine, config)
        for turn in group:
            loaded[turn] = LoadedSystem(
                system=System(turn.method), engine=engines[turn.method], codec=source.codec(turn.method)
            )
    return loaded


def _vocabulary(grid: Grid) -> int:
    """Ids that every model of the grid knows: all of them read the same prompts."""
    return min(shape.vocabulary for shape in shapes_of(grid).values())


def _texts(grid: Grid, size: Size, seed: int) -> list[str]:
    return word_prompts(_vocabulary(grid), size.prompt, size.batch, seed)


def _warmed(
    grid: Grid, todo: Mapping[Size, Collection[Participant]], engines: Mapping[Participant, LoadedSystem]
) -> Iterator[tuple[Size, dict[Participant, LoadedSystem]]]:
    """Each size with the engines that are to be measured there, after an answer of each that is dropped.

    The longest answers warm up the shorter ones to the same batch and prompt, which come after them.
    """
    warm: set[tuple[Participant, int, int]] = set()
    for size, missing in todo.items():
        for turn in missing:
            if (turn, size.batch, size.prompt) not in warm:
                warm_up(engines[turn], TASK, _texts(grid, size, 0), size.output)
            warm.add((turn, size.batch, size.prompt))
        yield size, {turn: engines[turn] for turn in missing}


def _measured(
    grid: Grid, size: Size, turns: Mapping[Participant, LoadedSystem], clock: Clock
) -> tuple[Cell, ...]:
    """Measure a cell for each of `turns`, which take turns `repeats` times: ABC BCA CAB."""
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    sampling = Sampling(size.output, ignore_eos=True)
    order = list(turns)
    answers: dict[Participant, list[tuple[Generation, ...]]] = {turn: [] for turn in order}
    for repeat in range(grid.repeats):
        texts = _texts(grid, size, repeat + 1)
        first = repeat % len(order)
        for turn in order[first:] + order[:first]:
            answers[turn].append(undisturbed_answers(turns[turn], TASK, texts, sampling, clock))
    return tuple(
        replace(_cell(turn, size, started_at, answers[turn]), options=dict(turns[turn].engine.options))
        for turn in order
    )


def _cell(turn: Participant, size: Size, started_at: str, answers: list[tuple[Generation, ...]]) -> Cell:
    """answers: by repeat, a Generation for each prompt; these share their times."""
    for rows in answers:
        for row in rows:
            if (row.prompt_tokens, len(row.token_ids)) != (size.prompt, size.output):
                raise MeasurementError(
                    f"{turn.method} read {row.prompt_tokens} and wrote {len(row.token_ids)} tokens where "
                    f"{size.prompt} and {size.output} were asked for; this engine cannot be measured so."
                )
    timings = [rows[0].timing for rows in answers]
    phases: dict[Phase, tuple[float, ...]] = {
        phase: tuple(timing.phases.get(phase, 0.0) for timing in timings) for phase in timings[0].phases
    }
    drafted, accepted = (
        tuple(sum(getattr(row, name) for row in rows) for rows in answers) for name in ("drafted", "accepted")
    )
    return Cell(
        **turn._asdict(), batch=size.batch, prompt_tokens=size.prompt, output_tokens=size.output,
        started_at=started_at, phases_s=phases,
        ttft_s=tuple(timing.ttft_s for timing in timings),
        tpot_s=tuple(timing.tpot_s for timing in timings if timing.tpot_s is not None),
        drafted=drafted if any(drafted) else (),
        accepted=accepted if any(drafted) else (),
    )  # fmt: skip
