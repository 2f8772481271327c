"""The table of answers holds what `hybrid export --records` writes."""

import math
from pathlib import Path

import pandas as pd
import pytest

from hybrid.benchmark.scoring import score_run
from hybrid.compare.export import record_columns, record_rows
from hybrid.metrics import METRICS
from hybrid.presentation.examples import answers as module
from hybrid.presentation.examples.answers import COLUMNS, read_answers
from hybrid.store import RunReader, journal
from tests.made_runs import rewrite_lines, store_run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))


def test_it_repeats_the_records_of_an_export(tmp_path: Path):
    run_id = store_run(tmp_path, examples=5, repeats=2)
    score_run(run_id, root=tmp_path)
    table = read_answers(run_id, tmp_path)
    reader, names = RunReader(run_id, tmp_path), record_columns(METRICS)
    rows = [dict(zip(names, row, strict=True)) for row in record_rows(reader, METRICS)]
    assert table["repetition"].notna().all()
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == len(rows) == 30
    for name in COLUMNS:
        for value, expected in zip(table[name], (row[name] for row in rows), strict=True):
            assert value == expected or (expected is None and math.isnan(value)), name


def test_what_is_kept_is_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run_id = store_run(tmp_path, examples=5)
    first = read_answers(run_id, tmp_path)
    monkeypatch.setattr(module, "_read", None)
    pd.testing.assert_frame_equal(read_answers(run_id, tmp_path), first)


def test_a_run_in_progress_is_read_each_time(tmp_path: Path):
    run_id = store_run(tmp_path, examples=5, answered=0.4)
    assert len(read_answers(run_id, tmp_path)) == 6
    assert not (tmp_path / "cache" / "views").exists()


def test_half_a_character_is_spelled_out(tmp_path: Path):
    run_id = store_run(tmp_path, examples=1, texts=["a smile"])
    records = tmp_path / run_id / "records.jsonl"
    rewrite_lines(records, lambda line: line.replace('"text":"a smile"', '"text":"\\ud83d a smile"'))
    first = read_answers(run_id, tmp_path)
    assert set(first["text"]) == {"\\ud83d a smile"}
    pd.testing.assert_frame_equal(read_answers(run_id, tmp_path), first)


def test_a_long_run_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_SAY_EVERY", 1)
    monkeypatch.setattr(journal, "_AT_ONCE", 1)  # byte, and so a line
    sentences: list[str] = []
    read_answers(store_run(tmp_path, examples=1), tmp_path, sentences.append)
    assert sentences == ["Reading 1 of 3 answers", "Reading 2 of 3 answers"]
