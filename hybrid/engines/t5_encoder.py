"""A T5 encoder over the tokens of B prompts, without padding outside attention or module overhead.

Letters: B prompts, S tokens of the longest, N tokens of all, D model width, H heads, K head width.
"""

from typing import Any

import torch
from torch.nn import functional

from hybrid.engines.layout import Layout
from hybrid.engines.t5_layers import FeedForward, Target, bias_by_distance, pack, unit_rms


class T5Encoder:
    """The encoder of a transformers T5, packed for reading prompts."""

    def __init__(self, stack: Any, target: Target, max_tokens: int) -> None:
        self.eps: float = stack.final_layer_norm.variance_epsilon
        self.gain = target.put(stack.final_layer_norm.weight)
        self.max_tokens = max_tokens
        self.bias = bias_by_distance(stack, target, max_tokens)  # (H, 2 * max_tokens - 1)
        self.blocks = [_Block(block, self.eps, target) for block in stack.block]

    def __call__(self, embeddings: torch.Tensor, layout: Layout) -> torch.Tensor:
        """(N, D) input embeddings to (N, D) hidden states."""
        rows, bias = embeddings, layout.mask(self._bias(layout.longest))
        for block in self.blocks:
            rows = block(rows, bias, layout)
        return unit_rms(rows, self.eps) * self.gain

    def _bias(self, tokens: int) -> torch.Tensor:
        """(1, H, S, S): row i of the windows starts at the distance of key 0 from query i, -i."""
        reach = self.max_tokens - 1
        near = self.bias[:, reach - tokens + 1 : reach + tokens]  # (H, 2S - 1)
        return near.unfold(1, tokens, 1).flip(1).unsqueeze(0)


class _Block:
    """Self-attention and feed-forward, each added to what it reads."""

    def __init__(self, block: Any, eps: float, target: Target) -> None:
        attention = block.layer[0].SelfAttention
        self.heads, self.eps = attention.n_heads, eps
        self.qkv = pack(
            target, attention.q, attention.k, attention.v, gain=block.layer[0].layer_norm.weight
        )  # (D, 3HK)
        self.out = pack(target, attention.o)  # (HK, D)
        self.feed_forward = FeedForward(block.layer[1], target)

    def __call__(self, rows: torch.Tensor, bias: torch.Tensor, layout: Layout) -> torch.Tensor:
        qkv = layout.pad(torch.mm(unit_rms(rows, self.eps), self.qkv))  # (B, S, 3HK)
        qkv = qkv.view(layout.batch, layout.longest, 3, self.heads, -1)
        q, k, v = qkv.transpose(1, 3).unbind(2)  # each (B, H, S, K)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        rows = torch.addmm(rows, layout.unpad(mixed.transpose(1, 2).flatten(2)), self.out)
        return self.feed_forward(rows, unit_rms(rows, self.eps))
