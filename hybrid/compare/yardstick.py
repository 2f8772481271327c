"""Measured times beside what the device allows: bytes over its bandwidth, operations over time.

Decoding reads every weight of the decoder and the output head once for each
token, whatever the batch, so that memory bandwidth bounds it from below;
reading a prompt is matrix products, so that it is told in operations per second
(the roofline model, Williams et al. 2009, doi 10.1145/1498765.1498785).
"""

from dataclasses import dataclass

import numpy as np

from hybrid.compare.measured import Measured
from hybrid.schema import Phase, Ran

READING: tuple[Phase, ...] = ("encode", "project")  # the phases in which a prompt is read


@dataclass(frozen=True)
class Yardstick:
    """decode_bytes: of weights, read once a token. bandwidth: bytes per second, measured before the run.

    decode_bound_ms: their quotient, the least time a token can take.
    decode_bound_share: of the bandwidth that was achieved, from the median time
        per output token; above 1 when the weights fit the processor's caches.
    encode_flops: on the median prompt, padding left out. encode_flops_per_s:
        over the median time of reading; None where that phase is not known.
    """

    decode_bytes: int
    bandwidth: float
    decode_bound_ms: float
    decode_bound_share: float | None
    encode_flops: float
    encode_flops_per_s: float | None


def yardstick(measured: Measured) -> Yardstick | None:
    """None where the run tells neither the sizes of the models nor the device's bandwidth."""
    ran, bandwidth = measured.run.ran_as(measured.system), measured.run.memory_bandwidth
    if not bandwidth or not ran.decode_bytes:
        return None
    bound_s = ran.decode_bytes / bandwidth
    tpot_s = measured.all_times["tpot"]
    known = tpot_s[~np.isnan(tpot_s)]
    median_s = float(np.median(known)) if known.size else 0.0
    flops, reading_s = _reading(measured, ran)
    return Yardstick(
        decode_bytes=ran.decode_bytes,
        bandwidth=bandwidth,
        decode_bound_ms=1000 * bound_s,
        decode_bound_share=bound_s / median_s if median_s else None,
        encode_flops=flops,
        encode_flops_per_s=flops / reading_s if reading_s else None,
    )


def _reading(measured: Measured, ran: Ran) -> tuple[float, float]:
    """Operations on the prompts of the median batch, and the median time of reading one, in seconds."""
    batches: dict[int, tuple[int, float]] = {}
    for record in measured.records:
        made = record.generation
        tokens, (before, _) = made.prompt_tokens, batches.get(record.position, (0, 0.0))
        flops = before + ran.encode_flops * tokens + ran.attention_flops * tokens**2
        batches[record.position] = flops, sum(made.timing.phases.get(phase, 0.0) for phase in READING)
    median_flops, median_s = np.median(np.array(list(batches.values()), dtype=np.float64), axis=0).tolist()
    return median_flops, median_s
