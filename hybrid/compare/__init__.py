"""Stored runs compared: quality with intervals, paired speed-ups, a verdict in a sentence.

    from hybrid.store import load_run
    comparison = compare([load_run("latest")], baseline="llm")
    for one in comparison.systems:
        print(one.verdict)

Nothing is measured or scored here: a stored record holds what its scores are
made of, so that a comparison is sums over resampled examples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from hybrid.compare.baseline import Named, choose_baseline
from hybrid.compare.between import between_runs, pair_warnings
from hybrid.compare.bootstrap import LEVEL, Difference, Estimate, Resamples
from hybrid.compare.comparison import Against, Gate, against
from hybrid.compare.conditions import run_warnings, systems_warnings
from hybrid.compare.measured import Measured, by_system
from hybrid.compare.rows import COLUMNS, summaries
from hybrid.compare.summary import Latency, Summary, summarize
from hybrid.compare.verdict import baseline_sentence, sentence
from hybrid.errors import InputError
from hybrid.metrics import METRICS, metrics_of
from hybrid.store import StoredRun

__all__ = [
    "COLUMNS",
    "Against",
    "Compared",
    "Comparison",
    "Difference",
    "Estimate",
    "Gate",
    "Latency",
    "Summary",
    "as_json",
    "compare",
    "summaries",
]


@dataclass(frozen=True)
class Compared:
    """One system of one run. against: None for the baseline itself."""

    suite: str
    task: str
    pair: str
    engine: str
    device: str
    summary: Summary
    against: Against | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Systems of one or several runs beside their baselines.

    level, resamples, seed: of every interval. signatures: by metric, as stored
    in the first run that has it. warnings: a sentence each.
    """

    baseline: str
    level: float
    resamples: int
    seed: int
    price_per_hour: float | None
    systems: tuple[Compared, ...]
    signatures: Mapping[str, str]
    warnings: tuple[str, ...]


def compare(
    runs: Sequence[StoredRun],
    baseline: str = "llm",
    price_per_hour: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Compare every system of `runs` with a baseline.

    baseline: a system; each run is compared with its own, or where it has none
        with that of the first run given that has it. `RUN:llm` names one for all.
    price_per_hour: of the machine, in any currency, for the cost per million output tokens.

    Raises InputError when there is no run, a run without records, a baseline
    that no run has, or a system that shares no example with its baseline.
    """
    _check(price_per_hour, resamples)
    named = _measured(runs)
    draws = Resamples(resamples, seed)
    systems: list[Compared] = []
    warnings = [w for stored, _ in named.values() for w in run_warnings(stored)]
    warnings += between_runs([stored.run for stored, _ in named.values()])
    for stored, systems_of_run in named.values():
        base = choose_baseline(baseline, stored.run.run_id, named)
        warnings += systems_warnings(systems_of_run.values())
        for one in systems_of_run.values():
            found = None if one is base else against(one, base, draws)
            warnings += pair_warnings(one, base, found) if found else ()
            summary = summarize(one, draws, price_per_hour)
            systems.append(_compared(one, base, summary, found, len(named) > 1))
    return Comparison(
        baseline=baseline,
        level=LEVEL,
        resamples=resamples,
        seed=seed,
        price_per_hour=price_per_hour,
        systems=tuple(systems),
        signatures=_signatures(named),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def as_json(comparison: Comparison) -> dict[str, object]:
    """The comparison as what JSON knows: None, never NaN, for what is not known.

    `metrics` is added and says how to read each metric that occurs.
    """
    used = {name for one in comparison.systems for name in metrics_of(one.task)}
    labels = {
        name: {"label": m.label, "unit": m.unit, "higher_is_better": m.higher_is_better}
        for name, m in METRICS.items()
        if name in used
    }
    return asdict(comparison) | {"metrics": labels}


def _check(price_per_hour: float | None, resamples: int) -> None:
    if resamples < 1:
        raise InputError(f"There must be at least 1 resample; {resamples} were asked for.")
    if price_per_hour is not None and not 0 <= price_per_hour < float("inf"):
        raise InputError(f"A price per hour of {price_per_hour} cannot be; give 0 or more.")


def _measured(runs: Sequence[StoredRun]) -> Named:
    """By run id, each run once and what its systems have answered."""
    if not runs:
        raise InputError("There is no run to compare; give the id of at least one.")
    named: Named = {}
    for stored in runs:
        found = by_system(stored)
        if not found:
            raise InputError(f"Run {stored.run.run_id} has no answers yet; resume it or leave it out.")
        named[stored.run.run_id] = (stored, found)
    return named


def _compared(
    one: Measured, base: Measured, summary: Summary, found: Against | None, several: bool
) -> Compared:
    plan, ran = one.run.plan, one.run.ran_as(one.system)
    name = f"{one.system} of run {one.run.run_id}" if several else one.system
    elsewhere = f"{base.system} of run {base.run.run_id}" if base.run.run_id != one.run.run_id else ""
    said = baseline_sentence(name, plan.task, summary)
    if found:
        said = sentence(name, plan.task, found, elsewhere)
    return Compared(plan.suite, plan.task, plan.pair, ran.engine, ran.device, summary, found, said)


def _signatures(named: Named) -> dict[str, str]:
    found: dict[str, str] = {}
    for stored, _ in named.values():
        for metric, signature in stored.run.signatures.items():
            found.setdefault(metric, signature)
    return found
