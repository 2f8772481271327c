"""What layers of every shape are made of: heads, rotary tables, feed-forward, self-attention over a cache.

Letters: B answers, N new tokens of each, C capacity of their KV caches, T tokens up to and
with the new ones, D model width, H heads, G key-value heads, K head width, P positions, R
reach of a position bias.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch

from hybrid.engines.onnx.graph import CONTRIB, GraphBuilder, floats
from hybrid.engines.onnx.runtime import (
    COSINES,
    FREQUENCIES,
    LAST,
    POSITIONS,
    SINES,
    TOTAL,
    Array,
    self_kv_cache,
    updated,
)
from hybrid.models.architectures.records import (
    Activation,
    Attention,
    FeedForward,
    Layer,
    LearnedPositions,
    Linear,
    Norm,
    RelativeBias,
    Rotary,
    Stack,
)

S = TypeVar("S", bound=Stack)
Attend: TypeAlias = Callable[[int, Attention, str], str]  # layer's number, attention, normed x
HEAD_STEP = 16  # of head widths, for GroupQueryAttention where it turns heads

# ONNX's operator, its domain and attributes. Silu is x sigmoid(x), and QuickGelu x sigmoid(alpha x).
ACTIVATIONS: dict[Activation, tuple[str, str, dict[str, Any]]] = {
    "relu": ("Relu", "", {}),
    "gelu": ("Gelu", CONTRIB, {}),
    "gelu-tanh": ("FastGelu", CONTRIB, {}),
    "silu": ("QuickGelu", CONTRIB, {"alpha": 1.0}),
}


def feed_forward(graph: GraphBuilder, part: FeedForward, x: str) -> str:
    """Add activation(x up) down, or with a gate (Shazeer 2020) (activation(x gate) * (x up)) down."""
    kind, domain, attributes = ACTIVATIONS[part.activation]
    if part.gate is None:
        inner = graph.op(kind, graph.linear(x, part.up), domain=domain, **attributes)
    else:
        gate, up = graph.linears(x, part.gate, part.up)
        inner = graph.op("Mul", graph.op(kind, gate, domain=domain, **attributes), up)
    return graph.linear(inner, part.down, uneven=True)


def side_by_side(*linears: Linear) -> Linear:
    """Join what reads the same, biases of all or of none."""
    biases = [linear.bias for linear in linears if linear.bias is not None]
    weight = torch.cat([linear.weight for linear in linears])
    return Linear(weight=weight, bias=torch.cat(biases) if biases else None)


def through_layers(
    graph: GraphBuilder, stack: Stack, x: str, attend: Attend, cross: Attend | None = None
) -> str:
    """Lead x, (B, N, D) embeddings, through layers and final norm, where there is one.

    Where the stack has k taps, (B, N, k * D) comes out.
    attend, cross: add a layer's self-attention, and its cross-attention, to the graph.
    """
    parts: list[tuple[Norm | None, Callable[[str], str]]] = []
    ends = []  # places in `parts` at which a layer's output stands
    for number, layer in enumerate(stack.layers):
        own, crossing, forward = layer.self_attention, layer.cross_attention, layer.feed_forward
        parts.append((own.norm, partial(attend, number, own)))
        if cross is not None and crossing is not None:
            parts.append((crossing.norm, partial(cross, number, crossing)))
        parts.append((forward.norm, partial(feed_forward, graph, forward)))
        ends.append(len(parts) - 1)
    norms = [norm for norm, _ in parts] + [stack.final_norm]
    assert norms[0] is not None, "see graph_coverage"
    normed, residual = graph.norm(x, norms[0]), x
    residuals = []
    for (_, part), following in zip(parts, norms[1:], strict=True):
        normed, residual = graph.add_and_norm(part(normed), residual, following)
        residuals.append(residual)
    tapped = [residuals[ends[number - 1]] for number in stack.taps]
    return graph.op("Concat", *tapped, axis=-1) if tapped else normed


def through_causal_layers(graph: GraphBuilder, stack: Stack, x: str, cached: bool) -> str:
    """Do so where a token sees none after it, each at its position.

    LAST: (B,) place of the last new token in its cache. TOTAL: T, the largest. Where positions are
    learned, POSITIONS: (B, N). Where they are rotary, COSINES and SINES: (P, K / 2).
    cached: whether there are tokens before the new ones.
    """
    graph.input(LAST, np.int32, ("B",))
    graph.input(TOTAL, np.int32, ())
    if isinstance(stack.positions, LearnedPositions):
        places = graph.input(POSITIONS, np.int64, ("B", "N"))
        learned = graph.op("Gather", graph.weight(floats(stack.positions.table)), places)
        x = graph.op("Add", x, learned)
    rotary = stack.layers[0].self_attention.rotary
    if rotary is not None:
        for name in (COSINES, SINES):
            graph.input(name, np.float32, ("P", len(rotary.frequencies)))

    def attend(number: int, attention: Attention, normed: str) -> str:
        return causal_attention(graph, attention, normed, number, cached)

    return through_layers(graph, stack, x, attend)


def causal_tables(stack: Stack) -> dict[str, Array]:
    """Give what whoever runs causal layers needs beside them: how fast heads turn, if they do."""
    rotary = stack.layers[0].self_attention.rotary
    return {} if rotary is None else {FREQUENCIES: floats(rotary.frequencies)}


def causal_attention(
    graph: GraphBuilder, attention: Attention, x: str, layer: int, cached: bool = True, bias: str = ""
) -> str:
    """Attend to the cached tokens and the new ones, causally; keys are cached as they were turned.

    cached: whether there are any, in self_kv_cache of this layer. bias: (1, H, N, T), of the scores.
    """
    heads, width = attention.key_value_heads, attention.head_width
    caches: Sequence[str] = ("", "")
    present = [f"unread_{cache}" for cache in self_kv_cache(layer)]
    if cached:
        caches = self_kv_cache(layer)
        present = [updated(cache) for cache in caches]
        for cache in caches:
            graph.input(cache, np.float32, ("B", heads, "C", width))
            graph.output(updated(cache), np.float32, ("B", heads, "C", width))
    qkv = graph.linear(x, side_by_side(attention.query, attention.key, attention.value))
    tables = ("", "") if attention.rotary is None else (COSINES, SINES)
    inputs = (qkv, "", "", *caches, LAST, TOTAL, *tables, *(("", bias) if bias else ()))
    mixed, *_ = graph.ops(
        "GroupQueryAttention", *inputs, names=(f"mixed_{layer}", *present), domain=CONTRIB,
        num_heads=attention.heads, kv_num_heads=heads, scale=attention.scale,
        do_rotary=int(attention.rotary is not None),
    )  # fmt: skip
    return graph.linear(mixed, attention.output)


def even_heads(stack: S) -> S:
    """Fill heads up to a width that GroupQueryAttention takes, by zeros, which change nothing."""
    return replace(stack, layers=tuple(_even_layer(layer) for layer in stack.layers))


def _even_layer(layer: Layer) -> Layer:
    cross = layer.cross_attention
    return replace(
        layer,
        self_attention=_even(layer.self_attention),
        cross_attention=None if cross is None else _even(cross),
    )


def _even(attention: Attention) -> Attention:
    width, rotary = attention.head_width, attention.rotary
    turned = 0 if rotary is None else 2 * len(rotary.frequencies)
    if width % HEAD_STEP == 0 and turned in (0, width):
        return attention
    plain = list(range(width))
    scored = _filled(plain)
    if rotary is not None:  # channels that turn together stand half a head apart, others turn by nothing
        half, others = turned // 2, plain[turned:]
        middle = len(scored) // 2 - half
        scored = plain[:half] + _filled(others[:middle], middle)
        scored += plain[half:turned] + _filled(others[middle:], middle)
        missing = len(scored) // 2 - half
        rotary = Rotary(frequencies=torch.nn.functional.pad(rotary.frequencies, (0, missing)))
    value, output = attention.value, attention.output
    columns = _spread(Linear(weight=output.weight.T), attention.heads, width, _filled(plain)).weight.T
    return replace(
        attention,
        query=_spread(attention.query, attention.heads, width, scored),
        key=_spread(attention.key, attention.key_value_heads, width, scored),
        value=_spread(value, attention.key_value_heads, width, _filled(plain)),
        output=replace(output, weight=columns),
        head_width=len(scored),
        rotary=rotary,
    )


def _filled(channels: list[int], width: int | None = None) -> list[int]:
    """Append -1, a channel of zeros, up to a width, or up to the next one that will do."""
    width = -(-len(channels) // HEAD_STEP) * HEAD_STEP if width is None else width
    return channels + [-1] * (width - len(channels))


def _spread(linear: Linear, heads: int, width: int, channels: list[int]) -> Linear:
    """Let each head's rows be those of its `channels`."""

    def spread(rows: torch.Tensor) -> torch.Tensor:
        by_head = rows.detach().reshape(heads, width, -1)
        padded = torch.nn.functional.pad(by_head, (0, 0, 0, 1))  # -1 is a row of zeros
        return padded[:, channels].flatten(0, 1)

    bias = None if linear.bias is None else spread(linear.bias)[:, 0]
    return Linear(weight=spread(linear.weight), bias=bias)


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
