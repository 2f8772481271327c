"""What reads prompts in plain PyTorch: an encoder's layers, or the first of a decoder-only model.

Letters: B prompts, S tokens of the bucket, D model width, H heads.
"""

import torch

from hybrid.engines.cuda.buffers import PassCaches, PromptBuffers
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.eager import (
    Attend,
    attend,
    attend_causally,
    padding_mask,
    placed,
    run_layer,
    split_heads,
    sum_type,
    turns_at,
    unit,
)
from hybrid.engines.cuda.kernel_selector import Pass, StepKernelSelector, example_rows
from hybrid.engines.cuda.weights import PackedEncoder


class EagerEncoder:
    """(B * S, D) input embeddings of prompts, which may be lost, to (B * S, D) hidden states."""

    def __init__(self, weights: PackedEncoder, prompts: PromptBuffers) -> None:
        self._weights, self._prompts = weights, prompts
        self._places = torch.arange(prompts.shape[1], device=prompts.ids.device)
        self._turns = turns_at(weights, self._places[None])
        self._run: Pass = self._layers
        self._bias = None if weights.causal else _position_bias(weights, self._places)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        rows = self._run(self._enter(rows))
        if self._weights.final is None:
            return rows
        gain, bias = self._weights.final
        rows = unit(rows, self._weights) * gain
        return rows if bias is None else rows + bias

    def select(self, kernels: StepKernelSelector, capturer: GraphCapturer) -> None:
        """Choose the fastest kernels for the layers of a causal reader."""
        weights, (batch, length) = self._weights, self._prompts.shape
        if not weights.causal:
            return
        new = weights.embeddings.new_zeros
        cache = new(
            1, 2, batch, weights.key_value_heads, length, weights.head_width
        )  # of one layer at a time
        by_layer = cache.expand(len(weights.layers), *cache.shape[1:])
        start = torch.zeros_like(self._prompts.lengths)
        caches = PassCaches(by_layer, by_layer[..., :0, :], self._prompts.lengths, start, start)
        rows = self._enter(example_rows(weights, batch * length))
        self._run = kernels.fastest_pass(weights, caches, self._run, rows, capturer)

    def _enter(self, rows: torch.Tensor) -> torch.Tensor:
        """Add learned positions to embeddings; the sums' type, which is theirs where nothing is added."""
        shape = *self._prompts.shape, -1
        rows = placed(rows.view(shape), self._weights, self._places).flatten(0, 1)
        return rows.to(sum_type(rows.dtype))

    def _layers(self, rows: torch.Tensor) -> torch.Tensor:
        attention = self._attention()
        for layer in self._weights.layers:
            run_layer(rows, layer, self._weights, attention)
        return rows

    def _attention(self) -> Attend:
        weights, (batch, length) = self._weights, self._prompts.shape
        if self._bias is None:  # padding stands behind a prompt, where none of its tokens looks

            def causal(qkv: torch.Tensor) -> torch.Tensor:
                return attend_causally(*split_heads(qkv, weights, batch, self._turns))

            return causal
        bias = self._bias + padding_mask(self._prompts.lengths, length, self._bias.dtype)  # (B, H, S, S)

        def both_ways(qkv: torch.Tensor) -> torch.Tensor:
            return attend(*split_heads(qkv, weights, batch, self._turns), bias)

        return both_ways


def _position_bias(weights: PackedEncoder, places: torch.Tensor) -> torch.Tensor:
    """Give (1, H, S, S): a key's bias for each query, by the distance between them; zeros without any."""
    if weights.bias is None:
        return weights.embeddings.new_zeros(1, 1, 1, len(places))
    return weights.bias[:, places - places[:, None] + weights.reach - 1].unsqueeze(0)
