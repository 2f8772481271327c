"""Whether a system may stand in for its baseline: by a gate of intervals, not of points, and by fidelity.

Fidelity is counted in each run, never taken for granted. Verified drafts are the LLM's own ids in exact
arithmetic. A pass over several positions rounds otherwise than one over each, so that in 16 bits near ties
fall the other way in some answers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hybrid.compare.bootstrap import Estimate, estimate
from hybrid.compare.results import Scores, SystemResults, shared
from hybrid.metrics import main_metric
from hybrid.schema import BASELINE, METHODS, System, Task

GATE_QUALITY, GATE_LENGTH = 0.99, 0.90
FEWEST_TO_MEET = 50  # examples; the intervals of fewer are too narrow to promise anything

GateVerdict = Literal["meets", "misses", "undecided"]


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
    deciding_n: roughly how many examples would decide it if both ratios stayed as
        they are; None where it is decided, and where no number can be told.
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
    system, baseline = pairs[main]
    higher_is_better = system.metric.higher_is_better
    ratio = quality_ratio(higher_is_better, system.value, baseline.value)
    if ratio is None:
        return None
    above, below = (system, baseline) if higher_is_better else (baseline, system)
    nothing = np.full(len(below.values), np.nan)
    resampled = np.divide(above.values, below.values, out=nothing, where=below.values > 0)
    quality = estimate(ratio, resampled, system.n)
    verdict, deciding_n = gate_verdict(quality, length)
    return Gate(verdict=verdict, metric=main, quality=quality, length=length, deciding_n=deciding_n)


def gate_verdict(quality: Estimate, length: Estimate) -> tuple[GateVerdict, int | None]:
    """Judge both ratios by their intervals; with roughly the n that decides what they leave open."""
    parts = ((quality, GATE_QUALITY), (length, GATE_LENGTH))
    if any(ratio.high is not None and ratio.high < need for ratio, need in parts):
        return "misses", None
    left_open = [(ratio, need) for ratio, need in parts if ratio.low is None or ratio.low < need]
    if not left_open:
        return ("meets", None) if quality.n >= FEWEST_TO_MEET else ("undecided", FEWEST_TO_MEET)
    below = [(ratio, need) for ratio, need in left_open if ratio.value < need]  # one that misses is enough
    needed = [_deciding_n(ratio, need) for ratio, need in below or left_open]
    known = [n for n in needed if n is not None]
    if len(known) < len(needed):
        return "undecided", None
    return "undecided", max(FEWEST_TO_MEET, min(known) if below else max(known))


def quality_ratio(higher_is_better: bool | None, system: float, baseline: float) -> float | None:
    """Give the system's part of the baseline's quality; the inverse where a lower score is better."""
    above, below = (system, baseline) if higher_is_better else (baseline, system)
    return above / below if below > 0 else None


def _deciding_n(ratio: Estimate, need: float) -> int | None:
    """Compute the n at which the interval's end reaches `need`, as its width goes with 1 / sqrt(n)."""
    end = ratio.low if ratio.value >= need else ratio.high
    if end is None or ratio.value == need:
        return None
    return math.ceil(ratio.n * ((end - ratio.value) / (need - ratio.value)) ** 2)


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
    equal = sum(results.firsts[i].generation.text == llm.firsts[j].generation.text for i, j in pairs)
    engine, dtype = _arithmetic(llm)
    return Fidelity(
        llm=llm.system, alike=(engine, dtype) == (ran.engine, ran.dtype), dtype=ran.dtype,
        llm_dtype=dtype, equal=equal, n=len(pairs),
    )  # fmt: skip


def _arithmetic(results: SystemResults) -> tuple[str, str]:
    ran = results.run.ran_as(results.system)
    return ran.engine, ran.dtype
