"""What the torch engine multiplies, norms and turns with: packed matrices, and tables of rotary positions.

Every matrix is held as (d_in, d_out), rows contiguous: a row vector times such
a matrix reads memory in order, up to twice as fast as the transposed layout of
nn.Linear. For several rows at once oneDNN's own layout in blocks is faster
still. The gain and bias of a norm are folded into what reads it, which saves
operations and moves results only by rounding.

Letters: N rows (tokens of all prompts, or of a pass), D model width, V vocabulary, P positions, S tokens,
H heads, K head width.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hybrid.models.architectures.records import Linear, Norm, Rotary

if TYPE_CHECKING:
    from hybrid.engines.torch.layers import PackedLayer

USUAL_ROWS = 5  # for which oneDNN chooses its layout: a verified draft has so many

Normalize = Callable[[torch.Tensor], torch.Tensor]


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
        """Bring `tensor` there, cut off from training; the same memory when nothing changes."""
        return tensor.detach().to(self.device, self.dtype)

    @property
    def exact_on_cpu(self) -> bool:
        """Whether it is float32 on the CPU, where some operations are worth rewriting."""
        return self.device.type == "cpu" and self.dtype == torch.float32

    @property
    def blocks(self) -> bool:
        """Whether matrices are in oneDNN's layout."""
        return self.several and self.exact_on_cpu and torch.backends.mkldnn.is_available()


class Packed(NamedTuple):
    """weight: (d_in, d_out), or in oneDNN's layout. bias: (d_out,)."""

    weight: torch.Tensor
    bias: torch.Tensor | None


