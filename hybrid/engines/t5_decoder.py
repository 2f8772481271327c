"""A greedy T5 decoder for one prompt, one token at a time, over preallocated caches.

What is not paid per token: module calls, masks, cache growth, position
buckets, and views, which are cut once for every position. In a layer remain
the three norms, eight matrix products and two attentions.

Letters: S prompt tokens, T capacity in generated tokens, D model width,
H heads, K head width, L layers, V vocabulary.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch

from hybrid.engines.layout import Layout
from hybrid.engines.t5_layers import FeedForward, Norm, Target, bias_by_distance, mm, pack, unit_rms, widened

CAPACITY = 512  # generated tokens for which caches are made in advance; growing takes tens of milliseconds


class T5Decoder:
    """The decoder of a transformers T5, packed for greedy decoding in batch 1; no module is kept."""

    def __init__(self, model: Any, target: Target) -> None:
        config, stack = model.config, model.decoder
        # T5 and Flan-T5 say whether the head's input is scaled; mT5 has no such setting, and no scale.
        scale = config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0
        self.target = target
        self.start = int(config.decoder_start_token_id)
        self.embeddings = target.put(stack.embed_tokens.weight).unsqueeze(1)  # (V, 1, D)
        self.head = pack(target, model.get_output_embeddings(), gain=stack.final_layer_norm.weight * scale)
        self.eps: float = stack.final_layer_norm.variance_epsilon
        self.norm = _norm_of_one_row(self.eps, target)
        self.layers = [Layer(block, self.norm, target) for block in stack.block]
        crossings = [block.layer[1].EncDecAttention for block in stack.block]
        self.cross = pack(target, *(linear for one in crossings for linear in (one.k, one.v)))  # (D, 2LHK)
        self.heads, self.head_width = config.num_heads, config.d_kv
        self.near_bias = bias_by_distance(stack, target, config.relative_attention_max_distance + 1)
        self._prepare()

    def twin(self) -> "T5Decoder":
        """Another decoder with the same weights and caches of its own."""
        other = copy.copy(self)
        other.layers = [copy.copy(layer) for layer in self.layers]
        other._prepare()
        return other

    def _prepare(self) -> None:
        self.logits = self.embeddings.new_empty(1, len(self.embeddings))
        self.pick = _argmax(self.logits)
        self.capacity = 0
        self.reserve(CAPACITY)

    def reserve(self, capacity: int) -> None:
        """Make room for `capacity` generated tokens; what the caches held is dropped."""
        if capacity <= self.capacity:
            return
        self.capacity = capacity
        self.bias = widened(self.near_bias, capacity)  # (H, T)
        past = tuple(self.bias[:, None, capacity - 1 - position :] for position in range(capacity))
        for layer in self.layers:
            layer.reserve(past, self.target)

    def read(self, states: torch.Tensor, capacity: int) -> None:
        """A new prompt: its cross-attention keys and values.

        states: (S, D) encoder hidden states. capacity: of generated tokens.
        """
        self.reserve(capacity)
        crossed = mm(states, self.cross).view(len(states), -1, 2, self.heads, self.head_width)
        keys = crossed[:, :, 0].permute(1, 2, 3, 0).contiguous()  # (L, H, K, S)
        values = crossed[:, :, 1].permute(1, 2, 0, 3).contiguous()  # (L, H, S, K)
        for layer, layer_keys, layer_values in zip(self.layers, keys, values, strict=True):
            layer.cross_keys, layer.cross_values = layer_keys, layer_values

    def prefill(self, states: torch.Tensor, layout: Layout, capacity: int) -> dict[int, int]:
        """The id of the first token, for row 0, after `read`. layout: of the one prompt."""
        assert layout.batch == 1, f"a decoder for one prompt was given {layout.batch}"
        self.read(states, capacity)
        return self.step({0: self.start}, 0)

    def step(self, tokens: Mapping[int, int], position: int) -> dict[int, int]:
        """The id after that of row 0, which stands at `position` of the answer (the start token at 0)."""
        self.run(tokens[0], position)
        return {0: self.pick()}

    def run(self, token: int, position: int) -> None:
        """What comes after `token` at `position`, as `logits`, (1, V)."""
        row = self.embeddings[token]  # (1, D)
        for layer in self.layers:
            row = layer(row, position)
        torch.mm(self.norm(row), self.head, out=self.logits)


class Layer:
    """One decoder layer and its caches."""

    cross_keys: torch.Tensor  # (H, K, S)
    cross_values: torch.Tensor  # (H, S, K)

    def __init__(self, block: Any, norm: Norm, target: Target) -> None:
        own, cross = block.layer[0].SelfAttention, block.layer[1].EncDecAttention
        gains = [part.layer_norm.weight for part in block.layer]
        self.norm, self.heads, self.head_width = norm, own.n_heads, own.key_value_proj_dim
        self.qkv = pack(target, own.q, own.k, own.v, gain=gains[0])  # (D, 3HK)
        self.out = pack(target, own.o)  # (HK, D)
        self.cross_query = pack(target, cross.q, gain=gains[1])  # (D, HK)
        self.cross_out = pack(target, cross.o)  # (HK, D)
        self.feed_forward = FeedForward(block.layer[2], target)

    def reserve(self, past_bias: tuple[torch.Tensor, ...], target: Target) -> None:
        """New caches: position t is row t of (T, 3, H, K), queries, keys and values side by side.

        A layer's product is written straight into its row, so nothing is copied.
        past_bias: for every position, the bias of the positions up to it.
        """
        capacity, width = len(past_bias), self.heads * self.head_width
        cache = torch.zeros(capacity, 3 * width, device=target.device, dtype=target.dtype)
        queries, keys, values = cache.view(capacity, 3, self.heads, 1, self.head_width).unbind(1)
        keys, values = keys.permute(1, 3, 0, 2).flatten(2), values.transpose(0, 1).flatten(1, 2)
        self.cache, self.rows = cache, cache.unsqueeze(1).unbind(0)  # each row (1, 3HK)
        self.queries = queries.unbind(0)  # each (H, 1, K)
        self.keys = [keys[:, :, : t + 1] for t in range(capacity)]  # (H, K, t + 1)
        self.values = [values[:, : t + 1] for t in range(capacity)]  # (H, t + 1, K)
        self.past_bias = past_bias  # (H, 1, t + 1)

    def __call__(self, row: torch.Tensor, position: int) -> torch.Tensor:
        torch.mm(self.norm(row), self.qkv, out=self.rows[position])
        scores = torch.baddbmm(self.past_bias[position], self.queries[position], self.keys[position])
        mixed = torch.bmm(scores.softmax(-1), self.values[position])  # (H, 1, K)
        row = torch.addmm(row, mixed.view(1, -1), self.out)

        query = torch.mm(self.norm(row), self.cross_query).view(self.heads, 1, -1)
        scores = torch.bmm(query, self.cross_keys)
        mixed = torch.bmm(scores.softmax(-1), self.cross_values)
        row = torch.addmm(row, mixed.view(1, -1), self.cross_out)

        return self.feed_forward(row, self.norm(row))


def _norm_of_one_row(eps: float, target: Target) -> Norm:
    """unit_rms for a single row; on the CPU in float32, three small operations in place of seven."""
    if target.device.type != "cpu" or target.dtype != torch.float32:
        return lambda row: unit_rms(row, eps)
    epsilon = torch.full((1, 1), eps)

    def norm(row: torch.Tensor) -> torch.Tensor:
        mean_square = torch.addmm(epsilon, row, row.t(), alpha=1 / row.shape[1])
        return row * mean_square.rsqrt_()

    return norm


def _argmax(logits: torch.Tensor) -> Callable[[], int]:
    """Reads the index of the largest of `logits`, (1, V); numpy's is ten times as fast on the CPU."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return lambda: int(logits.argmax())
    shared = logits.numpy()
    return lambda: int(shared.argmax())
