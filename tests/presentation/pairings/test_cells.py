"""Sizes by sizes, against numbers worked out by hand: a made-up profile, grids that nobody measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.measuring.environment import environment
from hybrid.models.known_shapes import find_shape
from hybrid.presentation.pairings.cells import NOT_SMALLER, pair_cells, sized
from hybrid.presentation.pairings.detail import times_sentence
from hybrid.presentation.pairings.measured import measured_pairs
from hybrid.presentation.pairings.metrics import (
    Terms,
    lines,
    table,
    why_none,
)
from hybrid.schema import CPU
from hybrid.sizing import (
    Pair,
    Request,
    cost_per_million_tokens,
    load_profile,
    memory_estimate,
    predict,
    save_profile,
)
from tests.presentation.pairings.made_grids import ASKED, LARGE, SMALL, TINY, cell_of, only
from tests.sizing.made_up import made_up_profile


def test_a_measured_cell_is_the_ratio_of_medians(folder: Path):
    cell = cell_of(folder)
    assert (cell.source, cell.grid_id, cell.repeats) == ("measured", "grid-1", 3)
    assert cell.speedup == pytest.approx(5.0 / 2.0)
    assert cell.speedup_per_token == pytest.approx(5.0 / 2.0)
    assert cell.spread == pytest.approx((4 / 2, 9 / 3))  # of the same turn
    assert cell.methods["llm"].phases == pytest.approx({"encode": 1.25, "decode": 3.75})
    # 5 s for 8 answers of 16 tokens: 128 tokens, 92,160 an hour; a million takes 10.85 hours at 2.5
    assert cell.cost("llm", 2.5) == pytest.approx(2.5 * 1e6 / (128 * 3600 / 5.0))
    assert cell.cost("hybrid", 2.5) == pytest.approx(cell.cost("llm", 2.5) / 2.5)


@pytest.mark.parametrize(
    "other", [replace(ASKED, batch=1), replace(ASKED, prompt=33), replace(ASKED, output=17)]
)
def test_any_other_size_is_predicted(folder: Path, other: Request):
    cell, profile = cell_of(folder, request=other), load_profile("made-up", folder)
    truth = predict(Pair(LARGE, SMALL), other, profile)
    assert (cell.source, cell.grid_id, cell.repeats, cell.spread) == ("predicted", "", 0, None)
    assert cell.speedup == pytest.approx(truth["llm"].total_s / truth["hybrid"].total_s)
    assert cell.speedup_per_token == pytest.approx(truth["llm"].tpot_s / truth["hybrid"].tpot_s)
    cost = cost_per_million_tokens(truth["hybrid"].total_s, other, 3.0)
    assert cell.cost("hybrid", 3.0) == pytest.approx(cost)
    assert cell.needs["hybrid"] == memory_estimate("hybrid", Pair(LARGE, SMALL), other, profile)


def test_what_a_hybrid_reads_of_its_llm_is_counted_and_said(folder: Path):
    half = replace(LARGE, name="large@6", read_layers=(6,))
    whole, cell = (cell_of(folder, llm, request=Request(64, 16, 8)) for llm in (LARGE, half))
    assert (whole.source, cell.source) == ("predicted", "predicted")
    assert cell.methods["hybrid"].phases["encode"] < 0.6 * whole.methods["hybrid"].phases["encode"]
    assert cell.methods["llm"] == whole.methods["llm"]
    assert cell.needs["hybrid"].total < whole.needs["hybrid"].total
    read = ", the hybrid reads layer 6 of 12"
    assert lines("speedup", cell, Terms(1.0))[0].endswith(read)
    assert read in times_sentence(cell)
    assert "reads" not in times_sentence(whole)
    rows = table(only(folder)[1], (whole, cell), Terms(1.0))
    assert [row[list(rows.columns).index("llm_layers_read")] for row in rows.rows] == ["", "6"]


def test_only_smaller_slms(folder: Path):
    for llm, slm in ((SMALL, LARGE), (LARGE, LARGE)):
        cell = cell_of(folder, llm, slm)
        assert (cell.source, cell.speedup, cell.why) == ("none", None, NOT_SMALLER)
        assert lines("speedup", cell, Terms(1.0))[1] == NOT_SMALLER


def test_what_no_engine_of_the_profile_runs_and_too_few_positions_are_said_in_the_cell(folder: Path):
    bart = find_shape("bart-base")
    (folder / "grids" / "grid-1.jsonl").unlink()
    save_profile(made_up_profile(engine="onnx"), folder)
    cell = cell_of(folder, bart, SMALL, Request(2000, 16, 1))
    assert cell.source == "none"
    assert "bart-base is of the family bart, which the engine onnx does not run" in cell.why
    save_profile(made_up_profile(engine="torch"), folder)
    cell = cell_of(folder, bart, SMALL, Request(2000, 16, 1))
    assert "bart-base has positions for 1024 tokens and 2000 are asked for" in cell.why
    assert why_none("speedup", cell, Terms(1.0)) == cell.why
    assert cell_of(folder, bart, SMALL, Request(1024, 16, 1)).source == "predicted"


def test_rows_rise_with_llms_and_columns_with_slms(folder: Path):
    known, device = only(folder)
    cells = pair_cells(
        device, measured_pairs(device, known.shapes, folder), [LARGE, SMALL], [SMALL, TINY], ASKED
    )
    assert [(cell.llm.name, cell.slm.name) for cell in cells] == [
        ("small", "tiny"), ("small", "small"), ("large", "tiny"), ("large", "small"),
    ]  # fmt: skip
    assert [cell.source for cell in cells] == ["predicted", "none", "predicted", "measured"]


def test_beyond_what_the_profile_was_measured_at(folder: Path):
    inside, outside = (cell_of(folder, request=Request(prompt, 16, 1)) for prompt in (512, 8192))
    assert (inside.how, outside.how) == ("predicted", "extrapolated")
    assert "≈ Extrapolated from a profile of another machine, not measured" in lines(
        "speedup", outside, Terms(1)
    )


def test_a_profile_of_this_machine_and_of_another(folder: Path):
    guess = cell_of(folder, slm=TINY)
    assert (guess.whose, guess.estimate) == (
        "profile of another machine", "predicted from a profile of another machine",
    )  # fmt: skip
    save_profile(made_up_profile(environment=environment(CPU, "")), folder)
    (folder / "grids" / "grid-1.jsonl").unlink()
    guess = cell_of(folder, slm=TINY)
    assert (guess.whose, guess.estimate) == ("", "predicted")
    assert "≈ Predicted from this machine's profile, not measured" in lines("speedup", guess, Terms(1.0))


def test_names_carry_their_size():
    assert sized(find_shape("t5-v1_1-large")) == "t5-v1_1-large 783M"
    assert sized(find_shape("t5-v1_1-xl")) == "t5-v1_1-xl 2.8B"
