"""What grids have measured of pairs, and what of it is left out."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hybrid.presentation.pairings.measured import NO_GRID, NO_PROFILE, error_sentence, measured_pairs
from hybrid.presentation.pairings.metrics import (
    Terms,
    lines,
)
from hybrid.presentation.pairings.sources import Device, sources
from hybrid.sizing import (
    Request,
    error_report,
)
from hybrid.store.grids import StoredGrid, load_grid
from tests.presentation.pairings.made_grids import LARGE, SMALL, TINY, cell, cell_of, grid, only, store


def test_the_newest_grid_counts_and_never_two_at_once(folder: Path):
    newer = {"grid_id": "grid-2", "created_at": "2026-11-24T01:00:00+00:00"}
    store(
        folder, (cell("hybrid", (1.0,)),), **newer
    )  # without its LLM: what the older LLM took is not its own
    assert cell_of(folder).grid_id == "grid-1"
    store(folder, (cell("llm", (6.0,)), cell("hybrid", (2.0,))), **newer | {"grid_id": "grid-3"})
    assert (cell_of(folder).grid_id, cell_of(folder).speedup) == ("grid-3", pytest.approx(3.0))


def test_another_engines_answers_are_left_out_and_said(folder: Path, tmp_path: Path):
    other = cell("hybrid", (0.1,), slm="tiny", options={"fallback": "no kernel"})
    shapes = {shape.name: asdict(shape) for shape in (LARGE, SMALL, TINY)}
    store(folder, (cell("llm", (5.0,)), other), grid_id="grid-2", shapes=shapes)
    pair = cell_of(folder, slm=TINY)
    assert pair.source == "predicted"
    assert pair.why == "Grid grid-2 has it, but another engine answered for torch: no kernel."
    assert pair.why in lines("speedup", pair, Terms(1.0))


def test_without_a_profile_what_was_measured_is_there(tmp_path: Path):
    store(tmp_path)
    pair = cell_of(tmp_path)
    assert (pair.source, pair.speedup, pair.needs) == ("measured", pytest.approx(2.5), {})
    other = cell_of(tmp_path, request=Request(33, 16, 8))
    assert other.source == "none"
    assert NO_PROFILE in other.why
    device = only(tmp_path)[1]
    assert device.label == "A CPU, torch, float32 (grid grid-1)"
    assert (
        error_sentence(own(device), measured_pairs(device, sources(tmp_path).shapes, tmp_path)) == NO_PROFILE
    )


def test_a_grid_of_models_that_are_called_the_same_is_not_used(folder: Path):
    strange = {"large": asdict(LARGE), "t5-small": asdict(replace(SMALL, name="t5-small"))}
    cells = (cell("llm", (5.0,)), cell("hybrid", (1.0,), slm="t5-small"), cell("hybrid", (1.0,), slm="who"))
    store(folder, cells, grid_id="grid-2", shapes=strange)
    known, device = only(folder)
    measured = measured_pairs(device, known.shapes, folder)
    assert {place[1] for place in measured.pairs} == {"small"}
    assert measured.problems == (
        "Cells of t5-small are left out: grid grid-2 means another model by it.",
        "Cells of who are left out: grid grid-2 does not say its sizes.",
    )
    assert error_sentence(own(device), measured).startswith("How far")  # of its sound cells, though it is odd


def test_cells_of_a_hybrid_that_read_other_layers_are_left_out(folder: Path):
    known, device = only(folder)
    read = replace(known.shapes["large"], read_layers=(6,))
    measured = measured_pairs(device, {**known.shapes, "large": read}, folder)
    assert not measured.pairs
    assert any("large are left out: grid grid-1 means another model" in text for text in measured.problems)


def test_a_model_of_a_pair_that_was_the_first_is_known_by_the_pairs_name(folder: Path):
    shape = replace(SMALL, name="bundled-slm", source="older/slm")
    cells = (cell("llm", (5.0,)), cell("hybrid", (1.0,), slm="bundled-slm"))
    shapes = {"large": asdict(LARGE), "bundled-slm": asdict(shape)}
    store(folder, cells, grid_id="grid-2", shapes=shapes)
    known, device = only(folder)
    today = {**known.shapes, "bundled-slm": TINY, "older/slm": replace(SMALL, name="older/slm")}
    measured = measured_pairs(device, today, folder)
    assert {place[1] for place in measured.pairs} == {"small", "older/slm"}
    assert measured.problems == ()


def own(device: Device) -> Device:
    """The same of this very machine."""
    return replace(device, stranger=None)


def test_a_profile_of_another_machine_promises_no_error(folder: Path):
    known, device = only(folder)
    text = error_sentence(device, measured_pairs(device, known.shapes, folder))
    assert text.startswith("This is a profile of another machine: it says no more of its own than A CPU.")
    assert "%" not in text


def test_the_error_is_that_of_the_report(folder: Path):
    known, device = only(folder)
    assert device.profile is not None
    report = error_report(load_grid("grid-1", folder), device.profile)
    text = error_sentence(own(device), measured_pairs(device, known.shapes, folder))
    assert "on 3 measured cells of grid grid-1" in text
    assert f"by {100 * report.total.median:.0f} % (median) and {100 * report.total.p90:.0f} %" in text
    (folder / "grids" / "grid-1.jsonl").unlink()
    known, device = only(folder)
    assert error_sentence(own(device), measured_pairs(device, known.shapes, folder)) == NO_GRID


def test_cells_that_took_no_time_are_left_out(folder: Path):
    cells = (cell("llm", (5.0,)), cell("hybrid", (0.0,), slm="small"))
    store(folder, cells, grid_id="grid-2", created_at="2026-11-25T01:00:00+00:00")
    assert cell_of(folder).grid_id == "grid-1"


def test_an_empty_grid_has_no_error(folder: Path):
    known, device = only(folder)
    measured = measured_pairs(device, known.shapes, folder)
    bare = replace(measured, newest=StoredGrid(grid(), (), ()))
    assert error_sentence(own(device), bare) == NO_GRID
