"""Grids of latencies on disk: what is written comes back, and damage hides nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hybrid.errors import StoreError
from hybrid.schema import CPU, Cell, Grid, Hardware
from hybrid.store.checks import check_seal, seal
from hybrid.store.codec import decode_cell, encode_cell
from hybrid.store.grids import create_grid, find_grid, list_grids, load_grid, new_grid_id, resume_grid
from hybrid.store.reading import list_runs
from tests.environments import made_environment

HERE = made_environment()
ID = "20261123-014512-torch-3f9c"


def grid(grid_id: str = ID, **more: Any) -> Grid:
    own: dict = {
        "llms": ("large",), "slms": ("small", "tiny"), "methods": ("llm", "slm", "hybrid"), "batches": (1,),
        "prompts": (32,), "outputs": (16,), "repeats": 3, "engine": "torch", "device": CPU,
        "dtype": "float32", "threads": 1, "environment": HERE, "created_at": "2026-11-23T01:45:12+00:00",
        "shapes": {"large": {"d_model": 64, "family": "t5", "tied_head": False, "positions": None}},
    }  # fmt: skip
    return Grid(grid_id=grid_id, **own | more)


def cell(method: str = "hybrid", slm: str | None = "small", **more: Any) -> Cell:
    own: dict = {
        "batch": 1, "prompt_tokens": 32, "output_tokens": 16, "started_at": "2026-11-23T01:45:13.000+00:00",
        "phases_s": {"encode": (0.5, 0.25, 0.75), "decode": (1.0, 2.0, 4.0)},
        "ttft_s": (0.5, 0.25, 0.75), "tpot_s": (0.0625, 0.125, 0.25),
    }  # fmt: skip
    return Cell(method=method, llm="large", slm=slm, **own | more)


@pytest.fixture
def killed(tmp_path: Path) -> Callable[..., Path]:
    """killed(cells, tail): the file of a grid whose process left `tail` behind its last whole line."""

    def make(cells: list[Cell], tail: bytes = b"") -> Path:
        with create_grid(grid(), tmp_path) as writer:
            writer.append(cells)
        path = tmp_path / "grids" / f"{ID}.jsonl"
        with path.open("ab") as file:
            file.write(tail)
        return path

    return make


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


def test_part_of_a_line_is_passed_over_and_cut_off_on_resuming(
    killed: Callable[..., Path], tmp_path: Path
) -> None:
    path = killed([cell("llm", None)], encode_cell(cell())[:50])
    stored = load_grid(ID, tmp_path)
    assert (len(stored.cells), stored.problems) == (1, ())
    with resume_grid(ID, HERE, tmp_path) as writer:
        assert writer.done == {cell("llm", None).key}
        writer.append([cell()])
    assert load_grid(ID, tmp_path).cells == (cell("llm", None), cell())
    assert path.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (b"\xff\xfe\n", "it is not JSON"),
        (b"[1]\n", "Expected object, got array"),
        ({"method": "guess"}, "method is 'guess'"),
        ({"phases_us": {"thinking": [1, 2, 3]}}, "'thinking' - at key in $.phases_us"),
        ({"phases_us": {}}, "no phases"),
        ({"ttft_us": [1, 2]}, "2 and 3 repeats"),
        ({"ttft_us": [1, -2, 3]}, ">= 0.0 - at $.ttft_us[1]"),
        ({"tpot_us": [1, float("nan"), 3]}, "it is not JSON"),
        ({"ttft_us": None}, "got null - at $.ttft_us"),
        ({"ttft_us": ["fast", 1, 2]}, "got str - at $.ttft_us[0]"),
        ({"batch": 0}, ">= 1 - at $.batch"),
        ({"batch": "one"}, "got str - at $.batch"),
        ({"slm": 7}, "got int - at $.slm"),
    ],
)
def test_damaged_line_is_named_and_hides_no_other(
    change: bytes | dict, reason: str, killed: Callable[..., Path], tmp_path: Path
) -> None:
    good = encode_cell(cell("slm", "small"))
    line = change if isinstance(change, bytes) else json.dumps(json.loads(good) | change).encode() + b"\n"
    path = killed([cell("llm", None)], line + encode_cell(cell()))
    stored = load_grid(ID, tmp_path)
    assert stored.cells == (cell("llm", None), cell())
    (problem,) = stored.problems
    assert problem.startswith(f"{path}, line 3, is damaged and left out: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"llm": None}, "it names no llm"),
        ({"slm": None}, "it names no slm"),
        ({"phases_s": {"encode": (1.0, 0.0, 1.0)}}, "it took 0.0 s"),
    ],
)
def test_a_cell_without_a_model_or_a_time_is_left_out(
    change: dict, reason: str, killed: Callable[..., Path], tmp_path: Path
) -> None:
    killed([cell("llm", None), replace(cell(), **change)])
    stored = load_grid(ID, tmp_path)
    assert stored.cells == (cell("llm", None),)
    assert stored.problems[0].endswith(f"is damaged and left out: {reason}.")


def test_missing_field_is_named(killed: Callable[..., Path], tmp_path: Path) -> None:
    row = json.loads(encode_cell(cell()))
    del row["ttft_us"]
    killed([], json.dumps(row).encode() + b"\n")
    assert "missing required field ttft_us" in load_grid(ID, tmp_path).problems[0]


def test_repeated_cell_is_left_out(killed: Callable[..., Path], tmp_path: Path) -> None:
    killed([cell()], encode_cell(cell(ttft_s=(9.0, 9.0, 9.0))))
    stored = load_grid(ID, tmp_path)
    assert stored.cells == (cell(),)
    assert "it repeats hybrid of large+small at batch 1, prompt 32, output 16" in stored.problems[0]


def test_many_damaged_lines_are_counted(killed: Callable[..., Path], tmp_path: Path) -> None:
    path = killed([], b"?\n" * 25)
    problems = load_grid(ID, tmp_path).problems
    assert len(problems) == 11
    assert problems[-1] == f"{path} has 15 more damaged lines."


def test_unknown_fields_are_let_pass(killed: Callable[..., Path], tmp_path: Path) -> None:
    killed([], seal(encode_cell(cell()).replace(b'"crc32"', b'"later"')))
    assert load_grid(ID, tmp_path).cells == (cell(),)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "not JSON"),
        (b"{}\n", "format None"),
        (b'{"format":2}\n', "format 2"),
        (b'{"format":1}\n', "missing required field"),
    ],
)
def test_grid_without_a_header_is_reported(tmp_path: Path, header: bytes, reason: str) -> None:
    with create_grid(grid(), tmp_path):
        pass
    bad = tmp_path / "grids" / "bad.jsonl"
    bad.write_bytes(header)
    with pytest.raises(StoreError, match=rf"bad\.jsonl, line 1, cannot be read: .*{reason}"):
        load_grid("bad", tmp_path)
    listing = list_grids(tmp_path)
    assert [summary.grid_id for summary in listing.grids] == [ID]
    assert len(listing.problems) == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompts": (0,)}, "prompts is 0; it must be 1 to"),
        ({"outputs": ()}, "outputs are \\[\\]; name each size once"),
        ({"outputs": (16, 16)}, "outputs are .*; name each size once"),
        ({"repeats": 0}, "repeats is 0; it must be 1 to"),
        ({"methods": ("guess",)}, "method is 'guess', not one of llm"),
    ],
)
def test_numbers_of_a_header_must_be_those_of_a_measurement(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    with create_grid(grid(**change), tmp_path):
        pass
    with pytest.raises(StoreError, match=rf"line 1, cannot be read: {reason}"):
        load_grid(ID, tmp_path)
    assert list_grids(tmp_path).grids == ()


def test_shapes_of_a_header_must_be_objects(tmp_path: Path) -> None:
    with create_grid(grid(shapes={"large": "big"}), tmp_path):
        pass
    with pytest.raises(StoreError, match=r"got str - at \$\.shapes"):
        load_grid(ID, tmp_path)


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
