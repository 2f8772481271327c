"""What each phase of an answer consists of: amounts of work, each of which costs a time; and the least of it.

    encode   fixed + layers + rows and weights of matrices + elements of activations
             + attention of each token to all, as pairs of tokens
    prefill  one step, and beyond it the keys and values of the prompt for cross-attention; of a
             decoder-only model what encode counts, and the output matrix
    step     fixed + layers + rows and weights of matrices, those again that the device's caches do not
             hold + what attention reads of the keys and values

What a weight costs depends on how many rows it is multiplied with: with few it
is its bytes over the memory's bandwidth, with many its operations over the
device's rate (the roofline model, Williams et al. 2009). Decoding has as many
rows as there are answers, which is why it waits for memory (Shazeer 2019, arXiv
1911.02150). A row of a matrix is a new stretch of memory to read from, or one
more round of a kernel's loop; a layer is its launches, norms and other small things.

No engine on a device undercuts bytes over memory's rate and operations over that of arithmetic
(doi 10.1145/1498765.1498785): the bounds.

Letters: S prompt tokens, B prompts at once, H heads, G key-value heads, K head width.
"""

from hybrid.models.arithmetic import (
    BYTES,
    Products,
    attended,
    attention_width,
    cache_bytes,
    cache_width,
    cross_products,
    encode_flops,
    encoder_products,
    head_products,
    layer_products,
    projector_products,
)
from hybrid.models.shapes import Shape
from hybrid.sizing.costs import Terms
from hybrid.sizing.profile import Profile

# Weights of a decoder that a CPU's caches hold from step to step; what is beyond them comes from memory.
# With 2**22 predictions of steps were nearest to what an AMD EPYC took, off by 11 %, without it by 31 %.
_CACHED = 2**22
SHARED = ("rows", "elements", "pairs")  # of reading: one of them costs the same at any size
_PRODUCTS_A_LAYER = 5  # of an encoder


def encode_features(reader: Shape, batch: int, tokens: int) -> Terms:
    """Count the terms of an encoder, or of all layers of a decoder-only model, over B prompts of S tokens."""
    layers, products = reader.reading_layers, encoder_products(reader)
    pairs = batch * attended(reader, tokens) * attention_width(reader.reader) * layers
    touched = {"pairs": pairs, "elements": batch * tokens * products.rows}
    return {"fixed": 1, "layers": layers} | touched | _matrices(products)


def projector_features(llm: Shape, slm: Shape, batch: int, tokens: int) -> Terms:
    """Count the terms of the projector; that its two products are launched counts as a part of a layer."""
    products = projector_products(llm, slm)
    launched = {"layers": products.count / _PRODUCTS_A_LAYER}
    return launched | {"elements": batch * tokens * products.rows} | _matrices(products)


def cross_features(writer: Shape, batch: int, tokens: int) -> Terms:
    """Count the terms that prefill has beyond a step."""
    layers = writer.crossing_layers
    elements = {"elements": batch * tokens * layers * cache_width(writer)}
    return {"fixed": 1, "layers": layers} | elements | {"weights": cross_products(writer).weights}


def step_features(writer: Shape, past: float) -> Terms:
    """One step of a decoder whose answers attend to `past` tokens each, of prompt and answer."""
    layers = writer.decoder_layers
    read = {"past": layers * past, "cache": layers * past * cache_width(writer)}
    return {"fixed": 1, "layers": layers} | read | _streamed(layer_products(writer) + head_products(writer))


def head_features(writer: Shape) -> Terms:
    """Count the terms of the output matrix alone."""
    return _streamed(head_products(writer))


def _streamed(products: Products) -> dict[str, float]:
    return _matrices(products) | {"uncached": max(0, products.weights - _CACHED)}


def _matrices(products: Products) -> dict[str, float]:
    return {"rows": products.rows, "weights": products.weights}


def encode_bound_s(reader: Shape, batch: int, tokens: int, profile: Profile) -> float:
    """Seconds of what reads B prompts of S tokens, at the least."""
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
