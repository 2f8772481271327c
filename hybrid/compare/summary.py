"""One system of one run, on its own: quality, latencies, throughput, memory, cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hybrid.compare.bootstrap import Estimate, Resamples
from hybrid.compare.measured import LATENCIES, Array, Measured
from hybrid.compare.scores import scores
from hybrid.compare.yardstick import Yardstick, yardstick
from hybrid.schema import Memory, System

PERCENTILES = (50, 90, 99)


@dataclass(frozen=True)
class Latency:
    """Percentiles of one latency over every answer, repeats included; linear interpolation.

    n: independent measurements behind them: examples, or batches.
    answers: values that the percentiles were taken of.
    carried: the percentiles that n can carry, see carries().
    """

    p50_ms: float
    p90_ms: float
    p99_ms: float
    n: int
    answers: int
    carried: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """What is known of one system of one run.

    n: examples. answers: records, repeats included.
    quality: by metric, over the first answer to each example; None when the
        run has no quality (fixed length, nothing stored).
    latencies: by total, ttft and tpot; None where nothing was measured.
    tokens_per_s, characters_per_s, requests_per_s: what was written, or
        answered, over the time in which answers were made, one batch after another.
    memory: from a process of its own, if measured.
    cost_per_million_tokens: of output, see cost_per_million_tokens().
    mean_output_tokens: the end-of-sequence id included.
    stopped_share: of answers that ended at max_new_tokens, 0 to 1.
    acceptance: share of drafted tokens that the LLM agreed with; None without drafts.
    yardstick: times beside what memory and arithmetic allow; None where too little is known.
    """

    run_id: str
    system: System
    n: int
    answers: int
    quality: Mapping[str, Estimate] | None
    latencies: Mapping[str, Latency | None]
    tokens_per_s: float | None
    characters_per_s: float | None
    requests_per_s: float | None
    memory: Memory | None
    cost_per_million_tokens: float | None
    mean_output_tokens: float
    stopped_share: float
    acceptance: float | None
    yardstick: Yardstick | None


def summarize(measured: Measured, resamples: Resamples, price_per_hour: float | None = None) -> Summary:
    """Everything about one system that needs no baseline. price_per_hour: of the machine, any currency."""
    made = [record.generation for record in measured.records]
    tokens, seconds = sum(len(one.token_ids) for one in made), measured.busy_s
    quality = {name: found.estimate() for name, found in scores(measured, resamples).items()}
    tokens_per_s = _rate(tokens, seconds)
    return Summary(
        run_id=measured.run.run_id,
        system=measured.system,
        n=len(measured.ids),
        answers=len(made),
        quality=quality or None,
        latencies={name: _latency(measured, measured.all_times[name]) for name in LATENCIES},
        tokens_per_s=tokens_per_s,
        characters_per_s=_rate(sum(len(one.text) for one in made), seconds),
        requests_per_s=_rate(len(made), seconds),
        memory=measured.run.memory.get(measured.system),
        cost_per_million_tokens=cost_per_million_tokens(price_per_hour, tokens_per_s),
        mean_output_tokens=tokens / len(made),
        stopped_share=sum(one.finish_reason == "length" for one in made) / len(made),
        acceptance=_rate(sum(one.accepted for one in made), sum(one.drafted for one in made)),
        yardstick=yardstick(measured),
    )


def cost_per_million_tokens(price_per_hour: float | None, tokens_per_s: float | None) -> float | None:
    """price per hour / (3,600 s * tokens per s) * 1,000,000, in the currency of the price.

    The machine is taken to be busy all the time at this throughput.
    """
    if price_per_hour is None or not tokens_per_s:
        return None
    return price_per_hour / (3600 * tokens_per_s) * 1e6


def carries(n: int, percentile: int) -> bool:
    """Whether n independent values can carry a percentile.

    They can when its 95 % interval from order statistics ends inside the
    sample: the largest value must lie above the percentile with 97.5 %
    probability, q ** n <= 0.025 (Conover, Practical Nonparametric Statistics,
    3rd ed., section 3.2). That takes 6 values for p50, 36 for p90 and 368 for p99.
    """
    return n * math.log(percentile / 100) <= math.log(0.025)


def _latency(measured: Measured, seconds: Array) -> Latency | None:
    known = ~np.isnan(seconds)
    if not known.any():
        return None
    p50, p90, p99 = (1000 * np.percentile(seconds[known], PERCENTILES)).tolist()
    keys = [
        record.batch if measured.run.plan.batch_size > 1 else record.example_id
        for record, there in zip(measured.records, known, strict=True)
        if there
    ]
    n = len(set(keys))
    return Latency(p50, p90, p99, n, len(keys), tuple(p for p in PERCENTILES if carries(n, p)))


def _rate(amount: int, over: float) -> float | None:
    return amount / over if over > 0 else None
