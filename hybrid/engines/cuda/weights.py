"""Models packed for static graphs: what takes the same input is one matrix, norm gains are folded in.

Matrices stay as nn.Linear holds them, (d_out, d_in): the layout that cuBLAS
reads fastest, and in which a row is what one output needs. Both feed-forwards
that T5s have: gated GELU (v1.1, Flan, mT5) and ReLU (v1.0).

Fused products let one launch do the work of two where launches are what costs. A
layer adds p W' to its rows x and multiplies the sum by the next matrix A. Since
(x + p W') A' = x A' + p (A W)', both can be had at once from x and p, once A W is
there. That reads more weights, A W beside A and W, and pays where it is small: an
H200 reads 4 MiB in 1 microsecond, about what a launch costs in a graph.

Letters: D model width, F feed-forward width, H heads, K head width, L layers, V vocabulary.
"""

from dataclasses import dataclass

import torch

from hybrid.engines.graph_coverage import final_norm, norm_before
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    Linear,
    RelativeBias,
    Stack,
)
from hybrid.models.fusion import Fusion, Projector

WORTH_A_LAUNCH = 4 * 2**20  # bytes


@dataclass(frozen=True)
class Target:
    """Where packed weights live, as which floating point type."""

    device: torch.device
    dtype: torch.dtype

    def put(self, tensor: torch.Tensor) -> torch.Tensor:
        """Bring `tensor` there, cut off from training; the same memory when nothing changes."""
        return tensor.detach().to(self.device, self.dtype)


@dataclass(frozen=True)
class PackedFeedForward:
    """into: (2F, D), gate above up, when gated; else (F, D). out: (D, F)."""

    into: torch.Tensor
    out: torch.Tensor
    gated: bool


@dataclass(frozen=True)
class PackedEncoderLayer:
    """qkv: (3HK, D). out: (D, HK)."""

    qkv: torch.Tensor
    out: torch.Tensor
    feed_forward: PackedFeedForward


@dataclass(frozen=True)
class PackedDecoderLayer:
    """qkv: (3HK, D). out, cross_out: (D, HK). cross_query: (HK, D)."""

    qkv: torch.Tensor
    out: torch.Tensor
    cross_query: torch.Tensor
    cross_out: torch.Tensor
    feed_forward: PackedFeedForward


@dataclass(frozen=True)
class PackedEncoder:
    """embeddings: (V, D). gain: (D,) of the last norm. bias: (H, 2 * reach - 1), see RelativeBias."""

    embeddings: torch.Tensor
    layers: tuple[PackedEncoderLayer, ...]
    gain: torch.Tensor
    bias: torch.Tensor
    reach: int
    heads: int
    eps: float


@dataclass(frozen=True)
class PackedDecoder:
    """embeddings, head: (V, D). cross_kv: (2LHK, D), projections to keys and values of layer after layer.

    bias: (H, reach) float32; column d is that of a key d tokens before the query.
    start_id: stands at position 0.
    """

    embeddings: torch.Tensor
    layers: tuple[PackedDecoderLayer, ...]
    cross_kv: torch.Tensor
    head: torch.Tensor
    bias: torch.Tensor
    heads: int
    head_width: int
    eps: float
    start_id: int


@dataclass(frozen=True)
class PackedFusion:
    """Projector and SLM encoder. up, down: weight and bias of each linear layer. adds: E + Z, else Z."""

    up: tuple[torch.Tensor, torch.Tensor]
    down: tuple[torch.Tensor, torch.Tensor]
    adds: bool
    encoder: PackedEncoder


def pack_encoder(stack: Stack, target: Target, reach: int) -> PackedEncoder:
    """Pack an encoder for prompts of up to `reach` tokens."""
    return PackedEncoder(
        embeddings=target.put(stack.embeddings),
        layers=tuple(_encoder_layer(layer, target) for layer in stack.layers),
        gain=target.put(final_norm(stack).gain),
        bias=target.put(_relative_bias(stack, reach)),
        reach=reach,
        heads=stack.layers[0].self_attention.heads,
        eps=final_norm(stack).eps,
    )


def pack_fusion(
    projector: Projector, fusion: Fusion, stack: Stack, target: Target, reach: int
) -> PackedFusion:
    """Pack projector, fusion and the SLM's encoder for prompts of up to `reach` tokens."""
    up, down = ((target.put(layer.weight), target.put(layer.bias)) for layer in projector.folded())
    return PackedFusion(up, down, fusion == "add", pack_encoder(stack, target, reach))


