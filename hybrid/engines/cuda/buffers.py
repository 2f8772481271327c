"""Memory that stays where it is on the device: captured work finds its inputs there and leaves its outputs.

Letters: B answers, S prompt tokens of the bucket, T capacity in generated tokens, D model width,
H heads, K head width, L layers, V vocabulary.
"""

from collections.abc import Sequence

import torch

from hybrid.engines.cuda.weights import PackedDecoder


class PromptBuffers:
    """B prompts of up to S tokens. ids: (B, S), padded with 0 at the end; lengths: (B,)."""

    def __init__(self, batch: int, length: int, device: torch.device) -> None:
        # One tensor, the lengths last: a prompt then takes one copy to the device.
        self._host = torch.zeros(batch, length + 1, dtype=torch.int64)
        self._host[:, -1] = 1
        if device.type == "cuda":
            self._host = self._host.pin_memory()
        self._device = self._host.to(device)
        self.ids, self.lengths = self._device[:, :-1], self._device[:, -1]

    def put(self, prompts: Sequence[Sequence[int]]) -> None:
        """Copy prompts to the device; rows left over repeat the last one."""
        length = self._host.shape[1] - 1
        rows = [[*ids, *[0] * (length - len(ids)), len(ids)] for ids in prompts]
        rows += rows[-1:] * (len(self._host) - len(rows))
        self._host.copy_(torch.tensor(rows))
        self._device.copy_(self._host, non_blocking=True)

    @property
    def shape(self) -> tuple[int, int]:
        """B and S."""
        return self.ids.shape[0], self.ids.shape[1]


class DecodeBuffers:
    """What B answers keep from one decode step to the next, in the weights' type where nothing else is said.

    inputs: (B, D) float32, embeddings of the last ids, for the next step.
    positions: (B,) where these stand, the same for all.
    ids: (T, B); row t holds the ids that followed position t.
    self_kv_cache: (L, 2, B, H, T, K), keys and values of the answers.
    cross_kv_cache: (L, 2, B, H, S, K), of the prompts.
    lengths: (B,) of the prompts. logits: (B, V) float32, of the last step.
    """

    def __init__(self, weights: PackedDecoder, prompts: PromptBuffers, capacity: int) -> None:
        new, (batch, length) = weights.embeddings.new_zeros, prompts.shape
        vocabulary, width = weights.embeddings.shape
        heads = len(weights.layers), 2, batch, weights.heads
        self.inputs = new(batch, width, dtype=torch.float32)
        self.positions = new(batch, dtype=torch.int64)
        self.ids = new(capacity, batch, dtype=torch.int64)
        self.self_kv_cache = new(*heads, capacity, weights.head_width)
        self.cross_kv_cache = new(*heads, length, weights.head_width)
        self.lengths = torch.ones_like(prompts.lengths)
        self.logits = new(batch, vocabulary, dtype=torch.float32)
        self._weights, self._prompts = weights, prompts

    @property
    def nbytes(self) -> int:
        """Bytes of the large ones."""
        return self.self_kv_cache.nbytes + self.cross_kv_cache.nbytes + self.logits.nbytes

    def fill_cross_kv_cache(self, projected: torch.Tensor) -> None:
        """Take in new prompts: (B * S, 2LHK) keys and values of their states; the answers start anew."""
        batch, length = self._prompts.shape
        by_layer = projected.view(batch, length, -1, 2, self._weights.heads, self._weights.head_width)
        self.cross_kv_cache.copy_(by_layer.permute(2, 3, 0, 4, 1, 5))
        self.lengths.copy_(self._prompts.lengths)
        self.restart()

    def restart(self) -> None:
        """Go back to the start id at position 0."""
        self.positions.zero_()
        self.inputs.copy_(self._weights.embeddings[self._weights.start_id])
