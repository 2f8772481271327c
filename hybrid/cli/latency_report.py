"""What `hybrid latency` prints: tables of medians, and the table of known shapes."""

import json
from collections.abc import Iterator, Mapping, Sequence

from hybrid.cli.console import harmless
from hybrid.format import counted, milliseconds, parameters, ratio
from hybrid.models.known_shapes import all_shapes
from hybrid.models.shapes import Shape
from hybrid.schema import METHODS, PHASES, Cell, Grid
from hybrid.store.grids import StoredGrid
from hybrid.store.typed_json import encode, plain

PIPED = 1000  # columns: wide enough for any table
Row = Mapping[str, str]


def report(stored: StoredGrid) -> Iterator[str]:
    """Lines of text: what was measured, how, and what it does not say."""
    return map(harmless, _report(stored))


def as_object(stored: StoredGrid) -> object:
    """Give the grid and its cells as JSON has them, with medians in milliseconds beside the raw seconds."""
    medians = [
        plain(cell)
        | {
            "total_s": cell.total_s,
            "total_ms": cell.median_total_s * 1e3,
            "ttft_ms": cell.median_ttft_s * 1e3,
            "tpot_ms": None if cell.median_tpot_s is None else cell.median_tpot_s * 1e3,
            "phases_ms": {phase: seconds * 1e3 for phase, seconds in cell.median_phases_s.items()},
        }
        for cell in stored.cells
    ]
    whole = {"grid": plain(stored.grid), "cells": medians}
    return json.loads(encode(whole))


def shapes_table() -> list[str]:
    """List the known shapes, a row each."""
    rows = [
        {
            "name": shape.name,
            "parameters": parameters(shape.parameters),
            "width": f"{shape.d_model}",
            "feed-forward": f"{shape.d_ff} {shape.feed_forward}",
            "heads": f"{shape.heads}{_grouped(shape)} × {shape.d_kv}",
            "layers": f"{shape.encoder_layers} + {shape.decoder_layers}",
            "read": "+".join(map(str, shape.read_layers)) or "all",
            "vocabulary": f"{shape.vocabulary}",
            "own head": "no" if shape.tied_head else "yes",
            "source": shape.source,
        }
        for shape in all_shapes().values()
    ]
    return _drawn([[row] for row in rows], left=("name", "source"), sections=False)


def _grouped(shape: Shape) -> str:
    """Say after the heads of queries how many there are of keys and values, where that is another number."""
    return "" if shape.key_value_heads is None else f"/{shape.key_value_heads}"


def _report(stored: StoredGrid) -> Iterator[str]:
    grid = stored.grid
    threads = f", {counted(grid.threads, 'thread')}" if grid.device == "cpu" else ""
    yield (
        f"{grid.engine} on {grid.environment.device_name} ({grid.device}), {grid.dtype}{threads}; "
        f"medians of {grid.repeats}; weights: {grid.weights}; speed only, no quality."
    )
    for llm in grid.llms:
        groups = list(_by_size(stored.cells, llm))
        if groups:
            yield from ("", f"Latency in ms beside {llm} ({_parameters(grid, llm)})")
            yield from _drawn([[_times(grid, cell, group) for cell in group] for group in groups])
            yield from ("", f"Phases in ms beside {llm}")
            yield from _drawn([[_phases(grid, cell) for cell in group] for group in groups])
    yield from ("", *(f"- {note}" for note in _notes(stored)))


def _by_size(cells: Sequence[Cell], llm: str) -> Iterator[list[Cell]]:
    """Group the cells that belong beside an LLM by size: what it does alone first, then by SLM."""
    beside = [cell for cell in cells if cell.llm in (llm, None)]
    sizes = dict.fromkeys(sorted((c.batch, c.prompt_tokens, c.output_tokens) for c in beside))
    for size in sizes:
        group = [cell for cell in beside if (cell.batch, cell.prompt_tokens, cell.output_tokens) == size]
        if any(cell.llm for cell in group):
            yield sorted(group, key=lambda cell: (cell.slm or "", cell.llm is not None, cell.method))


def _times(grid: Grid, cell: Cell, group: Sequence[Cell]) -> Row:
    baseline = next((candidate for candidate in group if candidate.method == "llm"), None)
    speedup = baseline.median_total_s / cell.median_total_s if baseline else None
    return _name(grid, cell) | {
        "first token": milliseconds(cell.median_ttft_s, ""),
        "per token": milliseconds(cell.median_tpot_s, ""),
        "end to end": milliseconds(cell.median_total_s, ""),
        "speed-up": "baseline" if cell is baseline else ratio(speedup),
    }


def _phases(grid: Grid, cell: Cell) -> Row:
    medians = cell.median_phases_s
    return _name(grid, cell) | {
        phase: milliseconds(medians[phase], "") for phase in PHASES if phase in medians
    }


def _name(grid: Grid, cell: Cell) -> dict[str, str]:
    return {
        "batch": str(cell.batch),
        "prompt": str(cell.prompt_tokens),
        "output": str(cell.output_tokens),
        "method": cell.method,
        "SLM": f"{cell.slm} ({_parameters(grid, cell.slm)})" if cell.slm else "",
    }


def _notes(stored: StoredGrid) -> Iterator[str]:
    yield (
        "Weights are random: an answer takes as long as with trained ones, but says nothing. "
        "Every answer goes on to exactly `output` tokens."
    )
    yield "speed-up: the LLM's median end-to-end latency over this one's, of the same size."
    if any(METHODS[cell.method].lossless for cell in stored.cells):
        yield (
            "Lossless methods are at their worst here: a random LLM agrees with next to no draft. "
            "`hybrid bench` measures them with trained weights."
        )
    if stored.grid.slms and any(cell.method == "slm" for cell in stored.cells) and len(stored.grid.llms) > 1:
        yield "The SLM alone is measured beside the first LLM only; its times stand for all."
    for reason in dict.fromkeys(
        cell.options["fallback"] for cell in stored.cells if "fallback" in cell.options
    ):
        yield f"Where {stored.grid.engine} could not, another engine has answered for it: {reason}."
    if any(cell.environment for cell in stored.cells):
        yield "Parts were measured after the grid was resumed in another environment; --json says which."


def _drawn(
    groups: Sequence[Sequence[Row]], left: Sequence[str] = ("method", "SLM"), sections: bool = True
) -> list[str]:
    """Draw a table with a line between groups; its columns are those of all rows, in the order of PHASES."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    seen = dict.fromkeys(heading for group in groups for row in group for heading in row)
    phases = [phase for phase in PHASES if phase in seen]
    headings = [heading for heading in seen if heading not in phases] + phases
    for heading in headings:
        table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    for group in groups:
        for row in group:
            table.add_row(*(row.get(heading, "") for heading in headings))
        if sections and len(groups) > 1:
            table.add_section()
    console = Console(width=PIPED, color_system=None, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines() if line.strip()]


def _parameters(grid: Grid, name: str) -> str:
    count = grid.shapes.get(name, {}).get("parameters", 0)
    return parameters(count) if count else "of unknown size"
