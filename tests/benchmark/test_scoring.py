"""Stored runs are scored at any time later, to the same numbers as at once, and only by what they lack."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.benchmark import scoring
from hybrid.benchmark.scoring import score_run
from hybrid.compare import compare_runs
from hybrid.errors import InputError, StoreError
from hybrid.metrics import METRICS, Case, default_metrics, metrics_of, statistics_of
from hybrid.metrics.repetition import RepetitionRate
from hybrid.schema import TASKS, Record, Sampling
from hybrid.store import StoredRun, load_run
from tests.compare.fake import make_run


@pytest.fixture(autouse=True)
def _results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))


def bare(run: StoredRun) -> StoredRun:
    """The run as it is before anything is scored."""
    records = tuple(replace(record, statistics={}) for record in run.records)
    return replace(run, run=replace(run.run, signatures={}, finished_at=None), records=records)


def stored(run: StoredRun, keep: Callable[[Record], bool] = lambda record: True) -> str:
    with store.create(run.run, run.examples) as writer:
        for record in filter(keep, run.records):
            writer.append([record])
    return writer.run.run_id


def test_scored_later_is_scored_at_once() -> None:
    at_once = make_run(30, repeats=2)
    run_id = stored(bare(at_once))
    assert score_run(run_id, default_metrics(TASKS["translate-en-de"])) == ("bleu", "chrf", "ter", "length")
    later = load_run(run_id)
    assert [record.statistics for record in later.records] == [r.statistics for r in at_once.records]
    assert later.run.signatures == at_once.run.signatures
    scored_later, scored_at_once = (compare_runs([run], resamples=50) for run in (later, at_once))
    for rescored, scored in zip(scored_later.systems, scored_at_once.systems, strict=True):
        assert rescored.summary.quality == scored.summary.quality is not None
        if rescored.against and scored.against:
            assert rescored.against.differences == scored.against.differences is not None
            assert rescored.against.gate == scored.against.gate is not None


def test_only_what_is_lacking_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = stored(make_run(4))
    assert score_run(run_id, ["bleu"]) == ()
    task = TASKS["translate-en-de"]
    assert score_run(run_id) == tuple(name for name in metrics_of(task) if not METRICS[name].default)
    monkeypatch.setattr(scoring, "open_scores", None)
    assert score_run(run_id) == ()
    assert score_run(run_id, ["repetition"]) == ()


def test_a_metric_that_is_named_is_computed_again_where_it_is_another_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = stored(make_run(4))
    score_run(run_id)

    class Changed(RepetitionRate):
        version = 2

    monkeypatch.setitem(METRICS, "repetition", Changed())
    assert score_run(run_id) == ()  # stored numbers do not change unasked
    assert score_run(run_id, ["repetition"]) == ("repetition",)
    assert load_run(run_id).run.signatures["repetition"].endswith("version:2")
    run = make_run(4)
    other = stored(replace(run, run=replace(run.run, signatures={"bleu": "of another version"})))
    assert score_run(other, ["bleu"]) == ("bleu",)
    assert "version:2" in load_run(other).run.signatures["bleu"]


def test_an_incomplete_run_is_scored_and_completed_later() -> None:
    run = bare(make_run(6))
    run_id = stored(run, lambda record: record.position < 9)
    score_run(run_id)
    assert all(record.statistics for record in load_run(run_id).records)
    with store.resume(run_id) as writer:
        for record in run.records[9:]:
            writer.append([record])
    assert [bool(record.statistics) for record in load_run(run_id).records] == [True] * 9 + [False] * 9
    assert score_run(run_id) == metrics_of(TASKS["translate-en-de"])
    for record in load_run(run_id).records:
        example = next(candidate for candidate in run.examples if candidate.id == record.example_id)
        expected = statistics_of(TASKS["translate-en-de"], record.generation.text, example.references)
        assert expected.items() <= record.statistics.items()


def test_a_run_without_answers_has_nothing_to_score() -> None:
    assert score_run(stored(bare(make_run(2)), lambda record: False)) == ()


def test_fixed_lengths_have_no_quality() -> None:
    run = make_run(3, sampling=Sampling(max_new_tokens=16, ignore_eos=True))
    run_id = stored(bare(run))
    assert score_run(run_id) == ()
    with pytest.raises(InputError, match="fixed length"):
        score_run(run_id, ["bleu"])


@pytest.mark.parametrize(("metric", "words"), [("comet", "comet"), ("rougeL", "translate-en-de")])
def test_a_metric_that_is_unknown_or_not_for_the_task(metric: str, words: str) -> None:
    run_id = stored(make_run(2))
    with pytest.raises(InputError, match=words):
        score_run(run_id, ["repetition", metric])
    assert "repetition" not in load_run(run_id).run.signatures


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = stored(make_run(2))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hybrid.store.scores.open_atomic", full)
    with pytest.raises(StoreError, match="No space left"):
        score_run(run_id)


def test_what_is_no_number_is_no_score(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(RepetitionRate):
        def statistics(self, case: Case) -> tuple[float, ...]:
            return (float("nan"), 1.0) if "0." in case.answer else (0.0, 1.0)

    monkeypatch.setitem(METRICS, "repetition", Odd())
    run_id = stored(make_run(3))
    score_run(run_id)
    assert {"repetition" in record.statistics for record in load_run(run_id).records} == {True, False}
