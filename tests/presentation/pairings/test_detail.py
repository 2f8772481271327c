"""One pair: curves, break-even, cost and memory, against numbers worked out by hand."""

import statistics
from pathlib import Path

import pytest

from hybrid.models.known_shapes import find_shape
from hybrid.presentation.pairings.cells import pair_cell
from hybrid.presentation.pairings.detail import (
    Curve,
    curve,
    curve_drawing,
    sentences,
    times_drawing,
    times_table,
)
from hybrid.presentation.pairings.measured import measured_pairs
from hybrid.presentation.pairings.metrics import (
    Terms,
)
from hybrid.sizing import (
    Pair,
    Request,
    predict,
    save_profile,
)
from tests.presentation.pairings.made_grids import (
    ASKED,
    LARGE,
    SMALL,
    TINY,
    TRIO,
    cell,
    cell_of,
    only,
    store,
)
from tests.sizing.made_up import made_up_profile


def test_curves_keep_all_else_fixed(folder: Path):
    longer = Request(32, 64, 8)
    more = tuple(cell(point.method, tuple(3 * t for t in point.ttft_s), longer) for point in TRIO[::2])
    store(folder, more, grid_id="grid-2")
    elsewhere = Request(64, 64, 8)
    store(folder, (cell("llm", (8.0,), elsewhere), cell("hybrid", (1.0,), elsewhere)), grid_id="grid-3")
    known, device = only(folder)
    measured = measured_pairs(device, known.shapes, folder)
    drawn_curve = curve(device, measured, pair_cell(device, measured, Pair(LARGE, SMALL), ASKED), "output")
    assert {at: point.speedup for at, point in drawn_curve.measured.items()} == pytest.approx(
        {16: 2.5, 64: 2.5}
    )
    truth = predict(Pair(LARGE, SMALL), Request(32, 64, 8), device.profile)
    assert drawn_curve.predicted[64] == pytest.approx(truth["llm"].total_s / truth["hybrid"].total_s)
    rows = [row for row in drawn_curve.table.rows if row[0] == 64]
    assert [row[2] for row in rows] == ["measured grid-2", "predicted"]
    assert [row[2] for row in drawn_curve.table.rows if row[0] == 4096] == ["extrapolated"]
    assert "as predicted from a profile of another machine, extrapolated beyond 768" in drawn_curve.sentence
    drawn = curve_drawing(drawn_curve).figure.data[0].hovertext
    assert drawn[-1].endswith("at 4,096 tokens, extrapolated<br>from a profile of another machine")
    assert "2.5× at 16, 2.5× at 64 measured" in drawn_curve.sentence


def test_a_line_ends_where_positions_do(folder: Path):
    save_profile(made_up_profile(engine="transformers"), folder)
    (folder / "grids" / "grid-1.jsonl").unlink()
    known, device = only(folder)
    measured = measured_pairs(device, known.shapes, folder)
    bart = pair_cell(device, measured, Pair(find_shape("bart-large"), SMALL), ASKED)
    assert max(curve(device, measured, bart, "prompt").predicted) == 1024
    assert "1,024 tokens, where the positions" in " ".join(sentences(device, bart, Terms(1.0)))


def test_details_say_break_even_cost_and_memory(folder: Path):
    device = only(folder)[1]
    measured = cell_of(folder)
    texts = sentences(device, measured, Terms(2.0))
    begins = "Predicted from a profile of another machine: With prompts of 32 tokens, the hybrid is "
    assert texts[0].startswith(begins)
    costs = [2.0 * 1e6 * seconds / (128 * 3600) for seconds in (5.0, 0.5, 2.0)]
    assert all(f"{cost:.3g} by the" in texts[1] for cost in costs)
    assert texts[2].startswith("Memory for weights and caches, computed from sizes: the LLM ")
    rows = {row[0]: row for row in times_table(measured, Terms(2.0)).rows}
    columns = list(times_table(measured, Terms(2.0)).columns)
    assert [rows[method][columns.index("speedup")] for method in ("llm", "slm", "hybrid")] == [1, 10, 2.5]
    assert rows["llm"][columns.index("encode_ms")] == statistics.median([1000, 1250, 2250])


def test_a_curve_has_a_line_of_guesses_and_points_of_measurements(folder: Path):
    measured = cell_of(folder)
    line, points = curve_drawing(Curve("output", ASKED, {1: 0.5, 16: 2.0}, {16: measured})).figure.data
    assert (line.mode, list(line.x), list(line.y)) == ("lines", [1, 16], [0.5, 2.0])
    assert (points.mode, list(points.x), list(points.y)) == ("markers", [16], [pytest.approx(2.5)])
    assert "3 repeats from" in points.hovertext[0]
    assert not curve_drawing(Curve("output", ASKED, {}, {})).figure.data


def test_phases_of_a_guess_are_hatched_and_add_up(folder: Path):
    for pair in (cell_of(folder), cell_of(folder, slm=TINY)):
        drawing = times_drawing(pair, Terms(1.0))
        shapes = {trace.marker.pattern.shape for trace in drawing.figure.data}
        assert shapes == ({"/"} if pair.source == "predicted" else {""})
        for place, (times, total) in enumerate(zip(pair.methods.values(), drawing.table.rows, strict=True)):
            drawn = sum(trace.x[place] for trace in drawing.figure.data)
            assert drawn == pytest.approx(1e3 * sum(times.phases.values()))
            assert total[0] in pair.methods
