"""Rotary positions as tables, made once for all layers that turn alike, and what a token may see.

Letters: N rows (tokens of all prompts, or of a pass), P positions, S tokens, H heads, K head width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hybrid.models.architectures.records import Rotary

if TYPE_CHECKING:
    from hybrid.engines.torch.layers import PackedLayer
    from hybrid.engines.torch.operations import Target


class Turns:
    """What queries and keys at each position are turned by. width: K; the first T channels turn."""

    def __init__(self, rotary: Rotary, width: int, target: "Target", positions: int) -> None:
        angles = torch.arange(positions)[:, None] * rotary.frequencies.detach().float().cpu()  # (P, T/2)
        sines = torch.stack([-angles.sin(), angles.sin()], dim=1)
        self.cosines = target.put(angles.cos()[:, None, None])  # (P, 1, 1, T/2)
        self.sines = target.put(sines[:, None])  # (P, 1, 2, T/2)
        self.width, self.turned = width, 2 * angles.shape[1]

    def turn(self, rows: torch.Tensor, heads: int, positions: slice | torch.Tensor) -> None:
        """Turn the first `heads` heads of (N, any) rows in place; they stand at `positions`."""
        by_head = rows[:, : heads * self.width].view(len(rows), heads, self.width)
        halves = by_head[:, :, : self.turned].view(len(rows), heads, 2, -1)
        turned = halves.flip(2).mul_(self.sines[positions])
        halves.mul_(self.cosines[positions]).add_(turned)


def turns_of(layers: Sequence["PackedLayer"], target: "Target", positions: int) -> list[Turns | None]:
    """Make the tables of each layer for so many positions; None where it has no rotary ones."""
    rotaries = {id(layer.rotary): (layer.rotary, layer.head_width) for layer in layers}
    tables = {
        key: Turns(rotary, width, target, positions) for key, (rotary, width) in rotaries.items() if rotary
    }
    return [tables.get(id(layer.rotary)) for layer in layers]


def causal_bias(tokens: int, window: int | None, like: torch.Tensor) -> torch.Tensor | None:
    """(1, 1, S, S): what keeps each token from seeing what follows, and what is no nearer than `window`.

    None where nothing is too far: that is causal attention as torch has it. like: of its type, on its device.
    """
    if window is None or window >= tokens:
        return None
    places = torch.arange(tokens, device=like.device)
    distances = places[:, None] - places
    return like.new_zeros(1, 1, tokens, tokens).masked_fill_(
        (distances < 0) | (distances >= window), -torch.inf
    )
