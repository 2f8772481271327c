"""A greedy decoder for one prompt over preallocated caches: a token at a time, or several in one pass.

What is not paid per token: module calls, masks, cache growth, position
buckets, and views, which are cut once for every position. In a T5's layer remain
the three norms, eight matrix products and two attentions.

A pass over n tokens reads every weight once, as one over a single token does.
Going back is free: a pass writes its keys and values at their positions and
looks at none behind them. That is how drafts are verified, and how a
decoder-only model takes its prompt, which stands in the cache before the answer.

Letters: S prompt tokens, n tokens of a pass, T positions of the caches, D model width, H heads,
G key-value heads of which each serves R = H / G heads, K head width, L layers, V vocabulary.
"""

from collections.abc import Collection, Mapping, Sequence

import torch

from hybrid.engines.speculative import MIN_DRAFT_PROBABILITY
from hybrid.engines.torch.encoder import States
from hybrid.engines.torch.layers import PackedDecoder, PackedLayer
from hybrid.engines.torch.operations import (
    Normalize,
    Target,
    Turns,
    argmax,
    argmax_probability_reader,
    argmax_reader,
    mm,
    normalize_row,
    normalize_rows,
    turns_of,
)

CAPACITY = 512  # positions for which caches are made in advance; growing takes tens of milliseconds


