"""Where the tokens of B prompts stand: one after another as rows, or padded to the longest.

Whatever treats tokens one by one (norms, matrix products) works on rows and
never sees padding. Only attention needs one prompt beside another, (B, S).
Padding then repeats a real token, which the mask keeps from being attended to.

Letters: B prompts, S tokens of the longest, N tokens of all, C channels.
"""

from collections.abc import Sequence

import torch

from hybrid.engines.t5_layers import Target


class Layout:
    """The places of the tokens of prompts with these lengths, in tokens."""

    def __init__(self, lengths: Sequence[int], target: Target) -> None:
        self.batch, self.longest = len(lengths), max(lengths)
        if self.batch == 1:
            return
        sizes = torch.tensor(lengths)
        places = torch.arange(self.longest)
        real = places < sizes[:, None]  # (B, S)
        first = sizes.cumsum(0) - sizes  # (B,) the row of each prompt's first token
        self._row_of_place = torch.where(real, first[:, None] + places, 0).flatten().to(target.device)
        self._place_of_row = real.flatten().nonzero()[:, 0].to(target.device)  # (N,)
        mask = torch.zeros(self.batch, 1, 1, self.longest).masked_fill(~real[:, None, None], -torch.inf)
        self._mask = target.put(mask)

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """(N, C) to (B, S, C)."""
        padded = rows if self.batch == 1 else rows.index_select(0, self._row_of_place)
        return padded.view(self.batch, self.longest, -1)

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """(B, S, C) to (N, C)."""
        rows = padded.flatten(0, 1)
        return rows if self.batch == 1 else rows.index_select(0, self._place_of_row)

    def mask(self, bias: torch.Tensor) -> torch.Tensor:
        """`bias`, broadcast to (B, H, queries, S), with -inf at every padding key."""
        return bias if self.batch == 1 else bias + self._mask
