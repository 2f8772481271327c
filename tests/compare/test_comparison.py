"""Runs compared as a whole: what comes out is complete and can be JSON; what cannot be compared is said."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from hybrid.compare import COLUMNS, as_json, compare_runs
from hybrid.compare.paired import Fidelity
from hybrid.compare.verdict import ONE_BLOCK, ONE_SEED, TOGETHER
from hybrid.errors import InputError
from hybrid.metrics import METRICS, score, signatures_of, statistics_of
from hybrid.schema import CPU, LOSSLESS, TASKS, Ran, Sampling, System
from tests.compare.fake import (
    changed,
    generation,
    make_run,
    quarter,
    reference,
    right,
    with_records,
    worse,
)


def test_everything_about_one_run() -> None:
    comparison = compare_runs([make_run(60)], price_per_hour=3.6, resamples=100, seed=7)
    assert [system.summary.system for system in comparison.systems] == ["llm", "slm", "hybrid"]
    llm, _, hybrid = comparison.systems
    assert (comparison.baseline, comparison.resamples, comparison.seed, comparison.level) == (
        "llm",
        100,
        7,
        0.95,
    )
    assert llm.against is None
    assert llm.verdict.startswith("LLM alone is the baseline: 100.0 BLEU [100.0, 100.0] and 430 ms")
    bleu = score("bleu", [worse(i) for i in range(60)], [[reference(i)] for i in range(60)])
    assert hybrid.summary.quality["bleu"].value == pytest.approx(bleu.value)
    assert hybrid.verdict.startswith(f"Hybrid is 4.0× [4.0, 4.0] faster at -{100 - bleu.value:.1f} BLEU [")
    assert "the loss is significant at n = 60; it misses the 99 % target: 9" in hybrid.verdict
    assert hybrid.summary.cost_per_million_tokens == pytest.approx(1000 / hybrid.summary.tokens_per_s)
    assert comparison.signatures["bleu"] == bleu.signature


def test_a_seed_repeats_and_another_moves_only_the_intervals() -> None:
    stored = make_run(40)
    first, same, reseeded = (compare_runs([stored], resamples=50, seed=seed) for seed in (1, 1, 2))
    assert first == same
    before, after = (comparison.systems[2].against.differences["bleu"] for comparison in (first, reseeded))
    assert before.value == after.value
    assert (before.low, before.high) != (after.low, after.high)


def test_runs_of_two_tasks_stand_beside_each_other() -> None:
    task = TASKS["summarize"]

    def summaries(record):
        return replace(record, statistics=statistics_of(task, record.generation.text, ["The house."]))

    plan = {"task": "summarize", "suite": "briefs"}
    signatures = signatures_of(TASKS["summarize"], [["The house."]])
    briefs = changed(with_records(make_run(8, run_id="b"), summaries), plan, signatures=signatures)
    comparison = compare_runs([make_run(8, run_id="a"), briefs], resamples=20)
    assert "BLEU" in comparison.systems[2].verdict
    assert "ROUGE-L" in comparison.systems[5].verdict
    assert set(comparison.systems[5].summary.quality) == {"rougeL", "rouge1", "rouge2", "length"}
    assert comparison.systems[5].verdict.startswith("Hybrid of run b ")
    assert {"bleu", "rougeL"} < set(as_json(comparison)["metrics"])


STRANGE = {
    "one example": make_run(1),
    "two examples": make_run(2),
    "all equal": make_run(
        5, {"llm": lambda i, r: "ja", "hybrid": lambda i, r: "ja", "slm": lambda i, r: "ja"}
    ),
    "nothing written": make_run(5, {"llm": lambda i, r: "", "hybrid": lambda i, r: ""}),
    "no time": make_run(5, seconds={"llm": lambda i, r: 0.0, "hybrid": lambda i, r: 0.0}),
    "fixed length": make_run(5, sampling=Sampling(ignore_eos=True)),
    "one token": with_records(
        make_run(4), lambda r: replace(r, generation=generation(r.system, "a", 0.1, 1))
    ),
    "no statistics": with_records(make_run(4), lambda r: replace(r, statistics={})),
    "incomplete": make_run(6, answered=lambda system, i, r: (i < 2) == (system == "slm") or i == 0),
    "no memory": changed(make_run(3), memory={}),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_runs_have_sane_results(name: str) -> None:
    comparison = compare_runs([STRANGE[name]], resamples=30, price_per_hour=1.0)
    text = json.dumps(as_json(comparison), allow_nan=False)  # no NaN, no infinity
    assert len(comparison.systems) == 3
    assert all(system.verdict.endswith(".") for system in comparison.systems)
    assert json.loads(text)["systems"][0]["summary"]["system"] == "llm"


def test_numbers_are_plain_python_in_stable_places() -> None:
    written = json.loads(json.dumps(as_json(compare_runs([make_run(9)], resamples=10)), allow_nan=False))
    assert set(written) == {
        "baseline", "level", "resamples", "seed", "price_per_hour", "systems", "signatures", "warnings",
        "metrics", "remarks", "trivial",
    }  # fmt: skip
    system = written["systems"][2]
    assert set(system) == {
        "suite", "task", "pair", "engine", "device", "summary", "against", "fidelity", "verdict",
        "lead",
    }  # fmt: skip
    assert set(system["against"]["differences"]["bleu"]) == {
        "value",
        "low",
        "high",
        "n",
        "p_value",
        "baseline",
        "together",
        "level",
        "uncorrected",
    }
    assert set(system["against"]["speedups"]) == {"end_to_end", "per_token", "ttft"}
    assert set(system["against"]["gate"]) == {"verdict", "metric", "quality", "length", "deciding_n"}
    assert set(system["summary"]["latencies"]["total"]) == {
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "n",
        "answers",
        "carried",
    }
    assert written["metrics"]["ter"] == {"label": "TER", "unit": "points", "higher_is_better": False}


def test_short_answers_that_are_right_are_not_called_bad() -> None:
    """BLEU of a corpus without a run of four words is 0 for any system: the scores tell nothing."""
    short = make_run(
        60, {"llm": lambda i, r: "Ja.", "hybrid": lambda i, r: "Ja.", "slm": lambda i, r: "Nein."}
    )
    examples = tuple(replace(example, references=("Ja.",)) for example in short.examples)
    scored = with_records(
        replace(short, examples=examples),
        lambda r: replace(r, statistics=statistics_of(TASKS["translate-en-de"], r.generation.text, ["Ja."])),
    )
    llm, slm, hybrid = compare_runs([scored], resamples=50).systems
    assert llm.summary.quality["bleu"].value == 0
    assert "both score 0 BLEU, which tells nothing of their quality, at n = 60." in slm.verdict
    assert ": there is no difference, every answer is the same at n = 60." in hybrid.verdict
    alone = METRICS["bleu"].of_each([record.statistics["bleu"] for record in scored.records[:3]])
    assert alone.tolist() == pytest.approx([100, 50, 100])


def test_what_no_interval_holds_is_remarked_once() -> None:
    lossless = System("lossless")
    stored = make_run(8, {lossless: right}, {lossless: quarter}, systems=(System("llm"), lossless))
    several = compare_runs([make_run(8), make_run(8, run_id="b")], resamples=10)
    assert several.remarks == (ONE_BLOCK, ONE_SEED, TOGETHER)
    assert compare_runs([stored], resamples=10).remarks == (ONE_BLOCK, LOSSLESS)
    assert compare_runs([make_run(8, sampling=Sampling(ignore_eos=True))], resamples=10).remarks == (
        ONE_BLOCK,
    )
    other = changed(make_run(8, run_id="b", systems=(System("llm"),)), {"pair": "another"})
    alone = make_run(8, systems=(System("llm"),))
    assert compare_runs([alone, other], "run-a:llm", resamples=10).remarks == (ONE_BLOCK, ONE_SEED)


def test_lossless_answers_are_counted_against_the_llm_of_the_same_arithmetic() -> None:
    """In another engine than the plan's, three answers differ from its own LLM's and all from the plan's."""
    fast, slow_llm = System("lossless", "onnx"), System("llm", "onnx")
    texts = {
        fast: lambda i, r: "other" if i < 3 else reference(i),
        slow_llm: right,
        "llm": lambda i, r: f"{i}",
    }
    systems = (System("llm"), slow_llm, fast)
    stored = make_run(20, texts, {fast: quarter, slow_llm: quarter}, systems=systems)
    ran = {
        System("llm"): Ran(engine="torch", device=CPU, dtype="int8"),
        slow_llm: Ran(engine="onnx", device=CPU, dtype="float32"),
        fast: Ran(engine="onnx", device=CPU, dtype="float32"),
    }
    llm, _, lossless = compare_runs([changed(stored, ran=ran)], resamples=10).systems
    assert lossless.fidelity == Fidelity(
        llm=slow_llm, alike=True, dtype="float32", llm_dtype="float32", equal=17, n=20
    )
    assert lossless.verdict.endswith("; 17 of 20 answers equal those of LLM alone, onnx, both in float32.")
    assert llm.fidelity is None


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(InputError, match="no run to compare"):
        compare_runs([])
    with pytest.raises(InputError, match="Run run-a has no answers yet"):
        compare_runs([replace(make_run(3), records=())])
    with pytest.raises(InputError, match="at least 1 resample; 0"):
        compare_runs([make_run(3)], resamples=0)
    with pytest.raises(InputError, match=r"price per hour of -1\.0"):
        compare_runs([make_run(3)], price_per_hour=-1.0)
    with pytest.raises(InputError, match="price per hour of nan"):
        compare_runs([make_run(3)], price_per_hour=float("nan"))


def test_comparing_imports_nothing_heavy() -> None:
    heavy = (
        "torch",
        "transformers",
        "pandas",
        "sacrebleu",
        "rouge_score",
        "nltk",
        "plotly",
        "streamlit",
        "rich",
    )
    code = f"import sys, hybrid.compare; print(sorted(set({heavy}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_columns_are_named_once() -> None:
    assert len(COLUMNS) == len(set(COLUMNS))
