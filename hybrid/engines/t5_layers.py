"""What the lean T5 encoder and decoder share: packed weights, norm, feed-forward, position bias.

Raffel et al. 2020, arXiv 1910.10683: RMS norm before each part, no biases,
attention scores not scaled, one relative position bias per stack, and a
feed-forward part with ReLU (T5) or gated GELU (T5 v1.1, Flan-T5, mT5). Every
matrix is held as (d_in, d_out), rows contiguous: a row vector times such a
matrix reads memory in order, up to twice as fast as the transposed layout of
nn.Linear. For several rows at once oneDNN's own layout in blocks is faster
still. A norm's gain is folded into the matrix that reads it, which saves one
operation and moves results only by rounding.

Letters: S rows (tokens), D model width, F feed-forward width, H heads, K head width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

USUAL_ROWS = 5  # for which oneDNN chooses its layout: a verified draft has so many

Norm = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Target:
    """Where packed weights live, as which floating point type, and for what.

    several: matrices are laid out for several rows at a time, and only mm and
    add_mm take them. Nothing changes where oneDNN is not what multiplies them.
    """

    device: torch.device
    dtype: torch.dtype
    several: bool = False

    def put(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` there, cut off from training; the same memory when nothing changes."""
        return tensor.detach().to(self.device, self.dtype)

    @property
    def blocks(self) -> bool:
        """Whether matrices are in oneDNN's layout."""
        exact_on_cpu = self.device.type == "cpu" and self.dtype == torch.float32
        return self.several and exact_on_cpu and torch.backends.mkldnn.is_available()


def pack(target: Target, *linears: nn.Linear, gain: torch.Tensor | None = None) -> torch.Tensor:
    """Bias-free linears that read the same input as one matrix, (D, sum of their outputs).

    gain: (D,) of the norm before them, folded in before rounding to the target's type.
    """
    weight = torch.cat([linear.weight.detach().float() for linear in linears])
    if gain is not None:
        weight = weight * gain.detach().float()
    if target.blocks:
        blocked: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, USUAL_ROWS)
        return blocked
    return target.put(weight.t()).contiguous()


def mm(rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """(S, D) rows times a packed matrix, (D, any)."""
    if weight.is_mkldnn:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
        return product
    return torch.mm(rows, weight)


def add_mm(rows: torch.Tensor, inner: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`rows` plus `inner` times a packed matrix."""
    return mm(inner, weight).add_(rows) if weight.is_mkldnn else torch.addmm(rows, inner, weight)


def argmax(logits: torch.Tensor) -> list[int]:
    """The index of the largest in each row of (S, V); numpy's is ten times as fast on the CPU."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        ids: list[int] = logits.argmax(1).tolist()
    else:
        ids = logits.numpy().argmax(1).tolist()
    return ids


def unit_rms(rows: torch.Tensor, eps: float) -> torch.Tensor:
    """(S, D) rows over their root mean square (Zhang and Sennrich 2019); the gain is folded elsewhere."""
    return functional.rms_norm(rows, rows.shape[-1:], eps=eps)


def rms_of_rows(width: int, eps: float, target: Target) -> Norm:
    """unit_rms for rows of `width`; on the CPU in float32, four small operations in place of seven."""
    if target.device.type != "cpu" or target.dtype != torch.float32:
        return lambda rows: unit_rms(rows, eps)
    epsilon, mean = torch.full((1, 1), eps), torch.full((width, 1), 1 / width)
    return lambda rows: rows * torch.addmm(epsilon, rows * rows, mean).rsqrt_()


class FeedForward:
    """h + relu(x Wi) Wo, or T5's gated GELU (Shazeer 2020), h + (gelu(x Wg) * (x Wu)) Wo.

    x = unit_rms(h); Wi, Wg, Wu: (D, F), Wo: (F, D).
    """

    def __init__(self, layer: Any, target: Target) -> None:
        dense, gain = layer.DenseReluDense, layer.layer_norm.weight
        self.gated = hasattr(dense, "wi_0")
        into = (dense.wi_0, dense.wi_1) if self.gated else (dense.wi,)
        self.into = pack(target, *into, gain=gain)  # (D, 2F) when gated, else (D, F)
        self.out = pack(target, dense.wo)

    def __call__(self, rows: torch.Tensor, normed: torch.Tensor) -> torch.Tensor:
        inner = mm(normed, self.into)
        if self.gated:
            gate, up = inner.chunk(2, dim=1)
            inner = functional.gelu(gate, approximate="tanh").mul_(up)
        else:
            inner.relu_()
        return add_mm(rows, inner, self.out)


def bias_by_distance(stack: Any, target: Target, reach: int) -> torch.Tensor:
    """A stack's relative position bias for one query seen from every distance.

    Column j is the bias of a key j - (reach - 1) tokens after the query:
    (H, 2 * reach - 1) in an encoder, (H, reach) in a decoder, which has no
    keys after the query. Block 0 owns the table, all blocks use it.
    """
    attention = stack.block[0].layer[0].SelfAttention
    columns = reach if stack.is_decoder else 2 * reach - 1
    with torch.no_grad():
        table = attention.compute_bias(1, columns, past_seen_tokens=reach - 1)  # (1, H, 1, columns)
    return target.put(table[0, :, 0]).contiguous()


def widened(bias: torch.Tensor, reach: int) -> torch.Tensor:
    """bias_by_distance of a decoder, (H, any), made to reach over `reach` tokens, (H, reach).

    What is farther than `bias` reaches has the bias of its farthest column, so
    that must be beyond relative_attention_max_distance.
    """
    columns = torch.arange(bias.shape[1] - reach, bias.shape[1], device=bias.device)
    return bias[:, columns.clamp_(min=0)]
