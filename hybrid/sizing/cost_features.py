"""What each phase of an answer consists of: amounts of work, each of which costs a time that is measured.

    encode   fixed + layers + rows and weights of matrices + elements of activations
             + attention of each token to all, as pairs of tokens
    prefill  one step, and beyond it the keys and values of the prompt for cross-attention
    step     fixed + layers + rows and weights of matrices, those again that the device's caches do not
             hold + what attention reads of the keys and values

What a weight costs depends on how many rows it is multiplied with: with few it
is its bytes over the memory's bandwidth, with many its operations over the
device's rate (the roofline model, Williams et al. 2009). Decoding has as many
rows as there are answers, which is why it waits for memory (Shazeer 2019, arXiv
1911.02150). A row of a matrix is a new stretch of memory to read from, or one
more round of a kernel's loop; a layer is its launches, norms and other small things.

Letters: S prompt tokens, B prompts at once, H heads, K head width.
"""

from collections.abc import Mapping

from hybrid.models.arithmetic import (
    Products,
    attention_width,
    cross_products,
    encoder_products,
    head_products,
    layer_products,
    projector_products,
)
from hybrid.models.shapes import Shape

# Weights of a decoder that a CPU's caches hold from step to step; what is beyond them comes from memory.
# With 2**22 predictions of steps were nearest to what an AMD EPYC took, off by 11 %, without it by 31 %.
_CACHED = 2**22
SHARED = ("rows", "elements", "pairs")  # of reading: one of them costs the same at any size
Terms = Mapping[str, float]  # amounts by name
_PRODUCTS_A_LAYER = 5  # of an encoder


def encode_features(reader: Shape, batch: int, tokens: int) -> Terms:
    """Count the terms of an encoder over B prompts of S tokens each."""
    layers, products = reader.encoder_layers, encoder_products(reader)
    pairs = batch * tokens**2 * attention_width(reader) * layers
    touched = {"pairs": pairs, "elements": batch * tokens * products.rows}
    return {"fixed": 1, "layers": layers} | touched | _matrices(products)


def projector_features(llm: Shape, slm: Shape, batch: int, tokens: int) -> Terms:
    """Count the terms of the projector; that its two products are launched counts as a part of a layer."""
    products = projector_products(llm, slm)
    launched = {"layers": products.count / _PRODUCTS_A_LAYER}
    return launched | {"elements": batch * tokens * products.rows} | _matrices(products)


def cross_features(writer: Shape, batch: int, tokens: int) -> Terms:
    """Count the terms that prefill has beyond a step."""
    layers = writer.decoder_layers
    elements = {"elements": batch * tokens * layers * attention_width(writer)}
    return {"fixed": 1, "layers": layers} | elements | {"weights": cross_products(writer).weights}


def step_features(writer: Shape, past: float) -> Terms:
    """One step of a decoder whose answers attend to `past` tokens each, of prompt and answer."""
    layers = writer.decoder_layers
    read = {"past": layers * past, "cache": layers * past * attention_width(writer)}
    products = layer_products(writer) + head_products(writer)
    uncached = {"uncached": max(0, products.weights - _CACHED)}
    return {"fixed": 1, "layers": layers} | read | _matrices(products) | uncached


def _matrices(products: Products) -> dict[str, float]:
    return {"rows": products.rows, "weights": products.weights}
