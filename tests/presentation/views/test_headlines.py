"""The newest run of each kind, and what it says of the hybrid."""

from functools import partial
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.presentation.views.catalog import catalog
from hybrid.presentation.views.digest import digest
from hybrid.presentation.views.headlines import headlines
from hybrid.schema import System
from tests.pages.made_runs import store_run


def told(root: Path):
    return headlines(catalog(root).entries, partial(digest, root=root))


def test_one_headline_a_kind_of_run_the_newest_first(tmp_path: Path):
    for number, (suite, device) in enumerate([("a", "CPU"), ("a", "CPU"), ("b", "CPU"), ("a", "GPU")]):
        store_run(tmp_path, number, examples=4, suite=suite, device_name=device)
    assert [one.entry.run_id for one in told(tmp_path)] == ["made-0003", "made-0002", "made-0001"]


def test_what_was_asked_keeps_its_place(tmp_path: Path):
    for number, task in enumerate(["translate-en-de", "summarize", "translate-en-de", "summarize"]):
        store_run(tmp_path, number, examples=4, suite=task, task=task, device_name=f"CPU {number}")
    found = [one.entry.run_id for one in told(tmp_path)]
    assert found == ["made-0002", "made-0000", "made-0003", "made-0001"]


def test_figures_are_those_of_the_export(tmp_path: Path):
    run_id = store_run(tmp_path, examples=10)
    (one,) = told(tmp_path)
    rows = digest(run_id, tmp_path).rows
    assert one.speedup == rows["hybrid"]["speedup_end_to_end"]
    assert (one.low, one.high) == tuple(
        rows["hybrid"][f"speedup_end_to_end_{end}"] for end in ("low", "high")
    )
    assert one.kept == pytest.approx(rows["hybrid"]["bleu"] / rows["llm"]["bleu"])
    assert (one.metric, one.n) == ("BLEU", 10)
    assert one.verdict == digest(run_id, tmp_path).verdicts["hybrid"]


def test_incomplete_runs_and_those_of_other_systems_are_passed_over(tmp_path: Path):
    store_run(tmp_path, 0, examples=4)
    store_run(tmp_path, 1, examples=4, systems=(System("llm"), System("slm")))
    store_run(tmp_path, 2, examples=4, answered=0.5)
    assert [one.entry.run_id for one in told(tmp_path)] == ["made-0000"]


def test_a_run_that_cannot_be_read_gives_way_to_an_older_one(tmp_path: Path):
    for number in range(2):
        store_run(tmp_path, number, examples=4)

    def reading(run_id: str):
        if run_id == "made-0001":
            raise StoreError("It is damaged.")
        return digest(run_id, tmp_path)

    assert [one.entry.run_id for one in headlines(catalog(tmp_path).entries, reading)] == ["made-0000"]


def test_a_run_of_fixed_length_has_no_quality(tmp_path: Path):
    from hybrid.schema import Sampling

    store_run(tmp_path, examples=4, sampling=Sampling(16, ignore_eos=True))
    (one,) = told(tmp_path)
    assert one.kept is None
    assert one.speedup > 1
