"""Systems without a model: their answers, their place beside measured ones, and who loses to them."""

import json
from dataclasses import replace

import pytest

from hybrid.benchmark.plan_options import parse_systems
from hybrid.benchmark.plans import check_plan
from hybrid.compare import as_json, compare_runs
from hybrid.compare.trivial import ANSWERS, sentences
from hybrid.errors import InputError, PlanError
from hybrid.metrics import benchmark_metrics, statistics_of
from hybrid.schema import LEADS, TASKS, TRIVIAL, Plan, Sampling, System
from hybrid.store import StoredRun
from tests.compare.fake import make_run

TASK = TASKS["summarize"]
SOURCE = (
    "The old mill by the river burned down on Sunday night. Nobody was hurt. It had stood there since 1790."
)
GOOD = "The old mill by the river burned down on Sunday night."


def summaries(answer: str, n: int = 20, source: str = SOURCE) -> StoredRun:
    """A run of n documents, of which the LLM and the others write `answer` each."""
    stored = make_run(n, task="summarize", systems=(System("llm"), System("hybrid")))
    examples = tuple(replace(e, source=source, references=(GOOD,)) for e in stored.examples)
    statistics = statistics_of(TASK, answer, [GOOD], source, benchmark_metrics(TASK))
    records = tuple(
        replace(record, statistics=statistics, generation=replace(record.generation, text=answer))
        for record in stored.records
    )
    return replace(stored, examples=examples, records=records)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three?! Four", ["One.", "Two!", "Three?!", "Four"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("Dear Mr. Hale, come at 3 p.m. on the 5. May.", ["Dear Mr. Hale, come at 3 p.m. on the 5. May."]),
        ("It costs 1.5 million. Yes.", ["It costs 1.5 million.", "Yes."]),
        ("A headline\nA text.", ["A headline", "A text."]),
        ("第一句。第二句。", ["第一句。", "第二句。"]),
        ("", []),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_what_they_answer() -> None:
    assert set(ANSWERS) == set(TRIVIAL)
    assert ANSWERS["lead-1"](SOURCE) == GOOD
    assert ANSWERS["lead-20-words"](SOURCE).split() == SOURCE.split()[:20]
    assert ANSWERS["longest-sentence"]("Short. This one is longer. No.") == "This one is longer."
    assert ANSWERS["copy"](SOURCE) == SOURCE
    assert [answer("") for answer in ANSWERS.values()] == [""] * 4
    assert ANSWERS["lead-1"]("!!!") == "!!!"


def test_they_stand_beside_summaries_and_no_measured_system() -> None:
    comparison = compare_runs([summaries("A mill burned.")], resamples=50)
    assert [system.summary.system for system in comparison.trivial] == list(LEADS)
    assert [system.summary.system for system in comparison.systems] == ["llm", "hybrid"]
    (lead, _) = comparison.trivial
    assert (lead.engine, lead.against and lead.against.speedups["end_to_end"]) == ("none", None)
    assert (lead.summary.quality or {})["rougeL"].value == 100
    assert json.dumps(as_json(comparison), allow_nan=False)
    assert compare_runs([make_run(9)], resamples=10).trivial == ()


def test_runs_of_the_same_texts_share_them() -> None:
    first = summaries("A mill burned.")
    second = replace(first, run=replace(first.run, run_id="run-b"))
    comparison = compare_runs([first, second], resamples=10)
    assert [system.summary.run_id for system in comparison.trivial] == ["run-a", "run-a"]
    assert all(system.lead for system in comparison.systems)


def test_a_verdict_says_first_what_is_not_beaten() -> None:
    for system in compare_runs([summaries("A mill burned.")], resamples=50).systems:
        assert system.lead is not None
        assert not system.lead.beaten
        assert "loses to the document's first sentence" in system.verdict.split(":")[0]
    worse = replace(summaries(GOOD), examples=summaries(GOOD, source="No. Nothing of this here.").examples)
    for system in compare_runs([worse], resamples=50).systems:
        assert system.lead is not None
        assert system.lead.beaten
        assert "document" not in system.verdict


def test_any_of_them_may_be_asked_for_or_none_and_be_the_baseline() -> None:
    stored = summaries("A mill burned.")
    assert len(compare_runs([stored], resamples=10, trivial=tuple(TRIVIAL)).trivial) == 4
    assert compare_runs([stored], resamples=10, trivial=()).trivial == ()
    comparison = compare_runs([stored], "copy", resamples=10, trivial=())
    assert comparison.trivial[0].against is None
    assert all(system.against and system.against.system == "copy" for system in comparison.systems)
    of_translations = compare_runs([make_run(9)], "copy", resamples=10)
    assert [system.summary.system for system in of_translations.trivial] == ["copy"]
    with pytest.raises(InputError, match="lead-7"):
        compare_runs([stored], trivial=("lead-7",))


def test_nothing_is_compared_without_texts_or_scores() -> None:
    assert compare_runs([summaries("A mill.", source="")], resamples=10).trivial == ()
    fixed = summaries("A mill.")
    sampling = Sampling(max_new_tokens=16, ignore_eos=True)
    plan = replace(fixed.run.plan, sampling=sampling)
    assert compare_runs([replace(fixed, run=replace(fixed.run, plan=plan))], resamples=10).trivial == ()


def test_of_many_examples_some_are_answered() -> None:
    (lead, _) = compare_runs([summaries("A mill.", 1100)], resamples=10).trivial
    assert lead.summary.n == 367


def test_they_are_not_measured() -> None:
    with pytest.raises(ValueError, match="lead-1 needs no model"):
        parse_systems("llm,lead-1")
    with pytest.raises(PlanError, match="lead-1"):
        check_plan(Plan(suite="briefs-en", systems=(System("lead-1"),)))
    with pytest.raises(ValueError, match="lead-1@torch"):
        System.parse("lead-1@torch")
    assert System("copy").label == "Whole text"
