"""Greedy decoding of several answers at once, over the packed weights that a single one uses.

All answers grow in step. An encoder-decoder's self-attention then needs no mask;
in its cross-attention a mask hides the padding of shorter prompts. A
decoder-only model has the prompts in the cache itself, padded to the longest
and hidden the same way, and the answers behind them. An answer that has ended
is computed no further: the last open one takes its place in the caches.

Letters: B prompts, S tokens of the longest, N tokens of all, T positions of the caches, O answers still
open, D model width, H heads, G key-value heads of which each serves R = H / G heads, K head width,
L layers, V vocabulary.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import torch

from hybrid.engines.decoding import compact
from hybrid.engines.torch.encoder import States, encode_layer
from hybrid.engines.torch.layers import PackedDecoder, PackedLayer
from hybrid.engines.torch.operations import Normalize, Turns, argmax, causal_bias, mm, normalize, turns_of

CAPACITY = 128  # positions for which memory is taken at least; taking it costs tens of milliseconds


class BatchDecoder:
    """Greedy decoding of B answers at once, see decoding.DecoderBackend; its matrices are not oneDNN's."""

    self_kv_cache: torch.Tensor  # (L, 2, B, G, T, K) keys and values of the answers, behind those of a prefix
    cross_kv_cache: torch.Tensor  # (L, 2, B, G, S, K) and of the encoders' prompts
    mask: torch.Tensor  # (B, 1, S), 0 or -inf at padding: of the cross-attention, or of the prefix
    starts: torch.Tensor  # (B,) where in its text an answer's position 0 stands
    rows: list[int]  # which answer stands at each place of the caches' B, the open ones only

    def __init__(self, packed: PackedDecoder) -> None:
        self.packed, self.start = packed, packed.start or 0
        self.normalize = normalize(packed.norm)
        self.layers = [_BatchLayer(layer) for layer in packed.layers]
        self.windows = {layer.window for layer in packed.layers}
        self.memory = packed.embeddings.new_empty(0)  # of the self-attention, kept from one batch to the next
        self.bias = packed.position_bias(0)  # (H, reach)
        self.first: dict[int, int] = {}  # the first ids, which a prefix gives
        self.offset = 0  # where in the caches position 0 of the answers stands
        self.pending: tuple[States, int] | None = None  # prompts that wait for the first pass

    def prefill(self, states: States, capacity: int) -> None:
        """Take B new prompts; the work is done in the first `extend`."""
        self.pending = states, capacity

    def extend(
        self, tokens: Mapping[int, int], position: int, count: int, stop: Collection[int]
    ) -> Mapping[int, Sequence[int]]:
        """Give the id after each of `tokens`, by row; see decoding.DecoderBackend."""
        if self.pending is not None:
            self._take(*self.pending)
            self.pending = None
        if position == 0 and self.packed.cross_kv_projection is None:
            return {row: (token,) for row, token in self.first.items()}
        if len(tokens) < len(self.rows):
            self._drop(tokens, self.offset + position)
        inputs = torch.tensor([tokens[row] for row in self.rows], device=self.memory.device)
        ids = self._step(self.packed.embeddings[inputs], position)
        return {row: (token,) for row, token in zip(self.rows, ids, strict=True)}

    def _step(self, rows: torch.Tensor, position: int) -> list[int]:
        """Return the ids after (O, D) embeddings of tokens that stand at `position`."""
        at = self.offset + position
        places = None if self.bias is not None else self.starts[: len(rows)] + position
        if places is not None and not self.packed.entrance.open:
            rows = self.packed.entrance(rows, places)
        near = {window: self._near(window, places, at) for window in self.windows}
        for layer in self.layers:
            rows = layer(rows, at, self.normalize, places, near[layer.packed.window])
        return argmax(self.packed.logits(self.normalize(rows)))

    def _near(self, window: int | None, places: torch.Tensor | None, at: int) -> torch.Tensor | None:
        """(OG, 1, at + 1): what keeps tokens at `places` of their texts from seeing beyond a window."""
        if window is None or places is None:
            return None
        columns = torch.arange(at + 1, device=places.device)
        behind = columns - self.offset + self.starts[: len(places), None]  # the answers follow their prompts
        stands_at = torch.where(columns <= self.offset, columns, behind)  # (O, at + 1)
        far = stands_at <= (places - window)[:, None]
        mask = self.prefix_mask[: len(places), :, : at + 1].masked_fill(far[:, None], -torch.inf)
        return mask.repeat_interleave(self.packed.key_value_heads, 0)

    def _take(self, states: States, capacity: int) -> None:
        layout, packed = states.layout, self.packed
        crosses = packed.cross_kv_projection is not None
        self.rows = list(range(layout.batch))
        self.mask = layout.mask(states.rows.new_zeros(layout.batch, 1, 1, layout.longest))[:, :, 0]
        lengths = torch.tensor(layout.lengths, device=states.rows.device)
        self.starts = torch.zeros_like(lengths) if crosses else lengths - 1
        self.offset = 0 if crosses else layout.longest - 1
        total = self.offset + capacity
        self._reserve(layout.batch, total)
        prefix = self.mask[:, :, : 0 if crosses else None]
        answers = self.mask.new_zeros(layout.batch, 1, total - prefix.shape[2])
        self.prefix_mask = torch.cat([prefix, answers], dim=2)  # (B, 1, T)
        for layer, turns in zip(self.layers, turns_of(packed.layers, packed.target, total), strict=True):
            layer.turns = turns
        if crosses:
            self._cross(states)
        self._narrow()
        if not crosses:
            self._prefix(states)

    def _cross(self, states: States) -> None:
        """Compute the cross-attention's keys and values of all layers."""
        packed, layout = self.packed, states.layout
        assert packed.cross_kv_projection is not None
        heads, width = packed.key_value_heads, packed.head_width
        cross_kv = mm(states.rows, packed.cross_kv_projection)
        shape = len(self.layers), 2, layout.batch, heads, layout.longest, width
        self.cross_kv_cache = states.rows.new_empty(shape)
        for place, part in zip(self.cross_kv_cache, cross_kv.split(2 * heads * width, dim=1), strict=True):
            padded = layout.pad(part).view(layout.batch, layout.longest, 2, heads, width)
            place.copy_(padded.permute(2, 0, 3, 1, 4))

    def _prefix(self, states: States) -> None:
        """Read a decoder-only model's prompts, all tokens at once; return the ids that follow them."""
        layout, rows = states.layout, states.rows
        if not self.packed.entrance.open:
            rows = self.packed.entrance(rows, layout.positions)
        biases = {window: causal_bias(layout.longest, window, rows) for window in self.windows}
        for place, layer in zip(self.self_kv_cache, self.layers, strict=True):
            packed, bias = layer.packed, biases[layer.packed.window]
            rows, keys, values = encode_layer(packed, rows, self.normalize, layout, bias, layer.turns)
            place[0, :, :, : layout.longest], place[1, :, :, : layout.longest] = keys, values
        ids = argmax(self.packed.logits(self.normalize(rows[layout.last_rows])))
        self.first = dict(enumerate(ids))

    def _reserve(self, batch: int, capacity: int) -> None:
        """Room for `capacity` positions of each answer."""
        packed = self.packed
        shape = [len(self.layers), 2, batch, packed.key_value_heads, capacity, packed.head_width]
        size = math.prod(shape)
        if size > len(self.memory):
            self._let_go()
            self.memory = self.memory.new_zeros(max(size, size // capacity * CAPACITY))
        self.self_kv_cache = self.memory[:size].view(shape)
        if self.bias is not None and capacity > self.bias.shape[1]:
            self.bias = packed.position_bias(max(capacity, CAPACITY))
        if self.bias is not None:
            near = self.bias[:, self.bias.shape[1] - capacity :]  # (H, T)
            self.position_bias = near.view(packed.key_value_heads, -1, capacity).repeat(batch, 1, 1)

    def _let_go(self) -> None:
        """Hold no caches: those of thousands of answers do not fit twice while larger ones are taken."""
        self.memory = self.self_kv_cache = self.memory.new_empty(0)
        for layer in self.layers:
            layer.keys = layer.values = self.memory

    def _drop(self, open_rows: Mapping[int, int], filled: int) -> None:
        """Close the gaps of answers that have ended; `filled` positions of the caches are in use."""
        crosses = self.packed.cross_kv_projection is not None
        if moves := compact(self.rows, open_rows):
            movers, gaps = torch.tensor(moves, device=self.memory.device).T
            self.self_kv_cache[:, :, gaps, :, :filled] = self.self_kv_cache[:, :, movers, :, :filled]
            for each in (self.starts, self.mask, self.prefix_mask):
                each[gaps] = each[movers]
            if crosses:
                self.cross_kv_cache[:, :, gaps] = self.cross_kv_cache[:, :, movers]
        self._narrow()

    def _narrow(self) -> None:
        """Let the layers see the caches of the open answers only."""
        count, packed = len(self.rows), self.packed
        groups = count * packed.key_value_heads
        mask = self.mask[:count].repeat_interleave(packed.key_value_heads, 0)  # (OG, 1, S)
        for number, (layer, cache) in enumerate(zip(self.layers, self.self_kv_cache, strict=True)):
            layer.keys, layer.values = cache[:, :count].flatten(1, 2)
            if packed.cross_kv_projection is not None:
                layer.cross_keys, layer.cross_values = self.cross_kv_cache[number, :, :count].flatten(1, 2)
                layer.mask = mask
            if self.bias is not None:
                layer.position_bias, layer.counts_back = self.position_bias[:groups], True
            else:
                hidden = self.prefix_mask[:count].repeat_interleave(packed.key_value_heads, 0)
                layer.position_bias, layer.counts_back = hidden, False


class _BatchLayer:
    """One layer and what its attentions see of O open answers."""

    keys: torch.Tensor  # (OG, T, K), of the answers
    values: torch.Tensor  # (OG, T, K)
    position_bias: torch.Tensor  # (OG, R or 1, T), added to the scores
    counts_back: bool  # its last column is a token's bias for itself, else its first that of position 0
    cross_keys: torch.Tensor  # (OG, S, K), of the prompts
    cross_values: torch.Tensor  # (OG, S, K)
    mask: torch.Tensor  # (OG, 1, S), 0 or -inf
    turns: Turns | None = None

    def __init__(self, packed: PackedLayer) -> None:
        self.packed = packed

    def __call__(
        self,
        rows: torch.Tensor,
        at: int,
        normalize: Normalize,
        places: torch.Tensor | None,
        near: torch.Tensor | None,
    ) -> torch.Tensor:
        """(O, D) rows of tokens at `at` in the caches, at `places` in their texts, (O,).

        near: (OG, 1, at + 1), added to the scores where a window bounds what they see.
        """
        packed, count, end = self.packed, len(rows), at + 1
        heads, group, width = packed.key_value_heads, packed.group, packed.head_width
        normed = normalize(rows)
        qkv = mm(normed, packed.self_attention.into)
        if self.turns is not None and places is not None:
            packed.self_attention.place(qkv, self.turns, places)
        query, key, value = qkv.split((heads * group * width, heads * width, heads * width), dim=1)
        self.keys[:, at], self.values[:, at] = key.reshape(-1, width), value.reshape(-1, width)
        reach = self.position_bias.shape[2]
        bias = self.position_bias[:, :, reach - end :] if self.counts_back else self.position_bias[:, :, :end]
        bias = bias if near is None else near
        query = query.reshape(-1, group, width)  # (OG, R, K)
        own, cross = packed.self_attention, packed.cross_attention
        mixed = own.mix(query, self.keys[:, :end].mT, self.values[:, :end], bias)
        rows = own.join(rows, mixed.view(count, -1))
        if cross is not None:
            query = mm(normalize(rows), cross.into).view(-1, group, width)
            mixed = cross.mix(query, self.cross_keys.mT, self.cross_values, self.mask)
            rows = cross.join(rows, mixed.view(count, -1))
        return packed.feed_forward(rows, normed if packed.parallel else normalize(rows))
