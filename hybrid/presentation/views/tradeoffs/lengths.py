"""Speed-up over the LLM by length of prompt or answer: bins of equally many examples, and the break-even."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from hybrid.compare import Estimate
from hybrid.compare.bootstrap import Array, Resamples, median_estimate
from hybrid.compare.results import Indices
from hybrid.presentation.views.tradeoffs.break_even import BreakEven, break_even
from hybrid.schema import BASELINE, System

Length = Literal["input", "output"]
LENGTHS: Mapping[Length, str] = {"input": "prompt_tokens", "output": "output_tokens"}
LEAST = 10  # examples in a bin
MOST_BINS = 8


@dataclass(frozen=True)
class Bin:
    """Examples of similar length. shortest, longest, middle: tokens, the last one the median.

    ratio: LLM's time over the system's, the median of paired ratios; its n counts examples.
    """

    shortest: int
    longest: int
    middle: float
    ratio: Estimate


@dataclass(frozen=True)
class ByLength:
    """bins: in ascending order; none when there are too few examples for one."""

    bins: tuple[Bin, ...]
    break_even: BreakEven


def by_length(answers: pd.DataFrame, draws: Resamples) -> Mapping[System, Mapping[Length, ByLength]]:
    """By system and kind of length; nothing without an LLM's answer to the same example.

    answers: of one run with batches of one, with the columns of
    hybrid.presentation.views.answers. Times are end to end, the median over the repeats of
    an example; lengths are those of the LLM's first answer and its prompt.
    """
    times = answers.pivot_table(
        index="example_id", columns="system", values="total_ms", aggfunc="median", observed=True
    )
    if BASELINE not in times:
        return {}
    of_llm = answers[answers["system"] == BASELINE].sort_values("repeat").drop_duplicates("example_id")
    lengths = of_llm.set_index("example_id").reindex(times.index)
    found: dict[System, dict[Length, ByLength]] = {}
    for system in times.columns.drop(BASELINE):
        baseline, own = times[BASELINE].to_numpy(), times[system].to_numpy()
        there = (baseline > 0) & (own > 0)  # NaN is not
        found[System.parse(system)] = {
            name: _by_length(lengths[column].to_numpy(np.float64)[there], baseline[there], own[there], draws)
            for name, column in LENGTHS.items()
        }
    return {system: kinds for system, kinds in found.items() if kinds["output"].break_even.n}


def _by_length(lengths: Array, baseline: Array, own: Array, draws: Resamples) -> ByLength:
    """Tokens (N,) and the times of both, in ms (N,)."""
    found = []
    for places in bins(lengths):
        part, ratios = lengths[places], baseline[places] / own[places]
        ratio = median_estimate(ratios, draws.counts(len(places)))
        assert ratio is not None, "a bin has examples, all of them with a ratio"
        found.append(Bin(int(part.min()), int(part.max()), float(np.median(part)), ratio))
    return ByLength(tuple(found), _consistent(break_even(lengths, baseline - own, draws), found))


def bins(lengths: Array, least: int = LEAST, most: int = MOST_BINS) -> Iterator[Indices]:
    """Places (n,) of the examples of each bin: about equally many, `least` or more.

    Examples of one length are never torn apart, so that there may be fewer
    bins than `most`, and none when there are fewer than `least` examples.
    """
    order = np.argsort(lengths, kind="stable")
    wanted = min(most, len(order) // least)
    start = 0
    for number in range(wanted, 0, -1):
        left = len(order) - start
        if left < least:
            return
        end = start + max(least, round(left / number))
        while end < len(order) and lengths[order[end]] == lengths[order[end - 1]]:
            end += 1
        if number == 1 or len(order) - end < least:
            end = len(order)
        yield order[start:end]
        start = end


def _consistent(found: BreakEven, measured: list[Bin]) -> BreakEven:
    """A line that says faster, or slower, everywhere while a bin is decidedly the other describes nothing."""
    decided = [one.ratio.value > 1 for one in measured if one.ratio.excludes(1.0)]
    wrong = {"faster": False, "slower": True}.get(found.kind)
    if wrong is not None and wrong in decided:
        return replace(found, kind="unclear", at=None)
    return found
