"""Rotary positions as tables, made once for all layers that turn alike.

Letters: N rows (tokens of all prompts, or of a pass), P positions, H heads, G key-value heads, K head width.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hybrid.models.architectures.records import Rotary

if TYPE_CHECKING:
    from hybrid.engines.torch.layers import PackedLayer, Target


class Turns:
    """What queries and keys at each position are turned by."""

    def __init__(self, rotary: Rotary, target: "Target", positions: int) -> None:
        angles = torch.arange(positions)[:, None] * rotary.frequencies.detach().float().cpu()  # (P, K/2)
        sines = torch.stack([-angles.sin(), angles.sin()], dim=1)
        self.cosines = target.put(angles.cos()[:, None, None])  # (P, 1, 1, K/2)
        self.sines = target.put(sines[:, None])  # (P, 1, 2, K/2)

    def turn(self, rows: torch.Tensor, heads: int, positions: slice | torch.Tensor) -> None:
        """Turn the first `heads` heads of (N, any) rows in place; they stand at `positions`."""
        width = 2 * self.cosines.shape[-1]
        halves = rows[:, : heads * width].view(len(rows), heads, 2, -1)
        turned = halves.flip(2).mul_(self.sines[positions])
        halves.mul_(self.cosines[positions]).add_(turned)


def turns_of(layers: Sequence["PackedLayer"], target: "Target", positions: int) -> list[Turns | None]:
    """Make the tables of each layer for so many positions; None where it has no rotary ones."""
    rotaries = {id(layer.rotary): layer.rotary for layer in layers if layer.rotary is not None}
    tables = {key: Turns(rotary, target, positions) for key, rotary in rotaries.items()}
    return [tables.get(id(layer.rotary)) for layer in layers]
