"""A private copy of a run: every number of its comparison is the open run's, and it pairs with that."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.benchmark.private import make_private
from hybrid.compare import as_json, compare_runs
from hybrid.errors import InputError
from hybrid.presentation.runs.exports import export_csv
from hybrid.presentation.tradeoffs.selection import stored_differences
from hybrid.store import load_run
from hybrid.store.private import Digests
from tests.leaks import content, leaked
from tests.made_runs import store_run

NAMES = ("run_id", "suite", "suite_hash", "licence", "example_id", "domain", "text", "source", "references")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def pair(results: Path) -> tuple[str, str]:
    """A run of summaries with repeats, in batches, and its private copy."""
    run_id = store_run(results, 1, examples=9, repeats=2, task="summarize", batch_size=2)
    return run_id, make_private(run_id, root=results)


def compared(root: Path, run_id: str) -> str:
    stored = load_run(run_id, root)
    text = json.dumps(as_json(compare_runs([stored], resamples=100)), sort_keys=True)
    return text.replace(run_id, "RUN").replace(stored.run.plan.suite, "SUITE")


def exported(root: Path, run_id: str, records: bool) -> list[dict[str, str]]:
    file = io.BytesIO()
    export_csv(file, [run_id], records, root=root)
    rows = csv.DictReader(io.StringIO(file.getvalue().decode(), newline=""))
    return [{name: cell for name, cell in row.items() if name not in NAMES} for row in rows]


def test_every_number_is_that_of_the_open_run(results: Path, pair: tuple[str, str]) -> None:
    before, after = (compared(results, run_id) for run_id in pair)
    assert '"lead-1"' in before, "systems without a model are compared, too"
    assert after == before


@pytest.mark.parametrize("records", [False, True])
def test_every_cell_of_the_tables_but_names_and_texts_too(
    results: Path, pair: tuple[str, str], records: bool
) -> None:
    before, after = (exported(results, run_id, records) for run_id in pair)
    assert {*before[0]} == {*after[0]}
    assert after == before


def test_of_many_examples_the_same_ones_have_systems_without_a_model(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.compare.trivial.MOST", 3)
    run_id = store_run(results, 2, examples=7, task="summarize")
    assert compared(results, make_private(run_id, root=results)) == compared(results, run_id)


def test_it_holds_no_text_and_no_name(results: Path, pair: tuple[str, str]) -> None:
    stored = load_run(pair[0], results)
    texts = [text for e in stored.examples for text in (e.source, *e.references)]
    texts += [record.generation.text for record in stored.records]
    written = content(results / pair[1])
    assert leaked(content(results / pair[0]), texts)
    assert not leaked(written, texts)
    assert b"made-up" not in written


def test_it_pairs_with_the_open_run(results: Path, pair: tuple[str, str]) -> None:
    runs = [load_run(run_id, results) for run_id in pair]
    comparison = compare_runs(runs, f"{pair[0]}:llm", resamples=100)
    copies = [system for system in comparison.systems if system.summary.run_id == pair[1]]
    assert [system.against.agreement for system in copies[:1] if system.against] == [1.0]
    assert [warning for warning in comparison.warnings if "content" in warning] == []
    assert "texts" not in stored_differences(pair, results).kinds


def test_runs_of_other_texts_do_not_pair(results: Path, pair: tuple[str, str]) -> None:
    other = store_run(results, 3, examples=9, task="summarize")
    runs = [load_run(run_id, results) for run_id in (pair[1], other)]
    with pytest.raises(InputError, match=r"private.*keyed hashes"):
        compare_runs(runs, f"{other}:llm", resamples=100)


def test_two_private_runs_pair_by_their_texts(results: Path, pair: tuple[str, str]) -> None:
    copy = load_run(pair[1], results)
    again = replace(copy, run=replace(copy.run, run_id="again"))
    comparison = compare_runs([copy, again], f"{pair[1]}:llm", resamples=100)
    assert {system.against.n for system in comparison.systems if system.against} == {9}
    assert copy.run.plan.suite_hash == Digests(load_run(pair[0], results).run.plan.suite_hash).suite_hash


@pytest.mark.parametrize("state", ["private", "incomplete"])
def test_what_cannot_be_made_private(results: Path, pair: tuple[str, str], state: str) -> None:
    run_id = pair[1] if state == "private" else store_run(results, 4, answered=0.5)
    with pytest.raises(InputError, match=state):
        make_private(run_id, root=results)
