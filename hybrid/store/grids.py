"""Grids of latencies: results/grids/<grid_id>.jsonl, a header and one line for each measured cell.

A cell is one way of answering at one size, with the raw times of every repeat;
medians are derived on reading. Weights are random: a grid says nothing about
quality. Lines are appended as cells are measured; a killed process leaves whole
lines and at most a part of one behind them, which is cut off when the grid is
resumed. Nothing here imports torch.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from hybrid.errors import StoreError
from hybrid.format import LONGEST_REASON, printable
from hybrid.schema import METHODS, Cell, CellKey, Environment, Grid, describe_cell
from hybrid.store.checks import check_seal
from hybrid.store.codec import decode_cell, decode_grid, encode_cell, encode_grid
from hybrid.store.files import as_store_error, open_regular, sync_folder
from hybrid.store.folders import LATEST, RUN_ID, match_id, results_folder
from hybrid.store.journal import LONGEST_LINE, AppendOnlyFile, cut_unsettled, decoded_lines
from hybrid.store.typed_json import LARGEST

FOLDER, SUFFIX = "grids", ".jsonl"


@dataclass(frozen=True)
class StoredGrid:
    """A grid and its cells in the order of measuring. problems: a sentence for each damaged line."""

    grid: Grid
    cells: tuple[Cell, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class GridListing:
    """Grids, the newest first. problems: a sentence for each that cannot be read; damaged: their ids."""

    grids: tuple[Grid, ...]
    problems: tuple[str, ...]
    damaged: tuple[str, ...] = ()


def new_grid_id(engine: str, now: datetime) -> str:
    """Make an id such as 20261123-014512-cuda-graph-3f9c: when (UTC), which engine, four random digits."""
    slug = re.sub(r"[^0-9a-z]+", "-", engine.lower())  # llama.cpp has what an id may not have
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"


def list_grids(root: Path | None = None) -> GridListing:
    """List the grids of a results folder, by their headers. One without a folder of grids has none."""
    grids, problems, damaged = [], [], []
    for path in _files(root):
        try:
            with as_store_error(f"{path} cannot be read"), open_regular(path) as file:
                grids.append(_header(path, file.readline(LONGEST_LINE)))
        except StoreError as error:
            problems.append(str(error))
            damaged.append(path.stem)
    grids.sort(key=lambda grid: (grid.created_at, grid.grid_id), reverse=True)
    return GridListing(tuple(grids), tuple(problems), tuple(damaged))


def find_grid(text: str, root: Path | None = None) -> str:
    """Find the id of the grid that `text` names: the id, the beginning of just one, or `latest`.

    Raises StoreError, also for what can be no id, such as a path.
    """
    if text == LATEST:
        if not (grids := list_grids(root).grids):
            raise StoreError(f"There are no grids in {_folder(root)}. `hybrid latency` makes one.")
        return grids[0].grid_id
    ids = [path.stem for path in _files(root)]
    return match_id(text, ids, "grid", f"In {_folder(root)} there are: {', '.join(ids) or 'none'}.")


def load_grid(grid_id: str, root: Path | None = None) -> StoredGrid:
    """Everything of the grid that `grid_id` names, as find_grid() understands it.

    Damaged lines become `problems`; a part of a line at the end, which a killed
    process leaves, is passed over. Raises StoreError when there is no header.
    """
    path = _folder(root) / f"{find_grid(grid_id, root)}{SUFFIX}"
    with as_store_error(f"{path} cannot be read"), open_regular(path) as file:
        first = file.readline(LONGEST_LINE)
    grid, sealed = _header(path, first), check_seal(first)
    cells: dict[CellKey, Cell] = {}
    problems: list[str] = []

    def decode(line: bytes) -> Cell:
        cell = decode_cell(line, sealed)
        _check_cell(cell)
        if cell.key in cells:
            raise ValueError(f"it repeats {describe_cell(cell.key)}")
        return cell

    for cell in decoded_lines(path, decode, problems, settled=True, skipped=1):
        cells[cell.key] = cell
    return StoredGrid(grid, tuple(cells.values()), tuple(problems))


def create_grid(grid: Grid, root: Path | None = None) -> "GridWriter":
    """Start a grid in a file of its own. Raises StoreError when there is one of this id, or no room."""
    if not RUN_ID.fullmatch(grid.grid_id):
        raise ValueError(f"{grid.grid_id!r} is not the id of a grid")
    folder = _folder(root)
    path = folder / f"{grid.grid_id}{SUFFIX}"
    with as_store_error(
        f"No grid can be stored in {folder}", "HYBRID_RESULTS names another folder for results."
    ):
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(encode_grid(grid))
        sync_folder(folder)
        return GridWriter(path, StoredGrid(grid, (), ()), grid.environment)


def resume_grid(grid_id: str, here: Environment, root: Path | None = None) -> "GridWriter":
    """Go on with a stored grid in the environment `here`; a part of a line at the end is cut off.

    Raises StoreError when it was measured on another device.
    """
    stored = load_grid(grid_id, root)
    grid = stored.grid
    before = grid.environment
    namesake = before.device_name == here.device_name
    if not namesake or (before.hardware.known and before.hardware != here.hardware):
        raise StoreError(
            f"Grid {grid.grid_id} was measured on {before.device_name}, and this is "
            f"{'another machine of that name' if namesake else here.device_name}. "
            "Resume it there, or start a new grid."
        )
    path = _folder(root) / f"{grid.grid_id}{SUFFIX}"
    with as_store_error(f"Grid {grid.grid_id} cannot be resumed"):
        cut_unsettled(path)
        return GridWriter(path, stored, here)


class GridWriter:
    """The one that may append to a grid. Close it, or use it as a context manager.

    stored: what the grid held when it was opened.
    """

    def __init__(self, path: Path, stored: StoredGrid, here: Environment) -> None:
        self.stored, self._path = stored, path
        self._moved = None if here == stored.grid.environment else here
        self._done = {cell.key for cell in stored.cells}
        self._file = AppendOnlyFile(path, f"grid {stored.grid.grid_id}")

    @property
    def grid(self) -> Grid:
        return self.stored.grid

    @property
    def done(self) -> frozenset[CellKey]:
        """The cells that are stored."""
        return frozenset(self._done)

    def append(self, cells: Sequence[Cell]) -> tuple[Cell, ...]:
        """Store cells, measured here, and return them as they are stored.

        When this returns, a killed process loses none. Raises StoreError when the
        disk is full or the like, ValueError for cells that are stored already.
        """
        keys = {cell.key for cell in cells}
        if len(keys - self._done) < len(cells):
            raise ValueError(f"cells {', '.join(map(describe_cell, keys))} are stored already or come twice")
        stored = tuple(replace(cell, environment=self._moved) for cell in cells)
        fix = f"`hybrid latency --resume {self.grid.grid_id}` goes on when that is mended."
        with as_store_error(f"Grid {self.grid.grid_id} cannot be written", fix):
            self._file.append(b"".join(map(encode_cell, stored)))
        self._done |= keys
        return stored

    def discard(self) -> None:
        """Close the grid and remove it, as if it had not been begun; only one without cells."""
        if self._done or self.stored.problems:
            raise ValueError(f"{len(self._done)} cells of grid {self.grid.grid_id} are stored")
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the grid, once all of it is on the disk."""
        with as_store_error(f"Grid {self.grid.grid_id} cannot be written"):
            self._file.close()

    def __enter__(self) -> "GridWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _header(path: Path, line: bytes) -> Grid:
    """Decode the first line of a grid. The file's name is its id, renamed or not."""
    try:
        grid = replace(decode_grid(line), grid_id=path.stem)
        _check_grid(grid)
    except ValueError as error:
        raise StoreError(
            f"{path}, line 1, cannot be read: {printable(str(error), LONGEST_REASON)}."
        ) from error
    return grid


