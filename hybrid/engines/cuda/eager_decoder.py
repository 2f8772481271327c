"""A decoder's work in plain PyTorch over static buffers: passes over several tokens, and a decode step.

Letters: B answers, n tokens of each in a pass, S prompt tokens of the bucket, T positions of the caches,
D model width, H heads, V vocabulary.
"""

import torch
from torch.nn import functional

from hybrid.engines.cuda.buffers import DecodeBuffers
from hybrid.engines.cuda.eager import (
    attend,
    attend_causally,
    normed,
    padding_mask,
    placed,
    run_layer,
    split_heads,
    sum_type,
    turns_at,
)
from hybrid.engines.cuda.weights import PackedDecoder


class EagerDecoder:
    """The layers and the head of a decoder, over the caches of `buffers`."""

    def __init__(self, weights: PackedDecoder, buffers: DecodeBuffers) -> None:
        self._weights, self._buffers = weights, buffers
        self._batch, self._dtype = len(buffers.inputs), weights.embeddings.dtype
        self._biases = _biases_by_place(weights, buffers.self_kv_cache.shape[4])

    def enter(self, states: torch.Tensor) -> torch.Tensor:
        """Make rows of the prompts of a decoder-only model, whose (B * S, D) embeddings `states` are."""
        weights, by_prompt = self._weights, states.view(self._batch, -1, states.shape[1])
        places = torch.arange(by_prompt.shape[1], device=states.device)
        rows = placed(by_prompt, weights, places).flatten(0, 1)
        return rows.to(sum_type(self._dtype), copy=weights.places is None)

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """Let (B * S, D) rows of prompts, which are lost, through the layers and put them into the caches."""
        weights, buffers, batch = self._weights, self._buffers, self._batch
        length = len(rows) // batch
        turns = turns_at(weights, torch.arange(length, device=rows.device)[None])
        for layer, cache in zip(weights.layers, buffers.self_kv_cache, strict=True):

            def causal(qkv: torch.Tensor, cache: torch.Tensor = cache) -> torch.Tensor:
                query, keys, values = split_heads(qkv, weights, batch, turns)
                cache[0, :, :, :length], cache[1, :, :, :length] = keys, values
                return attend_causally(query, keys, values)

            run_layer(rows, layer, weights, causal)
        return rows

    def last(self, rows: torch.Tensor) -> torch.Tensor:
        """Take (B, D) rows of the prompts' last tokens from (B * S, D)."""
        ends = torch.arange(self._batch, device=rows.device) * (len(rows) // self._batch)
        return rows.index_select(0, ends + self._buffers.lengths - 1)

    def extend(self, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Let n tokens of each answer through the layers, over what the caches hold before them.

        rows: (B * n, D) embeddings of the sums' type, which are lost. places: (B, n) in the caches.
        """
        weights, buffers, batch = self._weights, self._buffers, self._batch
        bias, turns = self._bias(places), turns_at(weights, places)
        mask = padding_mask(buffers.lengths, buffers.cross_kv_cache.shape[4], self._dtype)
        index = places[None, :, None, :, None].expand(2, -1, weights.key_value_heads, -1, weights.head_width)
        for layer, self_kv, cross_kv in zip(
            weights.layers, buffers.self_kv_cache, buffers.cross_kv_cache, strict=True
        ):

            def cached(qkv: torch.Tensor, cache: torch.Tensor = self_kv) -> torch.Tensor:
                query, *new = split_heads(qkv, weights, batch, turns)
                cache.scatter_(3, index, torch.stack(new))
                return attend(query, cache[0], cache[1], bias)

            def cross(query: torch.Tensor, cache: torch.Tensor = cross_kv) -> torch.Tensor:
                by_head = query.view(batch, -1, weights.heads, weights.head_width).transpose(1, 2)
                return attend(by_head, cache[0], cache[1], mask)

            run_layer(rows, layer, weights, cached, cross if weights.cross_kv else None)
        return rows

    def choose(self, rows: torch.Tensor) -> None:
        """Take the greedy ids after (B, D) rows of the last tokens; they are the next inputs."""
        buffers = self._buffers
        buffers.logits.copy_(self.logits(rows))
        ids = buffers.logits.argmax(1)
        buffers.ids.index_copy_(0, buffers.positions[:1], ids.unsqueeze(0))
        buffers.positions.add_(1)
        buffers.put_inputs(ids)

    def logits(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, D) rows behind the last layer to (N, V)."""
        return functional.linear(normed(rows, self._weights), *self._weights.head)

    def _bias(self, places: torch.Tensor) -> torch.Tensor:
        """Give (B, H, n, T), or 1 for B or H where all are alike, for tokens at (B, n) places."""
        if self._weights.bias is not None:
            places = places[:1]  # answers behind an encoder grow in step
        return self._biases[places].transpose(1, 2)


class EagerDecodeStep(EagerDecoder):
    """One greedy decode step: takes the ids at `positions` of the buffers, gives those that follow."""

    def __call__(self) -> None:
        buffers = self._buffers
        rows = buffers.inputs.to(sum_type(self._dtype))  # float32 rows are added to where they stand
        self.choose(self.extend(rows, (buffers.positions + buffers.offsets).unsqueeze(1)))


def _biases_by_place(weights: PackedDecoder, capacity: int) -> torch.Tensor:
    """Give (T, H or 1, T): for each place the bias of every key, -inf for those behind it."""
    places = torch.arange(capacity, device=weights.embeddings.device)
    distances = places[:, None] - places
    if weights.bias is None:
        biases = torch.zeros(1, capacity, capacity, device=places.device)
    else:
        biases = weights.bias[:, distances.clamp(min=0)]  # (H, T, T)
    biases = biases.masked_fill(distances < 0, -torch.inf).transpose(0, 1)
    return biases.to(weights.embeddings.dtype).contiguous()
