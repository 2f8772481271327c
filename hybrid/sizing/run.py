"""A grid from a request to a stored file: check, build, measure, store, and end well in any case."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hybrid.engines.registry import AUTO, default_dtype, spec_of, unavailable_reason
from hybrid.errors import EngineError
from hybrid.measuring import collector_off
from hybrid.measuring.environment import environment
from hybrid.measuring.lock import measuring
from hybrid.measuring.memory import running_out_of_memory
from hybrid.models.known_shapes import find_shape
from hybrid.models.shapes import Shape
from hybrid.schema import (
    CPU,
    MODELS,
    Cell,
    CellKey,
    Device,
    Finished,
    Grid,
    Interrupted,
    Notice,
    Observer,
    Progress,
    Started,
    Status,
    silent,
)
from hybrid.schema.grids import planned
from hybrid.sizing.memory import check_lengths, check_memory, free_bytes
from hybrid.store import grids
from hybrid.store.grids import GridWriter, StoredGrid, create_grid, load_grid, new_grid_id

Append = Callable[[Sequence[Cell]], Sequence[Cell]]


@dataclass(frozen=True, kw_only=True)
class GridRequest:
    """Which sizes to measure; several of each make a grid of all combinations.

    llms, slms: names of shapes, or paths to a config.json. methods: of METHODS.
    batches, prompts, outputs: prompts at once, tokens of each, tokens of each answer.
    repeats: measured answers of a cell. engine: `auto` for the fastest that runs
    here. dtype: empty for the engine's own.
    """

    llms: tuple[str, ...]
    slms: tuple[str, ...]
    methods: tuple[str, ...] = MODELS
    batches: tuple[int, ...] = (1,)
    prompts: tuple[int, ...] = (128,)
    outputs: tuple[int, ...] = (64,)
    repeats: int = 3
    engine: str = AUTO
    device: Device = CPU
    dtype: str = ""
    threads: int = 1
    engine_options: Mapping[str, str] = field(default_factory=dict)


def measure_grid(
    request: GridRequest,
    observer: Observer = silent,
    *,
    store: bool = True,
    time_limit_s: float | None = None,
    wait_s: float = 0.0,
    root: Path | None = None,
) -> StoredGrid:
    """Measure how fast models of these sizes answer, with random weights.

    store: as a file of the results, cell by cell. time_limit_s: end after the
    size that is measured by then. wait_s: seconds to wait for another measurement
    on this machine. root: the folder of results; results_folder() when None.

    Returns what was measured. What was stored before an error or an interrupt
    stays, and resume_grid() goes on. Raises HybridError.
    """
    deadline = _deadline(time_limit_s)
    llms, slms = ({s.name: s for s in map(find_shape, names)} for names in (request.llms, request.slms))
    now = datetime.now(UTC)
    _import_libraries(observer)
    engine = _best_engine(request, llms, slms, observer) if request.engine == AUTO else request.engine
    _check_engine(engine, request.device)
    grid = Grid(
        grid_id=new_grid_id(engine, now),
        llms=tuple(llms),
        slms=tuple(slms),
        methods=request.methods,
        batches=request.batches,
        prompts=request.prompts,
        outputs=request.outputs,
        repeats=request.repeats,
        engine=engine,
        device=request.device,
        dtype=request.dtype or default_dtype(engine, request.device),
        threads=request.threads,
        environment=environment(request.device, "", spec_of(engine).packages),
        created_at=now.isoformat(timespec="seconds"),
        engine_options=request.engine_options,
        shapes={name: asdict(shape) for name, shape in (llms | slms).items()},
    )
    _check(grid)
    with measuring(grid.grid_id, "latency", wait_s, observer):
        if not store:
            return StoredGrid(grid, _measure(grid, frozenset(), tuple, deadline, observer), ())
        with create_grid(grid, root) as writer:
            return _complete(writer, deadline, observer)


def resume_grid(
    grid_id: str,
    observer: Observer = silent,
    *,
    time_limit_s: float | None = None,
    wait_s: float = 0.0,
    root: Path | None = None,
) -> StoredGrid:
    """Measure what a stored grid lacks, and return all of its cells.

    grid_id: an id or `latest`. Otherwise as measure_grid().
    """
    deadline = _deadline(time_limit_s)
    grid = load_grid(grid_id, root).grid
    _import_libraries(observer)
    _check_engine(grid.engine, grid.device)
    _check(grid)
    present = environment(grid.device, "", spec_of(grid.engine).packages)
    with (
        measuring(grid.grid_id, "latency", wait_s, observer),
        grids.resume_grid(grid.grid_id, present, root) as writer,
    ):
        for problem in writer.stored.problems:
            observer(Notice(sentence=problem))
        return _complete(writer, deadline, observer)


def _complete(writer: GridWriter, deadline: float, observer: Observer) -> StoredGrid:
    """Measure what is missing into the grid; on any end tell what is there."""
    grid, total = writer.grid, len(planned(writer.grid))

    def interrupted() -> Interrupted:
        return Interrupted(run_id=grid.grid_id, done=len(writer.done), planned=total)

    try:
        cells = _measure(grid, writer.done, writer.append, deadline, observer)
    except BaseException:
        if writer.done or writer.stored.problems:
            observer(interrupted())
        else:
            writer.discard()  # what fails before its first cell would fail again
        raise
    observer(Finished(run_id=grid.grid_id) if len(writer.done) == total else interrupted())
    return StoredGrid(grid, writer.stored.cells + cells, writer.stored.problems)


def _measure(
    grid: Grid, done: frozenset[CellKey], append: Append, deadline: float, observer: Observer
) -> tuple[Cell, ...]:
    """Measure until all is there or the time is over; `append` stores what belongs together."""
    from hybrid.sizing.grid import measure_cells

    measured: list[Cell] = []
    total = len(planned(grid))
    observer(Started(run_id=grid.grid_id, title="", planned=total, done=len(done)))
    full, fix = f"The memory of {grid.device} is full.", "Name fewer or smaller models, or a smaller --batch."
    stream = measure_cells(grid, done, observer)
    with running_out_of_memory(full, fix), closing(stream):
        for cells in stream:
            measured += append(cells)
            count = len(done) + len(measured)
            observer(Progress(done=count, planned=total, detail=_size_of(cells[0])))
            if time.monotonic() > deadline and count < total:
                observer(Notice(sentence="The time is over"))
                break
    return tuple(measured)


def _check_engine(engine: str, device: Device) -> None:
    """Raise EngineError when it does not run here: before the device is asked for its name."""
    if reason := unavailable_reason(engine, device):
        raise EngineError(reason)


def _check(grid: Grid) -> None:
    """Raise EngineError for what cannot be measured, before anything is built."""
    check_lengths(grid)
    check_memory(grid, free_bytes(grid.device))


def _best_engine(
    request: GridRequest, llms: Mapping[str, Shape], slms: Mapping[str, Shape], observer: Observer
) -> str:
    """Resolve `auto`: one engine for the whole grid, and why no faster one."""
    from hybrid.sizing.grid import probed_engine

    order = {name: getattr(request, name) for name in ("methods", "device", "dtype", "threads")}
    order["options"] = request.engine_options
    engine = probed_engine((llms.values(), slms.values()), order, observer)
    observer(Notice(sentence=f"The engine is {engine}."))
    return engine


def _deadline(time_limit_s: float | None) -> float:
    return time.monotonic() + (float("inf") if time_limit_s is None else time_limit_s)


def _import_libraries(observer: Observer) -> None:
    observer(Status(sentence="Starting"))
    with collector_off():
        import hybrid.sizing.grid  # noqa: F401  # torch and transformers: seconds


def _size_of(cell: Cell) -> str:
    models = cell.llm or cell.slm
    return f"{models}, batch {cell.batch}, prompt {cell.prompt_tokens}, output {cell.output_tokens}"
