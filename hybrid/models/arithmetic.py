"""What answering costs in weights, bytes and floating point operations, from a model's sizes alone.

Only matrix products and attention are counted, a multiplication and an addition
as two operations: norms, activations and biases are below a hundredth. A decoded
token needs every matrix of the decoder but the two of each layer that make
cross-attention keys and values of the prompt, which prefill multiplies once. A
decoder-only model takes the prompt through all its layers, in a hybrid's LLM as
the phase encode, else as part of prefill. Nothing here imports torch.

Letters: S prompt tokens, T answer tokens, B prompts at once, D model width,
F feed-forward width, H heads, G key-value heads, K head width, V vocabulary, L layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from hybrid.models.shapes import Shape
from hybrid.schema import METHODS, Model

Value = TypeVar("Value")

# Bytes of one weight. int8 is that of the matrices; their scales, one a row or matrix, are left out. int4
# is llama.cpp's Q4_1: 20 bytes a block of 32, with a scale and an offset.
BYTES: Mapping[str, float] = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1, "int4": 20 / 32}
QUANTIZED = ("int8", "int4")  # made from float32, and computed with as such


@dataclass(frozen=True)
class Products:
    """Matrix products that a token goes through, summed.

    count: how many. rows: of their matrices, one an input. weights: in them.
    """

    count: int = 0
    rows: int = 0
    weights: int = 0

    @classmethod
    def of(cls, *matrices: tuple[int, int]) -> "Products":
        """Of matrices with these numbers of (inputs, outputs)."""
        return cls(len(matrices), sum(d for d, _ in matrices), sum(d * out for d, out in matrices))

    def __add__(self, other: "Products") -> "Products":
        return Products(self.count + other.count, self.rows + other.rows, self.weights + other.weights)

    def __mul__(self, times: int) -> "Products":
        return Products(self.count * times, self.rows * times, self.weights * times)


def encoder_products(shape: Shape) -> Products:
    """Return what a prompt token goes through: queries, keys and values as one, output, feed-forward.

    Of a decoder-only model in all its layers.
    """
    return (_self_attention(shape.reader) + _feed_forward(shape.reader)) * shape.reading_layers


def cross_products(shape: Shape) -> Products:
    """Return what an encoder hidden state goes through on prefill: each layer's cross-attention K and V."""
    return Products.of((shape.reader.d_model, 2 * cache_width(shape))) * shape.crossing_layers


def layer_products(shape: Shape) -> Products:
    """Return what an answer token goes through in the layers of the decoder."""
    width, inner = shape.d_model, attention_width(shape)
    crossing = Products.of((width, inner), (inner, width)) * shape.crossing_layers
    return (_self_attention(shape) + _feed_forward(shape)) * shape.decoder_layers + crossing


def head_products(shape: Shape) -> Products:
    """Return the matrix that turns a decoder hidden state into logits."""
    return Products.of((shape.d_model, shape.vocabulary))


def bridged(llm: Shape, slm: Shape) -> bool:
    """Tell whether the LLM's embeddings go through a bridge: two vocabularies are of two tokenizers."""
    return llm.vocabulary != slm.vocabulary


def projector_products(llm: Shape, slm: Shape) -> Products:
    """Return what a prompt token goes through between the models: the projector, and the bridge if any.

    See models/fusion.py and fused_model.py. States of k layers, k x d_llm wide, go through the first
    matrix. Some engines multiply the bridge once, with the whole matrix of embeddings.
    """
    width = slm.reader.d_model
    bridge = [(llm.reader.d_model, width)] if bridged(llm, slm) else []
    return Products.of((llm.states_width, width), (width, width), *bridge)


def attention_width(shape: Shape) -> int:
    """H x K: width of all heads together."""
    return shape.heads * shape.d_kv


def cache_width(shape: Shape) -> int:
    """G x K: width of the keys, or of the values, of a token in one layer."""
    return shape.grouped_heads * shape.d_kv


