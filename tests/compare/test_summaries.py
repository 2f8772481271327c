"""One flat row per system, with all columns, from the same numbers as the comparison."""

import pytest

from hybrid.compare import COLUMNS, compare_runs, summaries
from hybrid.schema import Sampling, System
from tests.compare.fake import ENVIRONMENT, make_run


def test_rows_hold_the_numbers_of_the_comparison() -> None:
    stored = make_run(60, repeats=2)
    rows = summaries(stored, resamples=100, seed=3)
    systems = compare_runs([stored], resamples=100, seed=3).systems
    for row, system in zip(rows, systems, strict=True):
        assert list(row) == list(COLUMNS)
        assert (row["system"], row["n"], row["answers"]) == (system.summary.system, 60, 120)
        quality = system.summary.quality["bleu"]
        assert (row["bleu"], row["bleu_low"], row["bleu_high"]) == (quality.value, quality.low, quality.high)
        assert row["bleu_signature"] == stored.run.signatures["bleu"]
        assert row["total_ms_p90"] == system.summary.latencies["total"].p90_ms
        assert (row["total_n"], row["total_carried"]) == (60, "p50 p90")
        assert row["tokens_per_s"] == system.summary.tokens_per_s
        assert row["peak_resident_bytes"] == 900_000_000
    hybrid, against = rows[2], systems[2].against
    speedup, difference = against.speedups["per_token"], against.differences["chrf"].uncorrected
    assert [hybrid[f"speedup_per_token{end}"] for end in ("", "_low", "_high")] == [
        speedup.value, speedup.low, speedup.high,
    ]  # fmt: skip
    assert [hybrid[f"chrf_vs_llm{end}"] for end in ("", "_low", "_high", "_p")] == [
        difference.value, difference.low, difference.high, difference.p_value,
    ]  # fmt: skip
    assert hybrid["length_ratio_to_llm"] == against.length_ratio.value
    assert hybrid["agreement_with_llm"] == against.agreement
    assert (hybrid["interval_resamples"], hybrid["interval_seed"]) == (100, 3)


def test_rows_hold_the_conditions() -> None:
    row = summaries(make_run(3, threads=4, limit=3, sampling=Sampling(99, truncate=True)), resamples=5)[1]
    conditions = {
        "run_id": "run-a", "suite": "made", "pair": "tiny", "engine": "torch", "device": "cpu", "threads": 4,
        "batch_size": 1, "limit": 3, "max_new_tokens": 99, "ignore_eos": False, "truncate": True,
        "cpu": ENVIRONMENT.cpu, "operating_system": "Linux 6.1", "system": "slm", "packages": "torch 2.13.0",
        "licence": "CC0-1.0", "weights_sha256": "f" * 64, "device_name": "A CPU",
    }  # fmt: skip
    assert {name: row[name] for name in conditions} == conditions


def test_the_llm_is_not_compared_with_itself() -> None:
    row = summaries(make_run(5), resamples=5)[0]
    assert row["system"] == "llm"
    assert all(row[name] is None for name in COLUMNS if "llm" in name or name.startswith("speedup"))


@pytest.mark.parametrize(
    "stored",
    [
        make_run(4, systems=(System("slm"), System("hybrid"))),
        make_run(4, answered=lambda system, i, r: (i < 2) == (system == "llm")),
    ],
)
def test_without_an_llm_or_a_shared_example_the_comparison_is_empty(stored) -> None:
    row = next(row for row in summaries(stored, resamples=5) if row["system"] == "hybrid")
    assert row["speedup_end_to_end"] is row["bleu_vs_llm"] is None
    assert row["bleu"] is not None


def test_fixed_length_rows_have_no_quality() -> None:
    row = summaries(make_run(4, sampling=Sampling(ignore_eos=True)), resamples=5)[2]
    assert row["bleu"] is row["chrf"] is row["length"] is row["agreement_with_llm"] is None
    assert row["speedup_end_to_end"] == pytest.approx(4.0)


def test_a_run_without_records_has_no_rows() -> None:
    assert summaries(make_run(4, answered=lambda system, i, r: False), resamples=5) == []


def test_columns_promise_no_more_than_holds() -> None:
    assert COLUMNS["bleu"] == "BLEU, 0 to 100"
    assert "0 to 100" not in COLUMNS["ter"]
    assert "may exceed 100" in COLUMNS["ter"]
    assert "two-sided" in COLUMNS["bleu_vs_llm_p"]


def test_the_gate_has_columns_of_its_own() -> None:
    llm, _, hybrid = summaries(make_run(60), resamples=50)
    assert hybrid["gate"] == "misses"
    assert hybrid["quality_ratio_to_llm"] == pytest.approx(hybrid["bleu"] / 100)
    assert hybrid["quality_ratio_to_llm_low"] < hybrid["quality_ratio_to_llm"]
    assert (llm["gate"], llm["quality_ratio_to_llm"]) == (None, None)


def test_every_column_is_explained_and_safe_as_a_name() -> None:
    assert all(meaning and name.isidentifier() for name, meaning in COLUMNS.items())
