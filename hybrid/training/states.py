"""What a frozen LLM has read of the training data, kept in memory so that it reads each prompt once."""

from collections.abc import Iterator

import torch

from hybrid.models.pair import Hybrid
from hybrid.schema import Device
from hybrid.sizing.memory import free_bytes
from hybrid.training.batches import Side
from hybrid.training.stage_module import read_prompts

TOKENS_AT_ONCE = 65536  # padded ones of a batch that is read
CALIBRATION_ROWS = 4096
SHARE_OF_FREE_MEMORY = 0.5
BYTES = 2  # of a value in bfloat16


class KeptStates:
    """The LLM's hidden states of every prompt, flat and in bfloat16, on the device that trains."""

    def __init__(self, states: torch.Tensor, side: Side) -> None:
        self._states, self._side = states, side

    def gather(self, rows: torch.Tensor, width: int) -> torch.Tensor:
        """(B, width, k * d_llm), whatever at padding: the mask hides it."""
        at = torch.arange(width, device=rows.device)
        index = self._side.starts[rows][:, None] + at
        return self._states[index.clamp_max(len(self._states) - 1)]


@torch.no_grad()
def keep_states(pair: Hybrid, side: Side, budget_gb: float | None) -> KeptStates | None:
    """Read all prompts of `side`, on whose device the pair is; None where they do not fit.

    budget_gb: memory that they may take; half of what is free when None.
    """
    width, count = pair.projector.up.in_features, side.flat.numel()
    if count * width * BYTES > _budget(side.flat.device, budget_gb):
        return None
    states = torch.empty(count, width, dtype=torch.bfloat16, device=side.flat.device)
    for rows, source, mask in _in_batches(side):
        read = read_prompts(pair, source, mask).to(states.dtype)
        index = side.starts[rows][:, None] + torch.arange(source.shape[1], device=rows.device)
        states[index[mask.bool()]] = read[mask.bool()]
    return KeptStates(states, side)


@torch.no_grad()
def calibrate(pair: Hybrid, side: Side, seed: int) -> None:
    """Set how the projector standardizes, from the prompts of some examples."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(side.lengths), generator=generator)[:CALIBRATION_ROWS]
    pieces = [
        read_prompts(pair, source, mask)[mask.bool()].float().cpu()
        for _, source, mask in _in_batches(side, rows.to(side.lengths.device))
    ]
    pair.projector.calibrate(torch.cat(pieces).to(side.flat.device))


def _in_batches(
    side: Side, rows: torch.Tensor | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield examples' places, ids (B, S) and mask (B, S), the shortest prompts first."""
    rows = torch.arange(len(side.lengths), device=side.lengths.device) if rows is None else rows
    rows = rows[side.lengths[rows].argsort()]
    widths = side.lengths[rows].tolist()
    start = 0
    while start < len(widths):
        end = start + 1
        while end < len(widths) and widths[end] * (end + 1 - start) <= TOKENS_AT_ONCE:
            end += 1
        taken, width = rows[start:end], widths[end - 1]
        mask = (torch.arange(width, device=rows.device) < side.lengths[taken][:, None]).long()
        yield taken, side.gather(taken, width, 0), mask
        start = end


def _budget(device: torch.device, budget_gb: float | None) -> float:
    if budget_gb is not None:
        return budget_gb * 1e9
    free = free_bytes(Device(device.type, device.index)) if device.type in ("cpu", "cuda") else None
    return (free or 0) * SHARE_OF_FREE_MEMORY
