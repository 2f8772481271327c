"""One greedy decode step for B answers in plain PyTorch, over buffers that stay where they are.

Letters: B answers, S prompt tokens, T capacity in generated tokens, D model width,
H heads, K head width, V vocabulary.
"""

import torch
from torch.nn import functional

from hybrid.engines.cuda.buffers import Buffers
from hybrid.engines.cuda.plain import add_product, attend, feed_forward, finite, hidden_keys, normed, sum_type
from hybrid.engines.cuda.weights import Decoder


class PlainStep:
    """Reads the ids at `positions` of the buffers, writes those that follow, and moves on by one."""

    def __init__(self, weights: Decoder, buffers: Buffers) -> None:
        self._weights, self._buffers = weights, buffers
        self._dtype = weights.head.dtype
        self._biases = _biases(weights, buffers.own.shape[4])

    def __call__(self) -> None:
        weights, buffers = self._weights, self._buffers
        position = buffers.positions[:1]
        bias = self._biases.index_select(0, position).unsqueeze(2)  # (1, H, 1, T)
        mask = hidden_keys(buffers.lengths, buffers.crossed.shape[4], self._dtype)
        rows = buffers.rows.to(sum_type(self._dtype))  # float32 rows are added to where they stand
        for layer, own, crossed in zip(weights.layers, buffers.own, buffers.crossed, strict=True):
            qkv = self._heads(rows, layer.qkv, 3)
            own.index_copy_(3, position, qkv[:, 1:].transpose(0, 1))
            add_product(rows, attend(qkv[:, 0], own[0], own[1], bias), layer.out)
            query = self._heads(rows, layer.cross_query, 1)
            add_product(rows, attend(query[:, 0], crossed[0], crossed[1], mask), layer.cross_out)
            feed_forward(rows, layer.feed_forward, weights.eps)
        buffers.logits.copy_(functional.linear(normed(rows, weights.eps, self._dtype), weights.head))
        ids = buffers.logits.argmax(1)
        buffers.ids.index_copy_(0, position, ids.unsqueeze(0))
        buffers.rows.copy_(weights.embeddings.index_select(0, ids))
        buffers.positions.add_(1)

    def _heads(self, rows: torch.Tensor, weight: torch.Tensor, parts: int) -> torch.Tensor:
        """(B, parts, H, 1, K) of (B, D) rows."""
        found = finite(functional.linear(normed(rows, self._weights.eps, self._dtype), weight))
        return found.view(len(rows), parts, self._weights.heads, 1, self._weights.head_width)


def _biases(weights: Decoder, capacity: int) -> torch.Tensor:
    """(T, H, T): for each position, the bias of every key, -inf for those behind it."""
    places = torch.arange(capacity, device=weights.bias.device)
    distances = places[:, None] - places
    biases = weights.bias[:, distances.clamp(min=0)]  # (H, T, T)
    return biases.masked_fill(distances < 0, -torch.inf).transpose(0, 1).to(weights.head.dtype).contiguous()
