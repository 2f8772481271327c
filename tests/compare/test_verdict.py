"""The sentence says what the numbers allow, and no more."""

from dataclasses import replace

import pytest

from hybrid.compare import verdict
from hybrid.compare.bootstrap import Difference, Estimate
from hybrid.compare.paired import Fidelity, Gate, PairedComparison, gate_verdict
from hybrid.compare.summary import Latency, Summary
from hybrid.compare.verdict import baseline_sentence, gate_sentence, plain_sentence, sentence
from hybrid.metrics import METRICS
from hybrid.schema import BASELINE, TASKS, System

FASTER = Estimate(4.61, 4.41, 4.84, 250)
LOSS = Difference(-0.31, -0.72, 0.11, 250, 0.14)

TASK = TASKS["translate-en-de"]


def against(
    speed: Estimate | None = FASTER, quality: Difference | None = LOSS, metric: str = "bleu"
) -> PairedComparison:
    speedups = {"end_to_end": speed, "per_token": None, "ttft": None}
    differences = None if quality is None else {metric: quality}
    return PairedComparison(
        run_id="run-a", system=BASELINE, n=250, differences=differences, speedups=speedups,
        paired_by="example", length_ratio=None, agreement=None, gate=None,
    )  # fmt: skip


def gate(quality: float, length: float = 1.0, half: float = 0.002, n: int = 250) -> Gate:
    """Of intervals `half` to both sides."""
    ratios = [Estimate(value, value - half, value + half, n) for value in (quality, length)]
    verdict, deciding_n = gate_verdict(*ratios)
    return Gate(verdict=verdict, metric="bleu", quality=ratios[0], length=ratios[1], deciding_n=deciding_n)


def verdict_of(comparison: PairedComparison, task: str = "translate-en-de") -> str:
    return sentence("hybrid", TASKS[task], comparison)


def test_the_sentence_of_the_specification() -> None:
    assert verdict_of(against()) == (
        "hybrid is 4.6× [4.4, 4.8] faster at -0.3 BLEU [-0.7, 0.1]: the loss is not significant at n = 250 "
        "(minimum detectable difference 0.6 BLEU)."
    )


@pytest.mark.parametrize(
    ("quality", "mdd", "end"),
    [
        (Difference(-0.9, -1.4, -0.4, 250, 0.01), "", "at -0.9 BLEU [-1.4, -0.4]: the loss is significant"),
        (Difference(0.9, 0.4, 1.4, 250, 0.01), "", "at +0.9 BLEU [0.4, 1.4]: the gain is significant"),
        (
            Difference(0.2, -0.4, 0.9, 250, 0.5),
            "0.9",
            "at +0.2 BLEU [-0.4, 0.9]: the gain is not significant",
        ),
        (Difference(0.0, 0.0, 0.0, 250, 1.0), "", "at 0.0 BLEU [0.0, 0.0]: there is no difference in BLEU"),
        (
            Difference(0.0, 0.0, 0.0, 250, 1.0, 0.0),
            "",
            "at 0.0 BLEU [0.0, 0.0]: both score 0 BLEU, which tells nothing of their quality,",
        ),
        (
            Difference(0.0, -0.4, 0.4, 250, 0.9),
            "0.6",
            "at 0.0 BLEU [-0.4, 0.4]: the difference is not significant",
        ),
    ],
)
def test_quality(quality: Difference, mdd: str, end: str) -> None:
    least = f" (minimum detectable difference {mdd} BLEU)" if mdd else ""
    assert (
        verdict_of(against(quality=quality)) == f"hybrid is 4.6× [4.4, 4.8] faster {end} at n = 250{least}."
    )


def test_answers_that_are_all_the_same_differ_in_nothing() -> None:
    zero = Difference(0.0, 0.0, 0.0, 60, 1.0, 0.0)
    same = replace(against(quality=zero), agreement=1.0)
    assert ": there is no difference, every answer is the same at n = 60." in verdict_of(same)
    assert "; every answer is the same (n = 250)" in plain_sentence("Hybrid", "LLM", same, TASK)


def test_without_quality_or_interval() -> None:
    assert verdict_of(against(quality=None)) == (
        "hybrid is 4.6× [4.4, 4.8] faster at n = 250; there is no quality to compare."
    )
    few = against(Estimate(4.0, None, None, 2), Difference(-0.5, None, None, 2, None))
    assert verdict_of(few) == "hybrid is 4.0× faster at -0.5 BLEU: too few examples (n = 2) to tell."


