"""One system against a baseline: paired over the examples that both have answered."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hybrid.compare.bootstrap import Array, Difference, Estimate, Ratio, Resamples, estimate, nested_median
from hybrid.compare.gate import Gate, gate_of
from hybrid.compare.results import (
    Indices,
    Scores,
    SystemResults,
    dealt_alike,
    median_of,
    shared,
    timed_alike,
)
from hybrid.errors import InputError
from hybrid.schema import System

# Name of a speed-up, the latency it is made of.
SPEEDUPS = {"end_to_end": "total", "per_token": "tpot", "ttft": "ttft"}

PLURALS = {"example": "examples", "batch": "batches"}  # of what speed-ups are paired by


@dataclass(frozen=True, kw_only=True)
class PairedComparison:
    """A system compared with a baseline.

    run_id, system: the baseline's.
    n: examples that both have answered.
    differences: by metric of quality, system minus baseline; None without quality.
    speedups: baseline's time over the system's, the median of paired ratios
        over examples (over batches when answers were made in batches, of those
        that hold the same examples for both); above 1 is faster. None where no
        ratio could be formed.
    paired_by: "example" or "batch", what the ratios are of.
    length_ratio: words of all outputs over words of the baseline's (sacrebleu's sys_len).
    agreement: share of outputs that equal the baseline's letter by letter, 0 to 1.
    """

    run_id: str
    system: System
    n: int
    differences: Mapping[str, Difference] | None
    speedups: Mapping[str, Ratio | None]
    paired_by: str
    length_ratio: Estimate | None
    agreement: float | None
    gate: Gate | None


def paired_comparison(
    system: SystemResults, baseline: SystemResults, resamples: Resamples
) -> PairedComparison:
    """Compare two systems of one task. Raises InputError when they share no example."""
    if system.run.plan.task != baseline.run.plan.task:
        raise InputError(
            f"Run {system.run.run_id} has the task {system.run.plan.task} and the baseline's run "
            f"{baseline.run.run_id} has {baseline.run.plan.task}; compare runs of one task."
        )
    rows, baseline_rows = shared(system, baseline)
    if not len(rows):
        raise InputError(
            f"{system.system} of run {system.run.run_id} and the baseline {baseline.system} of run "
            f"{baseline.run.run_id} have no example in common ({system.run.plan.suite} and "
            f"{baseline.run.plan.suite}); compare runs of the same suite."
        )
    system_scores, baseline_scores = system.scores(resamples, rows), baseline.scores(resamples, baseline_rows)
    pairs = {
        name: (scores, baseline_scores[name])
        for name, scores in system_scores.items()
        if name in baseline_scores
    }
    differences = {
        name: scores.minus(other)
        for name, (scores, other) in pairs.items()
        if scores.metric.higher_is_better is not None
    }
    length = _length_ratio(*pairs["length"]) if "length" in pairs else None
    batched = max(system.run.plan.batch_size, baseline.run.plan.batch_size) > 1
    return PairedComparison(
        run_id=baseline.run.run_id,
        system=baseline.system,
        n=len(rows),
        differences=differences or None,
        speedups=_speedups(system, baseline, resamples),
        paired_by="batch" if batched else "example",
        length_ratio=length,
        agreement=_agreement(system, baseline, rows, baseline_rows),
        gate=gate_of(system.run.task, pairs, length),
    )


def _speedups(
    system: SystemResults, baseline: SystemResults, resamples: Resamples
) -> dict[str, Ratio | None]:
    rows, baseline_rows = timed_alike(system, baseline)
    if not len(rows):
        return dict.fromkeys(SPEEDUPS)
    speedups, batches = {}, system.batches[rows]
    for name, latency in SPEEDUPS.items():
        values = _ratios(system.times[latency][rows], baseline.times[latency][baseline_rows])
        by_block = values[:, np.newaxis]
        if dealt_alike(system, baseline):
            by_block = _ratios(
                system.times_by_block[latency][rows], baseline.times_by_block[latency][baseline_rows]
            )
        both = _by_batch(np.column_stack([values, by_block]), batches)
        speedups[name] = nested_median(both[:, 0], both[:, 1:], resamples.counts(len(both)))
    return speedups


def _ratios(system_s: Array, baseline_s: Array) -> Array:
    """Divide times of any shape; a clock too coarse for the answer gives no ratio."""
    known = (system_s > 0) & (baseline_s > 0)
    ratios: Array = np.divide(baseline_s, system_s, out=np.full(system_s.shape, np.nan), where=known)
    return ratios


def _by_batch(values: Array, labels: Indices) -> Array:
    """Compute the medians of the rows (N, k) of each batch: batches are what is resampled."""
    _, group = np.unique(labels, return_inverse=True)
    if group.max() + 1 == len(values):
        return values
    order = np.argsort(group, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(group))[:-1])
    return np.array([[median_of(column) for column in part.T] for part in parts])


def _agreement(
    system: SystemResults, baseline: SystemResults, rows: Indices, baseline_rows: Indices
) -> float | None:
    if system.run.plan.sampling.ignore_eos or baseline.run.plan.sampling.ignore_eos:
        return None
    pairs = zip(rows, baseline_rows, strict=True)
    same: list[bool] = [
        system.firsts[i].generation.text == baseline.firsts[j].generation.text for i, j in pairs
    ]
    return sum(same) / len(same)


def _length_ratio(system: Scores, baseline: Scores) -> Estimate | None:
    """Ratio of summed words: the first of the length statistics."""
    if not baseline.total[0]:
        return None
    words, baseline_words = system.resampled[:, 0], baseline.resampled[:, 0]
    ratios = np.divide(words, baseline_words, out=np.full(len(words), np.nan), where=baseline_words > 0)
    return estimate(float(system.total[0] / baseline.total[0]), ratios, system.n)
