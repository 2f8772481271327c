"""A digest says what `hybrid export` and `hybrid compare` say, and is kept until the run changes."""

from pathlib import Path

import pytest

from hybrid.compare import COLUMNS, compare_runs, summaries
from hybrid.presentation.views import digest as module
from hybrid.presentation.views.digest import digest
from hybrid.schema import System
from hybrid.store import load_run
from tests.pages.made_runs import store_run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


def test_it_repeats_export_and_compare(tmp_path: Path):
    run_id = store_run(tmp_path, examples=10)
    found, stored = digest(run_id, tmp_path), load_run(run_id, tmp_path)
    assert list(found.rows.values()) == summaries(stored)
    assert all(list(row) == list(COLUMNS) for row in found.rows.values())
    told = compare_runs([stored], "llm")
    assert found.verdicts == {one.summary.system: one.verdict for one in told.systems}
    assert found.warnings == told.warnings


def test_a_complete_run_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_id = store_run(tmp_path, examples=4)
    first = digest(run_id, tmp_path)
    monkeypatch.setattr(module, "load_run", None)
    assert digest(run_id, tmp_path) == first


def test_a_run_that_was_written_to_is_computed_anew(tmp_path: Path):
    run_id = store_run(tmp_path, examples=4)
    assert not digest(run_id, tmp_path).warnings[1:]
    records = tmp_path / run_id / "records.jsonl"
    records.write_bytes(records.read_bytes().replace(b'"finish":"eos"', b'"finish":"nonsense"', 1))
    assert any("line 1, is damaged" in warning for warning in digest(run_id, tmp_path).warnings)


def test_a_damaged_copy_is_made_anew(tmp_path: Path):
    run_id = store_run(tmp_path, examples=4)
    first = digest(run_id, tmp_path)
    for path in (tmp_path / "cache" / "views").iterdir():
        path.write_text('{"rows": ', "utf-8")
    assert digest(run_id, tmp_path) == first


def test_without_a_folder_to_keep_it_in_it_is_computed_each_time(tmp_path: Path):
    (tmp_path / "cache").write_text("no folder", "utf-8")
    run_id = store_run(tmp_path, examples=4)
    assert digest(run_id, tmp_path) == digest(run_id, tmp_path)


def test_a_run_without_the_llm_says_why_there_is_no_verdict(tmp_path: Path):
    found = digest(store_run(tmp_path, examples=4, systems=(System("slm"), System("hybrid"))), tmp_path)
    assert set(found.rows) == {"slm", "hybrid"}
    assert not found.verdicts
    assert "baseline llm" in found.why


def test_a_run_without_answers_has_no_rows(tmp_path: Path):
    found = digest(store_run(tmp_path, examples=4, answered=0.0), tmp_path)
    assert not found.rows
    assert "no answers yet" in found.why
