"""A request's phases as captured work: encoder, projector and fusion, greedy decoding.

Prompts stand in (B, S) with padding behind them, which attention never sees;
what is computed there is finite and never used.

Letters: B prompts, S tokens of the bucket, D model width, H heads.
"""

from collections.abc import Collection, Mapping

import torch
from torch.nn import functional

from hybrid.engines.cuda.buffers import DecodeBuffers, PromptBuffers
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.eager import (
    add_product,
    attend,
    feed_forward,
    finite,
    normed,
    padding_mask,
    sum_type,
    unit_rms,
)
from hybrid.engines.cuda.kernel_selector import StepKernelSelector
from hybrid.engines.cuda.weights import PackedDecoder, PackedEncoder, PackedFusion
from hybrid.engines.decoding import Prompts
from hybrid.engines.generation import until
from hybrid.schema import Phase

# Steps in one graph: between two graphs a GPU pauses.
BURST = 4
# Ids that are fetched together. While answers may end, what comes after the end was computed in vain, half
# a chunk on average. With a fetch of c microseconds, chunks of sqrt(2 * N * c / t) cost least for N ids of t
# microseconds each. Taking c as 40, that is 7 for N = 40 and t = 70, a small model, and 3 for t = 400.
CHUNK = 4
SHALLOW_CHUNK, SHALLOW = 8, 8  # of decoders with so many layers at the most
FIXED_CHUNK = 16  # where all answers are of a given length


class EncoderGraph:
    """decoding.Encoder: an encoder captured for one (B, S). states: (B * S, D), its hidden states."""

    phase: Phase | None = "encode"

    def __init__(self, weights: PackedEncoder, prompts: PromptBuffers, capturer: GraphCapturer) -> None:
        self._weights, self.prompts = weights, prompts
        batch, length = prompts.shape
        self._bias = _position_bias(weights, length)
        self.states = weights.embeddings.new_zeros(batch * length, weights.embeddings.shape[1])
        self.replay = capturer.capture(self._encode)

    def __call__(self, prompts: Prompts) -> torch.Tensor:
        """Encode prompts; their states."""
        self.prompts.put(prompts)
        self.replay()
        return self.states

    @property
    def nbytes(self) -> int:
        """Bytes that it holds on the device."""
        return self.states.nbytes + self._bias.nbytes

    def _encode(self) -> None:
        rows = self._weights.embeddings[self.prompts.ids.flatten()]
        encode(self._weights, rows, self._bias, self.prompts, self.states)


class FusionGraph:
    """decoding.Fusion: projector, fusion and SLM encoder captured for one (B, S).

    states: (B * S, D), hidden states of the SLM's encoder.
    """

    def __init__(self, weights: PackedFusion, llm: EncoderGraph, capturer: GraphCapturer) -> None:
        self._weights, self._llm = weights, llm
        encoder, (batch, length) = weights.encoder, llm.prompts.shape
        self._bias = _position_bias(encoder, length)
        self.states = encoder.embeddings.new_zeros(batch * length, encoder.embeddings.shape[1])
        self.replay = capturer.capture(self._fuse)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Give the hybrid's states for those that the LLM's encoder has just left."""
        self.replay()
        return self.states

    @property
    def nbytes(self) -> int:
        """Bytes that it holds on the device."""
        return self.states.nbytes + self._bias.nbytes

    def _fuse(self) -> None:
        weights, prompts = self._weights, self._llm.prompts
        inner = finite(functional.linear(self._llm.states, *weights.up)).relu_()
        rows = finite(functional.linear(inner, *weights.down))
        if weights.adds:
            rows = finite(rows + weights.encoder.embeddings[prompts.ids.flatten()])
        encode(weights.encoder, rows, self._bias, prompts, self.states)


def encode(
    weights: PackedEncoder, rows: torch.Tensor, bias: torch.Tensor, prompts: PromptBuffers, out: torch.Tensor
) -> None:
    """Encode (B * S, D) input embeddings, which are lost, to hidden states in `out`. bias: (1, H, S, S)."""
    dtype, (batch, length) = out.dtype, prompts.shape
    bias = bias + padding_mask(prompts.lengths, length, dtype)  # (B, H, S, S)
    rows = rows.to(sum_type(dtype))
    for layer in weights.layers:
        qkv = finite(functional.linear(normed(rows, weights.eps, dtype), layer.qkv))
        query, keys, values = qkv.view(batch, length, 3, weights.heads, -1).permute(2, 0, 3, 1, 4)
        add_product(rows, attend(query, keys, values, bias), layer.out)
        feed_forward(rows, layer.feed_forward, weights.eps)
    out.copy_(unit_rms(rows, weights.eps) * weights.gain)


def _position_bias(weights: PackedEncoder, length: int) -> torch.Tensor:
    """Give (1, H, S, S): a key's bias for each query, by the distance between them."""
    positions = torch.arange(length, device=weights.bias.device)
    return weights.bias[:, positions - positions[:, None] + weights.reach - 1].unsqueeze(0)


class DecodeGraph:
    """decoding.DecoderBackend: greedy decoding captured for B prompts and answers of up to `capacity` ids.

    start: the id that stands at position 0. states: where the encoder before it
    leaves its (B * S, D) hidden states.
    """

    def __init__(
        self,
        weights: PackedDecoder,
        kernels: StepKernelSelector,
        prompts: PromptBuffers,
        states: torch.Tensor,
        capacity: int,
        capturer: GraphCapturer,
    ) -> None:
        self._buffers = buffers = DecodeBuffers(weights, prompts, capacity)
        step = kernels.fastest(buffers, capturer)

        def prefill() -> None:
            buffers.fill_cross_kv_cache(finite(functional.linear(states, weights.cross_kv)))

        def burst() -> None:
            for _ in range(BURST):
                step()

        self.start, self.capacity = weights.start_id, capacity
        self.chunk = SHALLOW_CHUNK if len(weights.layers) <= SHALLOW else CHUNK
        self._prefill = capturer.capture(prefill)
        self._step = capturer.capture(step)
        self._burst = capturer.capture(burst, warm_ups=0)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds on the device."""
        return self._buffers.nbytes

    def prefill(self, states: torch.Tensor, capacity: int) -> None:
        """Take in the states that the encoder has just left; the answers start anew."""
        assert capacity <= self.capacity, f"{capacity} ids do not fit into {self.capacity}"
        self._prefill()

    def extend(
        self, tokens: Mapping[int, int], position: int, count: int, stop: Collection[int]
    ) -> dict[int, list[int]]:
        """Give the next ids of each open answer, a chunk of them; wait for them, once.

        What follows one of `stop` in a chunk was computed in vain. The ids that are to
        go on stand on the device, those in `tokens` say which answers are open.
        """
        end = position + min(count, self.chunk if stop else FIXED_CHUNK)
        self._run(end - position)
        by_step: list[list[int]] = self._buffers.ids[position:end].tolist()
        return {row: [*until(stop, [ids[row] for ids in by_step])] for row in tokens}

    def _run(self, count: int) -> None:
        """Go on by `count` steps."""
        for _ in range(count // BURST):
            self._burst()
        for _ in range(count % BURST):
            self._step()
