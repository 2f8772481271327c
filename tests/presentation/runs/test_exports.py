"""CSV rows of stored runs; the bytes are tested with the command that writes them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.presentation.runs.exports import columns, complete_runs, rows
from hybrid.store import StoredRun

END = "2026-11-23T02:00:00+00:00"


def stored(fake: StoredRun, root: Path, complete: bool = True) -> str:
    with store.create(fake.run, fake.examples, root) as writer:
        writer.append(fake.records[: None if complete else 4])
        if complete:
            writer.finish({}, END)
        return writer.run.run_id


def test_rows_have_the_columns(fake_run: Callable[..., StoredRun], tmp_path: Path):
    run_id = stored(fake_run(), tmp_path)
    for records, count in ((False, 3), (True, 9)):
        written = list(rows([run_id], records, root=tmp_path))
        assert [len(row) for row in written] == [len(columns(records))] * count


def test_a_damaged_run_is_a_notice_only_when_all_are_asked_for(
    fake_run: Callable[..., StoredRun], tmp_path: Path
):
    ids = [stored(fake_run(run_id=name), tmp_path) for name in ("a-1", "b-2")]
    (tmp_path / "a-1" / "run.json").write_text("{")
    notices: list[str] = []
    written = list(rows(ids, True, lenient=True, notice=notices.append, root=tmp_path))
    assert {row[0] for row in written} == {"b-2"}
    assert notices[0].startswith("Run a-1: ")
    with pytest.raises(StoreError):
        list(rows(ids, True, root=tmp_path))


def test_an_incomplete_run_is_left_out_of_all_and_said_when_named(
    fake_run: Callable[..., StoredRun], tmp_path: Path
):
    with pytest.raises(StoreError, match="There are no complete runs"):
        complete_runs(print, tmp_path)
    part = stored(fake_run(), tmp_path, complete=False)
    whole = stored(fake_run(), tmp_path)
    assert complete_runs(print, tmp_path) == [whole]
    notices: list[str] = []
    assert len(list(rows([part], True, notice=notices.append, root=tmp_path))) == 4
    assert notices == [f"Run {part} is incomplete: 4 of 9 records."]
