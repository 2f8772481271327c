"""Prompts on a device, what reads all tokens of B of them at once, and what a hybrid's SLM takes of that.

Letters: B prompts, S tokens of the longest, N tokens of all, C channels, D model width, H heads,
G key-value heads, K head width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from hybrid.engines.decoding import Prompts
from hybrid.engines.torch.layers import Entrance, PackedLayer, scaled_embeddings
from hybrid.engines.torch.operations import (
    Normalize,
    Target,
    Turns,
    causal_bias,
    mm,
    normalize,
    turns_of,
    whole_norm,
)
from hybrid.models.architectures.records import RelativeBias, Stack
from hybrid.models.fusion import Affine
from hybrid.schema import Phase


class Layout:
    """Where the tokens of B prompts stand: one after another as rows, or padded to the longest.

    Whatever treats tokens one by one (norms, matrix products) works on rows and
    never sees padding. Only attention needs one prompt beside another, (B, S).
    Padding then repeats a real token, which the mask keeps from being attended to.

    lengths: of the prompts, in tokens.
    """

    def __init__(self, lengths: Sequence[int], target: Target) -> None:
        self.lengths = tuple(lengths)
        self.batch, self.longest = len(lengths), max(lengths)
        if self.batch == 1:
            return
        sizes = torch.tensor(lengths)
        places = torch.arange(self.longest)
        real = places < sizes[:, None]  # (B, S)
        first = sizes.cumsum(0) - sizes  # (B,) the row of each prompt's first token
        self._row_of_place = torch.where(real, first[:, None] + places, 0).flatten().to(target.device)
        self._place_of_row = real.flatten().nonzero()[:, 0].to(target.device)  # (N,)
        mask = torch.zeros(self.batch, 1, 1, self.longest).masked_fill(~real[:, None, None], -torch.inf)
        self._mask = target.put(mask)

    @property
    def positions(self) -> torch.Tensor | slice:
        """(N,) where each row's token stands in its prompt."""
        return slice(0, self.longest) if self.batch == 1 else self._place_of_row % self.longest

    @property
    def last_rows(self) -> torch.Tensor:
        """(B,) the row of each prompt's last token."""
        return torch.tensor(self.lengths).cumsum(0) - 1

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, C) to (B, S, C)."""
        padded = rows if self.batch == 1 else rows.index_select(0, self._row_of_place)
        return padded.view(self.batch, self.longest, -1)

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """(B, S, C) to (N, C)."""
        rows = padded.flatten(0, 1)
        return rows if self.batch == 1 else rows.index_select(0, self._place_of_row)

    def mask(self, bias: torch.Tensor) -> torch.Tensor:
        """`bias`, broadcast to (B, H, queries, S), with -inf at every padding key."""
        return bias if self.batch == 1 else bias + self._mask


@dataclass(frozen=True)
class States:
    """B encoded prompts. ids: (N,). rows: (N, D), hidden states, or a decoder-only model's embeddings."""

    ids: torch.Tensor
    rows: torch.Tensor
    layout: Layout


class StackEncoder:
    """Input embeddings to hidden states through the layers of a stack, or to those of k of them side by side.

    max_tokens: of a prompt. layers: packed already, if they are.
    """

    def __init__(
        self, stack: Stack, target: Target, max_tokens: int, layers: Sequence[PackedLayer] | None = None
    ) -> None:
        positions = stack.positions
        self.embeddings, self.embedding_scale = scaled_embeddings(stack, target), stack.embedding_scale
        self.entrance = Entrance(stack, target)
        self.normalize = normalize(stack.layers[0].self_attention.norm)
        self.finish = whole_norm(stack.final_norm, target)
        self.causal, self.max_tokens, self.taps = stack.causal, max_tokens, stack.taps
        self.bias: torch.Tensor | None = None  # (H, 2 * max_tokens - 1)
        if isinstance(positions, RelativeBias):
            self.bias = target.put(positions.by_distance(max_tokens))
        self.layers = layers or [PackedLayer(layer, target) for layer in stack.layers]
        self.windows = {layer.window for layer in self.layers}
        self.turns = turns_of(self.layers, target, max_tokens)

    def __call__(self, embeddings: torch.Tensor, layout: Layout) -> torch.Tensor:
        """(N, D) input embeddings to (N, D) hidden states, (N, k * D) of k layers."""
        rows = embeddings if self.entrance.open else self.entrance(embeddings, layout.positions)
        biases = {window: self._bias(rows, layout, window) for window in self.windows}
        tapped = []
        for number, (layer, turns) in enumerate(zip(self.layers, self.turns, strict=True), 1):
            rows, _, _ = encode_layer(layer, rows, self.normalize, layout, biases[layer.window], turns)
            if number in self.taps:
                tapped.append(rows)
        return torch.cat(tapped, dim=-1) if tapped else self.finish(rows)

    def _bias(self, rows: torch.Tensor, layout: Layout, window: int | None) -> torch.Tensor | None:
        """Give what is added to the scores, see encode_layer, where layers see so far; None: causal."""
        if self.causal:
            return causal_bias(layout.longest, window, rows)
        if self.bias is not None:
            return layout.mask(self._relative(self.bias, layout.longest))
        if window is None or window >= layout.longest - 1:
            return layout.mask(rows.new_zeros(1, 1, 1, layout.longest))
        places = torch.arange(layout.longest, device=rows.device)
        far = (places - places[:, None]).abs() > window  # (S, S)
        return layout.mask(rows.new_zeros(1, 1, *far.shape).masked_fill_(far, -torch.inf))

    def _relative(self, bias: torch.Tensor, tokens: int) -> torch.Tensor:
        """(1, H, S, S): row i of the windows starts at the distance of key 0 from query i, -i."""
        reach = self.max_tokens - 1
        near = bias[:, reach - tokens + 1 : reach + tokens]  # (H, 2S - 1)
        return near.unfold(1, tokens, 1).flip(1).unsqueeze(0)


