"""What the torch engine's encoders and decoders share: packed weights, norms, positions.

Every matrix is held as (d_in, d_out), rows contiguous: a row vector times such
a matrix reads memory in order, up to twice as fast as the transposed layout of
nn.Linear. For several rows at once oneDNN's own layout in blocks is faster
still. The gain and bias of a norm are folded into what reads it, as is the
scale of attention scores into the queries, which saves operations and moves
results only by rounding.

Letters: N rows (tokens of all prompts, or of a pass), P positions, D model width, F feed-forward width,
H heads, G key-value heads of which each serves R = H / G heads, K head width, L layers, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from hybrid.errors import EngineError
from hybrid.models.architectures.records import (
    Activation,
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    LearnedPositions,
    Linear,
    Norm,
    RelativeBias,
    Stack,
)

USUAL_ROWS = 5  # for which oneDNN chooses its layout: a verified draft has so many

Normalize = Callable[[torch.Tensor], torch.Tensor]
Join = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Places = int | slice | torch.Tensor


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


def pack(target: Target, *linears: Linear, norm: Norm | None = None, scale: float = 1.0) -> Packed:
    """Make one matrix of linears that read the same input, (D, sum of their outputs).

    norm: what stands before them, folded in before rounding to the target's
    type. scale: of what they read, behind the norm.
    """
    weight = torch.cat([linear.weight.detach().float() for linear in linears])
    bias = None
    if any(linear.bias is not None for linear in linears):
        bias = torch.cat([_bias(linear) for linear in linears])
    if norm is not None:
        if norm.bias is not None:
            shift = weight @ (norm.bias.detach().float() * scale)
            bias = shift if bias is None else bias + shift
        weight = weight * (norm.gain.detach().float() * scale)
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
    """Find the index of the largest in each row of (N, V); numpy's is ten times as fast on the CPU."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        ids: list[int] = logits.argmax(1).tolist()
    else:
        ids = logits.numpy().argmax(1).tolist()
    return ids


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


