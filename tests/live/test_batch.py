"""Several prompts: how far it is, the medians over those that were answered, and the table behind them."""

from statistics import median

import pytest

from hybrid.live.batch import Batch, Row, headline, medians, progress, table
from hybrid.live.history import AnswerSummary, summarize
from hybrid.live.model_cache import EngineRequest
from hybrid.live.prompts_file import PromptRow
from hybrid.metrics import score
from hybrid.schema import CPU, Sampling, System
from hybrid.store.tables import original
from tests.live.made import generation

SYSTEMS = (System("llm"), System("hybrid", "torch"))
LLM_S, HYBRID_S = (0.29, 0.19, 0.99), (0.09, 0.19, 0.29)


def batch(prompts: int = 4, reference: str = "a b c d", systems: tuple[str, ...] = SYSTEMS) -> Batch:
    rows = tuple(PromptRow(f"Prompt {n}.", reference if n < 2 else "") for n in range(prompts))
    return Batch("translate-en-de", EngineRequest("tiny", {}, CPU, systems), Sampling(8), rows)


def row(prompt: PromptRow, n: int) -> Row:
    return Row(
        prompt,
        summarize(
            {"llm": generation("llm", [LLM_S[n]]), "hybrid@torch": generation("hybrid", [0.01, HYBRID_S[n]])}
        ),
    )


@pytest.fixture
def answered() -> Batch:
    """Three of four answered, the third prompt refused."""
    started = batch()
    for n, answer in enumerate((0, 1, None, 2)):
        prompt = started.next()
        assert prompt == started.prompts[n]
        started = started.with_row(Row(prompt, {}, "It is empty.") if answer is None else row(prompt, answer))
    return started


def cells(listing, name: str) -> list[object]:
    place = list(listing.columns).index(name)
    return [line[place] for line in listing.rows]


def test_it_ends_when_all_were_asked(answered: Batch):
    assert answered.state == "done"
    assert answered.next() is None
    assert answered.at_rest() is answered
    assert answered.resumed() is answered


def test_a_stop_loses_nothing_and_is_resumed_where_it_was():
    started = batch()
    measured = started.with_row(row(started.prompts[0], 0))
    stopped = measured.at_rest("Somebody measures.")
    assert (stopped.next(), stopped.rows, stopped.stopped) == (None, measured.rows, "Somebody measures.")
    assert stopped.resumed() == measured
    assert progress(stopped) == "1 of 4 prompts measured, 400 ms a prompt in all systems"
    assert progress(started) == "0 of 4 prompts measured"


def test_medians_are_over_the_answered_prompts(answered: Batch):
    summary = medians(answered)
    assert cells(summary, "n") == [3, 3]
    llm, hybrid = [s + 0.01 for s in LLM_S], [s + 0.01 for s in HYBRID_S]
    assert cells(summary, "median ms") == pytest.approx([1000 * median(llm), 1000 * median(hybrid)])
    gains = [slow / fast for slow, fast in zip(llm, hybrid, strict=True)]
    assert cells(summary, "median speed-up") == pytest.approx([1, median(gains)], abs=0.005)
    assert cells(summary, "median TTFT ms") == pytest.approx([290, 10])
    assert headline(answered) == (
        "Medians over n = 3: Hybrid, torch answered 3.0× sooner than the LLM: 200 ms against 300 ms."
    )


def test_quality_is_over_the_prompts_with_a_reference(answered: Batch):
    summary = medians(answered)
    texts = [answered.rows[n].summaries["hybrid@torch"].text for n in (0, 1)]
    expected = score("chrf", texts, [["a b c d"]] * 2).value
    assert cells(summary, "chrF")[1] == pytest.approx(expected, abs=0.05)
    assert "chrF" not in medians(batch(reference="")).columns


def test_the_table_has_every_prompt_and_says_why_one_has_no_answer(answered: Batch):
    listing = table(answered)
    assert cells(listing, "source") == [f"Prompt {n}." for n in range(4)]
    assert cells(listing, "llm ms") == [300.0, 200.0, None, 1000.0]
    assert cells(listing, "hybrid@torch speed-up") == [3.0, 1.0, None, 3.33]
    assert "llm speed-up" not in listing.columns
    assert cells(listing, "problem") == ["", "", "It is empty.", ""]
    assert cells(listing, "reference")[2:] == ["", ""]
    assert "reference" not in table(batch(reference="")).columns


def test_formulas_in_prompts_and_answers_are_harmless_in_the_csv():
    started = batch(1, systems=(System("llm"),))
    formula = "=cmd|' /C calc'!A0"
    answer = AnswerSummary(formula, 3, 0.1, 0.1, None)
    listing = table(started.with_row(Row(PromptRow(formula), {"llm": answer})))
    line = listing.csv().decode().splitlines()[1]
    assert f",'{formula}," in line
    assert original(line.split(",")[1]) == formula


def test_nothing_answered_is_said():
    started = batch(1).with_row(Row(PromptRow("x"), {}, "Too long."))
    assert headline(started) == "No prompt was answered."
    assert not medians(started).rows