def stacked(
    linears: Sequence[Linear], norm: Norm | None, scale: float
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Stack linears in float32, (sum of their outputs, D) and their biases, the norm before them within."""
    weight = torch.cat([linear.weight.detach().float() for linear in linears])
    bias = None
    if any(linear.bias is not None for linear in linears):
        bias = torch.cat([_bias(linear) for linear in linears])
    if norm is not None:
        if norm.bias is not None:
            shift = weight @ (norm.bias.detach().float() * scale)
            bias = shift if bias is None else bias + shift
        weight = weight * (norm.gain.detach().float() * scale)
    return weight, bias


def pack(target: Target, *linears: Linear, norm: Norm | None = None, scale: float = 1.0) -> Packed:
    """Make one matrix of linears that read the same input, (D, sum of their outputs).

    norm: what stands before them, folded in before rounding to the target's
    type. scale: of what they read, behind the norm.
    """
    weight, bias = stacked(linears, norm, scale)
    put_bias = None if bias is None else target.put(bias)
    if target.blocks:
        return Packed(torch.ops.mkldnn._reorder_linear_weight(weight, USUAL_ROWS), put_bias)
    return Packed(target.put(weight.t()).contiguous(), put_bias)


def _bias(linear: Linear) -> torch.Tensor:
    if linear.bias is not None:
        return linear.bias.detach().float()
    return linear.weight.new_zeros(len(linear.weight), dtype=torch.float32)


def mm(rows: torch.Tensor, packed: Packed) -> torch.Tensor:
    """(N, D) rows times a packed matrix, (D, any)."""
    weight, bias = packed
    if weight.is_mkldnn:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
        return product
    return torch.mm(rows, weight) if bias is None else torch.addmm(bias, rows, weight)


def add_mm(rows: torch.Tensor, inner: torch.Tensor, packed: Packed) -> torch.Tensor:
    """`rows` plus `inner` times a packed matrix."""
    weight, bias = packed
    if weight.is_mkldnn:
        return mm(inner, packed).add_(rows)
    added = torch.addmm(rows, inner, weight)
    return added if bias is None else added.add_(bias)


def argmax(logits: torch.Tensor) -> list[int]:
    """Find the index of the largest in each row of (N, V)."""
    shared = _shared(logits)
    ids: list[int] = (logits if shared is None else shared).argmax(1).tolist()
    return ids


def argmax_reader(logits: torch.Tensor) -> Callable[[], int]:
    """Make a reader of the largest logit's index, of (1, V)."""
    shared = _shared(logits)
    if shared is None:
        return lambda: int(logits.argmax())
    return lambda: int(shared.argmax())


def argmax_probability_reader(logits: torch.Tensor) -> Callable[[], tuple[int, float]]:
    """Make a reader of the index of the largest of `logits`, (1, V), and its probability."""
    shared = _shared(logits)
    if shared is None:

        def read() -> tuple[int, float]:
            largest = logits.float().softmax(1).max(1)
            # Brought over together, since each wait for a GPU costs; float64 holds every id.
            index, probability = torch.cat([largest.indices.double(), largest.values.double()]).tolist()
            return int(index), probability

        return read
    row = shared[0]

    def read_row() -> tuple[int, float]:
        index = int(row.argmax())
        return index, 1.0 / float(np.exp(row - row[index]).sum())

    return read_row


def _shared(logits: torch.Tensor) -> NDArray[np.float32] | None:
    """Give numpy's view of float32 on the CPU, whose argmax is ten times as fast; None of anything else."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return None
    return logits.numpy()


def unit_rms(rows: torch.Tensor, eps: float) -> torch.Tensor:
    """(N, D) rows over their root mean square (Zhang and Sennrich 2019); the gain is folded elsewhere."""
    return functional.rms_norm(rows, rows.shape[-1:], eps=eps)


def normalize(norm: Norm | None) -> Normalize:
    """Make the norm of any number of rows, its gain and bias left out; rows stay as they are without one."""
    if norm is None:
        return _same
    eps, width = norm.eps, len(norm.gain)
    if norm.kind == "layer":
        return lambda rows: functional.layer_norm(rows, (width,), eps=eps)
    return lambda rows: unit_rms(rows, eps)


def whole_norm(norm: Norm | None, target: Target) -> Normalize:
    """Make the norm of any number of rows with its gain and bias; rows stay as they are without one."""
    if norm is None:
        return _same
    eps, gain, width = norm.eps, target.put(norm.gain), (len(norm.gain),)
    bias = None if norm.bias is None else target.put(norm.bias)
    if norm.kind == "layer":
        return lambda rows: functional.layer_norm(rows, width, gain, bias, eps)
    return lambda rows: unit_rms(rows, eps) * gain


def _same(rows: torch.Tensor) -> torch.Tensor:
    return rows


def normalize_row(norm: Norm | None, target: Target) -> Normalize:
    """Make the same for a single row; an RMS on the CPU takes three small operations in place of seven."""
    if norm is None or norm.kind != "rms" or not target.exact_on_cpu:
        return normalize(norm)
    epsilon, inverse = torch.full((1, 1), norm.eps), 1 / len(norm.gain)

    def unit(row: torch.Tensor) -> torch.Tensor:
        mean_square = torch.addmm(epsilon, row, row.t(), alpha=inverse)
        return row * mean_square.rsqrt_()

    return unit


def normalize_rows(norm: Norm | None, target: Target) -> Normalize:
    """Make the same for several rows; an RMS on the CPU takes four small operations in place of seven."""
    if norm is None or norm.kind != "rms" or not target.exact_on_cpu:
        return normalize(norm)
    width = len(norm.gain)
    epsilon, mean = torch.full((1, 1), norm.eps), torch.full((width, 1), 1 / width)
    return lambda rows: rows * torch.addmm(epsilon, rows * rows, mean).rsqrt_()


class Turns:
    """What queries and keys at each position are turned by. width: K; the first T channels turn."""

    def __init__(self, rotary: Rotary, width: int, target: Target, positions: int) -> None:
        angles = torch.arange(positions)[:, None] * rotary.frequencies.detach().float().cpu()  # (P, T/2)
        sines = torch.stack([-angles.sin(), angles.sin()], dim=1)
        self.cosines = target.put(angles.cos()[:, None, None])  # (P, 1, 1, T/2)
        self.sines = target.put(sines[:, None])  # (P, 1, 2, T/2)
        self.width, self.turned = width, 2 * angles.shape[1]

    def turn(self, rows: torch.Tensor, heads: int, positions: slice | torch.Tensor) -> None:
        """Turn the first `heads` heads of (N, any) rows in place; they stand at `positions`."""
        by_head = rows[:, : heads * self.width].view(len(rows), heads, self.width)
        halves = by_head[:, :, : self.turned].view(len(rows), heads, 2, -1)
        turned = halves.flip(2).mul_(self.sines[positions])
        halves.mul_(self.cosines[positions]).add_(turned)


def turns_of(layers: Sequence["PackedLayer"], target: Target, positions: int) -> list[Turns | None]:
    """Make the tables of each layer for so many positions; None where it has no rotary ones."""
    rotaries = {id(layer.rotary): (layer.rotary, layer.head_width) for layer in layers}
    tables = {
        key: Turns(rotary, width, target, positions) for key, (rotary, width) in rotaries.items() if rotary
    }
    return [tables.get(id(layer.rotary)) for layer in layers]


def causal_bias(tokens: int, window: int | None, like: torch.Tensor) -> torch.Tensor | None:
    """(1, 1, S, S): what keeps each token from seeing what follows, and what is no nearer than `window`.

    None where nothing is too far: that is causal attention as torch has it. like: of its type, on its device.
    """
    if window is None or window >= tokens:
        return None
    places = torch.arange(tokens, device=like.device)
    distances = places[:, None] - places
    return like.new_zeros(1, 1, tokens, tokens).masked_fill_(
        (distances < 0) | (distances >= window), -torch.inf
    )
