"""Graphs of a decoder: a prompt's cross-attention KV cache, and a pass over new tokens.

Letters: B answers, N new tokens of each, C capacity of their KV caches, T tokens up to and with the new
ones, S prompt tokens, D model width, H heads, K head width, V vocabulary.
"""

import numpy as np

from hybrid.engines.onnx.encoder_graph import bias_table, check_heads, feed_forward, floats
from hybrid.engines.onnx.graph import CONTRIB, GraphBuilder
from hybrid.engines.onnx.runtime import (
    BIAS,
    LAST,
    LOGITS,
    MASK,
    START,
    STATES,
    TOKENS,
    TOTAL,
    BuiltGraph,
    Matrix,
    cross_kv_cache,
    self_kv_cache,
    updated,
)
from hybrid.models.architectures.records import Attention, DecoderStack, FeedForward, Layer


def cross_kv_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build STATES of one prompt (1, S, D) to every layer's cross-attention KV cache, (1, H, S, K) each.

    Raises EngineError, see check_heads.
    """
    check_heads(stack)
    attentions = [_parts(layer)[1] for layer in stack.layers]
    heads, width = attentions[0].heads, attentions[0].head_width
    graph = GraphBuilder(matrix, stack.final_norm.eps)
    states = graph.input(STATES, np.float32, (1, "S", attentions[0].key.weight.shape[1]))
    by_head = graph.constant((0, 0, heads, width), np.int64)
    weights = [
        floats(linear.weight) for attention in attentions for linear in (attention.key, attention.value)
    ]
    names = [name for layer in range(len(attentions)) for name in cross_kv_cache(layer)]
    for name, product in zip(names, graph.linears(states, *weights), strict=True):
        graph.output(name, np.float32, (1, heads, "S", width))
        graph.op("Transpose", graph.op("Reshape", product, by_head), name=name, perm=(0, 2, 1, 3))
    return graph.build({})


def decoder_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build new TOKENS (B, N) behind T - N cached ones to LOGITS (B, N, V).

    LAST: (B,) position of the last new one. TOTAL: T. BIAS: (1, H, N, T).
    MASK: (B, S), 0 at padding. For every layer self_kv_cache and what updates
    it, (B, H, C, K), and cross_kv_cache, (B, H, S, K). Raises EngineError, see
    check_heads.
    """
    check_heads(stack)
    graph = GraphBuilder(matrix, stack.final_norm.eps)
    tokens = graph.input(TOKENS, np.int64, ("B", "N"))
    graph.input(LAST, np.int32, ("B",))
    graph.input(TOTAL, np.int32, ())
    graph.input(BIAS, np.float32, (1, stack.layers[0].self_attention.heads, "N", "T"))
    graph.input(MASK, np.int32, ("B", "S"))
    layers = [_parts(layer) for layer in stack.layers]
    norms = [part.norm for parts in layers for part in parts]
    gains = [floats(norm.gain) for norm in (*norms, stack.final_norm)]
    residual = graph.op("Gather", graph.weight(floats(stack.embeddings)), tokens)
    normed = graph.norm(residual, gains[0])
    for number, (self_attention, cross_attention, forward) in enumerate(layers):
        attended = _self_attention(graph, self_attention, normed, number)
        normed, residual = graph.add_and_norm(attended, residual, gains[3 * number + 1])
        attended = _cross_attention(graph, cross_attention, normed, number)
        normed, residual = graph.add_and_norm(attended, residual, gains[3 * number + 2])
        forwarded = feed_forward(graph, forward, normed)
        normed, residual = graph.add_and_norm(forwarded, residual, gains[3 * number + 3])
    head = floats(stack.head.weight) * np.float32(stack.head_scale)
    name = graph.output(LOGITS, np.float32, ("B", "N", len(head)))
    graph.op("Identity", graph.linear(normed, head), name=name)
    return graph.build({BIAS: bias_table(stack), START: np.array([stack.start], np.int64)})


def _parts(layer: Layer) -> tuple[Attention, Attention, FeedForward]:
    """Give self-attention, cross-attention and feed-forward."""
    assert layer.cross_attention is not None, "see graph_coverage"
    return layer.self_attention, layer.cross_attention, layer.feed_forward


def _self_attention(graph: GraphBuilder, attention: Attention, x: str, layer: int) -> str:
    """Attend to the cached tokens and the new ones, causally."""
    heads, width = attention.heads, attention.head_width
    caches = self_kv_cache(layer)
    for cache in caches:
        graph.input(cache, np.float32, ("B", heads, "C", width))
        graph.output(updated(cache), np.float32, ("B", heads, "C", width))
    weights = [floats(linear.weight) for linear in (attention.query, attention.key, attention.value)]
    qkv = graph.linear(x, np.concatenate(weights))
    inputs = (qkv, "", "", *caches, LAST, TOTAL, "", "", "", BIAS)
    mixed, *_ = graph.ops(
        "GroupQueryAttention", *inputs, names=(f"mixed_{layer}", *map(updated, caches)),
        domain=CONTRIB, num_heads=heads, kv_num_heads=heads, scale=1.0,
    )  # fmt: skip
    return graph.linear(mixed, floats(attention.output.weight))


def _cross_attention(graph: GraphBuilder, attention: Attention, x: str, layer: int) -> str:
    """Attend to the prompts."""
    heads, width = attention.heads, attention.head_width
    caches = [graph.input(name, np.float32, ("B", heads, "S", width)) for name in cross_kv_cache(layer)]
    query = graph.linear(x, floats(attention.query.weight))
    mixed = graph.op(
        "MultiHeadAttention", query, *caches, "", MASK, domain=CONTRIB, num_heads=heads, scale=1.0
    )
    return graph.linear(mixed, floats(attention.output.weight))
