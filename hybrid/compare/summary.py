"""One system of one run, on its own: quality, latencies, throughput, memory, cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress

import numpy as np

from hybrid.compare.bootstrap import Array, Estimate, Resamples
from hybrid.compare.results import LATENCIES, SystemResults
from hybrid.measuring.probes import BUSY_MARK, busy_reasons
from hybrid.schema import Memory, Phase, Ran, System

PERCENTILES = (50, 90, 99)
PROMPT_PHASES: tuple[Phase, ...] = ("encode", "project")  # the phases in which a prompt is read


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """Measured times beside what the device allows: bytes over its bandwidth, operations over time.

    Decoding reads every weight of the decoder and the output head once for each
    token, whatever the batch, so that memory bandwidth bounds it from below;
    reading a prompt is matrix products, so that it is told in operations per second
    (the roofline model, Williams et al. 2009, doi 10.1145/1498765.1498785).

    decode_bytes: of weights, read once a token. bandwidth: bytes per second, measured before the run.
    decode_bound_ms: their quotient, the least time a token can take.
    decode_bound_share: of the bandwidth that was achieved, from the median time
        per output token; above 1 when the weights fit the processor's caches.
    encode_flops: on the median prompt, padding left out; None where no phase of its own reads it, as
        a decoder-only model's prefill does. encode_flops_per_s: over the median time of reading.
    """

    decode_bytes: int
    bandwidth: float
    decode_bound_ms: float
    decode_bound_share: float | None
    encode_flops: float | None
    encode_flops_per_s: float | None


@dataclass(frozen=True, kw_only=True)
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
    roofline: times beside what memory and arithmetic allow; None where too little is known.
    disturbed: answers in which the process was stopped or starved: in no number
        that is made of times.
    blocks: processes that the run was measured in, one after another.
    busy: why the machine counts as busy meanwhile, see busy_reasons().
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
    roofline: Roofline | None
    disturbed: int = 0
    blocks: int = 1
    busy: tuple[str, ...] | None = None

    @property
    def mark(self) -> str:
        """What stands behind the system's name wherever it is shown; mostly nothing."""
        return BUSY_MARK if self.busy else ""


def summarize(results: SystemResults, resamples: Resamples, price_per_hour: float | None = None) -> Summary:
    """Sum up one system without a baseline. price_per_hour: of the machine, any currency."""
    generations = [record.generation for record in results.records]
    tokens, seconds = sum(generation.output_tokens for generation in generations), results.busy_s
    timed = list(compress(generations, ~results.disturbed))
    quality = {name: scores.estimate() for name, scores in results.scores(resamples).items()}
    tokens_per_s = _rate(sum(generation.output_tokens for generation in timed), seconds)
    stopped = sum(generation.finish_reason == "length" for generation in generations)
    accepted = sum(generation.accepted for generation in generations)
    return Summary(
        run_id=results.run.run_id,
        system=results.system,
        n=len(results.ids),
        answers=len(generations),
        quality=quality or None,
        latencies={name: _latency(results, results.all_times[name]) for name in LATENCIES},
        tokens_per_s=tokens_per_s,
        characters_per_s=_rate(sum(generation.characters for generation in timed), seconds),
        requests_per_s=_rate(len(timed), seconds),
        memory=results.run.memory.get(results.system),
        cost_per_million_tokens=cost_per_million_tokens(price_per_hour, tokens_per_s),
        mean_output_tokens=tokens / len(generations),
        stopped_share=stopped / len(generations),
        acceptance=_rate(accepted, sum(generation.drafted for generation in generations)),
        roofline=roofline(results),
        disturbed=len(generations) - len(timed),
        blocks=results.run.plan.blocks,
        busy=busy_reasons(results.run),
    )


def roofline(results: SystemResults) -> Roofline | None:
    """Set the times beside the device's bounds; None without the models' sizes or its bandwidth."""
    ran, bandwidth = results.run.ran_as(results.system), results.run.memory_bandwidth
    if not bandwidth or not ran.decode_bytes:
        return None
    bound_s = ran.decode_bytes / bandwidth
    tpot_s = results.all_times["tpot"]
    known = tpot_s[~np.isnan(tpot_s)]
    median_s = float(np.median(known)) if known.size else 0.0
    flops, reading_s = _encode_flops(results, ran)
    return Roofline(
        decode_bytes=ran.decode_bytes,
        bandwidth=bandwidth,
        decode_bound_ms=1000 * bound_s,
        decode_bound_share=bound_s / median_s if median_s else None,
        encode_flops=flops or None,
        encode_flops_per_s=flops / reading_s if flops and reading_s else None,
    )


def cost_per_million_tokens(price_per_hour: float | None, tokens_per_s: float | None) -> float | None:
    """Compute price per hour / (3,600 s * tokens per s) * 1,000,000, in the currency of the price.

    The machine is taken to be busy all the time at this throughput.
    """
    if price_per_hour is None or not tokens_per_s:
        return None
    return price_per_hour / (3600 * tokens_per_s) * 1e6


def carries(n: int, percentile: int) -> bool:
    """Tell whether n independent values can carry a percentile.

    They can when its 95 % interval from order statistics ends inside the
    sample: the largest value must lie above the percentile with 97.5 %
    probability, q ** n <= 0.025 (Conover, Practical Nonparametric Statistics,
    3rd ed., section 3.2). That takes 6 values for p50, 36 for p90 and 368 for p99.
    """
    return n * math.log(percentile / 100) <= math.log(0.025)


def _latency(results: SystemResults, seconds: Array) -> Latency | None:
    known = ~np.isnan(seconds)
    if not known.any():
        return None
    p50, p90, p99 = (1000 * np.percentile(seconds[known], PERCENTILES)).tolist()
    keys = [
        record.batch if results.run.plan.batch_size > 1 else record.example_id
        for record, present in zip(results.records, known, strict=True)
        if present
    ]
    n = len(set(keys))
    carried = tuple(p for p in PERCENTILES if carries(n, p))
    return Latency(p50_ms=p50, p90_ms=p90, p99_ms=p99, n=n, answers=len(keys), carried=carried)


def _encode_flops(results: SystemResults, ran: Ran) -> tuple[float, float]:
    """Operations on the prompts of the median batch, and the median time of reading one, in seconds."""
    batches: dict[int, tuple[int, float]] = {}
    for record in compress(results.records, ~results.disturbed):
        generation = record.generation
        tokens, (before, _) = generation.prompt_tokens, batches.get(record.position, (0, 0.0))
        flops = before + ran.encode_flops * tokens + ran.attention_flops * tokens**2
        phases = generation.timing.phases
        batches[record.position] = flops, sum(phases.get(phase, 0.0) for phase in PROMPT_PHASES)
    if not batches:
        return 0.0, 0.0
    median_flops, median_s = np.median(np.array(list(batches.values()), dtype=np.float64), axis=0).tolist()
    return median_flops, median_s


def _rate(amount: int, over: float) -> float | None:
    return amount / over if over > 0 else None
