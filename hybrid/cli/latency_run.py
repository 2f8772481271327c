"""What `hybrid latency` does once it is parsed: check, build, measure, store, and end well in any case."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from hybrid.cli.console import notice, status
from hybrid.engines.registry import AUTO, default_dtype, missing
from hybrid.errors import EngineError
from hybrid.measuring.collector import collector_off
from hybrid.measuring.environment import environment
from hybrid.measuring.lock import measuring
from hybrid.models.shapes import Shape, find_shape
from hybrid.schema import Device
from hybrid.store.grids import (
    Cell,
    Grid,
    GridWriter,
    Key,
    StoredGrid,
    create_grid,
    load_grid,
    new_grid_id,
    resume_grid,
)

OUT_OF_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED")  # torch's words: GPU, CPU, cuBLAS
PLAIN_LINE_EVERY_S = 10.0
# Options that are fields of Grid as they stand.
SAME = (
    "methods", "batches", "prompts", "outputs", "repeats", "device", "threads", "engine_options",
)  # fmt: skip
Append = Callable[[Sequence[Cell]], Sequence[Cell]]
Say = Callable[[str], None]


def begin(options: Mapping[str, Any]) -> StoredGrid:
    """Measure a new grid, and store it unless told not to; what was measured.

    options: fields of Grid, and store, wait, time_limit. Raises HybridError and
    lets an interrupt through; what was stored stays.
    """
    ends = _deadline(options["time_limit"])
    shapes = [{shape.name: shape for shape in map(find_shape, options[role])} for role in ("llms", "slms")]
    device, now = options["device"], datetime.now(UTC)
    _import_libraries()
    engine = _settled(options, shapes) if options["engine"] == AUTO else options["engine"]
    _check_engine(engine, device)
    asked = {name: options[name] for name in SAME}
    grid = Grid(
        grid_id=new_grid_id(engine, now),
        llms=tuple(shapes[0]),
        slms=tuple(shapes[1]),
        engine=engine,
        dtype=options["dtype"] or default_dtype(engine, device),
        environment=environment(device, ""),
        created_at=now.isoformat(timespec="seconds"),
        shapes={name: asdict(shape) for name, shape in (shapes[0] | shapes[1]).items()},
        **asked,
    )
    _check(grid)
    with measuring(grid.grid_id, "latency", options["wait"]):
        if not options["store"]:
            return StoredGrid(grid, _measured(grid, frozenset(), tuple, ends), ())
        with create_grid(grid) as writer:
            return _stored(writer, ends)


def go_on(grid_id: str, time_limit: float | None, wait_s: float) -> StoredGrid:
    """Measure what a stored grid lacks; all of its cells."""
    ends = _deadline(time_limit)
    grid = load_grid(grid_id).grid
    _import_libraries()
    _check_engine(grid.engine, grid.device)
    _check(grid)
    here = environment(grid.device, "")
    with measuring(grid.grid_id, "latency", wait_s), resume_grid(grid.grid_id, here) as writer:
        for problem in writer.stored.problems:
            notice(problem)
        return _stored(writer, ends)


def _stored(writer: GridWriter, ends: float) -> StoredGrid:
    """Measure what is missing into the grid; on any end say what is there and how to go on."""
    from hybrid.sizing import planned

    grid, wanted = writer.grid, len(planned(writer.grid))
    try:
        new = _measured(grid, writer.done, writer.append, ends)
    except BaseException:
        if writer.done or writer.stored.problems:
            _say_state(grid, len(writer.done), wanted)
        else:
            writer.discard()  # what fails before its first cell would fail again
        raise
    _say_state(grid, len(writer.done), wanted)
    return StoredGrid(grid, writer.stored.cells + new, writer.stored.problems)


def _say_state(grid: Grid, done: int, wanted: int) -> None:
    go_on = "" if done == wanted else f"; `hybrid latency --resume {grid.grid_id}` goes on"
    click.echo(f"{done} of {wanted} cells of grid {grid.grid_id} are stored{go_on}.", err=True)


def _measured(grid: Grid, done: frozenset[Key], append: Append, ends: float) -> tuple[Cell, ...]:
    """Measure until all is there or the time is over; `append` stores what belongs together."""
    from hybrid.sizing import planned
    from hybrid.sizing.grid import measure_grid

    found: list[Cell] = []
    wanted = len(planned(grid))
    with _fitting(grid), _drawing(wanted) as (say, draw):
        stream = measure_grid(grid, done, say)
        with closing(stream):
            for cells in stream:
                found += append(cells)
                draw(len(done) + len(found), cells[0])
                if time.monotonic() > ends and len(done) + len(found) < wanted:
                    say("The time is over")
                    break
    return tuple(found)


def _check_engine(engine: str, device: Device) -> None:
    """Raise EngineError when it does not run here: before the device is asked for its name."""
    if reason := missing(engine, device):
        raise EngineError(reason)


def _check(grid: Grid) -> None:
    """Raise EngineError for what cannot be measured, before anything is built."""
    from hybrid.sizing import check_lengths, check_room, free_bytes

    check_lengths(grid)
    check_room(grid, free_bytes(grid.device))


def _settled(options: Mapping[str, Any], shapes: Sequence[Mapping[str, Shape]]) -> str:
    """What --engine auto comes to: one engine for the whole grid, and why no faster one."""
    from hybrid.sizing.grid import probed_engine

    order = {name: options[name] for name in ("methods", "device", "dtype", "threads")}
    order["options"] = options["engine_options"]
    engine = probed_engine((shapes[0].values(), shapes[1].values()), order, notice)
    notice(f"The engine is {engine}.")
    return engine


def _deadline(time_limit: float | None) -> float:
    return time.monotonic() + (float("inf") if time_limit is None else time_limit)


def _import_libraries() -> None:
    with status("Starting"), collector_off():
        import hybrid.sizing.grid  # noqa: F401  # torch and transformers: seconds


@contextmanager
def _fitting(grid: Grid) -> Iterator[None]:
    """Running out of memory becomes an EngineError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(said in str(error) for said in OUT_OF_MEMORY):
            raise
        raise EngineError(
            f"The memory of {grid.device} is full. Name fewer or smaller models, or a smaller --batch."
        ) from error


@contextmanager
def _drawing(planned: int) -> Iterator[tuple[Say, Callable[[int, Cell], None]]]:
    """Two functions that draw on stderr, between measurements only: a sentence, and how far it is."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain_lines(planned)
        return
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (BarColumn(), TextColumn("{task.completed}/{task.total}  {task.fields[line]}", markup=False))
    with Progress(*columns, console=console, auto_refresh=False) as bar:
        task = bar.add_task("", total=planned, line="")

        def say(sentence: str) -> None:
            bar.update(task, line=sentence, refresh=True)

        def draw(done: int, cell: Cell) -> None:
            bar.update(task, completed=done, line=_where(cell), refresh=True)

        yield say, draw


def _plain_lines(planned: int) -> tuple[Say, Callable[[int, Cell], None]]:
    said_s = float("-inf")

    def say(sentence: str) -> None:
        click.echo(sentence, err=True)

    def draw(done: int, cell: Cell) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= PLAIN_LINE_EVERY_S or done == planned:
            said_s = time.monotonic()
            say(f"{done}/{planned} cells  {_where(cell)}")

    return say, draw


def _where(cell: Cell) -> str:
    models = cell.llm or cell.slm
    return f"{models}, batch {cell.batch}, prompt {cell.prompt_tokens}, output {cell.output_tokens}"
