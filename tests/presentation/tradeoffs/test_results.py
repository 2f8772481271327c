"""A stored run's times: against its own records, numpy, a plain bootstrap; kept, and honest about batches."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybrid.compare.bootstrap import Resamples
from hybrid.presentation.examples.answers import read_answers
from hybrid.presentation.runs.digest import run_digest
from hybrid.presentation.tradeoffs.results import (
    LATENCIES,
    PERCENTS,
    distribution,
    ecdf,
    phase_means,
    tradeoffs,
)
from hybrid.schema import PHASES, SYSTEMS, System
from hybrid.store import load_run
from tests.made_runs import store_run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def run_id(root: Path) -> str:
    return store_run(
        root,
        1,
        examples=40,
        repeats=2,
        systems=(System("llm"), System.parse("hybrid@torch"), System("hybrid")),
    )


def test_percentiles_are_those_of_the_raw_records_and_of_the_digest(root: Path, run_id: str):
    run, rows = tradeoffs(run_id, root), run_digest(run_id, root).rows
    assert list(run.systems) == ["llm", "hybrid@torch", "hybrid"]
    stored = load_run(run_id, root).records
    for system, times in run.systems.items():
        raw = [r.generation.timing.total_s * 1000 for r in stored if r.system == system]
        assert times.latencies["total"].p50.value == pytest.approx(np.median(raw), rel=1e-4)
        assert times.latencies["total"].values[-1] == pytest.approx(max(raw), rel=1e-4)
        for name in LATENCIES:
            spread, row = times.latencies[name], rows[system]
            assert spread.p50.value == pytest.approx(row[f"{name}_ms_p50"], rel=1e-3)
            assert spread.percentiles[-1] == pytest.approx(row[f"{name}_ms_p99"], rel=1e-3)
            assert spread.p50.n == row[f"{name}_n"] == 40
            assert spread.p50.low < spread.p50.value < spread.p50.high


def test_phases_sum_to_the_mean_end_to_end(root: Path, run_id: str):
    stored = load_run(run_id, root).records
    for system, times in tradeoffs(run_id, root).systems.items():
        raw = [r.generation.timing.total_s * 1000 for r in stored if r.system == system]
        assert sum(times.phases.values()) == pytest.approx(np.mean(raw), rel=1e-4)


def test_ratios_lie_around_the_speed_up_of_the_digest(root: Path, run_id: str):
    run, rows = tradeoffs(run_id, root), run_digest(run_id, root).rows
    assert set(run.systems["llm"].lengths) == set()
    for system in ("hybrid", "hybrid@torch"):
        ratios = [part.ratio.value for part in run.systems[system].lengths["output"].bins]
        assert min(ratios) < rows[system]["speedup_end_to_end"] < max(ratios)


def test_it_is_kept_and_comes_back_equal_without_the_answers(root: Path, run_id: str):
    run = tradeoffs(run_id, root)

    def never():
        raise AssertionError("the answers were read again")

    assert tradeoffs(run_id, root, answers=never) == run


def test_a_run_under_way_is_read_anew(root: Path):
    run_id = store_run(root, 2, examples=40, answered=0.5)
    assert tradeoffs(run_id, root, answers=lambda: read_answers(run_id, root)[:0]).systems == {}
    assert len(tradeoffs(run_id, root).systems) == 3


def test_batches_count_once_and_have_no_length(root: Path):
    run_id = store_run(root, 3, examples=40, batch_size=8)
    run = tradeoffs(run_id, root)
    assert "batches of 8" in run.why
    spread = run.systems["hybrid"].latencies["total"]
    assert (spread.p50.n, spread.answers) == (5, 40)
    assert spread.p50.value == pytest.approx(
        run_digest(run_id, root).rows["hybrid"]["total_ms_p50"], rel=1e-3
    )
    assert not any(times.lengths for times in run.systems.values())


@pytest.mark.parametrize(
    ("systems", "why"), [(SYSTEMS[1:], "no answers of the LLM"), (SYSTEMS[:1], "LLM only")]
)
def test_without_a_pair_to_compare_the_reason_is_said(root: Path, systems: tuple[System, ...], why: str):
    run_id = store_run(root, 10 + len(systems), systems=systems)
    assert why in tradeoffs(run_id, root).why


@pytest.mark.parametrize("repeats", [1, 3])
def test_the_interval_of_the_median_resamples_examples_with_all_their_repeats(repeats: int):
    draw, n, draws = np.random.default_rng(4), 31, Resamples(400, seed=2)
    values = draw.lognormal(3, 0.5, (n, repeats))
    units = np.repeat(np.arange(n), repeats)
    spread = distribution(values.ravel(), units, draws)
    assert spread is not None
    medians = [np.median(np.repeat(values, counts, axis=0)) for counts in draws.counts(n)]
    assert spread.p50.value == pytest.approx(np.median(values))
    assert (spread.p50.low, spread.p50.high) == pytest.approx(tuple(np.percentile(medians, [2.5, 97.5])))
    assert (spread.p50.n, spread.answers) == (n, n * repeats)
    assert spread.percentiles == pytest.approx(np.percentile(values, PERCENTS).tolist())


def test_what_was_not_measured_is_left_out():
    values = np.array([1.0, np.nan, 3.0, np.nan])
    spread = distribution(values, np.array([0, 1, 2, 1]), Resamples(50))
    assert spread is not None
    assert (spread.p50.value, spread.p50.n, spread.answers) == (2.0, 2, 2)
    assert distribution(np.full(3, np.nan), np.arange(3), Resamples(50)) is None


def test_one_example_carries_no_interval_however_often_it_is_repeated():
    spread = distribution(np.array([1.0, 2.0, 9.0]), np.zeros(3, int), Resamples(50))
    assert spread is not None
    assert (spread.p50.value, spread.p50.low, spread.p50.n) == (2.0, None, 1)
    assert spread.carried == ()
    assert spread.carried_share == 0


@pytest.mark.parametrize(("n", "highest"), [(5, 0), (6, 0.5), (36, 0.9), (367, 0.95), (368, 0.99)])
def test_percentiles_need_enough_examples(n: int, highest: float):
    spread = distribution(np.arange(1.0, n + 1), np.arange(n), Resamples(20))
    assert spread is not None
    assert spread.carried_share == highest


@pytest.mark.parametrize("n", [1, 2, 50, 5000])
def test_an_ecdf_rises_to_1_and_is_exact_where_it_is_drawn(n: int):
    values = np.sort(np.random.default_rng(n).integers(0, 300, n).astype(float))
    steps, shares = ecdf(values, most=100)
    assert len(steps) <= 100
    assert (steps[0], steps[-1], shares[-1]) == (values[0], values[-1], 1.0)
    assert all(a < b for a, b in itertools.pairwise(steps))
    assert all(a < b for a, b in itertools.pairwise(shares))
    assert list(shares) == [sum(value <= step for value in values) / n for step in steps]


def frame(rows: list[dict[str, float]]) -> pd.DataFrame:
    columns = ["position", *(f"{phase}_ms" for phase in PHASES)]
    return pd.DataFrame(rows, columns=columns).astype(float)


def test_means_sum_to_the_mean_total_where_some_answers_lack_a_phase():
    means = phase_means(
        frame([{"position": 0, "encode_ms": 2, "decode_ms": 10}, {"position": 1, "encode_ms": 4}])
    )
    assert means == {"encode": 3.0, "decode": 5.0}
    assert sum(means.values()) == pytest.approx(np.mean([12, 4]))
    assert list(means) == ["encode", "decode"]


def test_a_batch_counts_once_however_many_answers_it_has():
    batch = [{"position": 0, "decode_ms": 30.0}] * 3
    assert phase_means(frame([*batch, {"position": 1, "decode_ms": 10.0}])) == {"decode": 20.0}


def test_the_median_of_several_blocks_holds_what_changes_between_them():
    values = np.tile([10.0, 20.0, 40.0], 20) + np.arange(60) / 100
    blocks, draws = np.arange(60) % 3, Resamples(50)
    whole, apart = (distribution(values, np.arange(60), draws, which) for which in (None, blocks))
    assert whole is not None
    assert apart is not None
    assert apart.p50.value == whole.p50.value
    assert apart.p50.low < 10 < 40 < apart.p50.high
    assert apart.percentiles == whole.percentiles
