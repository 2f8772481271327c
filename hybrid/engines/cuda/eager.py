"""The parts of encoders and decoders in plain PyTorch, on any device: what captured graphs are made of.

The sums that go from layer to layer, `rows`, are of the weights' type; with
float16 they are float32, since those of T5 grow beyond what float16 holds, and the
inside of the feed-forward is scaled down.

Letters: N rows (tokens), B prompts, n tokens of each, S of a bucket, T keys or capacity in tokens, D model
width, F feed-forward width, H heads, G key-value heads of which each serves R = H / G, K head width.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from hybrid.engines.cuda.weights import PackedFeedForward, PackedLayer, PackedLinear, PackedStack
from hybrid.engines.torch.layers import ACTIVATIONS

LARGEST = torch.finfo(torch.float16).max
# Hidden values of float16 feed-forwards are held in units of 64: up to 4,194,240, and exact to 4e-6 near 0.
HIDDEN_UNIT = 64.0
# What a GPU attends with: one fused kernel that takes any bias and every precision, or those without a bias.
BIASED = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
CAUSAL = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

Attend = Callable[[torch.Tensor], torch.Tensor]


def sum_type(dtype: torch.dtype) -> torch.dtype:
    """Choose the type of the rows that layers add to, for weights of type `dtype`."""
    return torch.float32 if dtype == torch.float16 else dtype


def unit(rows: torch.Tensor, stack: PackedStack) -> torch.Tensor:
    """Norm (N, D) rows as a stack does, without gain and bias: RMS (Zhang and Sennrich 2019) or LayerNorm."""
    if stack.norm == "layer":
        return functional.layer_norm(rows, rows.shape[-1:], eps=stack.eps)
    return functional.rms_norm(rows, rows.shape[-1:], eps=stack.eps)


def normed(rows: torch.Tensor, stack: PackedStack) -> torch.Tensor:
    """Norm (N, D) rows, in the weights' type."""
    return unit(rows, stack).to(stack.embeddings.dtype)


def finite(values: torch.Tensor) -> torch.Tensor:
    """Cut overflows of a product in float16 to the largest number; other types stay as they are."""
    return values.clamp_(-LARGEST, LARGEST) if values.dtype == torch.float16 else values


def project(rows: torch.Tensor, linear: PackedLinear) -> torch.Tensor:
    """(N, d_in) to (N, d_out)."""
    return finite(functional.linear(rows, *linear))


def add_product(rows: torch.Tensor, part: torch.Tensor, linear: PackedLinear, unit: float = 1.0) -> None:
    """Add unit * part weight' + bias to rows, with (N, D) and (N, C); addmm() would copy the rows first."""
    if rows.dtype == part.dtype:
        rows.addmm_(part, linear.weight.t(), alpha=unit)
    else:
        rows.add_(finite(torch.mm(part, linear.weight.t())), alpha=unit)
    if linear.bias is not None:
        rows.add_(linear.bias)


def run_layer(
    rows: torch.Tensor, layer: PackedLayer, stack: PackedStack, attend: Attend, cross: Attend | None = None
) -> None:
    """Add to (N, D) rows what a layer adds.

    attend: from (N, (H + 2G)K) queries, keys and values to (N, HK); cross: from (N, HK) queries.
    """
    add_product(rows, attend(project(normed(rows, stack), layer.qkv)), layer.out)
    if cross is not None and layer.cross_query is not None and layer.cross_out is not None:
        add_product(rows, cross(project(normed(rows, stack), layer.cross_query)), layer.cross_out)
    _feed_forward(rows, normed(rows, stack), layer.feed_forward)


def _feed_forward(rows: torch.Tensor, normed: torch.Tensor, weights: PackedFeedForward) -> None:
    inner = project(normed, weights.into)
    if inner.dtype == torch.float16:
        hidden = _activated(inner.float(), weights).div_(HIDDEN_UNIT).clamp_(-LARGEST, LARGEST)
        add_product(rows, hidden.to(inner.dtype), weights.out, HIDDEN_UNIT)
    else:
        add_product(rows, _activated(inner, weights), weights.out)


