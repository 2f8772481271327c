"""The comparison of stored runs: every system beside its baseline, with warnings and verdicts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from hybrid.compare.bootstrap import LEVEL, Resamples
from hybrid.compare.multiple import corrected
from hybrid.compare.paired import Fidelity, PairedComparison, fidelity, paired_comparison
from hybrid.compare.private import beside_private
from hybrid.compare.results import SystemResults, results_by_system
from hybrid.compare.summary import Summary, summarize
from hybrid.compare.trivial import Lead, Texts, lead_of, trivial_systems, unlike
from hybrid.compare.verdict import (
    ONE_BLOCK,
    ONE_SEED,
    WORDS,
    baseline_sentence,
    lead_sentence,
    remarks_on,
    sentence,
    trivial_sentence,
)
from hybrid.compare.warnings import pair_warnings, run_differences, run_warnings, systems_warnings
from hybrid.errors import InputError
from hybrid.metrics import METRICS, USUAL_TOKENIZERS, Metric, main_metric, metrics_of, tokenizer_of
from hybrid.schema import LEADS, LOSSLESS, METHODS, System, Task
from hybrid.store import StoredRun
from hybrid.store.checks import unsealed_sentence

Results = Mapping[str, Mapping[System, SystemResults]]  # by run id, what its systems have answered
Pair = tuple[SystemResults, SystemResults]  # a system, and its baseline


@dataclass(frozen=True, kw_only=True)
class ComparedSystem:
    """One system of one run.

    against: None for the baseline itself. fidelity: how many answers are the LLM's; None but for
    lossless systems beside an LLM. lead: the trivial system that it beats least; None without one.
    """

    suite: str
    task: Task
    pair: str
    engine: str
    device: str
    summary: Summary
    against: PairedComparison | None
    fidelity: Fidelity | None
    verdict: str
    lead: Lead | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Systems of one or several runs beside their baselines.

    level, resamples, seed: of every interval. signatures: by metric, as stored
    in the first run that has it. warnings: a sentence each. remarks: the same, of what no
    interval here holds and no reader can check. trivial: systems without a model, beside those of each
    run of summaries.
    """

    baseline: str
    level: float
    resamples: int
    seed: int
    price_per_hour: float | None
    systems: tuple[ComparedSystem, ...]
    signatures: Mapping[str, str]
    warnings: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    trivial: tuple[ComparedSystem, ...] = ()

    @property
    def in_blocks(self) -> bool:
        """Whether the interval of a speed-up holds what changes between processes."""
        return any(
            speedup and speedup.between is not None
            for system in self.systems
            if system.against
            for speedup in system.against.speedups.values()
        )

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What was asked, each task once, whatever words a pair has for it."""
        return tuple({system.task.name: system.task for system in reversed(self.systems)}.values())[::-1]

    def metrics_of(self, task: Task) -> tuple[Metric, ...]:
        """Give what tables show of a task: its default metrics and others that occur, the main one first."""
        systems = (*self.systems, *self.trivial)
        of_task = [system.summary for system in systems if system.task.name == task.name]
        present = {name for summary in of_task for name in summary.quality or {}}
        names = [name for name in metrics_of(task) if METRICS[name].default or name in present]
        return tuple(METRICS[name] for name in names)


def compare_runs(
    runs: Sequence[StoredRun],
    baseline: str = "llm",
    price_per_hour: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    trivial: Sequence[str] = LEADS,
) -> Comparison:
    """Compare every system of `runs` with a baseline.

    baseline: a system; each run is compared with its own, or where it has none
        with that of the first run given that has it. `RUN:llm` names one for all.
    price_per_hour: of the machine, in any currency, for the cost per million output tokens.
    trivial: of schema.TRIVIAL, systems without a model that stand beside those of summaries; the
        baseline may be one of them, of any task.

    Raises InputError when there is no run, a run without records, a baseline
    that no run has, or a system that shares no example with its baseline.
    """
    _check(price_per_hour, resamples)
    unique = beside_private({stored.run.run_id: stored for stored in runs})
    results = _results(unique)
    leads = trivial_systems(trivial, baseline, unique, results)
    everything = {run_id: {**of_run, **leads[run_id]} for run_id, of_run in results.items()}
    draws, texts, several = Resamples(resamples, seed), Texts(), len(unique) > 1
    unsealed = [run_id for run_id, stored in unique.items() if not stored.sealed]
    remarks = [unsealed_sentence(unsealed)] if unsealed else []
    warnings = [warning for stored in unique.values() for warning in run_warnings(stored)]
    warnings += run_differences([stored.run for stored in unique.values()])
    pairs, beside = list[Pair](), list[Pair]()
    for run_id, of_run in results.items():
        base = choose_baseline(baseline, run_id, everything)
        warnings += systems_warnings(of_run.values())
        pairs += [(system, base) for system in of_run.values()]
        beside += [(system, base) for system in unlike(leads[run_id].values(), texts)]
    systems = list[ComparedSystem]()
    for system, base, comparison in _paired(pairs, draws):
        of_run = results[system.run.run_id]
        warnings += pair_warnings(system, base, comparison) if comparison else ()
        remarks += _remarks(system, base, comparison) if comparison else ()
        summary, same = summarize(system, draws, price_per_hour), fidelity(system, of_run)
        lead = lead_of(system, leads[system.run.run_id], draws)
        systems.append(_compared(system, base, summary, comparison, same, several, lead))
    against = [row.against for row in systems if row.against]
    remarks += remarks_on(d for pair in against for d in (pair.differences or {}).values())
    trivials = [  # nothing of them was timed
        _compared(system, base, replace(summarize(system, draws), busy=None), comparison, None, several)
        for system, base, comparison in _paired(beside, draws)
    ]
    return Comparison(
        baseline=baseline,
        level=LEVEL,
        resamples=resamples,
        seed=seed,
        price_per_hour=price_per_hour,
        systems=tuple(systems),
        signatures=_signatures(unique.values()),
        warnings=tuple(dict.fromkeys(warnings)),
        remarks=tuple(dict.fromkeys(remarks)),
        trivial=tuple(trivials),
    )


def _paired(
    pairs: Sequence[Pair], draws: Resamples
) -> list[tuple[SystemResults, SystemResults, PairedComparison | None]]:
    """Compare systems with their baselines; what is looked at together is corrected together."""
    alone = [None if system is base else paired_comparison(system, base, draws) for system, base in pairs]
    comparisons = corrected(alone, [system.run.task.name for system, _ in pairs])
    return [(*pair, comparison) for pair, comparison in zip(pairs, comparisons, strict=True)]


def as_json(comparison: Comparison) -> dict[str, object]:
    """Give the comparison as what JSON knows: None, never NaN, for what is not known.

    `metrics` is added and says how to read each metric that occurs. A summary's
    `roofline` keeps the name that it had in files from the beginning, `yardstick`.
    """
    row = asdict(comparison)
    for system in (*row["systems"], *row["trivial"]):
        system["task"] = system["task"]["name"]
        system["summary"]["yardstick"] = system["summary"].pop("roofline")
    used = {metric.name for system in comparison.systems for metric in comparison.metrics_of(system.task)}
    labels = {
        name: {"label": m.label, "unit": m.unit, "higher_is_better": m.higher_is_better}
        for name, m in METRICS.items()
        if name in used
    }
    return row | {"metrics": labels}


def choose_baseline(baseline: str, run_id: str, results: Results) -> SystemResults:
    """Find the baseline for the systems of one run.

    baseline: a system, of the same run or else of the first that has it; or
    `RUN:SYSTEM`. Raises InputError when there is none.
    """
    named_run, _, name = baseline.rpartition(":")
    try:
        system = System.parse(name)
    except ValueError as error:
        raise InputError(
            f"The baseline {baseline!r} is no system; available: {', '.join(METHODS)}, "
            "llm@ENGINE, or RUN:llm and so on."
        ) from error
    if named_run and named_run not in results:
        raise InputError(f"The baseline's run {named_run} is not among those given: {', '.join(results)}.")
    order = [named_run] if named_run else [run_id, *results]
    for run in order:
        if system in results[run]:
            return results[run][system]
    present = ", ".join(dict.fromkeys(system for run in order for system in results[run]))
    if named_run:
        raise InputError(
            f"Run {named_run} has no answers of the baseline {system}; it has those of {present}."
        )
    raise InputError(f"No run given has answers of the baseline {system}; there are those of {present}.")


def _check(price_per_hour: float | None, resamples: int) -> None:
    if resamples < 1:
        raise InputError(f"There must be at least 1 resample; {resamples} were asked for.")
    if price_per_hour is not None and not 0 <= price_per_hour < float("inf"):
        raise InputError(f"A price per hour of {price_per_hour} cannot be; give 0 or more.")


def _results(runs: Mapping[str, StoredRun]) -> Results:
    if not runs:
        raise InputError("There is no run to compare; give the id of at least one.")
    results = {}
    for run_id, stored in runs.items():
        results[run_id] = results_by_system(stored)
        if not results[run_id]:
            raise InputError(f"Run {run_id} has no answers yet; resume it or leave it out.")
    return results


def _compared(
    system: SystemResults,
    base: SystemResults,
    summary: Summary,
    comparison: PairedComparison | None,
    same: Fidelity | None,
    several: bool,
    lead: Lead | None = None,
) -> ComparedSystem:
    run, ran = system.run, system.run.ran_as(system.system)
    name = system.system.label + (f" of run {run.run_id}" if several else "") + summary.mark
    elsewhere = f"{base.system.label} of run {base.run.run_id}" if base.run.run_id != run.run_id else ""
    verdict = baseline_sentence(name, run.task, summary)
    if comparison:
        verdict = sentence(name, run.task, comparison, elsewhere, same)
    if system.system.trivial:
        verdict = trivial_sentence(name, run.task, summary, comparison)
    if lead and not lead.beaten:
        verdict = f"{lead_sentence(name, run.task, lead)} {verdict}"
    return ComparedSystem(
        suite=run.plan.suite,
        task=run.task,
        pair=run.plan.pair,
        engine=ran.engine,
        device=ran.device,
        summary=summary,
        against=comparison,
        fidelity=same,
        verdict=verdict,
        lead=lead,
    )


def _remarks(system: SystemResults, base: SystemResults, comparison: PairedComparison) -> Iterator[str]:
    """Say what no interval of speed or quality holds."""
    speedup = comparison.speedups["end_to_end"]
    if speedup and speedup.low is not None and speedup.blocks == 1:
        yield ONE_BLOCK
    if not comparison.differences:
        return
    main, language = main_metric(system.run.task), system.run.task.target_language
    if (tokens := tokenizer_of(system.run.signatures.get(main.name, ""))) not in ("", *USUAL_TOKENIZERS):
        yield WORDS.format(label=main.label, tokens=tokens, language=language)
    if not base.system.trivial and _training(system) != _training(base):
        yield ONE_SEED
    if METHODS[system.system.method].lossless:
        yield LOSSLESS


def _training(results: SystemResults) -> tuple[str, str, str]:
    """Tell which training wrote the answers: pair, weights and model; verified drafts are the LLM's."""
    method, run = METHODS[results.system.method], results.run
    return run.plan.pair, run.environment.weights_sha256, method.models[0 if method.lossless else -1]


def _signatures(runs: Iterable[StoredRun]) -> dict[str, str]:
    signatures: dict[str, str] = {}
    for stored in runs:
        for metric, signature in stored.run.signatures.items():
            signatures.setdefault(metric, signature)
    return signatures
