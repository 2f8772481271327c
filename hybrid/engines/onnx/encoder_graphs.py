"""Graphs of what reads prompts: an encoder, the layers of a decoder-only LLM, a hybrid's fusion.

Each takes one prompt at a time, so there is no padding that could leak, and 8-bit
matrices round its activations whatever else is in the batch.

Letters: S prompt tokens, D model width, H heads, K head width, P positions.
"""

import numpy as np

from hybrid.engines.onnx.graph import CONTRIB, GraphBuilder, floats
from hybrid.engines.onnx.parts import (
    bias_table,
    causal_tables,
    even_heads,
    through_causal_layers,
    through_layers,
)
from hybrid.engines.onnx.runtime import BIAS, IDS, LATENT, STATES, Array, BuiltGraph, Matrix
from hybrid.models.architectures.records import Attention, Linear, Stack
from hybrid.models.fusion import Fusion, Projector


def encoder_graph(stack: Stack, matrix: Matrix) -> BuiltGraph:
    """Build IDS (1, S) to STATES (1, S, D), of k taps (1, S, k * D).

    Its other inputs: as _encode or through_causal_layers has them.
    """
    graph = GraphBuilder(matrix)
    ids = graph.input(IDS, np.int64, (1, "S"))
    embedded = graph.op("Gather", graph.weight(floats(stack.embeddings)), ids)
    stack = even_heads(stack)
    if not stack.causal:
        return _finished(graph, stack, _encode(graph, stack, embedded), {BIAS: bias_table(stack)})
    states = through_causal_layers(graph, stack, embedded, cached=False)
    return _finished(graph, stack, states, causal_tables(stack))


def fusion_graph(
    projector: Projector, fusion: Fusion, stack: Stack, encodes: bool, matrix: Matrix
) -> BuiltGraph:
    """Build IDS (1, S) and LATENT (1, S, d_llm), hidden states of the LLM's layers, to STATES (1, S, d_slm).

    stack: the SLM's encoder, with the embeddings that ids are looked up in. encodes: whether there is
    one; a decoder-only SLM takes the fused prompt itself.
    """
    up, down = (Linear(weight=layer.weight, bias=layer.bias) for layer in (projector.up, projector.down))
    graph = GraphBuilder(matrix)
    ids = graph.input(IDS, np.int64, (1, "S"))
    latent = graph.input(LATENT, np.float32, (1, "S", up.weight.shape[1]))
    if projector.shift is not None and projector.gain is not None:  # before 8 bits, which outliers would fill
        latent = graph.op("Sub", latent, graph.weight(floats(projector.shift)))
        latent = graph.op("Mul", latent, graph.weight(floats(projector.gain)))
    fused = graph.linear(graph.op("Relu", graph.linear(latent, up)), down, uneven=True)
    if fusion == "add":
        embedded = graph.op("Gather", graph.weight(floats(stack.embeddings)), ids)
        fused = graph.op("Add", embedded, fused)
    if not encodes:
        return _finished(graph, stack, fused, {})
    stack = even_heads(stack)
    return _finished(graph, stack, _encode(graph, stack, fused), {BIAS: bias_table(stack)})


def _encode(graph: GraphBuilder, stack: Stack, x: str) -> str:
    """Lead x, (1, S, D), through an encoder. BIAS: (1, H, S, S), of the scores."""
    heads = stack.layers[0].self_attention.heads
    bias = graph.input(BIAS, np.float32, (1, heads, "S", "S"))

    def attend(_: int, attention: Attention, normed: str) -> str:
        qkv = graph.linears(normed, attention.query, attention.key, attention.value)
        mixed = graph.op("MultiHeadAttention", *qkv, "", "", bias, domain=CONTRIB, num_heads=heads, scale=1.0)
        return graph.linear(mixed, attention.output)

    return through_layers(graph, stack, x, attend)


def _finished(graph: GraphBuilder, stack: Stack, states: str, tables: dict[str, Array]) -> BuiltGraph:
    width = stack.embeddings.shape[1] * max(1, len(stack.taps))
    graph.op("Identity", states, name=graph.output(STATES, np.float32, (1, "S", width)))
    return graph.build(tables)
