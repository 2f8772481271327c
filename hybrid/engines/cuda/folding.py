"""Products of neighbouring matrices, so that one launch does the work of two where launches are what costs.

A layer adds p W' to its rows x and multiplies the sum by the next matrix A.
Since (x + p W') A' = x A' + p (A W)', both can be had at once from x and p, once
A W is there. That reads more weights, A W beside A and W, and pays where it is
small: an H200 reads 4 MiB in 1 microsecond, about what a launch costs in a graph.

Letters: D model width, F feed-forward width, H heads, K head width.
"""

from dataclasses import dataclass

import torch

from hybrid.engines.cuda.weights import Decoder, DecoderLayer

WORTH_A_LAUNCH = 4 * 2**20  # bytes


@dataclass(frozen=True)
class Fold:
    """The products of one layer, where they are worth it.

    query: (HK, HK), self-attention's output before the cross-attention's query.
    into: (F or 2F, HK), cross-attention's output before the feed-forward.
    qkv: (3HK, F), the feed-forward's output before the next layer's qkv; None in the last layer too.
    """

    query: torch.Tensor | None
    into: torch.Tensor | None
    qkv: torch.Tensor | None


def fold(weights: Decoder, worth: int = WORTH_A_LAUNCH) -> tuple[Fold, ...]:
    """For each layer the products whose bytes are worth the launches that they save."""
    following = [layer.qkv for layer in weights.layers[1:]]
    return tuple(
        _fold(layer, after, worth) for layer, after in zip(weights.layers, [*following, None], strict=True)
    )


def _fold(layer: DecoderLayer, following: torch.Tensor | None, worth: int) -> Fold:
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
    return Fold(query, into, qkv)


def _product(after: torch.Tensor, before: torch.Tensor) -> torch.Tensor | None:
    """(N, P) of (N, D) and (D, P), in their type, summed in float32; None when float16 does not hold it."""
    product = torch.mm(after.float(), before.float()).to(after.dtype)
    return product if product.isfinite().all() else None
