"""From the LLM's representation space to the SLM's: the projector, and early fusion with its embeddings.

Letters: B batch, S prompt tokens, d_llm and d_slm widths of the two models.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import nn

Fusion = Literal["add", "replace"]
FUSIONS: tuple[str, ...] = get_args(Fusion)
# Which of the LLM's layers is read, counted from 1, or which several; None: what leaves its final norm.
ReadLayers = int | tuple[int, ...] | None
SMALLEST_DEVIATION = 1e-6  # of a channel that hardly moves


def layer_numbers(layer: ReadLayers) -> tuple[int, ...]:
    """Name the layers that are read, none for None. Raises ValueError where they are in no rising order."""
    if layer is None:
        return ()
    numbers = (layer,) if isinstance(layer, int) else tuple(layer)
    if not numbers or list(numbers) != sorted(set(numbers)):
        raise ValueError(f"layer is {[*numbers]}; give one number of a block, or several in rising order")
    return numbers


class Affine(NamedTuple):
    """x weight.T + bias. weight: (d_out, d_in). bias: (d_out,)."""

    weight: torch.Tensor
    bias: torch.Tensor


class Projector(nn.Module):
    """Linear -> ReLU -> Linear, trained from scratch (Bergner et al. 2024, section 3).

    Shapes: (B, S, d_llm) -> (B, S, d_slm); of several layers, d_llm is that of their states side by side.

    standardize: whether it reads (H - shift) * gain, which `calibrate` sets. A middle layer's
    hidden states need it: a few of their channels can be a thousand times as large as the
    others (Sun et al. 2024, arXiv 2402.17762).
    """

    shift: torch.Tensor | None  # (d_llm,)
    gain: torch.Tensor | None  # (d_llm,)

    def __init__(self, d_llm: int, d_slm: int, standardize: bool = False) -> None:
        super().__init__()
        self.up = nn.Linear(d_llm, d_slm)
        self.down = nn.Linear(d_slm, d_slm)
        self.register_buffer("shift", torch.zeros(d_llm) if standardize else None)
        self.register_buffer("gain", torch.ones(d_llm) if standardize else None)

    def forward(self, llm_hidden_states: torch.Tensor) -> torch.Tensor:
        if self.shift is not None and self.gain is not None:
            standardized = (llm_hidden_states.float() - self.shift.float()) * self.gain.float()
            llm_hidden_states = standardized.to(llm_hidden_states.dtype)
        projected: torch.Tensor = self.down(torch.relu(self.up(llm_hidden_states)))
        return projected

    @torch.no_grad()
    def calibrate(self, llm_hidden_states: torch.Tensor) -> None:
        """Set shift and gain so that these states, (..., d_llm) of real tokens, have mean 0 and deviation 1.

        Raises ValueError unless the projector standardizes.
        """
        if self.shift is None or self.gain is None:
            raise ValueError("this projector does not standardize; make the pair with standardize=True")
        states = llm_hidden_states.reshape(-1, len(self.shift)).float()
        self.shift.copy_(states.mean(0))
        self.gain.copy_(states.std(0, correction=0).clamp_min(SMALLEST_DEVIATION).reciprocal())

    @torch.no_grad()
    def folded(self) -> tuple[Affine, Affine]:
        """Give both linear layers, with the standardization in the first, for whoever packs them."""
        weight, bias = self.up.weight.detach(), self.up.bias.detach()
        if self.shift is not None and self.gain is not None:
            wide = weight.double() * self.gain.double()
            bias = (bias.double() - wide @ self.shift.double()).to(bias.dtype)
            weight = wide.to(weight.dtype)
        return Affine(weight, bias), Affine(self.down.weight.detach(), self.down.bias.detach())


def fuse(
    embeddings: torch.Tensor,  # (B, S, d_slm) the SLM's own prompt embeddings
    latent: torch.Tensor,  # (B, S, d_slm) the projected LLM encoder hidden states
    attention_mask: torch.Tensor,  # (B, S) 1 for tokens, 0 for padding
    how: Fusion,
) -> torch.Tensor:
    """Fused prompt embeddings, (B, S, d_slm), zero at every padding position.

    `add` is E + Z, `replace` is Z. Raises ValueError when the shapes differ.
    """
    if embeddings.shape != latent.shape:
        raise ValueError(
            f"cannot fuse embeddings {tuple(embeddings.shape)} with latent {tuple(latent.shape)}"
        )
    fused = embeddings + latent if how == "add" else latent
    return fused * attention_mask[..., None].to(fused.dtype)
