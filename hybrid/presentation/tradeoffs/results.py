"""What one run says of time: percentiles with intervals, ECDFs, phases, speed-up by length. Kept on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hybrid.compare import Estimate
from hybrid.compare.bootstrap import Array, Resamples, estimate, medians, nested_median
from hybrid.compare.results import Indices
from hybrid.compare.summary import carries
from hybrid.presentation.examples.answers import read_answers
from hybrid.presentation.runs.disk_cache import cached_json
from hybrid.presentation.tradeoffs.lengths import ByLength, Length, by_length
from hybrid.schema import BASELINE, PHASES, Phase, Plan, System
from hybrid.store import run_of

LATENCIES: Mapping[str, str] = {
    "total": "end-to-end latency",
    "ttft": "time to first token (TTFT)",
    "tpot": "time per output token (TPOT)",
}
PERCENTS = (5, 10, 25, 50, 75, 90, 95, 99)
MOST_STEPS = 240  # of an ECDF that is drawn: more than a screen tells apart


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """Milliseconds over every answer, repeats included, as in hybrid.compare's Latency.

    p50: with the bootstrap interval of the median; its n counts independent
        measurements: examples, or batches, which are what is resampled.
    answers: values behind it. percentiles: by PERCENTS. carried: those that n can carry.
    values, shares: the ECDF, as pairs of a latency and the share of answers that took no longer.
    """

    p50: Estimate
    answers: int
    percentiles: tuple[float, ...]
    carried: tuple[int, ...]
    values: tuple[float, ...]
    shares: tuple[float, ...]

    @property
    def carried_share(self) -> float:
        """Up to which share the ECDF can be believed: the highest percentile that n carries, 0 to 1."""
        return max(self.carried, default=0) / 100

    def percentile(self, percent: int) -> float:
        """Return one of PERCENTS, in ms."""
        return self.percentiles[PERCENTS.index(percent)]


@dataclass(frozen=True)
class SystemTimes:
    """One system. latencies: of LATENCIES, those measured. phases: mean ms. lengths: may be empty."""

    latencies: Mapping[str, Distribution]
    phases: Mapping[Phase, float]
    lengths: Mapping[Length, ByLength]


@dataclass(frozen=True)
class Tradeoffs:
    """One run. systems: in the order of its plan, those that have answered.

    why: there are no speed-ups by length, in a sentence; empty where there are.
    """

    run_id: str
    batch_size: int
    systems: Mapping[System, SystemTimes]
    why: str


def tradeoffs(
    run_id: str, root: Path | None = None, answers: Callable[[], pd.DataFrame] | None = None
) -> Tradeoffs:
    """Compute them of a stored run, and keep them once it is complete. Raises StoreError.

    answers: gives the run's read_answers(), where the caller has them in memory.
    """
    run = run_of(run_id, root)

    def compute() -> Tradeoffs:
        frame = answers() if answers else read_answers(run_id, root)
        return tradeoffs_of(run_id, run.plan, frame)

    if run.finished_at is None:
        return compute()
    return cached_json("tradeoffs-4.json", run_id, Tradeoffs, compute, root)


def tradeoffs_of(run_id: str, plan: Plan, answers: pd.DataFrame) -> Tradeoffs:
    """Compute them of answers that are loaded."""
    draws = Resamples()
    unit = "batch" if plan.batch_size > 1 else "example_id"
    why = _why(run_id, plan, answers)
    lengths = {} if why else by_length(answers, draws)
    systems = {}
    for system in plan.systems:
        own = answers[answers["system"] == str(system)]
        if len(own):
            units, blocks = pd.factorize(own[unit].to_numpy())[0], own["block"].to_numpy()
            latencies = {
                name: distribution(own[f"{name}_ms"].to_numpy(np.float64), units, draws, blocks)
                for name in LATENCIES
            }
            known = {name: spread for name, spread in latencies.items() if spread}
            systems[system] = SystemTimes(known, phase_means(own), lengths.get(system, {}))
    return Tradeoffs(run_id, plan.batch_size, systems, why)


def distribution(
    values: Array, units: Indices, draws: Resamples, blocks: Indices | None = None
) -> Distribution | None:
    """Describe latencies (N,) in ms, NaN where there is none; None when there is none at all.

    units: (N,) numbers from 0 of the example, or batch, that each value belongs to.
    blocks: (N,) that each was measured in; of several the interval of the median
    holds what changes between them, too.
    """
    known = np.sort(values[~np.isnan(values)])
    if not known.size:
        return None
    n = len(np.unique(units[~np.isnan(values)]))
    counts = draws.counts(int(units.max()) + 1)
    p50 = estimate(float(np.percentile(known, 50)), medians(values, counts[:, units]), n)
    if blocks is not None and blocks.max() and known[0] > 0:
        of_units = pd.Series(values).groupby([units, blocks]).median().unstack()
        spread = nested_median(of_units.median(axis=1).to_numpy(), of_units.to_numpy(), counts)
        if spread and spread.low and spread.high:
            scale = p50.value / spread.value
            p50 = Estimate(p50.value, scale * spread.low, scale * spread.high, n)
    steps, shares = ecdf(known)
    return Distribution(
        p50=p50,
        answers=known.size,
        percentiles=tuple(np.percentile(known, PERCENTS).tolist()),
        carried=tuple(p for p in PERCENTS if carries(n, max(p, 100 - p))),
        values=steps,
        shares=shares,
    )


def ecdf(ordered: Array, most: int = MOST_STEPS) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return steps of the empirical distribution of ascending values, both ends included, at most `most`.

    Each step is exact: the share of values that are no greater. Ties are one step.
    """
    places = np.unique(np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int))
    steps = np.unique(ordered[places])
    shares = np.searchsorted(ordered, steps, side="right") / len(ordered)
    return tuple(steps.tolist()), tuple(shares.tolist())


def phase_means(answers: pd.DataFrame) -> Mapping[Phase, float]:
    """Return the mean milliseconds of each phase that one system went through, by phase, in order.

    Means, not medians: only they sum to the total. answers: of one system. The answers of a batch
    share its times, which count once.
    """
    once = answers.drop_duplicates("position").dropna(how="all", subset=[f"{phase}_ms" for phase in PHASES])
    means = {phase: float(once[f"{phase}_ms"].fillna(0.0).mean()) for phase in PHASES}
    return {phase: mean for phase, mean in means.items() if mean > 0}


def _why(run_id: str, plan: Plan, answers: pd.DataFrame) -> str:
    if plan.batch_size > 1:
        return (
            f"Run {run_id} is left out: it answered in batches of {plan.batch_size}, whose times belong "
            "to no single length."
        )
    if not (answers["system"] == str(BASELINE)).any():
        return f"Run {run_id} is left out: it has no answers of the LLM to compare with."
    if set(answers["system"]) == {str(BASELINE)}:
        return f"Run {run_id} is left out: it has answers of the LLM only."
    return ""