@pytest.mark.parametrize(
    ("speed", "begin"),
    [
        (Estimate(0.5, 0.4, 0.625, 9), "hybrid is 2.0× [1.6, 2.5] slower at"),
        (Estimate(1.02, 0.97, 1.06, 9), "hybrid is not significantly faster or slower (1.02× [0.97, 1.06])"),
        (Estimate(0.99, 0.95, 1.0, 9), "hybrid is not significantly faster or slower (0.99× [0.95, 1.00])"),
        (Estimate(1.05, 1.01, 1.08, 9), "hybrid is 1.05× [1.01, 1.08] faster at"),
        (Estimate(4.0, None, None, 1), "hybrid is 4.0× faster at"),
        (Estimate(1.0, None, None, 1), "hybrid is exactly as fast at"),
        (None, "hybrid cannot be compared in speed at"),
    ],
)
def test_speed(speed: Estimate | None, begin: str) -> None:
    assert verdict_of(against(speed)).startswith(begin)


def test_no_rounded_end_contradicts_the_words() -> None:
    significant = verdict_of(against(quality=Difference(-0.3, -0.64, -0.04, 250, 0.01)))
    assert "at -0.30 BLEU [-0.64, -0.04]: the loss is significant" in significant
    narrow = against(Estimate(1.0031, 1.0012, 1.0049, 250))
    assert verdict_of(narrow).startswith("hybrid is 1.003× [1.001, 1.005] faster at")
    slower = against(Estimate(0.9969, 0.9951, 0.9988, 250))
    assert verdict_of(slower).startswith("hybrid is 1.003× [1.001, 1.005] slower at")


@pytest.mark.parametrize(
    ("judged", "end"),
    [
        (None, ""),
        (gate(0.995, 0.95), "; it meets the 99 % target"),
        (
            gate(0.97451, 0.7),
            (
                "; it misses the 99 % target: 97.5 % [97.3, 97.7] of the BLEU (needs 99 %) and "
                "70.0 % [69.8, 70.2] of the length (needs 90 %)"
            ),
        ),
        (gate(0.97451), "; it misses the 99 % target: 97.5 % [97.3, 97.7] of the BLEU (needs 99 %)"),
        (gate(0.98799), "; it misses the 99 % target: 98.799 % [98.599, 98.999] of the BLEU (needs 99 %)"),
        (
            gate(0.975, half=0.05),
            (
                "; the 99 % target is undecided at this n: 97.5 % [92.5, 102.5] of the BLEU (needs 99 %); "
                "about n = 5,700 would decide it (80 % power)"
            ),
        ),
        (
            gate(0.9898, half=0.05),
            (
                "; the 99 % target is undecided at this n: 98.98 % [93.98, 103.98] of the BLEU (needs 99 %); "
                "not even n = 100,000 would decide it (80 % power)"
            ),
        ),
    ],
)
def test_what_the_gate_says(judged: Gate | None, end: str) -> None:
    text = verdict_of(replace(against(), gate=judged))
    assert text.endswith(
        f"the loss is not significant at n = 250 (minimum detectable difference 0.6 BLEU){end}."
    )


