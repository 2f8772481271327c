"""The id of a run is a plain name, and its folder is one process's own."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from hybrid import store
from hybrid.schema import Plan
from hybrid.store import StoredRun, Writer

Start = Callable[..., Writer]


def test_an_id_says_when_and_what() -> None:
    plan = Plan("everyday-en-de", suite_hash="", task="translate-en-de", pair="en-de")
    now = datetime(2026, 11, 23, 2, 45, 12, tzinfo=timezone(timedelta(hours=1)))
    assert store.new_run_id(plan, now)[:-4] == "20261123-014512-everyday-en-de-"


@pytest.mark.parametrize(
    ("suite", "slug"),
    [
        ("sacrebleu:wmt20/en-de", "sacrebleu-wmt20-en-de"),
        ("hf:Some_User/Data.Set:en:test", "hf-some-user-data-set-en-test"),
        ("file:/home/somebody/secret/My texts.tsv", "my-texts"),
        ("file:../../данные.jsonl", "suite"),
        ("file:x" + "y" * 200, "x" + "y" * 39),
    ],
)
def test_any_suite_gives_an_id_that_is_a_plain_name(
    suite: str, slug: str, fake: StoredRun, tmp_path: Path
) -> None:
    run_id = store.new_run_id(
        Plan(suite, suite_hash="", task="summarize", pair="x"), datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert run_id[:-4] == f"20260102-000000-{slug}-"
    with store.create(replace(fake.run, run_id=run_id), fake.examples, tmp_path):
        assert store.find_run(run_id, tmp_path) == run_id


def test_a_taken_id_gets_other_digits(fake: StoredRun, started: Start, tmp_path: Path) -> None:
    """As when the clock was set back, or two processes began in the same second."""
    ids = set()
    for _ in range(20):
        with started(fake, tmp_path, 1) as writer:
            assert writer.run.run_id[:-4] == fake.run.run_id[:-4]
            ids.add(writer.run.run_id)
    assert len(ids) == 20
    listing = store.list_runs(tmp_path)
    assert {summary.run.run_id for summary in listing.runs} == ids
    assert listing.problems == ()


def test_a_run_cannot_be_made_outside_the_folder(fake: StoredRun, tmp_path: Path) -> None:
    for run_id in ("../x", "/tmp/x", "", ".x", "a/b"):
        with pytest.raises(ValueError, match="not the id of a run"):
            store.create(replace(fake.run, run_id=run_id), fake.examples, tmp_path / "results")
