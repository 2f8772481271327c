"""Models packed for static graphs: what takes the same input is one matrix, norms are folded into it.

Matrices stay as nn.Linear holds them, (d_out, d_in): the layout that cuBLAS reads
fastest, and in which a row is what one output needs. Folded in before rounding are
a norm's gain and bias, the mean that a LayerNorm takes off, and the scale of
attention scores, into the queries. What remains of a norm is one factor a row.

Letters: D model width, F feed-forward width, H heads, G key-value heads, K head width, L layers,
P positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from hybrid.engines.graph_coverage import final_norm, norm_before
from hybrid.engines.torch.operations import stacked
from hybrid.models.architectures.records import (
    Activation,
    Attention,
    DecoderStack,
    Layer,
    LearnedPositions,
    Linear,
    Norm,
    RelativeBias,
    Rotary,
    Stack,
)
from hybrid.models.fusion import Fusion, Projector

NormKind = Literal["rms", "layer"]


@dataclass(frozen=True)
class Target:
    """Where packed weights live, as which floating point type."""

    device: torch.device
    dtype: torch.dtype

    def put(self, tensor: torch.Tensor) -> torch.Tensor:
        """Bring `tensor` there, cut off from training; the same memory when nothing changes."""
        return tensor.detach().to(self.device, self.dtype)


class PackedLinear(NamedTuple):
    """weight: (d_out, d_in). bias: (d_out,)."""

    weight: torch.Tensor
    bias: torch.Tensor | None = None


@dataclass(frozen=True)
class PackedFeedForward:
    """into: to 2F, gate above up, when gated; else to F. out: from F."""

    into: PackedLinear
    out: PackedLinear
    activation: Activation
    gated: bool


@dataclass(frozen=True)
class PackedLayer:
    """qkv: to (H + 2G)K. out, cross_out: from HK. cross_query: to HK; None where nothing is crossed to."""

    qkv: PackedLinear
    out: PackedLinear
    cross_query: PackedLinear | None
    cross_out: PackedLinear | None
    feed_forward: PackedFeedForward


@dataclass(frozen=True, kw_only=True)
class PackedStack:
    """embeddings: (V, D). norm, eps: before each part. turns: (2, P, K) float32, cosines and signed sines.

    places: (P, D), added to embeddings by where they stand. bias: of scores, (H, any) by distance.
    """

    embeddings: torch.Tensor
    layers: tuple[PackedLayer, ...]
    norm: NormKind
    eps: float
    heads: int
    key_value_heads: int
    head_width: int
    turns: torch.Tensor | None
    places: torch.Tensor | None
    bias: torch.Tensor | None


@dataclass(frozen=True, kw_only=True)
class PackedEncoder(PackedStack):
    """final: gain and bias of the last norm, if there is one. bias: (H, 2 * reach - 1), see RelativeBias.

    taps: as of a Stack.
    """

    final: PackedLinear | None
    causal: bool
    reach: int
    taps: tuple[int, ...] = ()

    def segments(self) -> list["PackedEncoder"]:
        """Cut it behind each of its taps: pieces that run one after the other, of one output each."""
        if not self.taps:
            return [self]
        bounds = zip((0, *self.taps), self.taps, strict=False)
        return [replace(self, layers=self.layers[first:last], taps=()) for first, last in bounds]


@dataclass(frozen=True, kw_only=True)
class PackedDecoder(PackedStack):
    """head: to V. cross_kv: to 2LHK, keys and values of layer after layer; None without an encoder.

    bias: (H, reach) float32; column d is that of a key d tokens before the query.
    start_id: stands at position 0; without an encoder the last of the prompt does.
    """

    head: PackedLinear
    cross_kv: PackedLinear | None
    start_id: int


@dataclass(frozen=True)
class PackedFusion:
    """Projector, and SLM encoder if there is one. adds: E + Z, else Z. embeddings: (V, D) of E."""

    up: PackedLinear
    down: PackedLinear
    adds: bool
    embeddings: torch.Tensor
    encoder: PackedEncoder | None


LayerPacker = Callable[[Layer, Target], PackedLayer]


def pack_layer(layer: Layer, target: Target) -> PackedLayer:
    """Pack one layer, of an encoder or a decoder."""
    own, cross, inner = layer.self_attention, layer.cross_attention, layer.feed_forward
    into = (inner.up,) if inner.gate is None else (inner.gate, inner.up)
    cross_query = cross_out = None
    if cross is not None:
        cross_query = _stacked(target, _scaled_query(cross), norm=norm_before(cross))
        cross_out = _stacked(target, cross.output)
    return PackedLayer(
        qkv=_stacked(target, _scaled_query(own), own.key, own.value, norm=norm_before(own)),
        out=_stacked(target, own.output),
        cross_query=cross_query,
        cross_out=cross_out,
        feed_forward=PackedFeedForward(
            into=_stacked(target, *into, norm=norm_before(inner)),
            out=_stacked(target, inner.down),
            activation=inner.activation,
            gated=inner.gate is not None,
        ),
    )


def pack_encoder(stack: Stack, target: Target, reach: int, pack: LayerPacker = pack_layer) -> PackedEncoder:
    """Pack what reads prompts of up to `reach` tokens. pack: of layers that may be packed already."""
    final, positions = stack.final_norm, stack.positions
    relative = positions.by_distance(reach) if isinstance(positions, RelativeBias) else None
    bias = None if relative is None else target.put(relative)
    return PackedEncoder(
        **vars(_pack_stack(stack, target, reach, pack, bias)),
        final=None if final is None else _gain_and_bias(final, target),
        causal=stack.causal,
        reach=reach,
        taps=stack.taps,
    )


def pack_fusion(
    projector: Projector,
    fusion: Fusion,
    embeddings: torch.Tensor,
    encoder: Stack | None,
    target: Target,
    reach: int,
) -> PackedFusion:
    """Pack projector, fusion and the SLM's encoder, if it has one, for prompts of up to `reach` tokens.

    embeddings: (V, D), by the prompt's ids.
    """
    up, down = (PackedLinear(*map(target.put, layer)) for layer in projector.folded())
    packed = None if encoder is None else pack_encoder(encoder, target, reach)
    return PackedFusion(up, down, fusion == "add", target.put(embeddings), packed)


def pack_decoder(
    stack: DecoderStack, target: Target, reach: int, pack: LayerPacker = pack_layer
) -> PackedDecoder:
    """Pack a decoder for texts of up to `reach` tokens. pack: of layers that may be packed already."""
    crosses = [layer.cross_attention for layer in stack.layers if layer.cross_attention is not None]
    keys_and_values = [linear for cross in crosses for linear in (cross.key, cross.value)]
    bias = None
    if isinstance(stack.positions, RelativeBias):
        exact = Target(target.device, torch.float32)
        bias = exact.put(stack.positions.by_distance(reach)).flip(1).contiguous()
    return PackedDecoder(
        **vars(_pack_stack(stack, target, reach, pack, bias)),
        head=_stacked(target, stack.head, norm=final_norm(stack), scale=stack.head_scale),
        cross_kv=_stacked(target, *keys_and_values) if crosses else None,
        start_id=stack.start or 0,
    )


def _pack_stack(
    stack: Stack, target: Target, reach: int, pack: LayerPacker, bias: torch.Tensor | None
) -> PackedStack:
    first = stack.layers[0].self_attention
    norm, positions = norm_before(first), stack.positions
    learned = positions.table if isinstance(positions, LearnedPositions) else None
    return PackedStack(
        embeddings=target.put(stack.embeddings),
        layers=tuple(pack(layer, target) for layer in stack.layers),
        norm=norm.kind,
        eps=norm.eps,
        heads=first.heads,
        key_value_heads=first.key_value_heads,
        head_width=first.head_width,
        turns=None if first.rotary is None else _turns(first.rotary, reach).to(target.device),
        places=None if learned is None else target.put(learned),
        bias=bias,
    )


def _turns(rotary: Rotary, reach: int) -> torch.Tensor:
    """Give (2, P, K): x is turned to x * cosines + x' * sines, where x' has its halves swapped."""
    angles = torch.arange(reach)[:, None] * rotary.frequencies.detach().float().cpu()  # (P, K/2)
    cosines, sines = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cosines, cosines], 1), torch.cat([-sines, sines], 1)])


def _gain_and_bias(norm: Norm, target: Target) -> PackedLinear:
    return PackedLinear(target.put(norm.gain), None if norm.bias is None else target.put(norm.bias))


def _scaled_query(attention: Attention) -> Linear:
    query, scale = attention.query, attention.scale
    if scale == 1.0:
        return query
    bias = None if query.bias is None else query.bias.detach().float() * scale
    return Linear(weight=query.weight.detach().float() * scale, bias=bias)


def _stacked(target: Target, *linears: Linear, norm: Norm | None = None, scale: float = 1.0) -> PackedLinear:
    """Stack linears that take the same input as one matrix, (sum of their outputs, D).

    norm: before them, folded in before rounding to the target's type. scale: of
    what they read, behind the norm.
    """
    weight, bias = stacked(linears, norm, scale)
    if norm is not None and norm.kind == "layer":  # W (x - mean) = (W - its rows' means) x
        weight = weight - weight.mean(1, keepdim=True)
    return PackedLinear(target.put(weight).contiguous(), None if bias is None else target.put(bias))
