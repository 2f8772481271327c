"""Memory that stays where it is on the device: captured work finds its inputs there and leaves its outputs.

Letters: B answers, S prompt tokens of the bucket, T capacity in generated tokens, C of a cache, D model
width, H heads, G key-value heads, K head width, L layers, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hybrid.engines.cuda.eager import placed
from hybrid.engines.cuda.weights import PackedDecoder, PackedStack

SPARE = 32  # positions behind the last answer's, for drafts that are longer than what is left to write


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


@dataclass(frozen=True)
class PassCaches:
    """What tokens of a pass look at, and where the first of each answer stands; see DecodeBuffers."""

    self_kv_cache: torch.Tensor
    cross_kv_cache: torch.Tensor
    lengths: torch.Tensor
    positions: torch.Tensor
    offsets: torch.Tensor


def reading_caches(stack: PackedStack, prompts: PromptBuffers) -> PassCaches:
    """Create caches for layers that only read prompts: one layer's, which all of them use in turn."""
    batch, length = prompts.shape
    layer_cache = stack.embeddings.new_zeros(1, 2, batch, stack.key_value_heads, length, stack.head_width)
    self_kv_cache = layer_cache.expand(len(stack.layers), *layer_cache.shape[1:])
    start = torch.zeros_like(prompts.lengths)
    return PassCaches(self_kv_cache, self_kv_cache[..., :0, :], prompts.lengths, start, start)


class DecodeBuffers:
    """What B answers keep from one decode step to the next, in the weights' type where nothing else is said.

    inputs: (B, D) float32, embeddings of the last ids where they stand, for the next step.
    positions: (B,) where these stand in the answer, the same for all. offsets: (B,) where in the
    self-attention's cache position 0 stands, the last token of a decoder-only model's prompt.
    ids: (T + SPARE, B); row t holds the ids that followed position t.
    self_kv_cache: (L, 2, B, G, C, K), keys and values of the answers, behind those of their prompts, if
    a decoder-only model has them there; each prompt ends where its answer begins, so nothing is padded.
    cross_kv_cache: (L, 2, B, H, S, K), of the prompts behind an encoder; S is 0 without one.
    lengths: (B,) of the prompts. logits: (B, V) float32, of the last step.
    """

    def __init__(self, weights: PackedDecoder, prompts: PromptBuffers, capacity: int) -> None:
        new, (batch, length) = weights.embeddings.new_zeros, prompts.shape
        width, crosses = weights.embeddings.shape[1], weights.cross_kv is not None
        shape = len(weights.layers), 2, batch, weights.key_value_heads
        self.inputs = new(batch, width, dtype=torch.float32)
        self.positions = new(batch, dtype=torch.int64)
        self.offsets = torch.zeros_like(self.positions)
        self.ids = new(capacity + SPARE, batch, dtype=torch.int64)
        self.self_kv_cache = new(*shape, capacity + SPARE + (0 if crosses else length), weights.head_width)
        self.cross_kv_cache = new(*shape, length if crosses else 0, weights.head_width)
        self.lengths = torch.ones_like(prompts.lengths)
        self.logits = new(batch, len(weights.head.weight), dtype=torch.float32)
        self._weights, self._prompts = weights, prompts

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the longest prompt may have, S."""
        return self._prompts.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the large ones."""
        return self.self_kv_cache.nbytes + self.cross_kv_cache.nbytes + self.logits.nbytes

    def fill_cross_kv_cache(self, projected: torch.Tensor) -> None:
        """Put in (B * S, 2LHK) keys and values of the states of new prompts."""
        layers, _, batch, heads, length, width = self.cross_kv_cache.shape
        by_layer = projected.view(batch, length, layers, 2, heads, width)
        self.cross_kv_cache.copy_(by_layer.permute(2, 3, 0, 4, 1, 5))

    def caches_at(self, positions: torch.Tensor, offsets: torch.Tensor) -> PassCaches:
        """Give the caches for tokens at other places than the last ids'."""
        return PassCaches(self.self_kv_cache, self.cross_kv_cache, self.lengths, positions, offsets)

    def start(self) -> None:
        """Begin the answers to new prompts."""
        self.lengths.copy_(self._prompts.lengths)
        self.restart()

    def restart(self) -> None:
        """Go back to position 0; there stands the start id, if no prompt's last token does."""
        self.positions.zero_()
        if self._weights.cross_kv is None:
            self.offsets.copy_(self.lengths - 1)
        self.put_inputs(torch.full_like(self.positions, self._weights.start_id))

    def put_inputs(self, ids: torch.Tensor) -> None:
        """Let (B,) ids stand at `positions`."""
        embeddings = self._weights.embeddings[ids].float()
        self.inputs.copy_(placed(embeddings, self._weights, self.positions + self.offsets))
