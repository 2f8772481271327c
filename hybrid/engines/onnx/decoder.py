"""Graphs that write answers: what a T5's decoder takes from a prompt once, and its step over cached tokens.

Letters: B answers, N new tokens of each, C capacity of their caches, T tokens up to and with the new ones,
S prompt tokens, D model width, H heads, K head width, V vocabulary.
"""

from typing import Any

import numpy as np

from hybrid.engines.onnx.graph import CONTRIB, Graph
from hybrid.engines.onnx.names import (
    BIAS,
    LAST,
    LOGITS,
    MASK,
    START,
    STATES,
    TOKENS,
    TOTAL,
    crossed,
    own,
    written,
)
from hybrid.engines.onnx.sessions import Matrix, Part
from hybrid.engines.onnx.t5 import bias_table, check_supported, feed_forward, floats, gain


def crossing_part(model: Any, matrix: Matrix) -> Part:
    """STATES of one prompt (1, S, D) to what every layer crosses with, (1, H, S, K) each."""
    config = model.config
    check_supported(config)
    graph = Graph(matrix, config.layer_norm_epsilon)
    states = graph.input(STATES, np.float32, (1, "S", config.d_model))
    by_head = graph.constant((0, 0, config.num_heads, config.d_kv), np.int64)
    attentions = [block.layer[1].EncDecAttention for block in model.decoder.block]
    weights = [floats(linear.weight) for attention in attentions for linear in (attention.k, attention.v)]
    names = [name for layer in range(len(attentions)) for name in crossed(layer)]
    for name, product in zip(names, graph.linears(states, *weights), strict=True):
        graph.output(name, np.float32, (1, config.num_heads, "S", config.d_kv))
        graph.op("Transpose", graph.op("Reshape", product, by_head), name=name, perm=(0, 2, 1, 3))
    return graph.part({})


def decoder_part(model: Any, matrix: Matrix) -> Part:
    """New TOKENS (B, N) behind T - N cached ones to LOGITS (B, N, V).

    LAST: (B,) position of the last new one. TOTAL: T. BIAS: (1, H, N, T).
    MASK: (B, S), 0 at padding. For every layer what names.own,
    names.crossed and names.written give: (B, H, C, K) and (B, H, S, K).
    """
    config = model.config
    check_supported(config)
    stack = model.decoder
    graph = Graph(matrix, config.layer_norm_epsilon)
    tokens = graph.input(TOKENS, np.int64, ("B", "N"))
    graph.input(LAST, np.int32, ("B",))
    graph.input(TOTAL, np.int32, ())
    graph.input(BIAS, np.float32, (1, config.num_heads, "N", "T"))
    graph.input(MASK, np.int32, ("B", "S"))
    gains = [gain(part) for block in stack.block for part in block.layer]
    gains.append(floats(stack.final_layer_norm.weight))
    residual = graph.op("Gather", graph.weight(floats(stack.embed_tokens.weight)), tokens)
    normed = graph.norm(residual, gains[0])
    for number, block in enumerate(stack.block):
        attended = _self_attention(graph, block.layer[0].SelfAttention, normed, number)
        normed, residual = graph.add_and_norm(attended, residual, gains[3 * number + 1])
        attended = _cross_attention(graph, block.layer[1].EncDecAttention, normed, number)
        normed, residual = graph.add_and_norm(attended, residual, gains[3 * number + 2])
        forwarded = feed_forward(graph, block.layer[2], normed)
        normed, residual = graph.add_and_norm(forwarded, residual, gains[3 * number + 3])
    # T5 and Flan-T5 say whether the head's input is scaled; mT5 has no such setting, and no scale.
    scale = config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0
    head = floats(model.get_output_embeddings().weight) * np.float32(scale)
    name = graph.output(LOGITS, np.float32, ("B", "N", len(head)))
    graph.op("Identity", graph.linear(normed, head), name=name)
    return graph.part({BIAS: bias_table(stack), START: np.array([config.decoder_start_token_id], np.int64)})


def _self_attention(graph: Graph, attention: Any, x: str, layer: int) -> str:
    """Over the cached tokens and the new ones, causally."""
    heads, width = attention.n_heads, attention.key_value_proj_dim
    caches = own(layer)
    for cache in caches:
        graph.input(cache, np.float32, ("B", heads, "C", width))
        graph.output(written(cache), np.float32, ("B", heads, "C", width))
    weights = [floats(linear.weight) for linear in (attention.q, attention.k, attention.v)]
    qkv = graph.linear(x, np.concatenate(weights))
    inputs = (qkv, "", "", *caches, LAST, TOTAL, "", "", "", BIAS)
    mixed, *_ = graph.ops(
        "GroupQueryAttention", *inputs, names=(f"mixed_{layer}", *map(written, caches)),
        domain=CONTRIB, num_heads=heads, kv_num_heads=heads, scale=1.0,
    )  # fmt: skip
    return graph.linear(mixed, floats(attention.o.weight))


def _cross_attention(graph: Graph, attention: Any, x: str, layer: int) -> str:
    """Over the prompts."""
    heads, width = attention.n_heads, attention.key_value_proj_dim
    names = [graph.input(name, np.float32, ("B", heads, "S", width)) for name in crossed(layer)]
    query = graph.linear(x, floats(attention.q.weight))
    mixed = graph.op(
        "MultiHeadAttention", query, *names, "", MASK, domain=CONTRIB, num_heads=heads, scale=1.0
    )
    return graph.linear(mixed, floats(attention.o.weight))
