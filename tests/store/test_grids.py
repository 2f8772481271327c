"""Grids of latencies on disk: what is written comes back, and damage hides nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hybrid.engines.registry import ENGINES
from hybrid.errors import StoreError
from hybrid.schema import Hardware
from hybrid.store.checks import check_seal
from hybrid.store.codec import decode_cell, encode_cell
from hybrid.store.folders import RUN_ID
from hybrid.store.grids import create_grid, find_grid, list_grids, load_grid, new_grid_id, resume_grid
from hybrid.store.reading import list_runs
from tests.store.grids import HERE, ID, cell, grid


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    cells = [cell("llm", None), cell("hybrid", "small"), cell("hybrid", "tiny", options={"kernels": "fused"})]
    with create_grid(grid(engine_options={"int8_encoder": "on"}), tmp_path) as writer:
        assert writer.append(cells[:1]) == (cells[0],)
        writer.append(cells[1:])
        assert writer.done == {measured.key for measured in cells}
    stored = load_grid(ID, tmp_path)
    assert stored.grid == grid(engine_options={"int8_encoder": "on"})
    assert stored.cells == tuple(cells)
    assert stored.problems == ()
    assert stored.grid.product == "0.1.0"


def test_the_file_is_what_the_format_says(killed: Callable[..., Path]) -> None:
    header, line = killed([cell("lossless", drafted=(9, 9, 9), accepted=(1, 0, 2))]).read_text().splitlines()
    assert json.loads(header) | {"environment": None} == json.loads(header) | {
        "environment": None, "format": 1, "grid_id": ID, "weights": "random", "llms": ["large"],
        "prompts": [32], "engine_options": {},
    }  # fmt: skip
    assert check_seal(line.encode(), required=True)
    assert json.loads(line) | {"crc32": ""} == {
        "method": "lossless", "llm": "large", "slm": "small", "batch": 1, "prompt_tokens": 32,
        "output_tokens": 16, "started_at": "2026-11-23T01:45:13.000+00:00",
        "phases_us": {"encode": [5e5, 2.5e5, 7.5e5], "decode": [1e6, 2e6, 4e6]},
        "ttft_us": [5e5, 2.5e5, 7.5e5], "tpot_us": [62500, 125000, 250000],
        "drafted": [9, 9, 9], "accepted": [1, 0, 2], "crc32": "",
    }  # fmt: skip


def test_medians_are_derived() -> None:
    measured = cell()
    assert measured.total_s == (1.5, 2.25, 4.75)
    assert (measured.median_total_s, measured.median_ttft_s, measured.median_tpot_s) == (2.25, 0.5, 0.125)
    assert measured.median_phases_s == {"encode": 0.5, "decode": 2.0}
    assert cell(tpot_s=(), output_tokens=1).median_tpot_s is None


def test_times_are_kept_to_a_tenth_of_a_microsecond() -> None:
    measured = cell(ttft_s=(0.123456789, 1 / 3, 12.00000004))
    assert decode_cell(encode_cell(measured)).ttft_s == (0.1234568, 0.3333333, 12.0)


def test_cells_measured_elsewhere_say_so(killed: Callable[..., Path], tmp_path: Path) -> None:
    killed([cell("llm", None)])
    elsewhere = replace(HERE, packages={"torch": "2.14.0"})
    with resume_grid(ID, elsewhere, tmp_path) as writer:
        (stored,) = writer.append([cell()])
    assert stored.environment == elsewhere
    assert [measured.environment for measured in load_grid(ID, tmp_path).cells] == [None, elsewhere]


def test_another_device_cannot_go_on(killed: Callable[..., Path], tmp_path: Path) -> None:
    killed([])
    with pytest.raises(StoreError, match="was measured on A CPU, and this is Another"):
        resume_grid(ID, replace(HERE, device_name="Another"), tmp_path)


def test_a_namesake_of_the_machine_cannot_go_on(tmp_path: Path) -> None:
    older, newer = (replace(HERE, hardware=Hardware("AuthenticAMD", "25", model)) for model in ("17", "1"))
    with create_grid(grid(environment=older), tmp_path):
        pass
    with pytest.raises(StoreError, match="was measured on A CPU, and this is another machine of that name"):
        resume_grid(ID, newer, tmp_path)
    resume_grid(ID, older, tmp_path).close()


def test_a_cell_is_stored_once(tmp_path: Path) -> None:
    with create_grid(grid(), tmp_path) as writer:
        writer.append([cell()])
        with pytest.raises(ValueError, match="stored already or come twice"):
            writer.append([cell()])
        with pytest.raises(ValueError, match="stored already or come twice"):
            writer.append([cell("llm", None), cell("llm", None)])
    with pytest.raises(ValueError, match="is closed"):
        writer.append([cell("slm")])


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    with create_grid(grid(), tmp_path), pytest.raises(StoreError, match="File exists"):
        create_grid(grid(), tmp_path)


def test_a_grid_without_cells_can_be_discarded(tmp_path: Path) -> None:
    create_grid(grid(), tmp_path).discard()
    assert list_grids(tmp_path).grids == ()
    with create_grid(grid(), tmp_path) as writer:
        writer.append([cell()])
        with pytest.raises(ValueError, match="1 cells of grid"):
            writer.discard()


def test_names_of_grids(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There are no grids"):
        find_grid("latest", tmp_path)
    for name, created in (
        ("20261123-a", "2026-11-23T02:00:00+00:00"),
        ("20261123-b", "2026-11-23T01:00:00+00:00"),
    ):
        create_grid(grid(name, created_at=created), tmp_path).close()
    assert find_grid("latest", tmp_path) == "20261123-a"
    assert find_grid("20261123-b", tmp_path) == "20261123-b"
    with pytest.raises(StoreError, match="beginning of several grids: 20261123-a, 20261123-b"):
        find_grid("2026", tmp_path)
    for wrong in ("nothing", "../grids/20261123-a", ""):
        with pytest.raises(StoreError, match="there are: 20261123-a, 20261123-b"):
            find_grid(wrong, tmp_path)


def test_new_id_says_when_and_which_engine() -> None:
    new_id = new_grid_id("cuda-graph", datetime(2026, 11, 23, 1, 45, 12, tzinfo=UTC))
    assert new_id.startswith("20261123-014512-cuda-graph-")
    assert len(new_id) == len("20261123-014512-cuda-graph-3f9c")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_an_id_that_names_a_file(engine: str) -> None:
    assert RUN_ID.fullmatch(new_grid_id(engine, datetime(2026, 11, 23, tzinfo=UTC)))


def test_links_are_not_followed(killed: Callable[..., Path], tmp_path: Path) -> None:
    path = killed([])
    path.with_name("link.jsonl").symlink_to(path)
    with pytest.raises(StoreError, match="cannot be read"):
        load_grid("link", tmp_path)


def test_results_folder_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))
    create_grid(grid()).close()
    assert load_grid("latest").grid == grid()
    assert list_runs().runs == ()  # grids are none, and disturb none
    assert list_runs().problems == ()
