"""Graphs of encoders and decoders.

An encoder alone, or a hybrid's projector, fusion and SLM encoder in one, takes one prompt
at a time, so there is no padding that could leak, and 8-bit matrices round its activations
whatever else is in the batch. Of a decoder: a prompt's cross-attention KV cache, and a
pass over new tokens.

Letters: B answers, N new tokens of each, C capacity of their KV caches, T tokens up to and with the new
ones, S prompt tokens, D model width, H heads, K head width, V vocabulary, R reach of a position bias.
"""

import numpy as np
import torch

from hybrid.engines.graph_coverage import final_norm, norm_before
from hybrid.engines.onnx.graph import CONTRIB, Floats, GraphBuilder
from hybrid.engines.onnx.runtime import (
    BIAS,
    IDS,
    LAST,
    LATENT,
    LOGITS,
    MASK,
    START,
    STATES,
    TOKENS,
    TOTAL,
    Array,
    BuiltGraph,
    Matrix,
    cross_kv_cache,
    self_kv_cache,
    updated,
)
from hybrid.errors import EngineError
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    RelativeBias,
    Stack,
)
from hybrid.models.fusion import Fusion, Projector

HEAD_STEP = 8  # of head widths, for GroupQueryAttention


def encoder_graph(stack: Stack, matrix: Matrix) -> BuiltGraph:
    """Build IDS (1, S) and BIAS (1, H, S, S) to STATES (1, S, D). Raises EngineError, see check_heads."""
    check_heads(stack)
    graph = GraphBuilder(matrix, final_norm(stack).eps)
    ids = graph.input(IDS, np.int64, (1, "S"))
    return _encode(graph, stack, _embed(graph, stack, ids))


def fusion_graph(projector: Projector, fusion: Fusion, stack: Stack, matrix: Matrix) -> BuiltGraph:
    """Build IDS (1, S), BIAS (1, H, S, S) and LATENT (1, S, d_llm), the LLM's, to STATES (1, S, d_slm).

    stack: the SLM's encoder. Raises EngineError, see check_heads.
    """
    check_heads(stack)
    up, down = projector.folded()
    graph = GraphBuilder(matrix, final_norm(stack).eps)
    ids = graph.input(IDS, np.int64, (1, "S"))
    latent = graph.input(LATENT, np.float32, (1, "S", up.weight.shape[1]))
    inner = graph.op("Add", graph.linear(latent, floats(up.weight)), graph.weight(floats(up.bias)))
    inner = graph.op("Relu", inner)
    fused = graph.linear(inner, floats(down.weight), uneven=True)
    fused = graph.op("Add", fused, graph.weight(floats(down.bias)))
    if fusion == "add":
        fused = graph.op("Add", _embed(graph, stack, ids), fused)
    return _encode(graph, stack, fused)


def _embed(graph: GraphBuilder, stack: Stack, ids: str) -> str:
    return graph.op("Gather", graph.weight(floats(stack.embeddings)), ids)


def _encode(graph: GraphBuilder, stack: Stack, x: str) -> BuiltGraph:
    """Complete the graph behind x, (1, S, D) input embeddings."""
    heads = stack.layers[0].self_attention.heads
    bias = graph.input(BIAS, np.float32, (1, heads, "S", "S"))
    parts = [part for layer in stack.layers for part in (layer.self_attention, layer.feed_forward)]
    gains = [floats(norm.gain) for norm in (*map(norm_before, parts), final_norm(stack))]
    residual, normed = x, graph.norm(x, gains[0])
    for number, layer in enumerate(stack.layers):
        attention = layer.self_attention
        projections = (attention.query, attention.key, attention.value)
        qkv = graph.linears(normed, *(floats(linear.weight) for linear in projections))
        mixed = graph.op("MultiHeadAttention", *qkv, "", "", bias, domain=CONTRIB, num_heads=heads, scale=1.0)
        attended = graph.linear(mixed, floats(attention.output.weight))
        normed, residual = graph.add_and_norm(attended, residual, gains[2 * number + 1])
        forwarded = feed_forward(graph, layer.feed_forward, normed)
        normed, residual = graph.add_and_norm(forwarded, residual, gains[2 * number + 2])
    width = stack.embeddings.shape[1]
    graph.op("Identity", normed, name=graph.output(STATES, np.float32, (1, "S", width)))
    return graph.build({BIAS: bias_table(stack)})


def check_heads(stack: Stack) -> None:
    """Raise EngineError when GroupQueryAttention cannot hold the heads."""
    width = stack.layers[0].self_attention.head_width
    if width % HEAD_STEP:
        raise EngineError(
            f"The onnx engine needs attention heads whose width is a multiple of {HEAD_STEP}; this model's "
            f"are {width} wide. Use --engine transformers."
        )


def floats(tensor: torch.Tensor) -> Floats:
    """Give the values of a weight; the same memory where it is in float32 on the CPU."""
    array: Floats = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def feed_forward(graph: GraphBuilder, part: FeedForward, x: str) -> str:
    """Add relu(x Wu) Wd, or T5's gated GELU (Shazeer 2020), (gelu(x Wg) * (x Wu)) Wd, for normed x."""
    if part.gate is None:
        inner = graph.op("Relu", graph.linear(x, floats(part.up.weight)))
    else:
        gate, up = graph.linears(x, floats(part.gate.weight), floats(part.up.weight))
        inner = graph.op("Mul", graph.op("FastGelu", gate, domain=CONTRIB), up)
    return graph.linear(inner, floats(part.down.weight), uneven=True)


def bias_table(stack: Stack) -> Array:
    """Give (H, 2R - 1) position bias of a stack; column R - 1 + d is of a key d tokens after the query.

    R is one more than the distance from which on all keys are alike. A decoder
    has no keys after the query; those columns mean nothing there.
    """
    assert isinstance(stack.positions, RelativeBias), type(stack.positions)  # see graph_coverage
    reach = stack.positions.max_distance + 1
    table = floats(stack.positions.by_distance(reach))
    missing = 2 * reach - 1 - table.shape[1]
    return np.pad(table, ((0, 0), (0, missing)), "edge")


def cross_kv_graph(stack: DecoderStack, matrix: Matrix) -> BuiltGraph:
    """Build STATES of one prompt (1, S, D) to every layer's cross-attention KV cache, (1, H, S, K) each.

    Raises EngineError, see check_heads.
    """
    check_heads(stack)
    attentions = [_parts(layer)[1] for layer in stack.layers]
    heads, width = attentions[0].heads, attentions[0].head_width
    graph = GraphBuilder(matrix, final_norm(stack).eps)
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
    graph = GraphBuilder(matrix, final_norm(stack).eps)
    tokens = graph.input(TOKENS, np.int64, ("B", "N"))
    graph.input(LAST, np.int32, ("B",))
    graph.input(TOTAL, np.int32, ())
    graph.input(BIAS, np.float32, (1, stack.layers[0].self_attention.heads, "N", "T"))
    graph.input(MASK, np.int32, ("B", "S"))
    layers = [_parts(layer) for layer in stack.layers]
    norms = [norm_before(part) for parts in layers for part in parts]
    gains = [floats(norm.gain) for norm in (*norms, final_norm(stack))]
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
