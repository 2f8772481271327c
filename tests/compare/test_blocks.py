"""Speed-ups over blocks, disturbed answers, busy machines: what a reader is told, and where it counts."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from hybrid.compare import ComparedSystem, Ratio, as_json, compare_runs, summaries
from hybrid.compare.bootstrap import Resamples, nested_median
from hybrid.compare.results import results_by_system
from hybrid.compare.verdict import ONE_BLOCK
from hybrid.schema import Probe, Record, System
from hybrid.store import StoredRun
from tests.compare.fake import changed, make_run, sentences, slow, with_records

QUIET = Probe(taken_at="2026-11-23T01:45:00+00:00", bandwidth=2e10, product_s=0.004, cpu_share=0.99)


def in_blocks(stored: StoredRun, blocks: int = 3) -> StoredRun:
    """The run with its answers dealt to blocks."""
    dealt = with_records(stored, lambda r: replace(r, block=(r.batch + r.repeat) % blocks))
    return changed(dealt, {"blocks": blocks})


def compared(stored: StoredRun, system: str = "hybrid") -> ComparedSystem:
    systems = compare_runs([stored], resamples=50).systems
    return next(candidate for candidate in systems if candidate.summary.system == system)


def speedup(stored: StoredRun) -> Ratio:
    ratio = compared(stored).against.speedups["end_to_end"]
    assert ratio is not None
    return ratio


def disturbed(stored: StoredRun, example: int, system: str = "hybrid", seconds: float = 70.0) -> StoredRun:
    """The run with one answer in which the process stood still."""

    def stop(record: Record) -> Record:
        if (record.example_id, record.system) != (f"e{example:04}", system):
            return record
        timing = record.generation.timing
        phases = dict(timing.phases) | {"decode": timing.phases["decode"] + seconds}
        timing = replace(timing, phases=phases, disturbed=True)
        return replace(record, generation=replace(record.generation, timing=timing))

    return with_records(stored, stop)


# blocks


def test_the_interval_holds_what_differs_between_blocks_and_says_so() -> None:
    """In every third batch, which is a block, the hybrid is twice as fast as in the others."""
    times = {"hybrid": lambda i, r: slow(i) / (8 if i % 3 == 0 else 4)}
    ratio = speedup(in_blocks(make_run(60, seconds=times)))
    assert (ratio.blocks, ratio.n, ratio.value) == (3, 60, 4.0)
    assert ratio.low < 2 < 8 < ratio.high
    assert ratio.between > 1
    assert ratio.within < 0.1
    assert speedup(make_run(60, seconds=times)).low > 3.9


def test_equal_blocks_leave_the_interval_of_the_examples() -> None:
    draw = np.random.default_rng(1)
    values = np.exp(draw.normal(0, 0.1, 90))
    table = np.full((90, 3), np.nan)
    table[np.arange(90), np.arange(90) % 3] = values
    table[:, 1] *= np.nanmedian(table[:, 0]) / np.nanmedian(table[:, 1])
    table[:, 2] *= np.nanmedian(table[:, 0]) / np.nanmedian(table[:, 2])
    ratio = nested_median(np.nanmedian(table, axis=1), table, Resamples(200).counts(90))
    assert ratio.between == 0
    assert ratio.high / ratio.value - 1 == pytest.approx(ratio.within) == pytest.approx(0.026, abs=0.008)


@pytest.mark.parametrize(
    ("factors", "resamples"), [((1.0, 1.0, 1.0), 1), ((1e-150, 1.0, 1e150), 50), ((1.0, np.nan, 2.0), 50)]
)
def test_what_tells_no_spread_between_blocks_is_no_failure(
    factors: tuple[float, ...], resamples: int
) -> None:
    draw = np.random.default_rng(2)
    values = np.exp(draw.normal(0, 0.1, 30)) * np.array(factors)[np.arange(30) % 3]
    table = np.full((30, 3), np.nan)
    table[np.arange(30), np.arange(30) % 3] = values
    ratio = nested_median(values, table, Resamples(resamples).counts(30))
    assert np.isfinite([ratio.value, ratio.low, ratio.high]).all()
    assert ratio.blocks == (2 if np.isnan(factors).any() else 1)


def test_one_block_keeps_its_interval_and_is_remarked() -> None:
    whole = make_run(60, blocks=1)
    comparison = compare_runs([whole], resamples=50)
    assert speedup(whole).between is None
    assert ONE_BLOCK in comparison.remarks
    assert ONE_BLOCK not in compare_runs([in_blocks(whole)], resamples=50).remarks
    assert not comparison.in_blocks


def test_runs_dealt_otherwise_are_compared_as_of_one_block() -> None:
    ours, theirs = in_blocks(make_run(30, run_id="a")), in_blocks(make_run(30, run_id="b"), 2)
    alike = in_blocks(make_run(30, run_id="c"))
    systems = compare_runs([ours, theirs, alike], "a:llm", resamples=20).systems
    assert {(s.summary.run_id, s.against.speedups["ttft"].blocks) for s in systems if s.against} == {
        ("a", 3), ("b", 1), ("c", 3),
    }  # fmt: skip


def test_repeats_in_other_blocks_and_batches_are_each_counted_once() -> None:
    repeated = in_blocks(make_run(30, repeats=4, batch_size=2), 3)
    results = results_by_system(repeated)[System("hybrid")]
    table = results.times_by_block["total"]
    assert table.shape == (30, 3)
    assert not np.isnan(table).any()
    assert (speedup(repeated).blocks, speedup(repeated).n) == (3, 15)


def test_both_parts_are_in_the_csv_and_in_json() -> None:
    stored = in_blocks(make_run(60))
    rows = {row["system"]: row for row in summaries(stored, resamples=50)}
    assert rows["hybrid"]["blocks"] == 3
    assert rows["hybrid"]["speedup_end_to_end_between"] == speedup(stored).between
    assert rows["hybrid"]["speedup_ttft_within"] is not None
    assert rows["llm"]["speedup_end_to_end_between"] is None
    system = as_json(compare_runs([stored], resamples=50))["systems"][1]
    assert {"between", "within", "blocks"} <= system["against"]["speedups"]["end_to_end"].keys()


def test_loading_models_between_blocks_is_no_interruption() -> None:
    stored = make_run(9)

    def later(record: Record) -> Record:
        moment = datetime.fromisoformat(record.started_at) + timedelta(minutes=5 * (record.batch >= 5))
        return replace(record, started_at=moment.isoformat(), block=int(record.batch >= 5))

    assert not sentences(compare_runs([with_records(stored, later)], resamples=5).warnings, "interrupted")
    alone = with_records(with_records(stored, later), lambda r: replace(r, block=0))
    assert sentences(compare_runs([alone], resamples=5).warnings, "interrupted")


# disturbed answers


def test_a_disturbed_answer_is_in_no_time_and_in_all_quality() -> None:
    whole = make_run(60)
    stopped = disturbed(whole, 7)
    before, after = compared(whole), compared(stopped)
    assert after.summary.disturbed == 1
    for name in ("tokens_per_s", "requests_per_s", "characters_per_s"):
        assert getattr(after.summary, name) == pytest.approx(getattr(before.summary, name), rel=0.05)
    assert after.summary.latencies["total"].p99_ms <= before.summary.latencies["total"].p99_ms
    assert (after.summary.latencies["total"].n, after.against.speedups["end_to_end"].n) == (59, 59)
    assert (after.summary.quality, after.summary.n) == (before.summary.quality, 60)
    comparison = compare_runs([stopped], resamples=10)
    assert sentences(comparison.warnings, "hybrid of run run-a stood still in 1 of 60 answers")
    assert summaries(stopped, resamples=10)[2]["disturbed"] == 1


def test_what_disturbs_one_answer_of_a_batch_disturbs_all() -> None:
    after = compared(disturbed(make_run(40, batch_size=4), 5))
    assert after.summary.disturbed == 4
    assert after.summary.latencies["total"].n == 9


def test_a_run_whose_every_answer_was_disturbed_has_no_times() -> None:
    stopped = make_run(8)
    for example in range(8):
        stopped = disturbed(stopped, example)
    after = compared(stopped)
    assert (after.summary.latencies["total"], after.summary.tokens_per_s) == (None, None)
    assert after.against.speedups["end_to_end"] is None


# busy machines


def test_a_busy_machine_is_said_wherever_the_run_is_shown() -> None:
    stored = changed(make_run(8), probes=(QUIET, replace(QUIET, others_share=0.48)))
    comparison = compare_runs([stored], resamples=10)
    assert sentences(comparison.warnings, "run-a was measured on a busy machine", "other processes took 48 %")
    assert all(" (busy machine) is " in system.verdict for system in comparison.systems)
    row = summaries(stored, resamples=10)[0]
    assert (row["busy"], row["busy_why"]) == (True, "other processes took 48 % of the CPUs")


@pytest.mark.parametrize(("probes", "busy"), [((), None), ((QUIET, QUIET), False)])
def test_a_quiet_or_unknown_machine_is_not_worth_a_word(probes: tuple[Probe, ...], busy: bool | None) -> None:
    stored = changed(make_run(8), probes=probes)
    assert not sentences(compare_runs([stored], resamples=10).warnings, "busy")
    assert summaries(stored, resamples=10)[0]["busy"] is busy
    assert compared(stored).verdict.startswith("Hybrid is 4.0")
