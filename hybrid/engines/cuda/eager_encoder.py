"""What reads prompts in plain PyTorch: an encoder's layers, or the first of a decoder-only model.

Letters: B prompts, S tokens of the bucket, D model width, H heads.
"""

import torch

from hybrid.engines.cuda.buffers import PromptBuffers
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
from hybrid.engines.cuda.weights import PackedEncoder


class EagerEncoder:
    """(B * S, D) input embeddings of prompts, which may be lost, to (B * S, D) hidden states."""

    def __init__(self, weights: PackedEncoder, prompts: PromptBuffers) -> None:
        self._weights, self._prompts = weights, prompts
        self._places = torch.arange(prompts.shape[1], device=prompts.ids.device)
        self._turns = turns_at(weights, self._places[None])
        self._bias = None if weights.causal else _position_bias(weights, self._places)

    def __call__(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.leave(self.read(self.enter(embeddings)))

    def enter(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Make rows, of the sums' type, of embeddings; theirs where nothing is added."""
        by_prompt = embeddings.view(*self._prompts.shape, -1)
        rows = placed(by_prompt, self._weights, self._places).flatten(0, 1)
        return rows.to(sum_type(rows.dtype))

    def read(self, rows: torch.Tensor) -> torch.Tensor:
        """Let (B * S, D) rows, which are lost, through the layers."""
        attention = self._attention()
        for layer in self._weights.layers:
            run_layer(rows, layer, self._weights, attention)
        return rows

    def leave(self, rows: torch.Tensor) -> torch.Tensor:
        """Norm rows behind the last layer, if the stack does."""
        if self._weights.final is None:
            return rows
        gain, bias = self._weights.final
        rows = unit(rows, self._weights) * gain
        return rows if bias is None else rows + bias

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
