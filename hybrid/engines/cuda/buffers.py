"""What answers keep on the device from one decode step to the next.

Letters: B answers, S prompt tokens of the bucket, T capacity in generated tokens, D model width,
H heads, K head width, L layers.
"""

import torch
from torch.nn import functional

from hybrid.engines.cuda.plain import finite
from hybrid.engines.cuda.reading import Prompts
from hybrid.engines.cuda.weights import Decoder


class Buffers:
    """Memory of B answers, in the type of the weights where nothing else is said.

    rows: (B, D) float32, the embeddings of the last ids, the input of the next step.
    positions: (B,) where these stand, the same for all.
    ids: (T, B); row t holds the ids that followed position t.
    own: (L, 2, B, H, T, K) keys and values of the answers; crossed: (L, 2, B, H, S, K), of the prompts.
    lengths: (B,) of the prompts. logits: (B, V) float32, of the last step.
    """

    def __init__(self, weights: Decoder, prompts: Prompts, capacity: int) -> None:
        new, (batch, length) = weights.embeddings.new_zeros, prompts.shape
        vocabulary, width = weights.embeddings.shape
        heads = len(weights.layers), 2, batch, weights.heads
        self.rows = new(batch, width, dtype=torch.float32)
        self.positions = new(batch, dtype=torch.int64)
        self.ids = new(capacity, batch, dtype=torch.int64)
        self.own = new(*heads, capacity, weights.head_width)
        self.crossed = new(*heads, length, weights.head_width)
        self.lengths = torch.ones_like(prompts.lengths)
        self.logits = new(batch, vocabulary, dtype=torch.float32)
        self._weights, self._prompts = weights, prompts

    @property
    def nbytes(self) -> int:
        return self.own.nbytes + self.crossed.nbytes + self.logits.nbytes

    def read(self, states: torch.Tensor) -> None:
        """Keys and values of new prompts from their (B * S, D) states; the answers start anew."""
        batch, length = self._prompts.shape
        crossed = finite(functional.linear(states, self._weights.cross))
        crossed = crossed.view(batch, length, -1, 2, self._weights.heads, self._weights.head_width)
        self.crossed.copy_(crossed.permute(2, 3, 0, 4, 1, 5))
        self.lengths.copy_(self._prompts.lengths)
        self.restart()

    def restart(self) -> None:
        """Back to the start id at position 0."""
        self.positions.zero_()
        self.rows.copy_(self._weights.embeddings[self._weights.start])
