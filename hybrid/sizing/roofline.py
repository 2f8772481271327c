"""What no engine on a device can undercut: bytes over memory's rate, operations over that of arithmetic.

The roofline model (Williams et al. 2009, doi 10.1145/1498765.1498785), by phase. Letters
as in models/arithmetic.py.
"""

from hybrid.models.arithmetic import (
    BYTES,
    Products,
    attention_width,
    cache_bytes,
    cross_products,
    encode_flops,
    encoder_products,
    head_products,
    layer_products,
    projector_products,
)
from hybrid.models.shapes import Shape
from hybrid.sizing.profile import Profile


def encode_bound_s(reader: Shape, batch: int, tokens: int, profile: Profile) -> float:
    """Seconds of an encoder over B prompts of S tokens, at the least."""
    read, _ = profile.bytes_each
    weights = encoder_products(reader).weights
    return bound_s(batch * encode_flops(reader, tokens), read * weights, profile)


def projector_bound_s(llm: Shape, slm: Shape, rows: int, profile: Profile) -> float:
    """Seconds of the projector over so many hidden states, at the least."""
    return _products_s(projector_products(llm, slm), rows, profile)


def cross_bound_s(writer: Shape, rows: int, profile: Profile) -> float:
    """Seconds of the cross-attention keys and values of so many hidden states, at the least."""
    return _products_s(cross_products(writer), rows, profile)


def step_bound_s(writer: Shape, batch: int, past: float, profile: Profile) -> float:
    """Seconds of one step of B answers that attend to `past` tokens each, at the least."""
    _, written = profile.bytes_each
    weights = (layer_products(writer) + head_products(writer)).weights
    attention = 4 * attention_width(writer) * past * writer.decoder_layers
    caches = past * cache_bytes(writer, 1, 0, batch, profile.dtype)
    return bound_s(batch * (2 * weights + attention), weights * written + caches, profile)


def bound_s(flops: float, bytes_: float, profile: Profile) -> float:
    """Seconds that so many operations on so many bytes take at the least."""
    machine = profile.machine
    # As much as is read over and over may come from a cache that holds it.
    holding = (rate for size, rate in machine.by_working_set if size >= bytes_)
    return max(flops / _peak(profile), bytes_ / max(machine.bandwidth, _decoding_rate(profile), *holding))


def _decoding_rate(profile: Profile) -> float:
    """Bytes per second at which the engine itself has read weights: no bound is below what was reached."""
    _, written = profile.bytes_each
    seconds = profile.step[0].seconds.get("weights", 0.0)
    return written / seconds if seconds > 0 else 0.0


def _peak(profile: Profile) -> float:
    """Operations per second at the most; of shorter numbers than were timed, as many more fit an instruction.

    Units of their own for these may do yet more; then the engine's own best counts.
    """
    machine = profile.machine
    timed = max(rate for _, rate in machine.rates)
    if machine.dtype == profile.dtype:
        return timed
    rows = ((costs.batch * costs.tokens, costs.seconds.get("weights", 0.0)) for costs in profile.encode)
    reached = (2 * count / seconds for count, seconds in rows if seconds > 0)
    return max(timed * BYTES[machine.dtype] / BYTES[profile.dtype], *reached, 0.0)


def _products_s(products: Products, rows: int, profile: Profile) -> float:
    read, _ = profile.bytes_each
    return bound_s(2 * rows * products.weights, read * products.weights, profile)
