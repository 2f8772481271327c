"""What one system of one run has answered, as arrays by example, and its scores over them.

Shapes: N examples in the order of the suite, n of them that are scored, k statistics, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hybrid.compare.bootstrap import (
    Array,
    Difference,
    Estimate,
    Resamples,
    difference,
    estimate,
    share_estimate,
    sums,
)
from hybrid.metrics import METRICS, Check, Metric, metrics_of
from hybrid.schema import Record, Run, System
from hybrid.store import StoredRun

Indices = NDArray[np.int64]

LATENCIES = ("total", "ttft", "tpot")  # end to end, time to first token, time per output token


@dataclass(frozen=True)
class Scores:
    """One metric over n examples. total: their summed statistics (k,); resampled: of each resample (R, k)."""

    metric: Metric
    n: int
    total: Array
    resampled: Array

    @cached_property
    def value(self) -> float:
        return float(self.metric.score(self.total, self.n))

    @cached_property
    def values(self) -> Array:
        """The score of each resample, (R,)."""
        return self.metric.score(self.resampled, self.n)

    def estimate(self) -> Estimate:
        """Give the score with its interval."""
        if isinstance(self.metric, Check):
            return share_estimate(float(self.total[0]), self.n)
        return estimate(self.value, self.values, self.n)

    def minus(self, baseline: "Scores") -> Difference:
        """Give the paired difference; both must be over the same examples in the same order."""
        return difference(self.value - baseline.value, self.values, baseline.values, self.n, baseline.value)


@dataclass(eq=False)
class SystemResults:
    """The answers of one system in one run; what is computed of them is kept.

    sources: by example id, of the N examples that it has answered.
    answers: by example id, the records in the order of their repeats. Decoding
        is greedy, so the first one speaks for the quality of all.
    """

    run: Run
    system: System
    sources: Mapping[str, str]
    answers: Mapping[str, Sequence[Record]]
    _scores: dict[tuple[int, int, bytes], Mapping[str, Scores]] = field(
        init=False, default_factory=dict, repr=False
    )

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self.sources)

    @cached_property
    def firsts(self) -> tuple[Record, ...]:
        """The first answer to each example, N of them."""
        return tuple(records[0] for records in self.answers.values())

    @cached_property
    def records(self) -> tuple[Record, ...]:
        return tuple(record for records in self.answers.values() for record in records)

    @cached_property
    def statistics(self) -> dict[str, Array]:
        """By metric of the task, the statistics of the first answers, (N, k).

        A metric that an answer lacks is left out. Empty for fixed-length runs:
        what is written beyond the natural end has no quality.
        """
        if self.run.plan.sampling.ignore_eos:
            return {}
        statistics = {}
        for metric in metrics_of(self.run.task):
            rows = [first.statistics.get(metric, ()) for first in self.firsts]
            if {*map(len, rows)} == {METRICS[metric].width} and np.isfinite(rows).all():
                statistics[metric] = np.array(rows, dtype=np.float64)
        return statistics

    def scores(self, resamples: Resamples, places: Indices | None = None) -> Mapping[str, Scores]:
        """Score the examples at `places`, by default all, by every metric that the answers carry.

        Computed once for the same places: a baseline is compared with several systems.
        """
        if places is None:
            places = np.arange(len(self.ids))
        key = resamples.resamples, resamples.seed, places.tobytes()
        if self.statistics and key not in self._scores:
            rows = {name: statistics[places] for name, statistics in self.statistics.items()}
            # One product for all metrics: many small ones cost more than they compute.
            together = np.concatenate(list(rows.values()), axis=1)
            ends = np.cumsum([statistics.shape[1] for statistics in rows.values()])[:-1]
            resampled = np.split(sums(together, resamples.counts(len(places))), ends, axis=1)
            self._scores[key] = {
                name: Scores(METRICS[name], len(places), statistics.sum(axis=0), part)
                for (name, statistics), part in zip(rows.items(), resampled, strict=True)
            }
        return self._scores.get(key, {})

    @cached_property
    def disturbed(self) -> NDArray[np.bool_]:
        """Whether the process was stopped or starved in each of `records`, or in another of its batch."""
        batches = {
            (record.repeat, record.batch) for record in self.records if record.generation.timing.disturbed
        }
        return np.array([(record.repeat, record.batch) in batches for record in self.records], dtype=bool)

    @cached_property
    def all_times(self) -> dict[str, Array]:
        """By latency, the seconds of every answer in the order of `records`; NaN where there is none.

        An answer in which the process was disturbed has none.
        """
        timings = [record.generation.timing for record in self.records]
        rows = [(timing.total_s, timing.ttft_s, timing.tpot_s) for timing in timings]
        columns = np.array(rows, dtype=np.float64).T  # None becomes NaN
        known = np.isfinite(columns) & ~self.disturbed
        return dict(zip(LATENCIES, np.where(known, columns, np.nan), strict=True))

    @cached_property
    def times(self) -> dict[str, Array]:
        """By latency, the median over the repeats of each example, (N,) seconds; NaN where there is none."""
        if len(self.records) == len(self.ids):
            return self.all_times
        ends = np.cumsum([len(records) for records in self.answers.values()])[:-1]
        return {
            name: np.array([median_of(part) for part in np.split(values, ends)])
            for name, values in self.all_times.items()
        }

    @cached_property
    def times_by_block(self) -> dict[str, Array]:
        """By latency, the median over the repeats of each example in each block, (N, plan.blocks) seconds.

        NaN where an example was not measured in a block.
        """
        blocks = self.run.plan.blocks
        sizes = [len(records) for records in self.answers.values()]
        cells = np.repeat(np.arange(len(sizes)), sizes) * blocks + [record.block for record in self.records]
        order = np.argsort(cells, kind="stable")
        present, starts = np.unique(cells[order], return_index=True)
        tables = {}
        for name, values in self.all_times.items():
            table = np.full(len(sizes) * blocks, np.nan)
            if len(present) == len(cells):
                table[cells] = values
            else:
                table[present] = [median_of(part) for part in np.split(values[order], starts[1:])]
            tables[name] = table.reshape(-1, blocks)
        return tables

    @cached_property
    def batches(self) -> Indices:
        """The batch in which each example was first answered, (N,)."""
        numbers: dict[tuple[int, int], int] = {}
        return np.array([numbers.setdefault((r.repeat, r.batch), len(numbers)) for r in self.firsts])

    @cached_property
    def batch_mates(self) -> tuple[frozenset[str], ...]:
        """Ids of the examples that each example was first answered together with, itself included; N sets."""
        batches: dict[tuple[int, int], set[str]] = {}
        for record in self.records:
            batches.setdefault((record.repeat, record.batch), set()).add(record.example_id)
        sets = {batch: frozenset(ids) for batch, ids in batches.items()}
        return tuple(sets[first.repeat, first.batch] for first in self.firsts)

    @cached_property
    def busy_s(self) -> float:
        """Time in which answers were made: the answers of a batch share theirs."""
        batches: dict[tuple[int, int], float] = {}
        for record, total in zip(self.records, self.all_times["total"].tolist(), strict=True):
            key = record.repeat, record.batch
            batches[key] = max(batches.get(key, 0.0), total)  # a NaN is never the greater one
        return sum(batches.values())


def results_by_system(stored: StoredRun) -> dict[System, SystemResults]:
    """Sort a run's answers by system; systems without an answer are left out."""
    answered: dict[System, dict[str, list[Record]]] = {system: {} for system in stored.run.plan.systems}
    for record in stored.records:
        answered[record.system].setdefault(record.example_id, []).append(record)
    results = {}
    for system, records in answered.items():
        sources = {e.id: e.source for e in stored.examples if e.id in records}
        if sources:
            answers = {i: sorted(records[i], key=lambda record: record.repeat) for i in sources}
            results[system] = SystemResults(stored.run, system, sources, answers)
    return results