def attended(shape: Shape, tokens: int) -> int:
    """Count the pairs of prompt tokens of which one sees the other: half of all where attention is causal."""
    return tokens * (tokens + 1) // 2 if shape.decoder_only else tokens**2


def decode_bytes(writer: Shape, dtype: str) -> int:
    """Weights that one decoding step reads, in bytes: the decoder's layers and the output matrix once.

    Of the embeddings it reads only rows. All rows of a batch share the read.
    """
    return int((layer_products(writer) + head_products(writer)).weights * bytes_per_weight(dtype))


def encode_flops(reader: Shape, tokens: int) -> int:
    """Operations of what reads a prompt of S `tokens`: products, and attention of each to those it sees."""
    attention = 4 * attention_width(reader.reader) * attended(reader, tokens) * reader.reading_layers
    return 2 * tokens * encoder_products(reader).weights + attention


def reading_flops(model: Model, llm: Shape, slm: Shape, tokens: int) -> int:
    """Operations of the phases encode and project on a prompt of S `tokens`."""
    own = writer_of(model, llm, slm)
    encoding = 0 if own.decoder_only else encode_flops(own, tokens)
    if model != "hybrid":
        return encoding
    return encode_flops(llm.read_part, tokens) + 2 * tokens * projector_products(llm, slm).weights + encoding


def writer_of(model: Model, llm: Value, slm: Value) -> Value:
    """Which of the two writes the answers."""
    return llm if model == "llm" else slm


def projector_parameters(llm: Shape, slm: Shape) -> int:
    """Of the projector, its two biases included, and of the bridge if any."""
    return projector_products(llm, slm).weights + 2 * slm.reader.d_model


def parameters(model: Model, llm: Shape, slm: Shape) -> int:
    """Of all that a model needs to answer: the hybrid shares what of the LLM reads, the rest is its own."""
    if model != "hybrid":
        return (llm if model == "llm" else slm).parameters
    return llm.read_parameters + projector_parameters(llm, slm) + slm.parameters


def cache_bytes(writer: Shape, prompt: int, output: int, batch: int, dtype: str) -> int:
    """Keys and values of B answers of T tokens and of their prompts of S, in bytes.

    8-bit engines keep them in float32: only their weights are of 8 bits.
    """
    each = BYTES["float32"] if dtype in QUANTIZED else bytes_per_weight(dtype)
    tokens = batch * (prompt + output)
    return int(2 * cache_width(writer) * tokens * writer.decoder_layers * each)


def bytes_per_weight(dtype: str) -> float:
    """Raise ValueError for a precision that is not known."""
    if dtype not in BYTES:
        raise ValueError(f"dtype is {dtype[:80]!r}, not one of {', '.join(BYTES)}")
    return BYTES[dtype]


def token_costs(method: str, dtype: str, llm: Shape, slm: Shape) -> tuple[int, int, int]:
    """Count weight bytes a decoded token, operations a prompt token, and those a pair of prompt tokens."""
    models = METHODS[method].models
    reading = [model for model in models if model != "llm" or "hybrid" not in models]  # which has it inside
    flops_of_one, flops_of_two = (
        sum(reading_flops(model, llm, slm, tokens) for model in reading) for tokens in (1, 2)
    )
    attention = (flops_of_two - 2 * flops_of_one) // 2  # from a x tokens + b x tokens squared
    # A pass that verifies drafts is no single token's.
    known = len(models) == 1 and method == models[0] and dtype in BYTES
    bytes_ = decode_bytes(writer_of(models[0], llm, slm), dtype) if known else 0
    return bytes_, flops_of_one - attention, attention


def _self_attention(shape: Shape) -> Products:
    inner = attention_width(shape)
    return Products.of((shape.d_model, inner + 2 * cache_width(shape)), (inner, shape.d_model))


def _feed_forward(shape: Shape) -> Products:
    width, inner = shape.d_model, shape.d_ff
    gates = 2 if shape.feed_forward.startswith("gated") else 1
    return Products.of(*[(width, inner)] * gates, (inner, width))
