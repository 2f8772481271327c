"""One pair: curves, break-even, cost and memory, against numbers worked out by hand."""

import statistics
from pathlib import Path

import pytest

from hybrid.models.shapes import find_shape
from hybrid.presentation.views.pairings.cells import pair_cell
from hybrid.presentation.views.pairings.detail import curve, sentences, times_table
from hybrid.presentation.views.pairings.measured import measured_pairs
from hybrid.presentation.views.pairings.numbers import (
    Terms,
)
from hybrid.sizing import (
    Pair,
    Request,
    predict,
)
from tests.presentation.views.pairings.made_grids import (
    ASKED,
    LARGE,
    SMALL,
    TRIO,
    cell,
    cell_of,
    only,
    store,
)


def test_curves_keep_all_else_fixed(folder: Path):
    longer = Request(32, 64, 8)
    more = tuple(cell(one.method, tuple(3 * t for t in one.ttft_s), longer) for one in TRIO[::2])
    store(folder, more, grid_id="grid-2")
    elsewhere = Request(64, 64, 8)
    store(folder, (cell("llm", (8.0,), elsewhere), cell("hybrid", (1.0,), elsewhere)), grid_id="grid-3")
    found, device = only(folder)
    measured = measured_pairs(device, found.shapes, folder)
    made = curve(device, measured, pair_cell(device, measured, Pair(LARGE, SMALL), ASKED), "output")
    assert {at: one.speedup for at, one in made.measured.items()} == pytest.approx({16: 2.5, 64: 2.5})
    truth = predict(Pair(LARGE, SMALL), Request(32, 64, 8), device.profile)
    assert made.predicted[64] == pytest.approx(truth["llm"].total_s / truth["hybrid"].total_s)
    rows = [row for row in made.table.rows if row[0] == 64]
    assert [row[2] for row in rows] == ["measured grid-2", "predicted"]
    assert "2.5x at 16, 2.5x at 64 measured" in made.sentence


def test_a_line_ends_where_positions_do(folder: Path):
    found, device = only(folder)
    measured = measured_pairs(device, found.shapes, folder)
    bart = pair_cell(device, measured, Pair(find_shape("bart-large"), SMALL), ASKED)
    assert max(curve(device, measured, bart, "prompt").predicted) == 1024
    assert "1,024 tokens, where the positions" in " ".join(sentences(device, bart, Terms(1.0)))


def test_details_say_break_even_cost_and_memory(folder: Path):
    device = only(folder)[1]
    one = cell_of(folder)
    said = sentences(device, one, Terms(2.0))
    assert said[0].startswith("Predicted: With prompts of 32 tokens, the hybrid is ")
    costs = [2.0 * 1e6 * seconds / (128 * 3600) for seconds in (5.0, 0.5, 2.0)]
    assert all(f"{cost:.3g} by the" in said[1] for cost in costs)
    assert said[2].startswith("Memory for weights and caches, computed from sizes: the LLM ")
    rows = {row[0]: row for row in times_table(one, Terms(2.0)).rows}
    columns = list(times_table(one, Terms(2.0)).columns)
    assert [rows[method][columns.index("speedup")] for method in ("llm", "slm", "hybrid")] == [1, 10, 2.5]
    assert rows["llm"][columns.index("encode_ms")] == statistics.median([1000, 1250, 2250])