def _check_grid(grid: Grid) -> None:
    """Raise ValueError for numbers that are none of a measurement; shapes are checked by who reads them."""
    for name in ("batches", "prompts", "outputs"):
        _check_count(name, *(values := getattr(grid, name)))
        if not values or len(values) != len(set(values)):
            raise ValueError(f"{name} are {list(values)}; name each size once")
    _check_count("repeats", grid.repeats)
    _check_count("threads", grid.threads)
    if unknown := [method for method in grid.methods if method not in METHODS]:
        raise ValueError(f"method is {unknown[0]!r}, not one of {', '.join(METHODS)}")


def _check_count(name: str, *values: int) -> None:
    for value in values:
        if not 1 <= value <= LARGEST:
            raise ValueError(f"{name} is {value!r:.40}; it must be 1 to {LARGEST:,}")


def _check_cell(cell: Cell) -> None:
    """Raise ValueError for a cell that lacks a model, or took no time."""
    for role, name in (("llm", cell.llm), ("slm", cell.slm)):
        if name is None and {role, "hybrid"} & {*METHODS[cell.method].models}:
            raise ValueError(f"it names no {role}")
    if not all(0 < total < float("inf") for total in cell.total_s):
        raise ValueError(f"it took {min(cell.total_s)} s")


def _folder(root: Path | None) -> Path:
    return (root or results_folder()) / FOLDER


def _files(root: Path | None) -> list[Path]:
    """List the files that hold a grid, by name."""
    folder = _folder(root)
    with as_store_error(f"{folder} cannot be read", "HYBRID_RESULTS names another folder of results."):
        try:
            paths = list(folder.iterdir())
        except FileNotFoundError:
            return []
    return sorted(path for path in paths if path.suffix == SUFFIX and RUN_ID.fullmatch(path.stem))