def shared(system: SystemResults, baseline: SystemResults) -> tuple[Indices, Indices]:
    """Find the places of the examples that both have answered: the same id and the same source text."""
    places = {example_id: place for place, example_id in enumerate(baseline.ids)}
    pairs = [
        (place, places[example_id])
        for place, (example_id, source) in enumerate(system.sources.items())
        if baseline.sources.get(example_id) == source
    ]
    rows, baseline_rows = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return rows, baseline_rows


def timed_alike(system: SystemResults, baseline: SystemResults) -> tuple[Indices, Indices]:
    """Keep of the places of shared() those whose times can be compared.

    The answers of a batch share its time, so that both must have answered the
    example together with the same others, all of them the same texts.
    """
    rows, baseline_rows = shared(system, baseline)
    if max(system.run.plan.batch_size, baseline.run.plan.batch_size) == 1:
        return rows, baseline_rows
    ids = system.ids
    both = {ids[place] for place in rows}
    alike = [
        system.batch_mates[i] == baseline.batch_mates[j] and system.batch_mates[i] <= both
        for i, j in zip(rows, baseline_rows, strict=True)
    ]
    return rows[alike], baseline_rows[alike]


def dealt_alike(system: SystemResults, baseline: SystemResults) -> bool:
    """Tell whether both have measured each example in blocks of the same number."""
    plan, baseline_plan = system.run.plan, baseline.run.plan
    names = ("blocks", "repeats", "batch_size", "suite_hash", "limit", "seed")
    return all(getattr(plan, name) == getattr(baseline_plan, name) for name in names)


def median_of(values: Array) -> float:
    """Compute the median of what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else np.nan
