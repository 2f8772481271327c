"""One system on its own: what it takes, what it makes of the time, what n can carry."""

from dataclasses import replace

import numpy as np
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.compare.results import SystemResults, results_by_system
from hybrid.compare.summary import carries, cost_per_million_tokens, summarize
from hybrid.metrics import score
from hybrid.schema import Memory, Sampling, System
from hybrid.store import StoredRun
from tests.compare.fake import changed, generation, make_run, reference, slow, with_records, worse

DRAWS = Resamples(200)


def of(stored: StoredRun, system: System = "llm") -> SystemResults:
    return results_by_system(stored)[system]


def test_quality_is_the_corpus_score_of_the_first_answers() -> None:
    stored = make_run(30, {"hybrid": lambda i, r: worse(i) if r == 0 else "anything"}, repeats=2)
    quality = summarize(of(stored, "hybrid"), DRAWS).quality
    assert quality is not None
    for metric in ("bleu", "chrf", "ter", "length"):
        expected = score(metric, [worse(i) for i in range(30)], [[reference(i)] for i in range(30)])
        assert quality[metric].value == pytest.approx(expected.value)
        assert quality[metric].n == 30
        assert quality[metric].low < quality[metric].value < quality[metric].high


def test_other_resamples_have_other_scores() -> None:
    system = of(make_run(20), "hybrid")
    fewer, more, reseeded = (
        system.scores(draws)["bleu"] for draws in (DRAWS, Resamples(300), Resamples(200, 1))
    )
    assert fewer.value == more.value == reseeded.value
    assert (len(fewer.values), len(more.values)) == (200, 300)
    assert (fewer.values != reseeded.values).any()


def test_fixed_length_runs_have_no_quality() -> None:
    stored = make_run(5, sampling=Sampling(max_new_tokens=16, ignore_eos=True))
    summary = summarize(of(stored), DRAWS)
    assert summary.quality is None
    assert summary.latencies["total"] is not None


def test_statistics_that_are_missing_or_damaged_are_no_quality() -> None:
    def damage(record):
        damaged = record.example_id == "e0003"
        statistics = dict(record.statistics) | ({"bleu": (float("nan"),) * 10, "ter": ()} if damaged else {})
        return replace(record, statistics=statistics)

    quality = summarize(of(with_records(make_run(5), damage)), DRAWS).quality
    assert set(quality) == {"chrf", "length"}


def test_percentiles_are_over_all_answers_and_say_how_many_are_independent() -> None:
    stored = make_run(40, seconds={"llm": lambda i, r: slow(i) + r}, repeats=3)
    latency = summarize(of(stored), DRAWS).latencies["total"]
    times = [1000 * (slow(i) + r) for i in range(40) for r in range(3)]
    assert (latency.p50_ms, latency.p90_ms, latency.p99_ms) == pytest.approx(
        np.percentile(times, (50, 90, 99))
    )
    assert (latency.n, latency.answers, latency.carried) == (40, 120, (50, 90))


def test_ttft_and_tpot_by_hand() -> None:
    def answer(record):
        return replace(record, generation=generation(record.system, "a b", 1.0, tokens=5))

    latencies = summarize(of(with_records(make_run(3), answer)), DRAWS).latencies
    assert latencies["ttft"].p50_ms == pytest.approx(100)
    assert latencies["tpot"].p50_ms == pytest.approx(800 / 4)


def test_answers_of_one_token_have_no_time_per_token() -> None:
    def answer(record):
        return replace(record, generation=generation(record.system, "", 1.0, tokens=1))

    summary = summarize(of(with_records(make_run(3), answer)), DRAWS)
    assert summary.latencies["tpot"] is None
    assert summary.latencies["ttft"] is not None


def test_throughput_is_over_the_time_answers_were_made_in() -> None:
    def answer(record):
        return replace(record, generation=generation(record.system, "ab", 0.5, tokens=10))

    alone = summarize(of(with_records(make_run(6), answer)), DRAWS)
    assert (alone.tokens_per_s, alone.characters_per_s, alone.requests_per_s) == pytest.approx((20, 4, 2))
    # Three at once take as long as one.
    three = summarize(of(with_records(make_run(6, batch_size=3), answer)), DRAWS)
    assert (three.tokens_per_s, three.characters_per_s, three.requests_per_s) == pytest.approx((60, 12, 6))
    assert three.latencies["total"].n == 2


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    stored = make_run(4, seconds={"llm": lambda i, r: 0.0})
    summary = summarize(of(stored), DRAWS, price_per_hour=1.0)
    assert summary.tokens_per_s is None
    assert summary.cost_per_million_tokens is None
    assert summary.latencies["total"].p50_ms == 0


def test_cost_by_hand() -> None:
    # 100 tokens a second are 360,000 an hour, so a million take 2.78 hours.
    assert cost_per_million_tokens(1.8, 100) == pytest.approx(5.0)
    assert cost_per_million_tokens(None, 100) is None
    assert cost_per_million_tokens(0.0, 100) == 0.0


def test_memory_is_the_runs_own() -> None:
    stored = changed(make_run(2), memory={"slm": Memory(resident=5, before_model=3, device=1)})
    assert summarize(of(stored, "slm"), DRAWS).memory == Memory(resident=5, before_model=3, device=1)
    assert summarize(of(stored, "llm"), DRAWS).memory is None


@pytest.mark.parametrize(("percentile", "least"), [(50, 6), (90, 36), (99, 368)])
def test_a_percentile_needs_its_n(percentile: int, least: int) -> None:
    assert carries(least, percentile)
    assert not carries(least - 1, percentile)
    assert 1 - (percentile / 100) ** least >= 0.975  # the largest of n values lies above it
