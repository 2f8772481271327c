"""From the hidden states that the LLM has read to what a hybrid's SLM takes.

Letters: N tokens of all prompts, V vocabulary of the prompt's ids.
"""

import torch
from torch.nn import functional

from hybrid.engines.torch.encoder import StackEncoder, States
from hybrid.models.fusion import Affine


class LatentFusion:
    """(N, d_llm) hidden states to the (N, d_slm) states of the SLM's encoder.

    encoder: None of a decoder-only SLM, whose prefix the fused prompt itself is. adds: E + Z, else Z.
    embeddings: (V, any) that E is looked up in. bridge: (d_slm, any) that these go through, if any.
    """

    def __init__(
        self,
        projector: tuple[Affine, Affine],
        adds: bool,
        embeddings: torch.Tensor,
        bridge: torch.Tensor | None,
        encoder: StackEncoder | None,
    ) -> None:
        self.up, self.down = projector
        self.adds, self.embeddings, self.bridge, self.encoder = adds, embeddings, bridge, encoder

    def __call__(self, states: States) -> States:
        linear = functional.linear
        rows = linear(torch.relu(linear(states.rows, *self.up)), *self.down)
        if self.adds:
            embeddings = self.embeddings[states.ids]
            rows = rows + (embeddings if self.bridge is None else linear(embeddings, self.bridge))
        if self.encoder is not None:
            rows = self.encoder(rows, states.layout)
        return States(states.ids, rows, states.layout)
