"""Runs as pages list and filter them."""

from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.presentation.runs.catalog import catalog, choices, fullest, passes
from hybrid.schema import System
from tests.made_runs import store_many, store_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    store_many(root, 6)
    return root


def test_entries_say_what_was_asked(tmp_path: Path):
    store_run(
        tmp_path,
        3,
        examples=4,
        repeats=2,
        systems=(System("llm"), System("hybrid"), System.parse("llm@torch")),
        answered=0.5,
    )
    (entry,) = catalog(tmp_path).entries
    assert (entry.examples, entry.repeats, entry.planned, entry.records) == (4, 2, 24, 12)
    assert entry.engines == ("onnx", "torch")
    assert not entry.complete


def test_entries_are_the_newest_first_and_damage_hides_nothing(tmp_path: Path):
    ids = [store_run(tmp_path, number, examples=2) for number in range(3)]
    (tmp_path / ids[1] / "run.json").write_text("{", "utf-8")
    runs = catalog(tmp_path)
    assert [entry.run_id for entry in runs.entries] == [ids[2], ids[0]]
    assert ids[1] in runs.problems[0]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({}, 6),
        ({"suite": "made-up"}, 3),
        ({"device": "NVIDIA H200"}, 2),
        ({"engine": "torch", "suite": "made-other"}, 1),
        ({"batch": 8}, 0),
        ({"pair": "none such"}, 0),
    ],
)
def test_filters_let_pass_what_has_all_of_them(
    results: Path, filters: dict[str, str | int | None], count: int
):
    assert sum(passes(entry, filters) for entry in catalog(results).entries) == count


def test_a_run_of_several_engines_passes_for_each(tmp_path: Path):
    store_run(tmp_path, systems=(System("llm"), System.parse("llm@ctranslate2")), examples=2)
    (entry,) = catalog(tmp_path).entries
    assert passes(entry, {"engine": "ctranslate2"})
    assert passes(entry, {"engine": "onnx"})
    assert not passes(entry, {"engine": "torch"})


def test_choices_occur_once_in_the_order_of_the_runs(results: Path):
    entries = catalog(results).entries
    assert choices(entries, "suite") == ["made-other", "made-up"]
    assert choices(entries, "engine") == ["torch", "onnx"]


def test_the_fullest_run_is_complete_quiet_and_the_newest_of_its_like(tmp_path: Path):
    store_run(tmp_path, 0, examples=4)
    full = store_run(tmp_path, 1, examples=4)
    store_run(tmp_path, 2, examples=2)
    store_run(tmp_path, 3, examples=9, answered=0.5)
    entries = catalog(tmp_path).entries
    assert fullest(entries).run_id == full
    assert fullest(entries[:1]) is None
    busy = [replace(entry, busy=("it moved",)) if entry.run_id == full else entry for entry in entries]
    assert fullest(busy).run_id == "made-0000"


@pytest.mark.parametrize(
    ("busy", "word", "passing"),
    [(None, "", "not busy"), ((), "quiet", "not busy"), (("it moved",), "busy", "busy")],
)
def test_a_busy_machine_can_be_left_out(
    results: Path, busy: tuple[str, ...] | None, word: str, passing: str
) -> None:
    entry = replace(catalog(results).entries[0], busy=busy)
    assert entry.machine == word
    assert [passes(entry, {"machine": value}) for value in ("busy", "not busy")] == [
        passing == "busy", passing == "not busy",
    ]  # fmt: skip
