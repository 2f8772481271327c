"""From the LLM's representation space to the SLM's: the projector, and early fusion with its embeddings.

Letters: B batch, S prompt tokens, d_llm and d_slm widths of the two models.
"""

from typing import Literal, get_args

import torch
from torch import nn

Fusion = Literal["add", "replace"]
FUSIONS: tuple[str, ...] = get_args(Fusion)


class Projector(nn.Module):
    """Linear -> ReLU -> Linear, trained from scratch (Bergner et al. 2024, section 3).

    Shapes: (B, S, d_llm) -> (B, S, d_slm).
    """

    def __init__(self, d_llm: int, d_slm: int) -> None:
        super().__init__()
        self.up = nn.Linear(d_llm, d_slm)
        self.down = nn.Linear(d_slm, d_slm)

    def forward(self, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.down(torch.relu(self.up(encoder_hidden_states)))
        return projected


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
