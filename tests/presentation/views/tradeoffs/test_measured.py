"""A stored run's times: against its own records, kept on disk, and honest about batches."""

from pathlib import Path

import numpy as np
import pytest

from hybrid.presentation.views.answers import answers
from hybrid.presentation.views.digest import digest
from hybrid.presentation.views.tradeoffs.measured import LATENCIES, tradeoffs
from hybrid.schema import SYSTEMS, System
from hybrid.store import load_run
from tests.pages.made_runs import store_run


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
    found, rows = tradeoffs(run_id, root), digest(run_id, root).rows
    assert list(found.systems) == ["llm", "hybrid@torch", "hybrid"]
    stored = load_run(run_id, root).records
    for system, times in found.systems.items():
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
    found, rows = tradeoffs(run_id, root), digest(run_id, root).rows
    assert set(found.systems["llm"].lengths) == set()
    for system in ("hybrid", "hybrid@torch"):
        ratios = [part.ratio.value for part in found.systems[system].lengths["output"].bins]
        assert min(ratios) < rows[system]["speedup_end_to_end"] < max(ratios)


def test_it_is_kept_and_comes_back_equal_without_the_answers(root: Path, run_id: str):
    made = tradeoffs(run_id, root)

    def never():
        raise AssertionError("the answers were read again")

    assert tradeoffs(run_id, root, answers=never) == made


def test_a_run_under_way_is_read_anew(root: Path):
    run_id = store_run(root, 2, examples=40, answered=0.5)
    assert tradeoffs(run_id, root, answers=lambda: answers(run_id, root)[:0]).systems == {}
    assert len(tradeoffs(run_id, root).systems) == 3


def test_batches_count_once_and_have_no_length(root: Path):
    run_id = store_run(root, 3, examples=40, batch_size=8)
    found = tradeoffs(run_id, root)
    assert "batches of 8" in found.why
    spread = found.systems["hybrid"].latencies["total"]
    assert (spread.p50.n, spread.answers) == (5, 40)
    assert spread.p50.value == pytest.approx(digest(run_id, root).rows["hybrid"]["total_ms_p50"], rel=1e-3)
    assert not any(times.lengths for times in found.systems.values())


@pytest.mark.parametrize(
    ("systems", "why"), [(SYSTEMS[1:], "no answers of the LLM"), (SYSTEMS[:1], "LLM only")]
)
def test_without_a_pair_to_compare_the_reason_is_said(root: Path, systems: tuple[System, ...], why: str):
    run_id = store_run(root, 10 + len(systems), systems=systems)
    assert why in tradeoffs(run_id, root).why
