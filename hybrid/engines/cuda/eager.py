"""The parts of encoders and decoders in plain PyTorch, and a decode step of them; on any device.

The sums that go from layer to layer, `rows`, are of the weights' type; with
float16 they are float32, since those of T5 grow beyond what float16 holds, and the
inside of the feed-forward is scaled down.

Letters: N rows (tokens), B prompts, S queries, T keys or capacity in generated tokens, D model width,
F feed-forward width, H heads, K head width, V vocabulary.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hybrid.engines.cuda.buffers import DecodeBuffers
from hybrid.engines.cuda.weights import PackedDecoder, PackedFeedForward

LARGEST = torch.finfo(torch.float16).max
# Hidden values of float16 feed-forwards are held in units of 64: up to 4,194,240, and exact to 4e-6 near 0.
HIDDEN_UNIT = 64.0


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """Choose the type of the rows that layers add to, for weights of type `dtype`."""
    return torch.float32 if dtype == torch.float16 else dtype


def unit_rms(rows: torch.Tensor, eps: float) -> torch.Tensor:
    """Divide (N, D) rows by their root mean square (Zhang and Sennrich 2019), without a gain."""
    return functional.rms_norm(rows, rows.shape[-1:], eps=eps)


def normed(rows: torch.Tensor, eps: float, dtype: torch.dtype) -> torch.Tensor:
    """Divide (N, D) rows by their root mean square, in the weights' type."""
    return unit_rms(rows, eps).to(dtype)


def finite(values: torch.Tensor) -> torch.Tensor:
    """Cut overflows of a product in float16 to the largest number; other types stay as they are."""
    return values.clamp_(-LARGEST, LARGEST) if values.dtype == torch.float16 else values


def add_product(rows: torch.Tensor, part: torch.Tensor, weight: torch.Tensor, unit: float = 1.0) -> None:
    """Add unit * part weight' to rows, with (N, D), (N, C) and (D, C); addmm() would copy the rows first."""
    if rows.dtype == part.dtype:
        rows.addmm_(part, weight.t(), alpha=unit)
    else:
        rows.add_(finite(torch.mm(part, weight.t())), alpha=unit)


def feed_forward(rows: torch.Tensor, weights: PackedFeedForward, eps: float) -> None:
    """Add act(x W') Wd' to rows, (N, D), with x the normed rows; act is gated GELU or ReLU."""
    dtype = weights.into.dtype
    inner = finite(functional.linear(normed(rows, eps, dtype), weights.into))
    if dtype == torch.float16:
        hidden = _activated(inner.float(), weights.gated).div_(HIDDEN_UNIT).clamp_(-LARGEST, LARGEST)
        add_product(rows, hidden.to(dtype), weights.out, HIDDEN_UNIT)
    else:
        add_product(rows, _activated(inner, weights.gated), weights.out)


def _activated(inner: torch.Tensor, gated: bool) -> torch.Tensor:
    if not gated:
        return inner.relu_()
    gate, up = inner.chunk(2, dim=1)
    return functional.gelu(gate, approximate="tanh").mul_(up)


def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Attend with (B, H, S, K) queries to (B, H, T, K) keys and values, unscaled: (B * S, HK).

    bias: broadcasts to (B, H, S, T); -inf hides a key.
    """
    shape = (*query.shape[:3], keys.shape[2])
    with _one_kernel(query.device):
        mixed = functional.scaled_dot_product_attention(
            query, keys, values, attn_mask=bias.expand(shape), scale=1.0
        )
    return mixed.transpose(1, 2).flatten(2).flatten(0, 1)


def _one_kernel(device: torch.device) -> AbstractContextManager[None]:
    """Choose, on a GPU, the one fused attention that takes any bias and every precision."""
    if device.type != "cuda":
        return nullcontext()
    return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def padding_mask(lengths: torch.Tensor, longest: int, dtype: torch.dtype) -> torch.Tensor:
    """Give (B, 1, 1, S): 0 for the first `lengths` keys of each prompt, -inf for the padding behind."""
    real = torch.arange(longest, device=lengths.device) < lengths[:, None]
    mask = torch.zeros(real.shape, dtype=dtype, device=lengths.device)
    return mask.masked_fill_(~real, -torch.inf)[:, None, None]


class EagerDecodeStep:
    """One greedy decode step: takes the ids at `positions` of the buffers, gives those that follow."""

    def __init__(self, weights: PackedDecoder, buffers: DecodeBuffers) -> None:
        self._weights, self._buffers = weights, buffers
        self._dtype = weights.head.dtype
        self._biases = _biases_by_position(weights, buffers.self_kv_cache.shape[4])

    def __call__(self) -> None:
        weights, buffers = self._weights, self._buffers
        position = buffers.positions[:1]
        bias = self._biases.index_select(0, position).unsqueeze(2)  # (1, H, 1, T)
        mask = padding_mask(buffers.lengths, buffers.cross_kv_cache.shape[4], self._dtype)
        rows = buffers.inputs.to(sum_type(self._dtype))  # float32 rows are added to where they stand
        for layer, self_kv, cross_kv in zip(
            weights.layers, buffers.self_kv_cache, buffers.cross_kv_cache, strict=True
        ):
            qkv = self._heads(rows, layer.qkv, 3)
            self_kv.index_copy_(3, position, qkv[:, 1:].transpose(0, 1))
            add_product(rows, attend(qkv[:, 0], self_kv[0], self_kv[1], bias), layer.out)
            query = self._heads(rows, layer.cross_query, 1)
            add_product(rows, attend(query[:, 0], cross_kv[0], cross_kv[1], mask), layer.cross_out)
            feed_forward(rows, layer.feed_forward, weights.eps)
        buffers.logits.copy_(functional.linear(normed(rows, weights.eps, self._dtype), weights.head))
        ids = buffers.logits.argmax(1)
        buffers.ids.index_copy_(0, position, ids.unsqueeze(0))
        buffers.inputs.copy_(weights.embeddings.index_select(0, ids))
        buffers.positions.add_(1)

    def _heads(self, rows: torch.Tensor, weight: torch.Tensor, parts: int) -> torch.Tensor:
        """Project (B, D) rows to (B, parts, H, 1, K)."""
        projected = finite(functional.linear(normed(rows, self._weights.eps, self._dtype), weight))
        return projected.view(len(rows), parts, self._weights.heads, 1, self._weights.head_width)


def _biases_by_position(weights: PackedDecoder, capacity: int) -> torch.Tensor:
    """Give (T, H, T): for each position the bias of every key, -inf for those behind it."""
    positions = torch.arange(capacity, device=weights.bias.device)
    distances = positions[:, None] - positions
    biases = weights.bias[:, distances.clamp(min=0)]  # (H, T, T)
    return biases.masked_fill(distances < 0, -torch.inf).transpose(0, 1).to(weights.head.dtype).contiguous()
