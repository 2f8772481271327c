"""What a cell says: numbers, words, sentences, rows."""

from dataclasses import asdict
from pathlib import Path

import pytest

from hybrid.presentation.pairings.cells import NOT_SMALLER, pair_cells
from hybrid.presentation.pairings.measured import measured_pairs
from hybrid.presentation.pairings.metrics import (
    CELL_METRICS,
    COLUMNS,
    NOT_TRAINED,
    Terms,
    cell_source,
    lines,
    on_cell,
    sentence,
    table,
    tick,
    why_none,
)
from hybrid.presentation.pairings.sources import sources
from hybrid.sizing import Request
from tests.presentation.pairings.made_grids import (
    ASKED,
    EVIL,
    LARGE,
    SMALL,
    TINY,
    cell,
    cell_of,
    only,
    store,
)


def test_hostile_names_stay_plain_and_are_counted_anew(tmp_path: Path):
    evil = asdict(SMALL) | {"parameters": -(10**30)}
    cells = (cell("llm", (4.0,)), cell("hybrid", (2.0,), slm=EVIL))
    store(tmp_path, cells, shapes={"large": asdict(LARGE), EVIL: evil})
    known = sources(tmp_path)
    assert known.shapes[EVIL].parameters == SMALL.parameters
    pair = cell_of(tmp_path, slm=known.shapes[EVIL])
    assert pair.source == "measured"
    assert "\u202e" not in "".join(lines("speedup", pair, Terms(1.0)))
    assert "\u202e" not in sentence("speedup", known.devices[0], [pair], Terms(1.0))
    row = dict(zip(COLUMNS, table(known.devices[0], [pair], Terms(1.0)).rows[0], strict=True))
    assert row["slm"] == EVIL


def test_what_is_written_on_a_cell(folder: Path):
    measured, guessed, none = (
        cell_of(folder), cell_of(folder, slm=TINY), cell_of(folder, SMALL, LARGE),
    )  # fmt: skip
    terms = Terms(2.0)
    assert on_cell("speedup", measured, terms) == "2.5×"
    assert on_cell("speedup", guessed, terms).startswith("≈")
    assert [on_cell("speedup", none, terms), cell_source("speedup", none, terms)] == ["", "none"]
    assert [cell_source(show, measured, terms) for show in CELL_METRICS] == ["measured"] * 3 + [
        "predicted",
        "none",
    ]
    for pair in (measured, guessed):  # random weights, or none at all
        assert on_cell("quality", pair, terms) == "not trained"
        assert why_none("quality", pair, terms) == NOT_TRAINED
    assert [tick("speedup", value) for value in (0.0625, 1, 64)] == ["0.062×", "1×", "64×"]


def test_the_sentence_counts_what_is_measured_and_what_is_not(folder: Path):
    known, device = only(folder)
    cells = pair_cells(
        device, measured_pairs(device, known.shapes, folder), [LARGE, SMALL], [SMALL, TINY], ASKED
    )
    text = sentence("speedup", device, cells, Terms(1.0))
    assert "8 prompts of 32 tokens, answers of 16 tokens" in text
    assert "1 cell measured (medians of 3 repeats in grid grid-1; weights: random" in text
    assert "2 cells ≈ predicted from a profile of another machine" in text
    assert "1 cell is blank" in text


def test_the_table_has_a_row_for_every_cell(folder: Path):
    known, device = only(folder)
    cells = pair_cells(device, measured_pairs(device, known.shapes, folder), [LARGE], [SMALL, LARGE], ASKED)
    measured, none = (dict(zip(COLUMNS, row, strict=True)) for row in table(device, cells, Terms(2.0)).rows)
    assert (measured["source"], measured["profile"], measured["repeats"], measured["speedup"]) == (
        "measured grid-1", "", 3, pytest.approx(2.5),
    )  # fmt: skip
    assert (measured["llm_total_ms"], measured["hybrid_total_ms"]) == pytest.approx((5000, 2000))
    assert measured["llm_cost"] == pytest.approx(2.0 * 1e6 / (128 * 3600 / 5.0))
    assert (measured["quality_kept"], measured["quality_run"]) == (None, "")
    assert (none["source"], none["speedup"], none["note"]) == ("", None, NOT_SMALLER)
    guess = table(device, [cell_of(folder, request=Request(8192, 16, 1))], Terms(2.0)).rows[0]
    row = dict(zip(COLUMNS, guess, strict=True))
    assert (row["source"], row["profile"]) == ("extrapolated", "profile of another machine")
