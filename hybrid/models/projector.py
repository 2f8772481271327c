"""The projector: from the LLM's representation space to the SLM's embedding space."""

import torch
from torch import nn


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
