"""Grids that nobody measured, and the cells that views make of them."""

from dataclasses import asdict
from pathlib import Path

from hybrid.models.shapes import Shape
from hybrid.presentation.pairings.cells import PairCell, pair_cell
from hybrid.presentation.pairings.measured import measured_pairs
from hybrid.presentation.pairings.sources import Device, Sources, sources
from hybrid.schema import CPU, Cell, Grid
from hybrid.sizing import (
    Pair,
    Request,
    save_profile,
)
from hybrid.store.grids import create_grid
from tests.sizing.made_up import made_up_profile, shape

LARGE, SMALL, TINY = (
    shape("large", 512, 1024, 8, 12),
    shape("small", 128, 256, 2, 2),
    shape("tiny", 64, 64, 1, 1),
)
ASKED = Request(32, 16, 8)
HERE = made_up_profile().environment
EVIL = "<script>alert(1)</script>![x](http://a.b/c)\u202e=1+1"
PHASES = ("encode", "decode")


def cell(method: str, times: tuple[float, ...], request: Request = ASKED, slm: str = "small", **more) -> Cell:
    """A measured cell whose answers took `times` in seconds, a quarter of them encoding."""
    names = {"llm": ("large", None), "slm": (None, slm), "hybrid": ("large", slm)}[method]
    phases = {"encode": tuple(t / 4 for t in times), "decode": tuple(3 * t / 4 for t in times)}
    return Cell(
        method=method, llm=names[0], slm=names[1], batch=request.batch, prompt_tokens=request.prompt,
        output_tokens=request.output, started_at="2026-11-23T01:00:00.000+00:00", phases_s=phases,
        ttft_s=tuple(t / 2 for t in times), tpot_s=tuple(t / 30 for t in times), **more,
    )  # fmt: skip


TRIO = (cell("llm", (4.0, 5.0, 9.0)), cell("slm", (0.5, 0.5, 0.5)), cell("hybrid", (2.0, 2.0, 3.0)))


def grid(grid_id: str = "grid-1", **more) -> Grid:
    own = {
        "llms": ("large",), "slms": ("small",), "methods": ("llm", "slm", "hybrid"), "batches": (8,),
        "prompts": (32,), "outputs": (16,), "repeats": 3, "engine": "torch", "device": CPU,
        "dtype": "float32", "threads": 1, "environment": HERE, "created_at": "2026-11-23T01:00:00+00:00",
        "shapes": {shape.name: asdict(shape) for shape in (LARGE, SMALL)},
    }  # fmt: skip
    return Grid(grid_id=grid_id, **own | more)


def store(root: Path, cells: tuple[Cell, ...] = TRIO, **more) -> None:
    with create_grid(grid(**more), root) as writer:
        writer.append(cells)


def results(folder: Path) -> Path:
    """Results with one profile and one grid that fits it."""
    save_profile(made_up_profile(), folder)
    store(folder)
    return folder


def only(root: Path) -> tuple[Sources, Device]:
    stored = sources(root)
    (device,) = stored.devices
    return stored, device


def cell_of(root: Path, llm: Shape = LARGE, slm: Shape = SMALL, request: Request = ASKED) -> PairCell:
    stored, device = only(root)
    return pair_cell(device, measured_pairs(device, stored.shapes, root), Pair(llm, slm), request)
