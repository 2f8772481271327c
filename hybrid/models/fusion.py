"""Early fusion: where the LLM's latent enters the SLM's input embeddings.

Letters: B batch, S prompt tokens, d_slm width of the small model.
"""

from typing import Literal, get_args

import torch

Fusion = Literal["add", "replace"]
FUSIONS: tuple[str, ...] = get_args(Fusion)


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