def _activated(inner: torch.Tensor, weights: PackedFeedForward) -> torch.Tensor:
    activate = ACTIVATIONS[weights.activation]
    if not weights.gated:
        return activate(inner)
    gate, up = inner.chunk(2, dim=1)
    return activate(gate).mul_(up)


def split_heads(
    qkv: torch.Tensor, stack: PackedStack, batch: int, turns: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(B * n, (H + 2G)K) to queries (B, H, n, K), keys and values (B, G, n, K).

    turns: what queries and keys are turned by, (2, B or 1, n, 1, K).
    """
    heads, others = stack.heads, stack.key_value_heads
    by_head = qkv.view(batch, -1, heads + 2 * others, stack.head_width)
    if turns is not None:
        turned, (cosines, sines) = by_head[:, :, : heads + others], turns
        swapped = turned.roll(stack.head_width // 2, -1)
        turned.mul_(cosines).addcmul_(swapped, sines)
    query, keys, values = by_head.transpose(1, 2).split((heads, others, others), dim=1)
    return query, keys, values


def turns_at(stack: PackedStack, places: torch.Tensor) -> torch.Tensor | None:
    """Give (2, B or 1, n, 1, K), what tokens at `places`, (B or 1, n), are turned by; None without any."""
    if stack.turns is None:
        return None
    return stack.turns[:, places].unsqueeze(3).to(stack.embeddings.dtype)


def placed(rows: torch.Tensor, stack: PackedStack, places: torch.Tensor) -> torch.Tensor:
    """Add learned positions to embeddings, (any, D), of tokens at `places`, which broadcast to any."""
    if stack.places is None:
        return rows
    return rows + stack.places[places.clamp(max=len(stack.places) - 1)]


def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Attend with (B, H, n, K) queries to (B, G, T, K) keys and values, unscaled: (B * n, HK).

    bias: broadcasts to (B, H, n, T), and to every head alike where R > 1; -inf hides a key.
    """
    (batch, heads, count, width), (groups, longest) = query.shape, keys.shape[1:3]
    if groups != heads:
        query = query.reshape(batch, groups, -1, width)  # R * n queries of each key-value head
        bias = bias.repeat(1, 1, heads // groups, 1) if count > 1 else bias
    with _kernels(query.device, BIASED):
        mixed = functional.scaled_dot_product_attention(
            query, keys, values, attn_mask=bias.expand(*query.shape[:3], longest), scale=1.0
        )
    return _by_token(mixed.reshape(batch, heads, count, width))


def attend_causally(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Attend with (B, H, S, K) queries to (B, G, S, K) keys and values, none behind them: (B * S, HK)."""
    shared = query.shape[1] != keys.shape[1]
    with _kernels(query.device, CAUSAL):
        return _by_token(
            functional.scaled_dot_product_attention(
                query, keys, values, is_causal=True, scale=1.0, enable_gqa=shared
            )
        )


def _by_token(mixed: torch.Tensor) -> torch.Tensor:
    return mixed.transpose(1, 2).flatten(2).flatten(0, 1)


def _kernels(device: torch.device, backends: list[SDPBackend]) -> AbstractContextManager[None]:
    return sdpa_kernel(backends) if device.type == "cuda" else nullcontext()


def padding_mask(lengths: torch.Tensor, longest: int, dtype: torch.dtype) -> torch.Tensor:
    """Give (B, 1, 1, S): 0 for the first `lengths` keys of each prompt, -inf for the padding behind."""
    real = torch.arange(longest, device=lengths.device) < lengths[:, None]
    mask = torch.zeros(real.shape, dtype=dtype, device=lengths.device)
    return mask.masked_fill_(~real, -torch.inf)[:, None, None]
