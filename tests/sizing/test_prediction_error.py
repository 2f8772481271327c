"""Errors against a grid that is known: what was predicted for it, made longer by known factors."""

from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.schema import Device
from hybrid.sizing import Pair, error_report, fits, fitting_grid
from hybrid.sizing.prediction_error import told_apart
from hybrid.store.grids import StoredGrid, create_grid
from tests.sizing.made_up import cells_of, grid_of


def test_predictions_that_are_right(pair: Pair, made_up) -> None:
    profile = made_up()
    report = error_report(StoredGrid(grid_of(pair, profile), cells_of(pair, profile, {}), ()), profile)
    assert report is not None
    assert report.grid_id == "20261123-010000-torch-0000"
    assert (report.total.n, report.phases["project"].n, report.phases["decode"].n) == (12, 4, 12)
    for spread in (report.total, *report.phases.values()):
        assert (spread.median, spread.p90) == pytest.approx((0, 0))
    assert list(report.phases) == ["encode", "project", "prefill", "decode"]


def test_median_and_90th_percentile(pair: Pair, made_up) -> None:
    profile = made_up()
    # of 12 cells 6 are right, 4 took twice as long as predicted and 2 four times as long
    factors = {("llm", 1): 2.0, ("llm", 8): 2.0, ("slm", 1): 4.0}
    report = error_report(StoredGrid(grid_of(pair, profile), cells_of(pair, profile, factors), ()), profile)
    assert report is not None
    assert report.total.median == pytest.approx(0)
    assert report.total.p90 == pytest.approx(0.75)
    assert (report.phases["project"].median, report.phases["project"].p90) == pytest.approx((0, 0))


def test_cells_of_other_methods_and_engines_are_left_out(pair: Pair, made_up) -> None:
    profile = made_up()
    cells = cells_of(pair, profile, {})
    other = replace(cells[0], method="lossless-lookup"), replace(cells[1], options={"fallback": "too long"})
    report = error_report(StoredGrid(grid_of(pair, profile), (*other, *cells[2:]), ()), profile)
    assert report is not None
    assert report.total.n == 10
    assert error_report(StoredGrid(grid_of(pair, profile), other, ()), profile) is None


def test_phases_that_an_engine_does_not_tell_apart() -> None:
    phases = {
        "tokenize": 1.0,
        "encode": 2.0,
        "project": 4.0,
        "prefill": 8.0,
        "decode": 16.0,
        "detokenize": 32.0,
    }
    assert told_apart(phases, phases) == phases
    seen = ("tokenize", "decode", "detokenize")
    assert told_apart(phases, dict.fromkeys(seen)) == {"tokenize": 1.0, "decode": 30.0, "detokenize": 32.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "onnx"},
        {"dtype": "int8"},
        {"threads": 2},
        {"device": Device("cuda")},
        {"engine_options": {"a": "b"}},
    ],
)
def test_grids_of_other_conditions_do_not_fit(pair: Pair, made_up, changes) -> None:
    profile = made_up()
    assert fits(grid_of(pair, profile), profile)
    assert not fits(grid_of(pair, profile, **changes), profile)
    elsewhere = replace(profile.environment, device_name="Another CPU")
    assert not fits(grid_of(pair, profile, environment=elsewhere), profile)
    assert fits(grid_of(pair, profile, device=Device("cuda", 1)), made_up(device=Device("cuda")))


def test_the_newest_grid_that_fits(pair: Pair, made_up, tmp_path: Path) -> None:
    profile = made_up()
    assert fitting_grid(profile, tmp_path) is None
    for number, day, engine in ((1, 21, "torch"), (2, 22, "torch"), (3, 23, "onnx")):
        grid = grid_of(
            pair, profile, grid_id=f"grid-{number}", created_at=f"2026-11-{day}T00:00:00+00:00", engine=engine
        )
        with create_grid(grid, tmp_path) as writer:
            writer.append(cells_of(pair, profile, {}))
    stored = fitting_grid(profile, tmp_path)
    assert stored is not None
    assert stored.grid.grid_id == "grid-2"
    report = error_report(stored, profile)
    assert report is not None
    assert report.total.p90 < 0.01  # files hold tenths of microseconds
