"""Fused products, which let one launch do the work of two where launches are what costs.

A layer adds p W' to its rows x and multiplies the sum by the next matrix A. Since
(x + p W') A' = x A' + p (A W)', both can be had at once from x and p, once A W is
there. That reads more weights, A W beside A and W, and pays where it is small: an
H200 reads 4 MiB in 1 microsecond, about what a launch costs in a graph.

Letters: D model width, F feed-forward width, H heads, K head width.
"""

from dataclasses import dataclass

import torch

from hybrid.engines.cuda.weights import PackedDecoder, PackedLayer, PackedLinear

WORTH_A_LAUNCH = 4 * 2**20  # bytes


@dataclass(frozen=True)
class FusedProducts:
    """The fused products of one layer, where they are worth it.

    query: (HK, HK), self-attention's output before the cross-attention's query.
    into: (F or 2F, HK), cross-attention's output before the feed-forward.
    qkv: (3HK, F), the feed-forward's output before the next layer's qkv; None in the last layer too.
    """

    query: torch.Tensor | None = None
    into: torch.Tensor | None = None
    qkv: torch.Tensor | None = None


def fuse_products(weights: PackedDecoder, worth: int = WORTH_A_LAUNCH) -> tuple[FusedProducts, ...]:
    """Multiply for each layer the matrices whose product, in bytes, is worth the launches that it saves.

    Of decoders with cross-attention, RMS norms and no biases; nothing of others.
    """
    following = [layer.qkv for layer in weights.layers[1:]]
    return tuple(
        _fuse_layer(layer, after, worth) if _fusible(weights, layer) else FusedProducts()
        for layer, after in zip(weights.layers, [*following, None], strict=True)
    )


def _fusible(weights: PackedDecoder, layer: PackedLayer) -> bool:
    linears = (layer.qkv, layer.out, layer.cross_query, layer.cross_out)
    inner = (layer.feed_forward.into, layer.feed_forward.out)
    plain = all(linear is not None and linear.bias is None for linear in (*linears, *inner))
    return plain and weights.norm == "rms"


def _fuse_layer(layer: PackedLayer, following: PackedLinear | None, worth: int) -> FusedProducts:
    assert layer.cross_query is not None, "see _fusible"
    assert layer.cross_out is not None, "see _fusible"
    out, cross_query, cross_out = layer.out.weight, layer.cross_query.weight, layer.cross_out.weight
    before, after = layer.feed_forward.into.weight, layer.feed_forward.out.weight
    size = out.element_size()
    query = into = qkv = None
    if cross_query.shape[0] * out.shape[1] * size <= worth:
        query = _product(cross_query, out)
    inner = cross_out.shape[1]
    extra = before.shape[0] * inner + 3 * inner * after.shape[1]
    if extra * size <= 2 * worth:
        into = _product(before, cross_out)
        qkv = None if following is None else _product(following.weight, after)
        if into is None or (qkv is None) != (following is None):
            into = qkv = None
    return FusedProducts(query, into, qkv)


def _product(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor | None:
    """Multiply (N, D) and (D, P) in float32, given in their type; None when float16 does not hold it."""
    product = torch.mm(after.float(), before.float()).to(after.dtype)
    return product if product.isfinite().all() else None
