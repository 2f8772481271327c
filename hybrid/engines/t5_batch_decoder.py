"""The greedy T5 decoder for several prompts at once, over the packed weights of t5_decoder's for one.

All answers grow in step, so self-attention needs no mask; in cross-attention a
mask hides the padding of shorter prompts. An answer that has ended is computed
no further: the last open one takes its place in the caches.

Letters: B prompts, S tokens of the longest, N tokens of all, T capacity in
generated tokens, O answers still open, D model width, H heads, K head width,
L layers, V vocabulary.
"""

import math
from collections.abc import Mapping, Sequence

import torch

from hybrid.engines.layout import Layout
from hybrid.engines.t5_decoder import Layer, T5Decoder
from hybrid.engines.t5_layers import argmax, unit_rms, widened

CAPACITY = 128  # generated tokens for which memory is taken at least; taking it costs tens of milliseconds


class T5BatchDecoder:
    """Greedy decoding of B answers at once, with the weights of `one`."""

    own: torch.Tensor  # (L, 2, B, H, T, K) keys and values of the answers
    crossed: torch.Tensor  # (L, 2, B, H, S, K) and of the prompts
    past_bias: torch.Tensor  # (B, H, 1, T), the same for all; its last column is a token's for itself
    mask: torch.Tensor  # (B, H, 1, S), 0 or -inf
    places: list[int]  # which answer stands at each place of the caches' B, the open ones only

    def __init__(self, one: T5Decoder) -> None:
        self.one = one
        self.layers = [_BatchLayer(layer, one.eps) for layer in one.layers]
        self.memory = one.embeddings.new_empty(0)  # of `own`, kept from one batch to the next
        self.bias = one.embeddings.new_empty(one.heads, 0)  # (H, reach), see widened

    def prefill(self, states: torch.Tensor, layout: Layout, capacity: int) -> dict[int, int]:
        """The id of the first token of each answer, by row; cross-attention keys and values stay for `step`.

        states: (N, D) encoder hidden states. capacity: of generated tokens.
        """
        batch, longest, heads, width = layout.batch, layout.longest, self.one.heads, self.one.head_width
        self._reserve(batch, capacity)
        self.crossed = states.new_empty(len(self.layers), 2, batch, heads, longest, width)
        for place, weights in zip(self.crossed, self.one.cross.split(2 * heads * width, dim=1), strict=True):
            padded = layout.pad(torch.mm(states, weights)).view(batch, longest, 2, heads, width)
            place.copy_(padded.permute(2, 0, 3, 1, 4))
        self.mask = layout.mask(states.new_zeros(batch, heads, 1, longest))
        self.places = list(range(batch))
        self._narrow()
        return self.step(dict.fromkeys(self.places, self.one.start), 0)

    def step(self, tokens: Mapping[int, int], position: int) -> dict[int, int]:
        """The ids after `tokens`, by row, which stand at `position` (the start token at 0).

        A row that is left out has ended; it cannot come back.
        """
        if len(tokens) < len(self.places):
            self._drop([place for place, row in enumerate(self.places) if row not in tokens], position)
        given = torch.tensor([tokens[row] for row in self.places], device=self.memory.device)
        rows = self.one.embeddings[given, 0]  # (O, D)
        for layer in self.layers:
            rows = layer(rows, position)
        ids = argmax(torch.mm(unit_rms(rows, self.one.eps), self.one.head))
        return dict(zip(self.places, ids, strict=True))

    def _reserve(self, batch: int, capacity: int) -> None:
        """Room for `capacity` generated tokens of each answer."""
        shape = [len(self.layers), 2, batch, self.one.heads, capacity, self.one.head_width]
        size = math.prod(shape)
        if size > len(self.memory):
            self.memory = self.memory.new_zeros(max(size, size // capacity * CAPACITY))
        self.own = self.memory[:size].view(shape)
        if capacity > self.bias.shape[1]:
            self.bias = widened(self.one.near_bias, max(capacity, CAPACITY))
        near = self.bias[:, None, self.bias.shape[1] - capacity :]
        self.past_bias = near.repeat(batch, 1, 1, 1)

    def _drop(self, ended: Sequence[int], position: int) -> None:
        """Fill the places in `ended` with the last ones of the open answers, of `position` ids each."""
        count = len(self.places) - len(ended)
        gaps = [place for place in ended if place < count]
        movers = [place for place in range(count, len(self.places)) if place not in ended]
        for gap, mover in zip(gaps, movers, strict=True):
            self.own[:, :, gap, :, :position] = self.own[:, :, mover, :, :position]
            self.crossed[:, :, gap] = self.crossed[:, :, mover]
            self.mask[gap] = self.mask[mover]
            self.places[gap] = self.places[mover]
        del self.places[count:]
        self._narrow()

    def _narrow(self) -> None:
        """Let the layers see the caches of the open answers only."""
        count = len(self.places)
        past_bias, mask = self.past_bias[:count].flatten(0, 1), self.mask[:count].flatten(0, 1)
        for layer, own, crossed in zip(self.layers, self.own, self.crossed, strict=True):
            layer.keys, layer.values = own[:, :count].flatten(1, 2)
            layer.cross_keys, layer.cross_values = crossed[:, :count].flatten(1, 2)
            layer.past_bias, layer.mask = past_bias, mask


class _BatchLayer:
    """One decoder layer and what its attentions see of O open answers."""

    keys: torch.Tensor  # (OH, T, K), of the answers
    values: torch.Tensor  # (OH, T, K)
    past_bias: torch.Tensor  # (OH, 1, T), its last column a token's bias for itself
    cross_keys: torch.Tensor  # (OH, S, K), of the prompts
    cross_values: torch.Tensor  # (OH, S, K)
    mask: torch.Tensor  # (OH, 1, S), 0 or -inf

    def __init__(self, one: Layer, eps: float) -> None:
        self.one, self.eps = one, eps

    def __call__(self, rows: torch.Tensor, position: int) -> torch.Tensor:
        one, count, end = self.one, len(rows), position + 1
        qkv = torch.mm(unit_rms(rows, self.eps), one.qkv).view(count, 3, one.heads, one.head_width)
        query, key, value = qkv.transpose(0, 1).flatten(1, 2)  # each (OH, K)
        self.keys[:, position], self.values[:, position] = key, value
        bias = self.past_bias[:, :, self.past_bias.shape[2] - end :]
        mixed = _attend(query, self.keys[:, :end], self.values[:, :end], bias)
        rows = torch.addmm(rows, mixed.view(count, -1), one.out)

        query = torch.mm(unit_rms(rows, self.eps), one.cross_query).view(-1, one.head_width)
        mixed = _attend(query, self.cross_keys, self.cross_values, self.mask)
        rows = torch.addmm(rows, mixed.view(count, -1), one.cross_out)

        return one.feed_forward(rows, unit_rms(rows, self.eps))


def _attend(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """(OH, K) queries over (OH, any, K) keys and values: (OH, 1, K). The scores are not scaled."""
    scores = torch.baddbmm(bias, query.unsqueeze(1), keys.transpose(1, 2))
    return torch.bmm(scores.softmax(-1), values)
