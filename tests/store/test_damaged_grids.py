"""Damage in a grid on disk is named, and hides nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.store.checks import seal
from hybrid.store.codec import encode_cell
from hybrid.store.grids import create_grid, list_grids, load_grid, resume_grid
from tests.store.grids import HERE, ID, cell, grid


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