def joined(part: Attention | FeedForward, out: Packed, target: Target) -> Join:
    """Make what adds a part's last product, (N, any) inner rows times `out`, to the (N, D) rows it read."""
    post, whole = part.post_norm, part.sum_norm

    def add(rows: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        return add_mm(rows, inner, out)

    if post is not None:
        norm_product = whole_norm(post, target)
        return lambda rows, inner: norm_product(mm(inner, out)).add_(rows)
    if whole is not None:
        norm_sum = whole_norm(whole, target)
        return lambda rows, inner: norm_sum(add_mm(rows, inner, out))
    return add


class PackedAttention:
    """into: (D, (H + 2G)K), queries, keys and values side by side; (D, HK), queries alone, when crossing.

    out: (HK, D). softcap: of the scores, which the queries have been divided by.
    """

    def __init__(self, attention: Attention, target: Target, crosses: bool = False) -> None:
        others = () if crosses else (attention.key, attention.value)
        self.softcap = attention.softcap
        scale = attention.scale if self.softcap is None else attention.scale / self.softcap
        self.into = pack(target, _scaled(attention.query, scale), *others, norm=attention.norm)
        self.out = pack(target, attention.output)
        self.join = joined(attention, self.out, target)

    def mix(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """(N, R, K) queries over (N, K, any) keys and (N, any, K) values: (N, R, K). bias: of the scores."""
        if self.softcap is None and bias is not None:
            scores = torch.baddbmm(bias, query, keys)
        else:
            scores = torch.bmm(query, keys)
        if self.softcap is not None:
            scores = scores.tanh_().mul_(self.softcap)
            scores = scores if bias is None else scores.add_(bias)
        return torch.bmm(scores.softmax(-1), values)


def _scaled(linear: Linear, scale: float) -> Linear:
    if scale == 1.0:
        return linear
    bias = None if linear.bias is None else linear.bias.detach().float() * scale
    return Linear(weight=linear.weight.detach().float() * scale, bias=bias)


class PackedFeedForward:
    """rows + act(x up) down, or with a gate rows + (act(x gate) * (x up)) down, for normed x.

    into: (D, F), or gate and up side by side, (D, 2F). out: (F, D).
    """

    def __init__(self, weights: FeedForward, target: Target) -> None:
        self.gated = weights.gate is not None
        gate = () if weights.gate is None else (weights.gate,)
        self.into = pack(target, *gate, weights.up, norm=weights.norm)
        self.out = pack(target, weights.down)
        self.join = joined(weights, self.out, target)
        self.activate = ACTIVATIONS[weights.activation]

    def __call__(self, rows: torch.Tensor, normed: torch.Tensor) -> torch.Tensor:
        inner = mm(normed, self.into)
        if self.gated:
            gate, up = inner.chunk(2, dim=1)
            inner = self.activate(gate).mul_(up)
        else:
            inner = self.activate(inner)
        return self.join(rows, inner)


def _gelu_tanh(rows: torch.Tensor) -> torch.Tensor:
    return functional.gelu(rows, approximate="tanh")


ACTIVATIONS: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu_,
    "gelu": functional.gelu,
    "gelu-tanh": _gelu_tanh,
    "silu": functional.silu,
}


class PackedLayer:
    """One layer's weights, whatever runs it; its cross-attention has the heads of its self-attention."""

    def __init__(self, layer: Layer, target: Target) -> None:
        own, cross = layer.self_attention, layer.cross_attention
        self.key_value_heads, self.head_width = own.key_value_heads, own.head_width
        self.group = own.heads // own.key_value_heads  # R
        self.rotary, self.window = own.rotary, own.window
        self.self_attention = PackedAttention(own, target)
        self.cross_attention = None if cross is None else PackedAttention(cross, target, crosses=True)
        self.feed_forward = PackedFeedForward(layer.feed_forward, target)


class PackedDecoder:
    """The weights of a decoder, packed for whoever decodes with them."""

    def __init__(self, stack: DecoderStack, target: Target) -> None:
        first, positions = stack.layers[0].self_attention, stack.positions
        self.target, self.norm, self.start = target, first.norm, stack.start
        self.embeddings = scaled_embeddings(stack, target)  # (V, D)
        self.softcap = stack.logit_softcap
        scale = stack.head_scale / (self.softcap or 1.0)
        self.head = pack(target, stack.head, norm=stack.final_norm, scale=scale)
        self.layers = [PackedLayer(layer, target) for layer in stack.layers]
        crossing = [layer.cross_attention for layer in stack.layers if layer.cross_attention is not None]
        keys_and_values: list[Linear] = [
            part for attention in crossing for part in (attention.key, attention.value)
        ]
        # (D, 2LHK) of the encoder's hidden states
        self.cross_kv_projection = pack(target, *keys_and_values) if crossing else None
        self.heads, self.key_value_heads, self.head_width = (
            first.heads,
            first.key_value_heads,
            first.head_width,
        )
        self.near_bias: torch.Tensor | None = None  # (H, max_distance + 1)
        if isinstance(positions, RelativeBias):
            self.near_bias = target.put(positions.by_distance(positions.max_distance + 1))
        self.entrance = Entrance(stack, target)

    @property
    def vocabulary(self) -> int:
        """How many ids it knows."""
        return len(self.embeddings)

    def position_bias(self, reach: int) -> torch.Tensor | None:
        """Give the bias of the keys up to `reach` tokens before a query, (H, reach), itself last."""
        if self.near_bias is None:
            return None
        # What is farther than max_distance has the bias of the farthest column.
        columns = torch.arange(self.near_bias.shape[1] - reach, self.near_bias.shape[1])
        return self.near_bias[:, columns.clamp_(min=0).to(self.near_bias.device)]

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, D) normed rows to (N, V)."""
        return self.cap(mm(rows, self.head))

    def cap(self, logits: torch.Tensor) -> torch.Tensor:
        """Cap logits, divided by the cap in the head, in place, where the model does."""
        return logits if self.softcap is None else logits.tanh_().mul_(self.softcap)


class Entrance:
    """What embeddings go through before the first layer: scale, positions and norm, where there are any."""

    def __init__(self, stack: Stack, target: Target) -> None:
        positions = stack.positions
        self.scale = stack.input_scale
        self.table = target.put(positions.table) if isinstance(positions, LearnedPositions) else None
        self.norm = None if stack.embedding_norm is None else whole_norm(stack.embedding_norm, target)
        self.open = self.scale == 1.0 and self.table is None and self.norm is None

    def __call__(self, rows: torch.Tensor, places: Places) -> torch.Tensor:
        """(N, D) embeddings of tokens that stand at `places`."""
        if self.scale != 1.0:
            rows = rows * self.scale
        if self.table is not None:
            rows = rows + self.table[places]
        return rows if self.norm is None else self.norm(rows)

    def check_room(self, tokens: int) -> None:
        """Raise EngineError when the table of positions ends before so many tokens."""
        if self.table is not None and tokens > len(self.table):
            raise EngineError(
                f"The model has positions for {len(self.table)} tokens; a prompt with its answer would take "
                f"{tokens}. Give a shorter prompt or fewer --max-new-tokens."
            )


def scaled_embeddings(stack: Stack, target: Target) -> torch.Tensor:
    """(V, D) what stands for each id; the model's own memory where nothing scales it."""
    embeddings = stack.embeddings.detach()
    return target.put(embeddings if stack.embedding_scale == 1.0 else embeddings * stack.embedding_scale)
