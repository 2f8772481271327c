"""Devices, shapes and damage in a folder of results."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.presentation.pairings.cells import pair_cell
from hybrid.presentation.pairings.measured import measured_pairs
from hybrid.presentation.pairings.sources import sources, sources_stamp
from hybrid.sizing import Pair, error_report
from hybrid.sizing.memory import shapes_of
from hybrid.store.grids import load_grid
from tests.presentation.pairings.made_grids import (
    ASKED,
    HERE,
    LARGE,
    SMALL,
    cell,
    cell_of,
    store,
)


def test_every_condition_of_the_profile_must_be_the_grids(folder: Path):
    elsewhere = replace(HERE, device_name="Another CPU")
    for number, more in enumerate(
        [{"engine": "onnx"}, {"dtype": "int8"}, {"threads": 2}, {"environment": elsewhere}], start=2
    ):
        store(folder, (cell("llm", (90.0,)), cell("hybrid", (1.0,))), grid_id=f"grid-{number}", **more)
    known = sources(folder)
    assert [len(device.grids) for device in known.devices] == [1, 1, 1, 1, 1]
    assert [device.profile is None for device in known.devices] == [False, True, True, True, True]
    profiled = known.devices[0]
    measured = measured_pairs(profiled, known.shapes, folder)
    assert pair_cell(profiled, measured, Pair(LARGE, SMALL), ASKED).speedup == pytest.approx(2.5)


def test_nothing_stored(tmp_path: Path):
    known = sources(tmp_path / "none")
    assert known.devices == ()
    assert "t5-v1_1-xl" in known.shapes


def test_a_damaged_file_is_named_and_hides_nothing(folder: Path):
    (folder / "devices" / "broken.json").write_text("{", "utf-8")
    empty = json.loads((folder / "devices" / "made-up.json").read_text("utf-8")) | {"step": []}
    (folder / "devices" / "useless.json").write_text(json.dumps(empty), "utf-8")
    (folder / "grids" / "bad.jsonl").write_text("nonsense\n", "utf-8")
    with (folder / "grids" / "grid-1.jsonl").open("ab") as file:
        file.write(b'{"method":"llm"}\n')
    known = sources(folder)
    assert [device.name for device in known.devices] == ["made-up"]
    assert [
        any(name in problem for problem in known.problems) for name in ("broken", "useless", "bad.jsonl")
    ] == [True] * 3
    assert len(known.problems) == 3
    measured = measured_pairs(known.devices[0], known.shapes, folder)
    assert len(measured.problems) == 1
    assert "line 5" in measured.problems[0]
    assert cell_of(folder).speedup == pytest.approx(2.5)


@pytest.mark.parametrize(
    "damage", [{"heads": -1}, {"d_kv": 0}, {"d_kv": 2.5}, {"d_ff": {"d_ff": [8]}}, {"family": "abacus"}]
)
def test_damaged_shapes_of_a_grid_are_named(folder: Path, damage: dict[str, object]):
    shapes = {"large": asdict(LARGE), "small": asdict(SMALL) | damage}
    store(folder, grid_id="grid-2", shapes=shapes, created_at="2026-12-24T01:00:00+00:00")
    known = sources(folder)
    assert any("grid-2 does not describe small" in problem for problem in known.problems)
    assert known.shapes["small"] == SMALL  # as the other grid says
    (device,) = known.devices
    report = error_report(load_grid("grid-2", folder), device.profile)
    assert report is not None
    assert report.total.n == 1  # of the LLM alone
    with pytest.raises(StoreError, match="Grid grid-2 does not describe 'small'"):
        shapes_of(device.grids[0])


def test_sliders_offer_what_grids_have(folder: Path):
    store(folder, grid_id="grid-2", prompts=(100, 10**12))
    assert sources(folder).sizes("prompts", (16,), 8192) == [16, 32, 100]


def test_the_stamp_changes_with_the_files(folder: Path):
    before = sources_stamp(folder)
    assert sources_stamp(folder) == before
    store(folder, grid_id="grid-2")
    between = sources_stamp(folder)
    (folder / "devices" / "made-up.json").unlink()
    assert len({before, between, sources_stamp(folder)}) == 3