class SingleDecoder:
    """Greedy decoding of one answer, a DraftableDecoder as well; it must not be used by others meanwhile.

    eos: ids that end a draft.
    """

    def __init__(self, packed: PackedDecoder, eos: Collection[int]) -> None:
        self.packed, self.eos, target = packed, eos, packed.target
        self.start, self.vocabulary = packed.start or 0, packed.vocabulary
        self.embeddings = packed.embeddings.unsqueeze(1)  # (V, 1, D)
        self.normalize = normalize_row(packed.norm, target)
        self.normalize_rows = normalize_rows(packed.norm, target)
        self.layers = [CachedLayer(layer, self.normalize) for layer in packed.layers]
        self.windows = {layer.window for layer in packed.layers}
        self.head = packed.head
        self.logits = self.embeddings.new_empty(1, packed.vocabulary)
        self.pick, self.pick_surely = argmax_reader(self.logits), argmax_probability_reader(self.logits)
        self.entrance = None if packed.entrance.open else packed.entrance
        self.prefix: torch.Tensor | None = None  # (S, D) of a decoder-only model's prompt
        self.offset = 0  # where in the caches position 0 of the answer stands
        self.pending: States | None = None  # a prompt that waits for the first pass
        self.capacity = 0
        self._reserve(CAPACITY)

    def prefill(self, states: States, capacity: int) -> None:
        """Take a new prompt, with an answer of up to `capacity` tokens.

        The work is done in the first pass, so that its time belongs to that.
        """
        assert states.layout.batch == 1, f"a decoder for one prompt was given {states.layout.batch}"
        crosses = self.packed.cross_kv_projection is not None
        self.offset = 0 if crosses else len(states.rows) - 1
        self._reserve(self.offset + capacity)
        self.pending = states if crosses else None
        self.prefix = None if crosses else states.rows

    def extend(
        self, tokens: Mapping[int, int], position: int, count: int, stop: Collection[int]
    ) -> Mapping[int, Sequence[int]]:
        """Give the id after that of row 0; see decoding.DecoderBackend."""
        if position == 0 and self.prefix is not None:
            return {0: self.verify([self.start], 0)}
        self.run(tokens[0], position)
        return {0: (self.pick(),)}

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        """Give the greedy id after each of `tokens`, which stand at `position` and what follows it."""
        count, at = len(tokens), self.offset + position
        if count == 1 and not self.packed.target.blocks and not (position == 0 and self.prefix is not None):
            self.run(tokens[0], position)
            return [self.pick()]
        self._cross()
        rows = self.packed.embeddings[torch.tensor(tokens, device=self.logits.device)]  # (n, D)
        if position == 0 and self.prefix is not None:
            rows, at = torch.cat([self.prefix, rows[1:]]), 0
        if self.entrance is not None:
            rows = self.entrance(rows, slice(at, at + len(rows)))
        biases = {window: self._bias(at, len(rows), window) for window in self.windows}
        for layer in self.layers:
            rows = layer.run(rows, at, biases[layer.window], self.normalize_rows)
        return argmax(self.packed.logits(self.normalize_rows(rows[-count:])))

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Give up to `count` ids one after another; the last one is of `eos`, or makes the draft unlikely."""
        ids: list[int] = []
        probability = 1.0
        if position == 0 and self.prefix is not None:
            ids, position = self.verify([token], 0), 1
            token, count = ids[0], 0 if ids[0] in self.eos else count - 1
        for place in range(position, position + count):
            self.run(token, place)
            token, sure = self.pick_surely()
            ids.append(token)
            probability *= sure
            if token in self.eos or probability < MIN_DRAFT_PROBABILITY:
                break
        return ids

    def run(self, token: int, position: int) -> None:
        """Compute what comes after `token` at `position`, as `logits`, (1, V)."""
        if self.pending is not None:
            self._cross()
        at = self.offset + position
        row = self.embeddings[token]  # (1, D)
        if self.entrance is not None:
            row = self.entrance(row, at)
        for layer in self.layers:
            row = layer(row, at)
        row = self.normalize(row)
        if self.head.bias is None:
            torch.mm(row, self.head.weight, out=self.logits)
        else:
            torch.addmm(self.head.bias, row, self.head.weight, out=self.logits)
        if self.packed.softcap is not None:
            self.packed.cap(self.logits)

    def _cross(self) -> None:
        """Make the cross-attention's keys and values of the prompt that waits."""
        if self.pending is None or self.packed.cross_kv_projection is None:
            return
        states, self.pending = self.pending.rows, None
        cross_kv = mm(states, self.packed.cross_kv_projection)
        cross_kv = cross_kv.view(len(states), -1, 2, self.packed.key_value_heads, self.packed.head_width)
        keys = cross_kv[:, :, 0].permute(1, 2, 3, 0).contiguous()  # (L, G, K, S)
        values = cross_kv[:, :, 1].permute(1, 2, 0, 3).contiguous()  # (L, G, S, K)
        for layer, layer_keys, layer_values in zip(self.layers, keys, values, strict=True):
            layer.cross_keys, layer.cross_values = layer_keys, layer_values

    def _reserve(self, capacity: int) -> None:
        """Make room for `capacity` positions; what the caches held is dropped."""
        if capacity <= self.capacity:
            return
        packed, self.capacity = self.packed, capacity
        bias = packed.position_bias(capacity)  # (H, T)
        past: tuple[torch.Tensor, ...] | None = None
        self.bias: torch.Tensor | None = None
        if bias is not None:
            by_group = bias.view(packed.key_value_heads, -1, capacity)  # (G, R, T)
            past = tuple(by_group[:, :, capacity - 1 - position :] for position in range(capacity))
            # (H, 2T - 1): what is before a query, then what is after it
            self.bias = torch.cat([bias, bias.new_full((packed.heads, capacity - 1), -torch.inf)], dim=1)
        tables = turns_of(packed.layers, packed.target, capacity)
        for layer, turns in zip(self.layers, tables, strict=True):
            layer.reserve(capacity, past, turns, packed.target)

    def _bias(self, position: int, count: int, window: int | None) -> torch.Tensor:
        """(G or 1, R * n, T): what a pass of n tokens from `position` on adds to its scores."""
        packed, end = self.packed, position + count
        if self.bias is None:
            hidden = self.logits.new_full((count, end), -torch.inf)
            unseen = hidden.triu(position + 1)
            if window is not None:
                unseen += hidden.tril_(position - window)
            return unseen.repeat(packed.heads // packed.key_value_heads, 1).unsqueeze(0)
        # One window for each query, the last one's first: each starts at key 0.
        first = self.capacity - end
        windows = self.bias[:, first : first + count - 1 + end].unfold(1, end, 1).flip(1)  # (H, n, T)
        return windows.view(packed.key_value_heads, -1, end)


class CachedLayer:
    """One layer and its caches."""

    cross_keys: torch.Tensor  # (G, K, S)
    cross_values: torch.Tensor  # (G, S, K)

    def __init__(self, packed: PackedLayer, normalize: Normalize) -> None:
        self.normalize, self.feed_forward = normalize, packed.feed_forward
        self.heads, self.group, self.width = packed.key_value_heads, packed.group, packed.head_width
        own, cross = packed.self_attention, packed.cross_attention
        self.own, self.cross = own, cross
        self.qkv, self.qkv_bias = own.into
        self.softcap, self.window, self.parallel = own.softcap, packed.window, packed.parallel

    def reserve(
        self,
        capacity: int,
        position_bias: tuple[torch.Tensor, ...] | None,
        turns: Turns | None,
        target: Target,
    ) -> None:
        """Make new caches: position t is row t of (T, (H + 2G)K), queries, keys and values side by side.

        A layer's product is written straight into its row, so nothing is copied.
        position_bias: for every position, the bias of the positions up to it.
        """
        heads, width = self.heads, self.width
        queries_width = heads * self.group * width
        cache = torch.zeros(
            capacity, queries_width + 2 * heads * width, device=target.device, dtype=target.dtype
        )
        keys, values = cache[:, queries_width:].view(capacity, 2, heads, width).unbind(1)
        keys, values = keys.permute(1, 2, 0), values.transpose(0, 1)  # (G, K, T), (G, T, K)
        self.self_kv_cache, self.rows = cache, cache.unsqueeze(1).unbind(0)  # each row (1, (H + 2G)K)
        queries = cache[:, :queries_width].view(capacity, heads, self.group, width)
        self.queries = queries.unbind(0)  # (G, R, K) each
        self.keys = [keys[:, :, : t + 1] for t in range(capacity)]  # (G, K, t + 1)
        self.values = [values[:, : t + 1] for t in range(capacity)]  # (G, t + 1, K)
        self.near_keys, self.near_values = self.keys, self.values  # what a token alone sees
        if self.window is not None:
            first = [max(0, t + 1 - self.window) for t in range(capacity)]
            self.near_keys = [keys[:, :, first[t] :] for t, keys in enumerate(self.keys)]
            self.near_values = [values[:, first[t] :] for t, values in enumerate(self.values)]
        self.position_bias, self.turns = position_bias, turns  # (G, R, t + 1)

    def __call__(self, row: torch.Tensor, position: int) -> torch.Tensor:
        """(1, D), the token at `position`."""
        normed, into = self.normalize(row), self.rows[position]
        if self.qkv_bias is None:
            torch.mm(normed, self.qkv, out=into)
        else:
            torch.addmm(self.qkv_bias, normed, self.qkv, out=into)
        if self.turns is not None:
            self.own.place(into, self.turns, slice(position, position + 1))
        keys = self.near_keys[position]
        if self.position_bias is None:
            scores = torch.bmm(self.queries[position], keys)
        else:
            scores = torch.baddbmm(self.position_bias[position], self.queries[position], keys)
        if self.softcap is not None:
            scores.tanh_().mul_(self.softcap)
        mixed = torch.bmm(scores.softmax(-1), self.near_values[position])  # (G, R, K)
        row = self.own.join(row, mixed.view(1, -1))
        if self.cross is not None:
            query = mm(self.normalize(row), self.cross.into).view(self.heads, self.group, -1)
            mixed = self.cross.mix(query, self.cross_keys, self.cross_values, None)
            row = self.cross.join(row, mixed.view(1, -1))
        return self.feed_forward(row, normed if self.parallel else self.normalize(row))

    def run(
        self, rows: torch.Tensor, position: int, bias: torch.Tensor, normalize: Normalize
    ) -> torch.Tensor:
        """Do the same for n rows, (n, D), the first at `position`. bias: (G or 1, R * n, position + n)."""
        end = position + len(rows)
        normed = normalize(rows)
        qkv = mm(normed, self.own.into)
        if self.turns is not None:
            self.own.place(qkv, self.turns, slice(position, end))
        self.self_kv_cache[position:end] = qkv
        query = self._by_group(qkv[:, : self.heads * self.group * self.width])
        mixed = self.own.mix(query, self.keys[end - 1], self.values[end - 1], bias)
        rows = self.own.join(rows, self._by_row(mixed))
        if self.cross is not None:
            query = self._by_group(mm(normalize(rows), self.cross.into))
            mixed = self.cross.mix(query, self.cross_keys, self.cross_values, None)
            rows = self.cross.join(rows, self._by_row(mixed))
        return self.feed_forward(rows, normed if self.parallel else normalize(rows))

    def _by_group(self, queries: torch.Tensor) -> torch.Tensor:
        """(n, HK) to (G, Rn, K)."""
        by_head = queries.view(len(queries), self.heads, self.group, self.width)
        return by_head.permute(1, 2, 0, 3).flatten(1, 2)

    def _by_row(self, mixed: torch.Tensor) -> torch.Tensor:
        """(G, Rn, K) to (n, HK)."""
        return mixed.view(self.heads, self.group, -1, self.width).permute(2, 0, 1, 3).flatten(1)
