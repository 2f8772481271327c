"""The reading half as recorded work: prompts to the LLM's states, and on to those of the hybrid's SLM.

Prompts stand in (B, S) with padding behind them, which attention never sees;
what is computed there is finite and nobody reads it.

Letters: B prompts, S tokens of the bucket, D model width, H heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from hybrid.engines.cuda.plain import add_product, attend, feed_forward, finite, hidden_keys, normed, sum_type
from hybrid.engines.cuda.recorder import Recorder
from hybrid.engines.cuda.weights import Encoder, pack_encoder
from hybrid.engines.torch.layers import Target, unit_rms


class Prompts:
    """B prompts of up to S tokens on the device. ids: (B, S), padded with 0; lengths: (B,)."""

    def __init__(self, batch: int, length: int, device: torch.device) -> None:
        # One tensor, the lengths last: a prompt then takes one copy to the device.
        self._rows = torch.zeros(batch, length + 1, dtype=torch.int64)
        self._rows[:, -1] = 1
        if device.type == "cuda":
            self._rows = self._rows.pin_memory()
        self._there = self._rows.to(device)
        self.ids, self.lengths = self._there[:, :-1], self._there[:, -1]

    def put(self, prompts: Sequence[Sequence[int]]) -> None:
        """Put prompts there; places left over repeat the last one."""
        length = self._rows.shape[1] - 1
        rows = [[*ids, *[0] * (length - len(ids)), len(ids)] for ids in prompts]
        rows += rows[-1:] * (len(self._rows) - len(rows))
        self._rows.copy_(torch.tensor(rows))
        self._there.copy_(self._rows, non_blocking=True)

    @property
    def shape(self) -> tuple[int, int]:
        """B and S."""
        return self.ids.shape[0], self.ids.shape[1]


class Reading:
    """A T5 encoder recorded for one (B, S). states: (B * S, D), what it found."""

    def __init__(self, weights: Encoder, prompts: Prompts, recorder: Recorder) -> None:
        self._weights, self.prompts = weights, prompts
        batch, length = prompts.shape
        self._bias = _bias(weights, length)
        self.states = weights.embeddings.new_zeros(batch * length, weights.embeddings.shape[1])
        self.run = recorder.record(self._read)

    @property
    def nbytes(self) -> int:
        return self.states.nbytes + self._bias.nbytes

    def _read(self) -> None:
        rows = self._weights.embeddings[self.prompts.ids.flatten()]
        encode(self._weights, rows, self._bias, self.prompts, self.states)


@dataclass(frozen=True)
class Fusion:
    """Projector and SLM encoder. up, down: weight and bias of each linear layer. adds: E + Z, else Z."""

    up: tuple[torch.Tensor, torch.Tensor]
    down: tuple[torch.Tensor, torch.Tensor]
    adds: bool
    reader: Encoder


def pack_fusion(hybrid: Any, target: Target, reach: int) -> Fusion:
    """Projector, fusion and SLM encoder of a HybridForConditionalGeneration."""
    up, down = (
        (target.put(linear.weight), target.put(linear.bias))
        for linear in (hybrid.projector.up, hybrid.projector.down)
    )
    return Fusion(up, down, hybrid.config.fusion == "add", pack_encoder(hybrid.slm, target, reach))


class Fusing:
    """Projector, fusion and SLM encoder recorded for one (B, S). states: (B * S, D), what came out."""

    def __init__(self, weights: Fusion, reading: Reading, recorder: Recorder) -> None:
        self._weights, self._reading = weights, reading
        reader, (batch, length) = weights.reader, reading.prompts.shape
        self._bias = _bias(reader, length)
        self.states = reader.embeddings.new_zeros(batch * length, reader.embeddings.shape[1])
        self.run = recorder.record(self._fuse)

    @property
    def nbytes(self) -> int:
        return self.states.nbytes + self._bias.nbytes

    def _fuse(self) -> None:
        weights, prompts = self._weights, self._reading.prompts
        inner = finite(functional.linear(self._reading.states, *weights.up)).relu_()
        rows = finite(functional.linear(inner, *weights.down))
        if weights.adds:
            rows = finite(rows + weights.reader.embeddings[prompts.ids.flatten()])
        encode(weights.reader, rows, self._bias, prompts, self.states)


def encode(
    weights: Encoder, rows: torch.Tensor, bias: torch.Tensor, prompts: Prompts, out: torch.Tensor
) -> None:
    """(B * S, D) input embeddings, which are lost, to hidden states in `out`. bias: (1, H, S, S)."""
    dtype, (batch, length) = out.dtype, prompts.shape
    bias = bias + hidden_keys(prompts.lengths, length, dtype)  # (B, H, S, S)
    rows = rows.to(sum_type(dtype))
    for layer in weights.layers:
        qkv = finite(functional.linear(normed(rows, weights.eps, dtype), layer.qkv))
        query, keys, values = qkv.view(batch, length, 3, weights.heads, -1).permute(2, 0, 3, 1, 4)
        add_product(rows, attend(query, keys, values, bias), layer.out)
        feed_forward(rows, layer.feed_forward, weights.eps)
    out.copy_(unit_rms(rows, weights.eps) * weights.gain)


def _bias(weights: Encoder, length: int) -> torch.Tensor:
    """(1, H, S, S): a key's bias for each query, by the distance between them."""
    places = torch.arange(length, device=weights.bias.device)
    return weights.bias[:, places - places[:, None] + weights.reach - 1].unsqueeze(0)