def ratio(value: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(value, low, high, 100)


WHOLE = ratio(1.0, 0.95, 1.05)


@pytest.mark.parametrize(
    ("quality", "length", "verdict"),
    [
        (ratio(1.0, 0.99, 1.01), WHOLE, ("meets", None)),
        (ratio(0.97, 0.95, 0.9899), WHOLE, ("misses", None)),
        (ratio(1.0, 0.99, 1.01), ratio(0.8, 0.7, 0.89), ("misses", None)),
        (ratio(0.98, 0.96, 0.99), WHOLE, ("undecided", 205)),
        (ratio(1.0, 0.97, 1.03), WHOLE, ("undecided", 1839)),  # its end must be 2.8 errors away
        (ratio(1.0, 0.97, 1.03), ratio(0.85, 0.80, 0.95), ("undecided", 818)),  # a miss of one decides
        (ratio(1.0, 0.97, 1.03), ratio(0.95, 0.85, 1.05), ("undecided", 2462)),  # each with 90 % power
        (ratio(0.99, 0.97, 1.01), WHOLE, ("undecided", None)),
        (ratio(0.5, None, None), WHOLE, ("undecided", None)),
    ],
)
def test_intervals_decide_the_gate(
    quality: Estimate, length: Estimate, verdict: tuple[str, int | None]
) -> None:
    assert gate_verdict(quality, length) == verdict


def test_why_the_gate_cannot_be_told() -> None:
    def gate_of(comparison: PairedComparison) -> str:
        return gate_sentence("hybrid", TASK, comparison)

    assert gate_of(against()) == "hybrid: cannot be told, there is no quality or length to compare."
    zero = against(quality=Difference(3.0, 1.0, 5.0, 60, 0.01, 0.0))
    assert gate_of(zero) == "hybrid: cannot be told, the baseline scores 0 BLEU."
    assert verdict_of(zero).endswith("the gain is significant at n = 60; the baseline scores 0.")
    few = Gate(verdict="undecided", metric="bleu", quality=Estimate(0.8, None, None, 2), length=WHOLE)
    assert gate_of(replace(against(), gate=few)) == "hybrid: undecided, too few examples (n = 2) to tell."
    assert gate_of(replace(against(), gate=gate(0.97451))) == (
        "hybrid misses it: 97.5 % [97.3, 97.7] of the BLEU (needs 99 %) and "
        "100.0 % [99.8, 100.2] of the length (needs 90 %)."
    )


@pytest.mark.parametrize(
    ("quality", "judged", "end"),
    [
        (
            LOSS,
            gate(0.988),
            (
                "and keeps 98.8 % of its BLEU, a loss that is not significant (n = 250, "
                "minimum detectable difference 0.6 BLEU)."
            ),
        ),
        (LOSS, gate(1.0), "and keeps all of its BLEU (n = 250, minimum detectable difference 0.6 BLEU)."),
        (Difference(0.0, 0.0, 0.0, 250, 1.0, 0.0), None, "; both score 0 BLEU, which tells nothing of their"),
        (Difference(3.0, 1.0, 5.0, 250, 0.01, 0.0), None, "; it scores 3.0 BLEU where LLM scores 0, so that"),
        (Difference(-5.0, None, None, 2, None), gate(0.8), "of its BLEU: too few examples (n = 2) to tell."),
        (None, None, "(n = 250); there is no quality to compare."),
    ],
)
def test_plain_words(quality: Difference | None, judged: Gate | None, end: str) -> None:
    comparison = replace(against(quality=quality), gate=judged)
    assert end in plain_sentence("Hybrid", "LLM", comparison, TASK)


def test_a_lossless_system_says_how_many_answers_are_the_llms() -> None:
    counted = Fidelity(
        llm=System("llm", "torch"), alike=True, dtype="bfloat16", llm_dtype="bfloat16", equal=248, n=270
    )
    text = sentence("lossless", TASK, against(), fidelity=counted)
    assert text.endswith("0.6 BLEU); 248 of 270 answers equal those of LLM alone, torch, both in bfloat16.")
    other = replace(counted, llm=BASELINE, alike=False, dtype="float32", llm_dtype="int8")
    assert "of LLM alone, which is in int8 in another engine and this in float32." in sentence(
        "lossless", TASK, against(quality=None), fidelity=other
    )


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        (FASTER, "is 4.6× [4.4, 4.8] faster than llm of run b at"),
        (Estimate(0.5, 0.4, 0.625, 9), "is 2.0× [1.6, 2.5] slower than llm of run b at"),
        (Estimate(1.02, 0.97, 1.06, 9), "is not significantly faster or slower than llm of run b (1.02×"),
        (Estimate(1.0, None, None, 1), "is exactly as fast as llm of run b at"),
        (None, "cannot be compared in speed with llm of run b at"),
    ],
)
def test_a_baseline_of_another_run_is_named(speed: Estimate | None, words: str) -> None:
    assert f"hybrid {words}" in sentence("hybrid", TASK, against(speed), "llm of run b")


def test_the_main_metric_of_the_task_decides() -> None:
    comparison = against(quality=LOSS, metric="rougeL")
    assert "at -0.3 ROUGE-L [-0.7, 0.1]" in verdict_of(comparison, "summarize")
    assert "no quality" in verdict_of(comparison)


def test_more_is_worse_where_lower_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "main_metric", lambda task: METRICS["ter"])
    assert ": the loss is significant" in verdict_of(
        against(quality=Difference(2, 1, 3, 9, 0.01), metric="ter")
    )
    assert ": the gain is significant" in verdict_of(
        against(quality=Difference(-2, -3, -1, 9, 0.01), metric="ter")
    )


def test_the_baseline() -> None:
    latency = Latency(p50_ms=812.4, p90_ms=900.0, p99_ms=1000.0, n=250, answers=250, carried=(50, 90))
    quality = {"bleu": Estimate(34.21, 33.1, 35.2, 250)}
    summary = Summary(
        run_id="run-a", system=BASELINE, n=250, answers=250, quality=quality, latencies={"total": latency},
        tokens_per_s=None, characters_per_s=None, requests_per_s=None, memory=None,
        cost_per_million_tokens=None, mean_output_tokens=20.0, stopped_share=0.0, acceptance=None,
        roofline=None,
    )  # fmt: skip
    assert baseline_sentence("llm", TASK, summary) == (
        "llm is the baseline: 34.2 BLEU [33.1, 35.2] and 812 ms for an answer (median) at n = 250."
    )
    nothing = replace(summary, quality=None, latencies={"total": None})
    assert baseline_sentence("llm", TASKS["summarize"], nothing).endswith("nothing was measured at n = 250.")
