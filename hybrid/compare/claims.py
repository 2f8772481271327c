"""Claims that are decided: a file says what is claimed; answers prove it, refute it or say what is missing.

    says = "The hybrid keeps 98 % of the LLM's BLEU and is at least 3 times as fast"
    suite = "everyday-en-de"
    [at_least]
    quality = 0.98
    end_to_end = 3.0

A claim is proved where the 95 % intervals of all its parts lie at or above what it says,
and refuted where that of one lies below. A false claim is proved where the interval of a
part that is false lies wholly above, in at most 2.5 % of all benchmarks; a true one of two parts is
refuted in at most twice that (Bonferroni). So either is at most 5 %, and more than two parts would exceed it.

A complete run had a fixed n, and its intervals are those of a comparison. One that is not
complete may have been stopped by what it showed, so that its intervals are always-valid, see
compare.sequential.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from hybrid import format as text
from hybrid.compare.bootstrap import Array, Estimate, Resamples
from hybrid.compare.paired import (
    FEWEST_TO_MEET,
    SPEEDUPS,
    paired_comparison,
    quality_ratio,
    ratio_of_scores,
    ratios_of_times,
)
from hybrid.compare.power import POWER, Verdict, judge
from hybrid.compare.results import SystemResults, results_by_system, shared
from hybrid.compare.sequential import median_sequence, score_sequence, sequential_n
from hybrid.compare.trivial import lead_of, trivial_systems
from hybrid.errors import InputError
from hybrid.metrics import METRICS, Metric, main_metric
from hybrid.schema import BASELINE, LEADS, System
from hybrid.store import StoredRun
from hybrid.store.files import read_bounded
from hybrid.store.typed_json import check_keys, convert, parse_toml

QUALITY = "quality"  # of the task's main metric
MOST_PARTS = 2
LARGEST_FILE = 2**20  # bytes
Outcome = Literal["proved", "refuted", "open"]
_SPEEDS = {"end_to_end": "end to end", "per_token": "per token", "ttft": "to the first token"}
_OUTCOMES: Mapping[Verdict, Outcome] = {"meets": "proved", "misses": "refuted", "undecided": "open"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What is claimed of a system beside a baseline.

    says: in words. suite: whose examples it is about, of any version where it names none. pair: any
        where it is empty. run: the stored one that is asked; empty for the newest that fits.
    at_least: by `quality` or a metric, the share of the baseline's score that is kept; by
        `end_to_end`, `per_token` or `ttft`, the speed-up. One part or two.

    Raises ValueError for other parts, and for numbers that are none or not above 0.
    """

    suite: str
    at_least: Mapping[str, float]
    says: str = ""
    system: System = field(default_factory=lambda: System("hybrid"))
    baseline: System = BASELINE
    pair: str = ""
    run: str = ""

    def __post_init__(self) -> None:
        if not 1 <= len(self.at_least) <= MOST_PARTS:
            raise ValueError(
                f"at_least has {len(self.at_least)} parts and can have 1 or {MOST_PARTS}; "
                "write more claims for more"
            )
        possible = (QUALITY, *SPEEDUPS, *(name for name, m in METRICS.items() if _gives_share(m)))
        for part, need in self.at_least.items():
            if part not in possible:
                raise ValueError(f"at_least.{part} is none of {', '.join(possible)}")
            if not 0 < need < float("inf"):
                raise ValueError(f"at_least.{part} is {need}; it must be above 0")
        if self.system == self.baseline:
            raise ValueError(f"system and baseline are both {self.system}")


def _gives_share(metric: Metric) -> bool:
    """Tell whether a share of its score means something: of a fault's rate or a length it does not."""
    return metric.higher_is_better is not None and not metric.catches


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of a claim. name: as in the claim, or of the main metric. need: of the ratio."""

    name: str
    need: float
    ratio: Estimate

    @property
    def is_speed(self) -> bool:
        return self.name in SPEEDUPS


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a run says of a claim.

    n: examples that both have answered. always_valid: whether it was looked at while it was measured.
    more: how many more examples would roughly decide it in 80 % of all benchmarks, if all stays as
        it is; None where it is decided, and where none can be told. unbeaten: what without a model
        scores as well as a system of summaries, whose speed is then no merit.
    """

    claim: Claim
    run_id: str
    outcome: Outcome
    parts: tuple[Part, ...]
    n: int
    always_valid: bool
    more: int | None = None
    unbeaten: str = ""


