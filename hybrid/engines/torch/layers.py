"""Layers as the torch engine's encoders and decoders share them: packed weights, joins, positions.

The scale of attention scores is folded into the queries.

Letters: N rows (tokens of all prompts, or of a pass), P positions, D model width, F feed-forward width,
H heads, G key-value heads of which each serves R = H / G heads, K head width, L layers, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from hybrid.engines.torch.operations import (
    Packed,
    Target,
    Turns,
    add_mm,
    mm,
    pack,
    unit_rms,
    whole_norm,
)
from hybrid.models.architectures.records import (
    Activation,
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    LearnedPositions,
    Linear,
    RelativeBias,
    Stack,
)

Join = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Places = int | slice | torch.Tensor


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
        self.head_norm = HeadNorm(attention, scale, target) if attention.query_norm is not None else None
        query = attention.query if self.head_norm is not None else _scaled(attention.query, scale)
        self.into = pack(target, query, *others, norm=attention.norm)
        self.out = pack(target, attention.output)
        self.join = joined(attention, self.out, target)
        self.turned_heads = attention.heads + attention.key_value_heads

    def place(self, rows: torch.Tensor, turns: Turns, positions: slice | torch.Tensor) -> None:
        """Norm the heads of queries and keys, where the model does, and turn them, in place.

        rows: (N, (H + 2G)K), of tokens that stand at `positions`.
        """
        if self.head_norm is not None:
            self.head_norm(rows)
        turns.turn(rows, self.turned_heads, positions)

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


class HeadNorm:
    """The norm of each head's queries and keys, (N, (H + 2G)K) rows in place; scale: of the scores."""

    def __init__(self, attention: Attention, scale: float, target: Target) -> None:
        query, key = attention.query_norm, attention.key_norm
        assert query is not None, "queries and keys are normed alike"
        assert key is not None, "queries and keys are normed alike"
        assert attention.rotary is not None, "see PackedAttention.place"
        gains = [query.gain.detach().float() * scale] * attention.heads
        gains += [key.gain.detach().float()] * attention.key_value_heads
        self.gain, self.eps = target.put(torch.stack(gains)), query.eps  # (H + G, K)

    def __call__(self, rows: torch.Tensor) -> None:
        heads = rows[:, : self.gain.numel()].view(len(rows), *self.gain.shape)
        heads.copy_(unit_rms(heads, self.eps) * self.gain)


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
        self.rotary, self.window, self.parallel = own.rotary, own.window, layer.parallel
        self.self_attention = PackedAttention(own, target)
        self.cross_attention = None if cross is None else PackedAttention(cross, target, crosses=True)
        self.feed_forward = PackedFeedForward(layer.feed_forward, target)


class PackedDecoder:
    """The weights of a decoder, packed for whoever decodes with them. layers: packed already, if they are."""

    def __init__(
        self, stack: DecoderStack, target: Target, layers: Sequence[PackedLayer] | None = None
    ) -> None:
        first, positions = stack.layers[0].self_attention, stack.positions
        self.target, self.norm, self.start = target, first.norm, stack.start
        self.embeddings = scaled_embeddings(stack, target)  # (V, D)
        self.softcap = stack.logit_softcap
        scale = stack.head_scale / (self.softcap or 1.0)
        self.head = pack(target, stack.head, norm=stack.final_norm, scale=scale)
        self.layers = layers or [PackedLayer(layer, target) for layer in stack.layers]
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


def scaled_embeddings(stack: Stack, target: Target) -> torch.Tensor:
    """(V, D) what stands for each id; the model's own memory where nothing scales it."""
    embeddings = stack.embeddings.detach()
    return target.put(embeddings if stack.embedding_scale == 1.0 else embeddings * stack.embedding_scale)
