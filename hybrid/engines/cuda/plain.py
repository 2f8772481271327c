"""T5's parts in plain PyTorch on rows of fixed number, for encoder and decoder, on any device.

The sums that go from layer to layer, `rows`, are of the weights' type; with
float16 they are float32, since T5's grow beyond what float16 holds, and the
inside of the feed-forward is scaled down.

Letters: N rows (tokens), B prompts, S queries, T keys, D model width, F feed-forward width,
H heads, K head width.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hybrid.engines.cuda.weights import FeedForward
from hybrid.engines.torch.layers import unit_rms

LARGEST = torch.finfo(torch.float16).max
# Hidden values of float16 feed-forwards are held in units of 64: up to 4,194,240, and exact to 4e-6 near 0.
HIDDEN_UNIT = 64.0


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """The type of the rows that layers add to, for weights of type `dtype`."""
    return torch.float32 if dtype == torch.float16 else dtype


def normed(rows: torch.Tensor, eps: float, dtype: torch.dtype) -> torch.Tensor:
    """(N, D) rows over their root mean square, in the weights' type."""
    return unit_rms(rows, eps).to(dtype)


def finite(values: torch.Tensor) -> torch.Tensor:
    """What a product in float16 gave, overflows cut to the largest number; other types as they are."""
    return values.clamp_(-LARGEST, LARGEST) if values.dtype == torch.float16 else values


def add_product(rows: torch.Tensor, part: torch.Tensor, weight: torch.Tensor, unit: float = 1.0) -> None:
    """rows += unit * part weight' with (N, D), (N, C) and (D, C); addmm() would copy the rows first."""
    if rows.dtype == part.dtype:
        rows.addmm_(part, weight.t(), alpha=unit)
    else:
        rows.add_(finite(torch.mm(part, weight.t())), alpha=unit)


def feed_forward(rows: torch.Tensor, weights: FeedForward, eps: float) -> None:
    """rows += act(x W') Wd' with x the normed rows, (N, D); act is gated GELU or ReLU."""
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
    """(B, H, S, K) queries over (B, H, T, K) keys and values, unscaled: (B * S, HK).

    bias: broadcasts to (B, H, S, T); -inf hides a key.
    """
    shape = (*query.shape[:3], keys.shape[2])
    with _one_kernel(query.device):
        mixed = functional.scaled_dot_product_attention(
            query, keys, values, attn_mask=bias.expand(shape), scale=1.0
        )
    return mixed.transpose(1, 2).flatten(2).flatten(0, 1)


def _one_kernel(device: torch.device) -> AbstractContextManager[None]:
    """On a GPU the one fused attention that takes any bias and every precision."""
    if device.type != "cuda":
        return nullcontext()
    return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])


def hidden_keys(lengths: torch.Tensor, longest: int, dtype: torch.dtype) -> torch.Tensor:
    """(B, 1, 1, S): 0 for the first `lengths` keys of each prompt, -inf for the padding behind them."""
    real = torch.arange(longest, device=lengths.device) < lengths[:, None]
    mask = torch.zeros(real.shape, dtype=dtype, device=lengths.device)
    return mask.masked_fill_(~real, -torch.inf)[:, None, None]