def load_claim(path: Path) -> Claim:
    """Read a claim from TOML. Raises InputError for a file that is none, by what is wrong with it."""
    try:
        with path.open("rb") as file:
            row = parse_toml(read_bounded(file, f"The claim {path}", LARGEST_FILE))
        check_keys(Claim, row)
        return convert(Claim, row)
    except OSError as error:
        raise InputError(f"The claim {path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{path} cannot be read as a claim: {error}.") from error


def judge_claim(
    claim: Claim, stored: StoredRun, draws: Resamples | None = None, always_valid: bool | None = None
) -> Judged:
    """Judge a claim by the answers of a run.

    always_valid: whether it is, or was, looked at while it is measured; as a run that is not complete
        may have been, when None.
    Raises InputError where the run is of another suite or pair, or has no answers of a system or
    scores of a metric that the claim names.
    """
    if always_valid is None:
        always_valid = stored.run.finished_at is None
    draws = draws or Resamples()
    results = results_by_system(stored)
    trivial = _trivial(claim, stored, results)
    system, baseline = _systems(claim, stored, {**results, **trivial})
    lead = lead_of(system, trivial, draws) if claim.system not in trivial and results else None
    rows, _ = shared(system, baseline)
    if not len(rows):
        raise InputError(
            f"{claim.system} and {claim.baseline} of run {stored.run.run_id} share no example yet."
        )
    measure = _sequences if always_valid else _intervals
    ratios = measure(system, baseline, draws)
    parts = tuple(_part(name, need, ratios, stored) for name, need in claim.at_least.items())
    verdict, n = judge([(part.ratio, part.need) for part in parts], sequential_n if always_valid else None)
    if verdict == "meets" and not always_valid and len(rows) < FEWEST_TO_MEET:
        verdict, n = "undecided", FEWEST_TO_MEET
    more = None if n is None else max(1, n - len(rows))
    return Judged(
        claim=claim, run_id=stored.run.run_id, outcome=_OUTCOMES[verdict], parts=parts, n=len(rows),
        always_valid=always_valid, more=more, unbeaten=lead.words if lead and not lead.beaten else "",
    )  # fmt: skip


def claim_sentence(judged: Judged) -> str:
    """Say `Open at n = 270: 97 % [92, 102] of the LLM's BLEU (needs 98 %); about 2,400 more examples ...`"""
    parts = " and ".join(_words(part, judged.claim.baseline.label) for part in judged.parts)
    caution = f"{judged.claim.system.label} is no better than {judged.unbeaten}. " if judged.unbeaten else ""
    sentence = f"{caution}{judged.outcome.capitalize()} at n = {judged.n:,}: {parts}"
    if judged.more is not None:
        sentence += (
            f"; about {text.roughly(judged.more)} more examples would decide it ({text.percent(POWER)} power)"
        )
    if judged.always_valid:
        return f"{sentence}. The intervals are always-valid: they hold whenever a measurement is stopped."
    return f"{sentence}."


def _words(part: Part, baseline: str) -> str:
    """Say what a part came to, and what it needs, so that neither is rounded to the other."""
    scale = 1 if part.is_speed else 100
    ratio = part.ratio
    value, need = scale * ratio.value, scale * part.need
    low, high = (None if end is None else scale * end for end in (ratio.low, ratio.high))
    digits = text.apart(1, (value, low, high), need)
    unit = "×" if part.is_speed else " %"
    share = f"{value:,.{digits}f}{unit}{text.interval(low, high, digits)}"
    few = ", too few examples for an interval" if low is None else ""
    needs = f"(needs {need:g}{unit}{few})"
    if part.is_speed:
        return f"{share} as fast as {baseline}, {_SPEEDS[part.name]} {needs}"
    return f"{share} of the {METRICS[part.name].label} of {baseline} {needs}"


