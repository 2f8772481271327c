"""The best evidence of each task: a run's LLM, SLM and hybrid side by side, and what they say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid.format import NOTHING, amount, capitalized, milliseconds, parameters, percent, size
from hybrid.metrics import Metric, main_metric
from hybrid.presentation.runs.digest import Headline, RunDigest, kept, number
from hybrid.schema import BASELINE, MODELS, System


@dataclass(frozen=True)
class SystemFacts:
    """What a system is and does in one run, None where the run or the pair does not say.

    parameters: that answer; reading: of the LLM that reads for it. total_ms: median, end to end.
    score: by the task's main metric. memory_bytes: at its peak, of a GPU where it runs on one.
    speedup: the LLM's time over its own, median of paired ratios. kept: its part of the LLM's quality.
    """

    system: System
    parameters: int | None
    reading: int | None
    total_ms: float | None
    score: float | None
    memory_bytes: float | None
    speedup: float | None
    kept: float | None


def best_evidence(headlines: Sequence[Headline]) -> list[Headline]:
    """Give the run of most examples of each task; quick ones only where there is no other."""
    best: dict[str, Headline] = {}
    for headline in headlines:
        known = best.get(headline.entry.task.name)
        if known is None or _rank(headline) > _rank(known):
            best[headline.entry.task.name] = headline
    return list(best.values())


def side_by_side(digest: RunDigest, counts: Mapping[str, int | None]) -> tuple[SystemFacts, ...]:
    """Give the facts of LLM, SLM and hybrid in the run's own engine. counts: parameters, by model."""
    metric, systems = main_metric(digest.task), [System(model) for model in MODELS]
    base = digest.rows.get(BASELINE, {})
    return tuple(
        SystemFacts(
            system=system,
            parameters=counts.get(system.method),
            reading=counts.get("llm") if system.method == "hybrid" else None,
            total_ms=number(row, "total_ms_p50"),
            score=number(row, metric.name),
            memory_bytes=number(row, "peak_device_bytes") or number(row, "peak_resident_bytes"),
            speedup=number(row, "speedup_end_to_end"),
            kept=None if system == BASELINE else kept(metric, row, base),
        )
        for system in systems
        if (row := digest.rows.get(system)) is not None
    )


def table(facts: Sequence[SystemFacts], metric: Metric) -> dict[str, list[str]]:
    """Give the facts as text: columns by heading, a system a row."""
    return {
        "System": [fact.system.label for fact in facts],
        "Size": [_parameters(fact) for fact in facts],
        "Time an answer": [
            milliseconds(None if fact.total_ms is None else fact.total_ms / 1000) for fact in facts
        ],
        f"{metric.label}, {metric.scale}": [amount(fact.score) for fact in facts],
        "Memory": [size(fact.memory_bytes) for fact in facts],
    }


def in_words(facts: Sequence[SystemFacts], metric: Metric, unbeaten: str = "") -> str:
    """Say what the hybrid gains and its rival, the SLM alone; unbeaten: what has no model and is as good."""
    clauses = [
        f"{_name(fact.system)} answers {amount(fact.speedup)} times as fast as the LLM"
        + (f" and keeps {percent(fact.kept, 1)} of its {metric.label}" if fact.kept is not None else "")
        for fact in sorted(facts, key=lambda fact: fact.system.method != "hybrid")
        if fact.system != BASELINE and fact.speedup is not None
    ]
    merit = f"{capitalized('; '.join(clauses))}." if clauses else ""
    warning = f"The hybrid is no better than {unbeaten}." if unbeaten else ""
    return " ".join(filter(None, (warning, merit)))


def _rank(headline: Headline) -> tuple[bool, int]:
    return not headline.quick, headline.n


def _parameters(facts: SystemFacts) -> str:
    if facts.parameters is None:
        return NOTHING
    writing = parameters(facts.parameters)
    return writing if facts.reading is None else f"{parameters(facts.reading)} read, {writing} write"


def _name(system: System) -> str:
    return "the hybrid" if system.method == "hybrid" else "the SLM alone"
