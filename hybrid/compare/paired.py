"""One system against a baseline: paired over the examples that both have answered.

And whether it may stand in for it: by a gate of intervals, not of points, and by fidelity. That is counted
in each run, never taken for granted. Verified drafts are the LLM's own ids in exact arithmetic. A pass over
several positions rounds otherwise than one over each, so that in 16 bits near ties fall the other way in
some answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hybrid.compare.bootstrap import Array, Difference, Estimate, Ratio, Resamples, estimate, nested_median
from hybrid.compare.power import Verdict, judge
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
from hybrid.metrics import main_metric
from hybrid.schema import BASELINE, METHODS, System, Task
from hybrid.store.private import SECRET

GATE_QUALITY, GATE_LENGTH = 0.99, 0.90
FEWEST_TO_MEET = 50  # examples; the intervals of fewer are too narrow to promise anything

GateVerdict = Verdict
# Name of a speed-up, the latency it is made of.
SPEEDUPS = {"end_to_end": "total", "per_token": "tpot", "ttft": "ttft"}
PLURALS = {"example": "examples", "batch": "batches"}  # of what speed-ups are paired by


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether a system may stand in for the baseline, in the manner of MLPerf Inference.

    Its rules ask of an accuracy-constrained language model at least 99 % of the
    reference's quality and 90 % of its output length
    (github.com/mlcommons/inference_policies, inference_rules.adoc, the GPT-J task).
    Here the baseline takes the reference's place, and the main metric decides. A
    point set against 0.99 would fail a third of all systems that equal the
    baseline, so that the intervals decide.

    verdict: "meets" where the whole 95 % interval of both ratios, of FEWEST_TO_MEET examples
        or more, is at or above its need, "misses" where that of one is below, else "undecided".
    quality: of scores, above 1 is better, also where a lower score is better.
    length: of all words. Both are ratios to the baseline.
    deciding_n: roughly how many examples would decide it in 80 % of all benchmarks if both
        ratios stayed as they are; None where it is decided, and where no number can be told.
    """

    verdict: GateVerdict
    metric: str
    quality: Estimate
    length: Estimate
    deciding_n: int | None = None


def gate_of(task: Task, pairs: Mapping[str, tuple[Scores, Scores]], length: Estimate | None) -> Gate | None:
    """Judge a system. None when there is no quality, no length, or a score of 0 to divide by.

    pairs: by metric, the scores of the system and of the baseline over the same examples.
    """
    main = main_metric(task).name
    if main not in pairs or length is None:
        return None
    quality = ratio_of_scores(*pairs[main])
    if quality is None:
        return None
    verdict, deciding_n = gate_verdict(quality, length)
    return Gate(verdict=verdict, metric=main, quality=quality, length=length, deciding_n=deciding_n)


def gate_verdict(quality: Estimate, length: Estimate) -> tuple[GateVerdict, int | None]:
    """Judge both ratios by their intervals, as judge() does."""
    verdict, n = judge(((quality, GATE_QUALITY), (length, GATE_LENGTH)))
    if verdict == "meets" and quality.n < FEWEST_TO_MEET:
        return "undecided", FEWEST_TO_MEET
    return verdict, n if n is None else max(FEWEST_TO_MEET, n)


def ratio_of_scores(system: Scores, baseline: Scores) -> Estimate | None:
    """Give the part of the baseline's quality that is kept; None where it scores 0."""
    higher_is_better = system.metric.higher_is_better
    ratio = quality_ratio(higher_is_better, system.value, baseline.value)
    if ratio is None:
        return None
    above, below = (system, baseline) if higher_is_better else (baseline, system)
    nothing = np.full(len(below.values), np.nan)
    resampled = np.divide(above.values, below.values, out=nothing, where=below.values > 0)
    return estimate(ratio, resampled, system.n)


def quality_ratio(higher_is_better: bool | None, system: float, baseline: float) -> float | None:
    """Give the system's part of the baseline's quality; the inverse where a lower score is better."""
    above, below = (system, baseline) if higher_is_better else (baseline, system)
    return above / below if below > 0 else None


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How many answers of a lossless system are the LLM's, letter by letter.

    llm: the one of the same run that it is set against, of the same engine and precision where there
        is one. alike: whether there is.
    dtype: the precision of the lossless system. llm_dtype: that of the LLM.
    equal, n: of the examples that both answered, those with the same text; and all.
    """

    llm: System
    alike: bool
    dtype: str
    llm_dtype: str
    equal: int
    n: int


def fidelity(results: SystemResults, systems: Mapping[System, SystemResults]) -> Fidelity | None:
    """Count the answers that equal the LLM's. systems: of the same run.

    None for systems that are not lossless, and where the run has no answers of an LLM to set them against.
    """
    run = results.run
    if not METHODS[results.system.method].lossless or run.plan.sampling.ignore_eos:
        return None
    ran = run.ran_as(results.system)
    llms = sorted(
        (system for system in systems if system.method == BASELINE.method),
        key=lambda system: (_arithmetic(systems[system]) != (ran.engine, ran.dtype), system != BASELINE),
    )
    if not llms:
        return None
    llm = systems[llms[0]]
    pairs = list(zip(*shared(results, llm), strict=True))
    if not pairs:
        return None
    equal = sum(results.firsts[i].generation.identity == llm.firsts[j].generation.identity for i, j in pairs)
    engine, dtype = _arithmetic(llm)
    return Fidelity(
        llm=llm.system, alike=(engine, dtype) == (ran.engine, ran.dtype), dtype=ran.dtype,
        llm_dtype=dtype, equal=equal, n=len(pairs),
    )  # fmt: skip


def _arithmetic(results: SystemResults) -> tuple[str, str]:
    ran = results.run.ran_as(results.system)
    return ran.engine, ran.dtype


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
            f"{baseline.run.plan.suite}); compare runs of the same suite{_private(system, baseline)}."
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


def _private(system: SystemResults, baseline: SystemResults) -> str:
    """Say what else two runs must share of which one is private."""
    private = system.run.plan.private or baseline.run.plan.private
    return f", which private runs tell by keyed hashes: all its texts, and one {SECRET}" if private else ""


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


def ratios_of_times(system: SystemResults, baseline: SystemResults) -> dict[str, Array]:
    """Give by name of a speed-up the paired ratios of times, over examples or, in batches, over these."""
    rows, baseline_rows = timed_alike(system, baseline)
    return {
        name: _by_batch(
            _ratios(system.times[latency][rows], baseline.times[latency][baseline_rows])[:, np.newaxis],
            system.batches[rows],
        )[:, 0]
        for name, latency in SPEEDUPS.items()
        if len(rows)
    }


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
        system.firsts[i].generation.identity == baseline.firsts[j].generation.identity for i, j in pairs
    ]
    return sum(same) / len(same)


def _length_ratio(system: Scores, baseline: Scores) -> Estimate | None:
    """Ratio of summed words: the first of the length statistics."""
    if not baseline.total[0]:
        return None
    words, baseline_words = system.resampled[:, 0], baseline.resampled[:, 0]
    ratios = np.divide(words, baseline_words, out=np.full(len(words), np.nan), where=baseline_words > 0)
    return estimate(float(system.total[0] / baseline.total[0]), ratios, system.n)