def _trivial(
    claim: Claim, stored: StoredRun, results: Mapping[System, SystemResults]
) -> Mapping[System, SystemResults]:
    """Give the systems without a model beside those of summaries, and the baseline if it is one."""
    run_id = stored.run.run_id
    if not results:
        return {}
    return trivial_systems(LEADS, claim.baseline, {run_id: stored}, {run_id: results})[run_id]


def _systems(
    claim: Claim, stored: StoredRun, results: Mapping[System, SystemResults]
) -> tuple[SystemResults, SystemResults]:
    run = stored.run
    if not is_about(claim, run.plan.suite, run.plan.pair):
        raise InputError(
            f"The claim is about {claim.suite}{claim.pair and f' and the pair {claim.pair}'}, and run "
            f"{run.run_id} is of {run.plan.suite} and the pair {run.plan.pair}."
        )
    for system in (claim.system, claim.baseline):
        if system not in results:
            raise InputError(
                f"The claim is about {system}, and run {run.run_id} has answers of "
                f"{', '.join(results) or 'no system'}."
            )
    return results[claim.system], results[claim.baseline]


def is_about(claim: Claim, suite: str, pair: str) -> bool:
    """Tell whether a claim is about a suite, of any version where it names none, and a pair."""
    return claim.suite in (suite, suite.partition("@")[0]) and claim.pair in ("", pair)


def _part(name: str, need: float, ratios: Mapping[str, Estimate | None], stored: StoredRun) -> Part:
    metric = main_metric(stored.run.task).name if name == QUALITY else name
    ratio = ratios.get(metric)
    if ratio is None:
        known = ", ".join(name for name, known in ratios.items() if known) or "nothing"
        raise InputError(
            f"The claim is about {metric}, and run {stored.run.run_id} gives no ratio of it; it gives "
            f"those of {known}."
        )
    return Part(name=metric, need=need, ratio=ratio)


def _intervals(
    system: SystemResults, baseline: SystemResults, draws: Resamples
) -> dict[str, Estimate | None]:
    """Give every ratio with the interval of a fixed n: by metric of scores, by name of speed-ups."""
    rows, baseline_rows = shared(system, baseline)
    scores, others = system.scores(draws, rows), baseline.scores(draws, baseline_rows)
    shares = {
        name: ratio_of_scores(scores[name], others[name])
        for name in scores
        if name in others and _gives_share(METRICS[name])
    }
    return {**shares, **paired_comparison(system, baseline, draws).speedups}


def _sequences(
    system: SystemResults, baseline: SystemResults, draws: Resamples
) -> dict[str, Estimate | None]:
    """Give the same with always-valid intervals."""
    rows, baseline_rows = shared(system, baseline)
    shares = {
        name: score_ratio_sequence(METRICS[name], statistics[rows], baseline.statistics[name][baseline_rows])
        for name, statistics in system.statistics.items()
        if name in baseline.statistics and _gives_share(METRICS[name])
    }
    speedups = {name: median_sequence(values) for name, values in ratios_of_times(system, baseline).items()}
    return {**shares, **speedups}


def score_ratio_sequence(metric: Metric, system: Array, baseline: Array) -> Estimate | None:
    """Give the share of the baseline's score that is kept, with an always-valid interval.

    system, baseline: statistics (n, k) of the same examples. The standard error is the jackknife's
    (Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 11.2): a corpus score
    is smooth in the sums that it is computed from.
    """
    n = len(system)
    totals, others = system.sum(axis=0), baseline.sum(axis=0)
    ratio = quality_ratio(
        metric.higher_is_better, float(metric.score(totals, n)), float(metric.score(others, n))
    )
    if ratio is None or n < 2:
        return None
    above, below = metric.score(totals - system, n - 1), metric.score(others - baseline, n - 1)
    if not metric.higher_is_better:
        above, below = below, above
    without = np.divide(above, below, out=np.full(n, np.nan), where=below > 0)
    error = float(np.sqrt((n - 1) * without.var()))
    return score_sequence(ratio, error, n)
