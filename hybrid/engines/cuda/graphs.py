"""A request's phases as captured work: encoder, projector and fusion, greedy decoding. Drafts: drafting.py.

Prompts stand in (B, S) with padding behind them, which attention never sees;
what is computed there is finite and never used.

Letters: B prompts, S tokens of the bucket, D model width, H heads.
"""

from collections.abc import Collection, Mapping

import torch

from hybrid.engines.cuda.buffers import DecodeBuffers, PromptBuffers, reading_caches
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.eager import finite, project
from hybrid.engines.cuda.eager_decoder import EagerDecoder
from hybrid.engines.cuda.eager_encoder import EagerEncoder
from hybrid.engines.cuda.kernel_selector import KernelSelector, Pass, example_rows
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


class EmbeddingGraph:
    """decoding.Encoder: embeddings for one (B, S), which a decoder-only model takes. states: (B * S, D).

    outputs: of how many layers, k, states stand side by side, (B * S, k * D).
    """

    phase: Phase | None = None

    def __init__(
        self, embeddings: torch.Tensor, prompts: PromptBuffers, capturer: GraphCapturer, outputs: int = 1
    ) -> None:
        self._embeddings, self.prompts = embeddings, prompts
        batch, length = prompts.shape
        self.states = embeddings.new_zeros(batch * length, outputs * embeddings.shape[1])
        self.replay = capturer.capture(self._read)

    def __call__(self, prompts: Prompts) -> torch.Tensor:
        """Read prompts; their states."""
        self.prompts.put(prompts)
        self.replay()
        return self.states

    @property
    def nbytes(self) -> int:
        """Bytes that it holds on the device."""
        return self.states.nbytes

    def _read(self) -> None:
        self.states.copy_(self._embeddings[self.prompts.ids.flatten()])


class EncoderGraph(EmbeddingGraph):
    """The same of what reads prompts through layers: states are their hidden states."""

    phase: Phase | None = "encode"

    def __init__(
        self,
        weights: PackedEncoder,
        prompts: PromptBuffers,
        capturer: GraphCapturer,
        kernels: KernelSelector,
    ) -> None:
        self._segments: list[tuple[EagerEncoder, Pass]] = []
        for segment in weights.segments():
            encoder = EagerEncoder(segment, prompts)
            layers: Pass = encoder.read
            if weights.causal:  # Triton's layers look at nothing behind a token
                rows = encoder.enter(example_rows(segment, prompts.ids.numel()))
                caches = reading_caches(segment, prompts)
                layers = kernels.fastest_pass(segment, caches, encoder.read, rows, capturer)
            self._segments.append((encoder, layers))
        super().__init__(weights.embeddings, prompts, capturer, len(self._segments))

    def _read(self) -> None:
        rows = self._segments[0][0].enter(self._embeddings[self.prompts.ids.flatten()])
        outputs = self.states.chunk(len(self._segments), dim=1)
        for (encoder, layers), output in zip(self._segments, outputs, strict=True):
            rows = layers(rows)
            output.copy_(encoder.leave(rows))


class FusionGraph:
    """decoding.Fusion: projector, fusion and the SLM's encoder, if it has one, captured for one (B, S).

    states: (B * S, D), what the SLM's decoder takes.
    """

    def __init__(self, weights: PackedFusion, llm: EmbeddingGraph, capturer: GraphCapturer) -> None:
        self._weights, self._llm = weights, llm
        encoder = weights.encoder
        self._encoder = None if encoder is None else EagerEncoder(encoder, llm.prompts)
        self.states = weights.embeddings.new_zeros(len(llm.states), len(weights.down.weight))
        self.replay = capturer.capture(self._fuse)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """Give the hybrid's states for those that the LLM's encoder has just left."""
        self.replay()
        return self.states

    @property
    def nbytes(self) -> int:
        """Bytes that it holds on the device."""
        return self.states.nbytes

    def _fuse(self) -> None:
        weights = self._weights
        rows = project(project(self._llm.states, weights.up).relu_(), weights.down)
        if weights.adds:
            rows = finite(rows + weights.embeddings[self._llm.prompts.ids.flatten()])
        self.states.copy_(rows if self._encoder is None else self._encoder(rows))


class DecodeGraph:
    """decoding.DecoderBackend: greedy decoding captured for B prompts and answers of up to `capacity` ids.

    start: the id that stands at position 0. states: where what is before it leaves its (B * S, D)
    hidden states. step: one decode step, not captured; eager: passes over several ids.
    """

    def __init__(
        self,
        weights: PackedDecoder,
        kernels: KernelSelector,
        prompts: PromptBuffers,
        states: torch.Tensor,
        capacity: int,
        capturer: GraphCapturer,
    ) -> None:
        self.weights, self.kernels, self.start, self.capacity = weights, kernels, weights.start_id, capacity
        self.buffers = buffers = DecodeBuffers(weights, prompts, capacity)
        self.eager = eager = EagerDecoder(weights, buffers)
        self.step = step = kernels.fastest(buffers, capturer)
        read = eager.read if weights.cross_kv else self._fastest_read(len(states), capturer)

        def prefill() -> None:
            buffers.start()
            if weights.cross_kv is None:
                eager.choose(eager.last(read(eager.enter(states))))
            else:
                buffers.fill_cross_kv_cache(project(states, weights.cross_kv))
                step()

        def burst() -> None:
            for _ in range(BURST):
                step()

        self.chunk = SHALLOW_CHUNK if len(weights.layers) <= SHALLOW else CHUNK
        self._prefill = capturer.capture(prefill)
        self._step = capturer.capture(step)
        self._burst = capturer.capture(burst, warm_ups=0)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds on the device."""
        return self.buffers.nbytes

    def prefill(self, states: torch.Tensor, capacity: int) -> None:
        """Take in the states that have just been left; the answers start anew, with an id each."""
        assert capacity <= self.capacity, f"{capacity} ids do not fit into {self.capacity}"
        self._prefill()

    def extend(
        self, tokens: Mapping[int, int], position: int, count: int, stop: Collection[int]
    ) -> dict[int, list[int]]:
        """Give the next ids of each open answer, a chunk of them; wait for them, once.

        What follows one of `stop` in a chunk was computed in vain. The ids that are to
        go on stand on the device, those in `tokens` say which answers are open.
        """
        end = position + (min(count, self.chunk if stop else FIXED_CHUNK) if position else 1)
        if position:  # the first ids came with the prompts
            self._run(end - position)
        by_step: list[list[int]] = self.buffers.ids[position:end].tolist()
        return {row: [*until(stop, [ids[row] for ids in by_step])] for row in tokens}

    def _fastest_read(self, tokens: int, capturer: GraphCapturer) -> Pass:
        """Select what lets a decoder-only model's prompts, of so many tokens, through its layers."""
        buffers, eager = self.buffers, self.eager
        start = torch.zeros_like(buffers.positions)
        caches, rows = buffers.caches_at(start, start), eager.enter(example_rows(self.weights, tokens))
        return self.kernels.fastest_pass(self.weights, caches, eager.read, rows, capturer)

    def _run(self, count: int) -> None:
        """Go on by `count` steps."""
        for _ in range(count // BURST):
            self._burst()
        for _ in range(count % BURST):
            self._step()