def pack_decoder(stack: DecoderStack, target: Target, reach: int) -> PackedDecoder:
    """Pack a decoder for answers of up to `reach` tokens."""
    crosses = [_cross_attention(layer) for layer in stack.layers]
    far_to_near = Target(target.device, torch.float32).put(_relative_bias(stack, reach))
    assert stack.start is not None, "see graph_coverage"
    return PackedDecoder(
        embeddings=target.put(stack.embeddings),
        layers=tuple(_decoder_layer(layer, target) for layer in stack.layers),
        cross_kv=_stacked(target, *(linear for cross in crosses for linear in (cross.key, cross.value))),
        head=_stacked(target, stack.head, gain=final_norm(stack).gain * stack.head_scale),
        bias=far_to_near.flip(1).contiguous(),
        heads=stack.layers[0].self_attention.heads,
        head_width=stack.layers[0].self_attention.head_width,
        eps=final_norm(stack).eps,
        start_id=stack.start,
    )


def _stacked(target: Target, *linears: Linear, gain: torch.Tensor | None = None) -> torch.Tensor:
    """Stack linears that take the same input as one matrix, (sum of their outputs, D).

    gain: (D,) of the norm before them, folded in before rounding to the target's type.
    """
    weight = torch.cat([linear.weight.detach() for linear in linears])
    if gain is not None:
        weight = weight.float() * gain.detach().float()
    return target.put(weight).contiguous()


def _relative_bias(stack: Stack, reach: int) -> torch.Tensor:
    assert isinstance(stack.positions, RelativeBias), "see graph_coverage"
    return stack.positions.by_distance(reach)


def _cross_attention(layer: Layer) -> Attention:
    assert layer.cross_attention is not None, "see graph_coverage"
    return layer.cross_attention


def _qkv(attention: Attention, target: Target) -> torch.Tensor:
    projections = (attention.query, attention.key, attention.value)
    return _stacked(target, *projections, gain=norm_before(attention).gain)


def _encoder_layer(layer: Layer, target: Target) -> PackedEncoderLayer:
    attention = layer.self_attention
    return PackedEncoderLayer(
        qkv=_qkv(attention, target),
        out=_stacked(target, attention.output),
        feed_forward=_feed_forward(layer.feed_forward, target),
    )


def _decoder_layer(layer: Layer, target: Target) -> PackedDecoderLayer:
    attention, cross = layer.self_attention, _cross_attention(layer)
    return PackedDecoderLayer(
        qkv=_qkv(attention, target),
        out=_stacked(target, attention.output),
        cross_query=_stacked(target, cross.query, gain=norm_before(cross).gain),
        cross_out=_stacked(target, cross.output),
        feed_forward=_feed_forward(layer.feed_forward, target),
    )


def _feed_forward(part: FeedForward, target: Target) -> PackedFeedForward:
    into = (part.up,) if part.gate is None else (part.gate, part.up)
    return PackedFeedForward(
        into=_stacked(target, *into, gain=norm_before(part).gain),
        out=_stacked(target, part.down),
        gated=part.gate is not None,
    )


@dataclass(frozen=True)
class FusedProducts:
    """The fused products of one layer, where they are worth it.

    query: (HK, HK), self-attention's output before the cross-attention's query.
    into: (F or 2F, HK), cross-attention's output before the feed-forward.
    qkv: (3HK, F), the feed-forward's output before the next layer's qkv; None in the last layer too.
    """

    query: torch.Tensor | None
    into: torch.Tensor | None
    qkv: torch.Tensor | None


def fuse_products(weights: PackedDecoder, worth: int = WORTH_A_LAUNCH) -> tuple[FusedProducts, ...]:
    """Multiply for each layer the matrices whose product, in bytes, is worth the launches that it saves."""
    following = [layer.qkv for layer in weights.layers[1:]]
    return tuple(
        _fuse_layer(layer, after, worth)
        for layer, after in zip(weights.layers, [*following, None], strict=True)
    )


def _fuse_layer(layer: PackedDecoderLayer, following: torch.Tensor | None, worth: int) -> FusedProducts:
    size = layer.qkv.element_size()
    query = into = qkv = None
    if layer.cross_query.shape[0] * layer.out.shape[1] * size <= worth:
        query = _product(layer.cross_query, layer.out)
    hidden, inner = layer.feed_forward, layer.cross_out.shape[1]
    extra = hidden.into.shape[0] * inner + 3 * inner * hidden.out.shape[1]
    if extra * size <= 2 * worth:
        into = _product(hidden.into, layer.cross_out)
        qkv = None if following is None else _product(following, hidden.out)
        if into is None or (qkv is None) != (following is None):
            into = qkv = None
    return FusedProducts(query, into, qkv)


def _product(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor | None:
    """Multiply (N, D) and (D, P) in float32, given in their type; None when float16 does not hold it."""
    product = torch.mm(after.float(), before.float()).to(after.dtype)
    return product if product.isfinite().all() else None
