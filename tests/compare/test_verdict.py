"""The sentence says what the numbers allow, and no more."""

from dataclasses import replace

import pytest

from hybrid.compare import verdict
from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.paired import Gate, PairedComparison
from hybrid.compare.summary import Latency, Summary
from hybrid.compare.verdict import baseline_sentence, sentence
from hybrid.metrics import METRICS
from hybrid.schema import BASELINE

FASTER = Estimate(4.61, 4.41, 4.84, 250)
LOSS = Difference(-0.31, -0.72, 0.11, 250, 0.14)


def against(
    speed: Estimate | None = FASTER, quality: Difference | None = LOSS, metric: str = "bleu"
) -> PairedComparison:
    speedups = {"end_to_end": speed, "per_token": None, "ttft": None}
    differences = None if quality is None else {metric: quality}
    return PairedComparison(
        run_id="run-a", system=BASELINE, n=250, differences=differences, speedups=speedups,
        paired_by="example", length_ratio=None, agreement=None, gate=None,
    )  # fmt: skip


def gate(quality: float, length: float, passed: bool = False) -> Gate:
    return Gate(passed=passed, metric="bleu", quality_ratio=quality, length_ratio=length)


def said(found: PairedComparison, task: str = "translate-en-de") -> str:
    return sentence("hybrid", task, found)


def test_the_sentence_of_the_specification() -> None:
    assert said(against()) == (
        "hybrid is 4.6× [4.4, 4.8] faster at -0.3 BLEU [-0.7, 0.1]: the loss is not decisive at n = 250."
    )


@pytest.mark.parametrize(
    ("quality", "end"),
    [
        (Difference(-0.9, -1.4, -0.4, 250, 0.01), "at -0.9 BLEU [-1.4, -0.4]: the loss is decisive"),
        (Difference(0.9, 0.4, 1.4, 250, 0.01), "at +0.9 BLEU [0.4, 1.4]: the gain is decisive"),
        (Difference(0.2, -0.4, 0.9, 250, 0.5), "at +0.2 BLEU [-0.4, 0.9]: the gain is not decisive"),
        (Difference(0.0, 0.0, 0.0, 250, 1.0), "at 0.0 BLEU [0.0, 0.0]: there is no difference"),
        (Difference(0.0, -0.4, 0.4, 250, 0.9), "at 0.0 BLEU [-0.4, 0.4]: the difference is not decisive"),
    ],
)
def test_quality(quality: Difference, end: str) -> None:
    assert said(against(quality=quality)) == f"hybrid is 4.6× [4.4, 4.8] faster {end} at n = 250."


def test_without_quality_or_interval() -> None:
    assert said(against(quality=None)) == (
        "hybrid is 4.6× [4.4, 4.8] faster at n = 250; there is no quality to compare."
    )
    one = against(Estimate(4.0, None, None, 1), Difference(-0.5, None, None, 1, None))
    assert said(one) == "hybrid is 4.0× faster at -0.5 BLEU: one example carries no interval."


@pytest.mark.parametrize(
    ("speed", "begin"),
    [
        (Estimate(0.5, 0.4, 0.625, 9), "hybrid is 2.0× [1.6, 2.5] slower at"),
        (Estimate(1.02, 0.97, 1.06, 9), "hybrid is neither faster nor slower (1.02× [0.97, 1.06]) at"),
        (Estimate(0.99, 0.95, 1.0, 9), "hybrid is neither faster nor slower (0.99× [0.95, 1.00]) at"),
        (Estimate(1.05, 1.01, 1.08, 9), "hybrid is 1.05× [1.01, 1.08] faster at"),
        (Estimate(4.0, None, None, 1), "hybrid is 4.0× faster at"),
        (Estimate(1.0, None, None, 1), "hybrid is exactly as fast at"),
        (None, "hybrid cannot be compared in speed at"),
    ],
)
def test_speed(speed: Estimate | None, begin: str) -> None:
    assert said(against(speed)).startswith(begin)


def test_no_rounded_end_contradicts_the_words() -> None:
    decisive = said(against(quality=Difference(-0.3, -0.64, -0.04, 250, 0.01)))
    assert "at -0.30 BLEU [-0.64, -0.04]: the loss is decisive" in decisive
    narrow = against(Estimate(1.0031, 1.0012, 1.0049, 250))
    assert said(narrow).startswith("hybrid is 1.003× [1.001, 1.005] faster at")
    slower = against(Estimate(0.9969, 0.9951, 0.9988, 250))
    assert said(slower).startswith("hybrid is 1.003× [1.001, 1.005] slower at")


FAILS = gate(0.97451, 0.7)


@pytest.mark.parametrize(
    ("failed", "end"),
    [
        (None, ""),
        (gate(0.995, 0.95, passed=True), ""),
        (FAILS, "; it fails the gate: 97.5 % of the BLEU (needs 99 %) and 70.0 % of the length (needs 90 %)"),
        (replace(FAILS, length_ratio=1.1), "; it fails the gate: 97.5 % of the BLEU (needs 99 %)"),
        (gate(0.98999, 1.0), "; it fails the gate: 98.999 % of the BLEU (needs 99 %)"),
    ],
)
def test_a_gate_that_fails_is_said(failed: Gate | None, end: str) -> None:
    assert said(replace(against(), gate=failed)).endswith(f"the loss is not decisive at n = 250{end}.")


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (FASTER, "is 4.6× [4.4, 4.8] faster than llm of run b at"),
        (Estimate(0.5, 0.4, 0.625, 9), "is 2.0× [1.6, 2.5] slower than llm of run b at"),
        (Estimate(1.02, 0.97, 1.06, 9), "is neither faster nor slower than llm of run b (1.02×"),
        (Estimate(1.0, None, None, 1), "is exactly as fast as llm of run b at"),
        (None, "cannot be compared in speed with llm of run b at"),
    ],
)
def test_a_baseline_of_another_run_is_named(speed: Estimate | None, words: str) -> None:
    assert f"hybrid {words}" in sentence("hybrid", "translate-en-de", against(speed), "llm of run b")


def test_the_main_metric_of_the_task_decides() -> None:
    found = against(quality=LOSS, metric="rougeL")
    assert "at -0.3 ROUGE-L [-0.7, 0.1]" in said(found, "summarize")
    assert "no quality" in said(found)


def test_more_is_worse_where_lower_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "main_metric", lambda task: METRICS["ter"])
    assert ": the loss is decisive" in said(against(quality=Difference(2, 1, 3, 9, 0.01), metric="ter"))
    assert ": the gain is decisive" in said(against(quality=Difference(-2, -3, -1, 9, 0.01), metric="ter"))


def test_the_baseline() -> None:
    latency = Latency(p50_ms=812.4, p90_ms=900.0, p99_ms=1000.0, n=250, answers=250, carried=(50, 90))
    quality = {"bleu": Estimate(34.21, 33.1, 35.2, 250)}
    summary = Summary(
        run_id="run-a", system=BASELINE, n=250, answers=250, quality=quality, latencies={"total": latency},
        tokens_per_s=None, characters_per_s=None, requests_per_s=None, memory=None,
        cost_per_million_tokens=None, mean_output_tokens=20.0, stopped_share=0.0, acceptance=None,
        roofline=None,
    )  # fmt: skip
    assert baseline_sentence("llm", "translate-en-de", summary) == (
        "llm is the baseline: 34.2 BLEU [33.1, 35.2] and 812 ms for an answer (median) at n = 250."
    )
    nothing = replace(summary, quality=None, latencies={"total": None})
    assert baseline_sentence("llm", "summarize", nothing).endswith("nothing was measured at n = 250.")
