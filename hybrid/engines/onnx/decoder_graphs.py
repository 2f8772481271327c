"""Graphs of what writes: a prompt's cross-attention KV cache, and passes over new tokens of B answers.

Letters: B answers, P prompt rows before and N new tokens of each, M of them whose logits are
read, C capacity of their KV caches, T tokens up to and with the new ones, S prompt tokens, D
model width, H heads, G key-value heads, K head width, V vocabulary.
"""

from dataclasses import replace

import numpy as np

from hybrid.engines.onnx.graph import CONTRIB, GraphBuilder, floats
from hybrid.engines.onnx.parts import (
    bias_table,
    causal_attention,
    causal_tables,
    even_heads,
    through_causal_layers,
    through_layers,
)
from hybrid.engines.onnx.runtime import (
    BIAS,
    LAST,
    LOGITS,
    MASK,
    PREFIX,
    READ,
    START,
    STATES,
    TOKENS,
    TOTAL,
    Array,
    BuiltGraph,
    Matrix,
    cross_kv_cache,
)
from hybrid.models.architectures.records import Attention, DecoderStack


def cross_kv_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build STATES of one prompt (1, S, D) to every layer's cross-attention KV cache, (1, H, S, K) each."""
    stack = even_heads(stack)
    graph = GraphBuilder(matrix)
    attentions = [layer.cross_attention for layer in stack.layers if layer.cross_attention is not None]
    heads, width = attentions[0].heads, attentions[0].head_width
    states = graph.input(STATES, np.float32, (1, "S", attentions[0].key.weight.shape[1]))
    by_head = graph.constant((0, 0, heads, width), np.int64)
    linears = [linear for attention in attentions for linear in (attention.key, attention.value)]
    names = [name for layer in range(len(attentions)) for name in cross_kv_cache(layer)]
    for name, product in zip(names, graph.linears(states, *linears), strict=True):
        graph.output(name, np.float32, (1, heads, "S", width))
        graph.op("Transpose", graph.op("Reshape", product, by_head), name=name, perm=(0, 2, 1, 3))
    return graph.build({})


def decoder_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build new TOKENS (B, N) behind T - N cached ones to LOGITS."""
    stack = even_heads(stack)
    return _crossing_graph(stack, matrix) if stack.has_cross_attention else _causal_graph(stack, matrix)


def _crossing_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build the decoder behind an encoder: TOKENS (B, N) to LOGITS (B, N, V).

    LAST: (B,) position of the last new one. TOTAL: T. BIAS: (1, H, N, T).
    MASK: (B, S), 0 at padding. For every layer self_kv_cache and what updates
    it, (B, H, C, K), and cross_kv_cache, (B, H, S, K).
    """
    graph = GraphBuilder(matrix)
    tokens = graph.input(TOKENS, np.int64, ("B", "N"))
    graph.input(LAST, np.int32, ("B",))
    graph.input(TOTAL, np.int32, ())
    bias = graph.input(BIAS, np.float32, (1, stack.layers[0].self_attention.heads, "N", "T"))
    graph.input(MASK, np.int32, ("B", "S"))

    def attend(layer: int, attention: Attention, normed: str) -> str:
        return causal_attention(graph, attention, normed, layer, bias=bias)

    def cross(layer: int, attention: Attention, normed: str) -> str:
        shape = "B", attention.heads, "S", attention.head_width
        caches = [graph.input(name, np.float32, shape) for name in cross_kv_cache(layer)]
        query = graph.linear(normed, attention.query)
        mixed = graph.op(
            "MultiHeadAttention", query, *caches, "", MASK,
            domain=CONTRIB, num_heads=attention.heads, scale=attention.scale,
        )  # fmt: skip
        return graph.linear(mixed, attention.output)

    embedded = graph.op("Gather", graph.weight(floats(stack.embeddings)), tokens)
    normed = through_layers(graph, stack, embedded, attend, cross)
    return _finished(graph, stack, normed, "N", {BIAS: bias_table(stack)})


def _causal_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build a decoder-only model: PREFIX (B, P, D) rows and TOKENS (B, N) behind them to LOGITS (B, M, V).

    P or N may be 0. READ: (M,) after which of the P + N logits are needed. The others as in
    through_causal_layers, and for every layer self_kv_cache and what updates it, (B, G, C, K).
    """
    graph = GraphBuilder(matrix, fine=True)
    tokens = graph.input(TOKENS, np.int64, ("B", "N"))
    prefix = graph.input(PREFIX, np.float32, ("B", "P", stack.embeddings.shape[1]))
    read = graph.input(READ, np.int64, ("M",))
    embedded = graph.op("Gather", graph.weight(floats(stack.embeddings)), tokens)
    rows = graph.op("Concat", prefix, embedded, axis=1)
    normed = through_causal_layers(graph, stack, rows, cached=True)
    normed = graph.op("Gather", normed, read, axis=1)
    return _finished(graph, stack, normed, "M", causal_tables(stack))


def _finished(
    graph: GraphBuilder, stack: DecoderStack, normed: str, count: str, tables: dict[str, Array]
) -> BuiltGraph:
    weight = stack.head.weight if stack.head_scale == 1.0 else stack.head.weight * stack.head_scale
    head = replace(stack.head, weight=weight)
    name = graph.output(LOGITS, np.float32, ("B", count, len(weight)))
    graph.op("Identity", graph.linear(normed, head), name=name)
    tables = tables if stack.start is None else tables | {START: np.array([stack.start], np.int64)}
    return graph.build(tables)