def encode_layer(
    layer: PackedLayer,
    rows: torch.Tensor,  # (N, D)
    normalize: Normalize,
    layout: Layout,
    bias: torch.Tensor | None,  # broadcasts to (B, H, S, S), -inf at keys not to be seen; None: causal
    turns: Turns | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Self-attention of all tokens at once and feed-forward: (N, D) rows, (B, G, S, K) keys and values."""
    heads, group, width = layer.key_value_heads, layer.group, layer.head_width
    normed = normalize(rows)
    qkv = mm(normed, layer.self_attention.into)
    if turns is not None:
        layer.self_attention.place(qkv, turns, layout.positions)
    padded = layout.pad(qkv).view(layout.batch, layout.longest, -1, width)  # (B, S, H + 2G, K)
    query, key, value = padded.transpose(1, 2).split((heads * group, heads, heads), dim=1)
    if layer.self_attention.softcap is not None:
        mixed = _capped(query, key, value, bias, layer.self_attention.softcap)
    else:
        # Padding stands behind a prompt: where no token sees what follows, it needs no mask.
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, is_causal=bias is None, scale=1.0, enable_gqa=group > 1
        )
    rows = layer.self_attention.join(rows, layout.unpad(mixed.transpose(1, 2).flatten(2)))
    return layer.feed_forward(rows, normed if layer.parallel else normalize(rows)), key, value


def _capped(
    query: torch.Tensor,  # (B, H, S, K)
    key: torch.Tensor,  # (B, G, S, K)
    value: torch.Tensor,
    bias: torch.Tensor | None,  # (B or 1, 1, S or 1, S)
    softcap: float,
) -> torch.Tensor:
    """Attention with capped scores, which torch's own does not have: (B, H, S, K)."""
    by_group = query.unflatten(1, (key.shape[1], -1))  # (B, G, R, S, K)
    scores = (by_group @ key.mT.unsqueeze(2)).tanh_().mul_(softcap)  # (B, G, R, S, S)
    if bias is None:
        tokens = query.shape[2]
        bias = scores.new_full((tokens, tokens), -torch.inf).triu_(1)[None, None]
    mixed: torch.Tensor = scores.add_(bias.unsqueeze(2)).softmax(-1) @ value.unsqueeze(2)
    return mixed.flatten(1, 2)


class PromptEncoder:
    """Prompt ids to the hidden states of an encoder. embeddings: (V, D), multiplied by embedding_scale."""

    phase: Phase | None = "encode"

    def __init__(self, encoder: StackEncoder, target: Target) -> None:
        self.encoder, self.target = encoder, target
        self.embeddings, self.embedding_scale = encoder.embeddings, encoder.embedding_scale

    def __call__(self, prompts: Prompts) -> States:
        ids, layout = prompt_rows(prompts, self.target)
        return States(ids, self.encoder(self.encoder.embeddings[ids], layout), layout)


class PromptEmbedder:
    """Prompt ids to what a decoder-only model takes: their embeddings, its answer's prefix."""

    phase: Phase | None = None

    def __init__(self, embeddings: torch.Tensor, target: Target) -> None:
        self.embeddings, self.target = embeddings, target

    def __call__(self, prompts: Prompts) -> States:
        ids, layout = prompt_rows(prompts, self.target)
        return States(ids, self.embeddings[ids], layout)


def prompt_rows(prompts: Prompts, target: Target) -> tuple[torch.Tensor, Layout]:
    """Put the ids of all prompts one after another, (N,), and say where each stands."""
    ids = torch.tensor([token for prompt in prompts for token in prompt], device=target.device)
    return ids, Layout(tuple(map(len, prompts)), target)


class LatentFusion:
    """(N, d_llm) hidden states to the (N, d_slm) states of the SLM's encoder.

    encoder: None of a decoder-only SLM, whose prefix the fused prompt itself is. adds: E + Z, else Z.
    embeddings: (V, any) that E is looked up in. bridge: (d_slm, any) that these go through, if any.
    """

    def __init__(
        self,
        projector: tuple[Affine, Affine],
        adds: bool,
        embeddings: torch.Tensor,
        bridge: torch.Tensor | None,
        encoder: StackEncoder | None,
    ) -> None:
        self.up, self.down = projector
        self.adds, self.embeddings, self.bridge, self.encoder = adds, embeddings, bridge, encoder

    def __call__(self, states: States) -> States:
        linear = functional.linear
        rows = linear(torch.relu(linear(states.rows, *self.up)), *self.down)
        if self.adds:
            embeddings = self.embeddings[states.ids]
            rows = rows + (embeddings if self.bridge is None else linear(embeddings, self.bridge))
        if self.encoder is not None:
            rows = self.encoder(rows, states.layout)
        return States(states.ids, rows, states.layout)
