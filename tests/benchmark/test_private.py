"""How answers of a private run come from the clock into the store: held with their texts, stored without."""

from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.benchmark import private
from hybrid.benchmark.private import answers_into, private_texts, shown_plan, texts_to_resume
from hybrid.errors import SuiteError
from hybrid.schema import TASKS, Example, Plan, Run
from hybrid.store import Writer, create, load_run
from hybrid.suites import load_suite
from tests.environments import made_environment


def started(bench, plan: Plan) -> tuple[Run, private.PrivateTexts]:
    texts = private_texts(replace(plan, private=True), bench.suite)
    run = Run(
        run_id="r", plan=texts.plan, environment=made_environment(), licence="",
        signatures=texts.signatures(TASKS[plan.task]), planned=21, created_at="2026-11-23T01:45:12+00:00",
    )  # fmt: skip
    return run, texts


@pytest.mark.parametrize(("held_s", "before"), [(600.0, 0), (0.0, 3)])
def test_answers_are_held_for_a_while_and_none_is_lost_by_an_error(
    bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_s: float, before: int
) -> None:
    monkeypatch.setattr(private, "HELD_S", held_s)
    run, texts = started(bench, bench.plan())
    items = replace(bench, suite=replace(bench.suite, examples=texts.examples)).measured(texts.plan)

    def interrupted(writer: Writer) -> None:
        with answers_into(writer, texts) as answers:
            for records in items[:3]:
                answers.append(records)
            assert len(writer.done) == before
            raise KeyboardInterrupt

    with create(run, texts.stored(TASKS[run.plan.task]), tmp_path) as writer:
        with pytest.raises(KeyboardInterrupt):
            interrupted(writer)
        assert len(writer.done) == 3
    records = load_run("r", tmp_path).records
    assert all({"bleu", "ter"} <= record.statistics.keys() for record in records)
    assert [record.generation.text for record in records] == ["", "", ""]


def test_an_open_run_stores_each_answer_as_it_comes(bench, tmp_path: Path) -> None:
    run, _ = started(bench, bench.plan())
    run = replace(run, plan=bench.plan())
    with create(run, bench.suite.examples, tmp_path) as writer, answers_into(writer, None) as answers:
        answers.append(bench.measured(bench.plan())[0])
        assert len(writer.done) == 1
    assert load_run("r", tmp_path).records[0].generation.text != ""


def test_a_run_that_names_its_suite_finds_the_texts_itself() -> None:
    suite = load_suite("everyday-100-en-de")
    texts = private_texts(Plan(suite.name, task=suite.task, private=True, limit=3), suite)
    run = Run(
        run_id="r", plan=texts.plan, environment=made_environment(), licence="", signatures={}, planned=9,
        created_at="2026-11-23T01:45:12+00:00",
    )  # fmt: skip
    stored = texts.stored(TASKS[suite.task])
    assert texts_to_resume(run, None, stored).examples == texts.examples
    with pytest.raises(SuiteError, match="other texts"):
        texts_to_resume(run, None, (*stored[:2], Example("ab" * 16, "", "", ())))


@pytest.mark.parametrize(
    ("suite", "shown"),
    [
        ("file:/home/a/merger.tsv", "file:PATH"),
        ("hf:firm/secret:main:test", "file:PATH"),
        ("only-python-knows", "file:PATH"),
        ("everyday-en-de@1", "everyday-en-de@1"),
        ("sacrebleu:wmt20/en-de", "sacrebleu:wmt20/en-de"),
    ],
)
def test_what_a_private_plan_shows(suite: str, shown: str) -> None:
    plan = Plan(suite, private=True)
    assert shown_plan(plan).suite == shown
    assert shown_plan(replace(plan, private=False)).suite == suite
