"""What the lean T5 encoder and decoder share: packed weights, norm, feed-forward, position bias.

Raffel et al. 2020, arXiv 1910.10683, in the v1.1 form: RMS norm before each
part, gated GELU, no biases, attention scores not scaled, one relative position
bias per stack. Every matrix is held as (d_in, d_out), rows contiguous: a row
vector times such a matrix reads memory in order, up to twice as fast as the
transposed layout of nn.Linear. A norm's gain is folded into the matrix that
reads it, which saves one operation and moves results only by rounding.

Letters: S rows (tokens), D model width, F feed-forward width, H heads, K head width.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from hybrid.errors import EngineError


@dataclass(frozen=True)
class Target:
    """Where packed weights live, and as which floating point type."""

    device: torch.device
    dtype: torch.dtype

    def put(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` there, cut off from training; the same memory when nothing changes."""
        return tensor.detach().to(self.device, self.dtype)


def pack(target: Target, *linears: nn.Linear, gain: torch.Tensor | None = None) -> torch.Tensor:
    """Bias-free linears that read the same input as one matrix, (D, sum of their outputs).

    gain: (D,) of the norm before them, folded in before rounding to the target's type.
    """
    weight = torch.cat([linear.weight.detach().float() for linear in linears])
    if gain is not None:
        weight = weight * gain.detach().float()
    return target.put(weight.t()).contiguous()


def unit_rms(rows: torch.Tensor, eps: float) -> torch.Tensor:
    """(S, D) rows over their root mean square (Zhang and Sennrich 2019); the gain is folded elsewhere."""
    return functional.rms_norm(rows, rows.shape[-1:], eps=eps)


class FeedForward:
    """h + (gelu(x Wg) * (x Wu)) Wd with x = unit_rms(h): T5's gated GELU (Shazeer 2020)."""

    def __init__(self, layer: Any, target: Target) -> None:
        dense, gain = layer.DenseReluDense, layer.layer_norm.weight
        self.gate = pack(target, dense.wi_0, gain=gain)  # (D, F)
        self.up = pack(target, dense.wi_1, gain=gain)  # (D, F)
        self.down = pack(target, dense.wo)  # (F, D)

    def __call__(self, rows: torch.Tensor, normed: torch.Tensor) -> torch.Tensor:
        gate = functional.gelu(torch.mm(normed, self.gate), approximate="tanh")
        return torch.addmm(rows, gate.mul_(torch.mm(normed, self.up)), self.down)


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


def check_supported(config: Any) -> None:
    """Raise EngineError when the model is not a T5 with gated GELU."""
    if config.model_type != "t5" or config.feed_forward_proj != "gated-gelu":
        kind = f"{config.model_type} with {getattr(config, 'feed_forward_proj', 'another')} feed-forward"
        raise EngineError(
            f"The torch engine runs t5 models with gated-gelu feed-forward; this one is {kind}."
        )
