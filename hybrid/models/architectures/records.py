"""What a model is made of, whatever family it comes from: sizes, and each weight under the name of its part.

A family's file makes these records of a transformers config and the model's
weights by name; whoever runs or trains a model packs from them and knows no
class of any library. Matrices are (d_out, d_in), as nn.Linear holds them; all
tensors are the model's own memory but where a family stores something else than
what it computes with.

Letters: D model width, F feed-forward width, H heads, G key-value heads (H of
them unless heads share), K head width, V vocabulary, P positions.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import torch

Activation = Literal["relu", "gelu", "gelu-tanh", "silu"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of one model.

    family: transformers' model_type. encoder_layers: 0 of a decoder-only model.
    gated: whether the feed-forward has a gate. head_scale: what the input of
    the output matrix is multiplied by. tied_head: whether that matrix is the
    embeddings'. max_positions: None where positions are relative or rotary. reader:
    the encoder's where they are not the decoder's. never: an id that is never written.
    """

    family: str
    d_model: int
    d_ff: int
    heads: int
    key_value_heads: int
    head_width: int
    encoder_layers: int
    decoder_layers: int
    vocabulary: int
    activation: Activation
    gated: bool
    tied_head: bool
    head_scale: float = 1.0
    max_positions: int | None = None
    reader: "Sizes | None" = None
    never: int | None = None

    def read_by(self, encoder: "Sizes") -> "Sizes":
        """Return the sizes of a decoder with this encoder before it."""
        return self if encoder == self else replace(self, reader=encoder)

    @property
    def decoder_only(self) -> bool:
        """Whether the prompt is the beginning of what the decoder writes, and nothing else reads it."""
        return self.encoder_layers == 0


@dataclass(frozen=True, kw_only=True)
class Linear:
    """weight: (d_out, d_in). bias: (d_out,)."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None" = None


@dataclass(frozen=True, kw_only=True)
class Norm:
    """x over its root mean square, or LayerNorm. gain, bias: (D,)."""

    kind: Literal["rms", "layer"]
    eps: float
    gain: "torch.Tensor"
    bias: "torch.Tensor | None" = None


@dataclass(frozen=True, kw_only=True)
class Attention:
    """query: to H x K. key, value: to G x K. output: from H x K. scale: of the scores.

    norm: of what makes the queries; in self-attention of what makes keys and values, too.
    query_norm, key_norm: of each head's, gains (K,), before they are turned. rotary:
    how they are turned; layers that turn alike share one record.
    window: how far a token sees: so many tokens up to itself, or, where it also sees
    what follows, so many on either side. softcap: scaled scores become softcap *
    tanh(score / softcap). post_norm: of what the part gives, before it is added.
    sum_norm: of the sum.
    """

    norm: Norm | None
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    heads: int
    key_value_heads: int
    head_width: int
    scale: float
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    rotary: "Rotary | None" = None
    window: int | None = None
    softcap: float | None = None
    post_norm: Norm | None = None
    sum_norm: Norm | None = None


@dataclass(frozen=True, kw_only=True)
class FeedForward:
    """activation(x up) down, or with a gate (Shazeer 2020) (activation(x gate) * (x up)) down.

    norm, post_norm, sum_norm: see Attention.
    """

    norm: Norm | None
    gate: Linear | None
    up: Linear
    down: Linear
    activation: Activation
    post_norm: Norm | None = None
    sum_norm: Norm | None = None


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Parts in the order in which they add to what they read.

    parallel: the feed-forward reads what the self-attention reads, not what that adds to.
    """

    self_attention: Attention
    cross_attention: Attention | None
    feed_forward: FeedForward
    parallel: bool = False


@dataclass(frozen=True, kw_only=True)
class RelativeBias:
    """A bias of each head for how far a key is from the query, added to the scores of all layers (T5).

    table: (buckets, H). max_distance: all keys beyond it share a bucket.
    bidirectional: whether keys may stand after the query.
    """

    table: "torch.Tensor"
    max_distance: int
    bidirectional: bool

    def by_distance(self, reach: int) -> "torch.Tensor":
        """Give the bias for one query seen from every distance below `reach`, in tokens.

        Column j is the bias of a key j - (reach - 1) tokens after the query:
        (H, 2 * reach - 1) when bidirectional, else (H, reach).
        """
        import torch

        columns = 2 * reach - 1 if self.bidirectional else reach
        distances = torch.arange(columns, device=self.table.device) - (reach - 1)
        return self.table.detach()[self._bucket(distances)].t().contiguous()

    def _bucket(self, distances: "torch.Tensor") -> "torch.Tensor":
        """One bucket a distance while near, then wider and wider ones (Raffel et al. 2020, section 2.1)."""
        import torch

        buckets = len(self.table) // 2 if self.bidirectional else len(self.table)
        after = (distances > 0).long() * buckets if self.bidirectional else torch.zeros_like(distances)
        away = distances.abs()
        exact = buckets // 2
        ratio = torch.log(away.float() / exact) / math.log(self.max_distance / exact)
        wide = exact + (ratio * (buckets - exact)).clamp(min=0).long()
        return after + torch.where(away < exact, away, wide.clamp(max=buckets - 1))


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Queries and keys turned by their position (Su et al. 2021, arXiv 2104.09864).

    frequencies: (T / 2,) radians a token, of the first T of a head's K channels; channel i
    turns together with channel i + T / 2, and the others stay as they are.
    """

    frequencies: "torch.Tensor"


@dataclass(frozen=True, kw_only=True)
class LearnedPositions:
    """table: (P, D), added to the embeddings; Marian's is of sines."""

    table: "torch.Tensor"


Positions: TypeAlias = RelativeBias | LearnedPositions


@dataclass(frozen=True, kw_only=True)
class Stack:
    """An encoder, or layers of a decoder.

    embeddings: (V, D) of its input ids, and embedding_scale what those are
    multiplied by. input_scale: of what is read in place of an id's embedding, too.
    embedding_norm: of embeddings and positions together. final_norm: None where the
    layers' output is taken as it is. positions: None where the attentions' rotary
    ones are all. causal: whether no token sees what stands after it. taps: numbers of
    layers, counted from 1 up to the last, whose outputs are taken side by side, each as
    it is; none where the last one's alone is.
    """

    embeddings: "torch.Tensor"
    layers: tuple[Layer, ...]
    final_norm: Norm | None
    positions: Positions | None
    causal: bool = False
    embedding_scale: float = 1.0
    input_scale: float = 1.0
    embedding_norm: Norm | None = None
    taps: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DecoderStack(Stack):
    """head: to V. head_scale: of what the head reads. logit_softcap: as of attention scores.

    start: the id that stands before an answer; None in a decoder-only model,
    whose prompt's last token stands there.
    """

    head: Linear
    head_scale: float
    start: int | None
    logit_softcap: float | None = None

    @property
    def has_cross_attention(self) -> bool:
        """Whether it reads an encoder's hidden states; a decoder-only model does not."""
        return self.layers[0].cross_attention is not None
