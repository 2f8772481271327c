"""Runs the graphs of decoders: greedy decoding of B answers at once, with KV caches kept in place.

The new keys and values of a step are written into the caches by the graph
itself, since each cache is bound as input and output with the same memory; per
token remain one call of the session and the search for the largest logit. ONNX's
Loop was tried in its place: it copies every cache for every token, and was
slower by 3 % with caches for 64 tokens and by 20 to 90 % with caches for 512.

Letters: B prompts, O answers still open, N new tokens of each, C capacity in
generated tokens, S prompt tokens with padding, L layers, H heads, K head width, V vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from hybrid.engines.decoding import compact
from hybrid.engines.onnx import runtime
from hybrid.engines.onnx.encoder_runtime import EncodedPrompts, HiddenStates, PositionBias
from hybrid.engines.onnx.runtime import Array, BuiltGraph, create_session, ort_value
from hybrid.engines.speculative import MIN_DRAFT_PROBABILITY

CHUNK = 8  # ids of a single answer in a Step: one each would take a tenth of a small model's time
CAPACITY = 128  # generated tokens; self-attention KV caches are made for multiples of it

# Prompt tokens; a prompt is filled up to a multiple of it, and a mask hides what is not its own. Sums over a
# prompt then take their terms in the same order however much more padding a batch brings, and in 8 bits the
# last digit of a sum can decide how an activation is rounded.
PADDING = 16


class CrossingSession:
    """The sessions of one decoder, which hold its weights; whoever decodes has KV caches of its own.

    cross_kv: of decoder_graphs.cross_kv_graph, step: of decoder_graphs.decoder_graph.
    """

    def __init__(self, cross_kv: onnxruntime.InferenceSession, step: BuiltGraph, threads: int) -> None:
        self.cross_kv, self.step = cross_kv, create_session(step, threads)
        self.start_id = int(step.tables[runtime.START][0])
        self.position_bias = PositionBias(step.tables[runtime.BIAS])
        inputs = {node.name: node.shape for node in self.step.get_inputs()}
        outputs = {node.name: node.shape for node in self.step.get_outputs()}
        _, self.heads, _, self.head_width = inputs[runtime.self_kv_cache(0)[0]]
        self.vocabulary: int = outputs.pop(runtime.LOGITS)[2]
        self.layers = len(outputs) // 2  # the others are updated caches
        self.self_kv_names = [name for layer in range(self.layers) for name in runtime.self_kv_cache(layer)]
        self.cross_kv_names = [name for layer in range(self.layers) for name in runtime.cross_kv_cache(layer)]

    def cross_kv_cache(self, states: HiddenStates) -> list[onnxruntime.OrtValue]:
        """Project a prompt's states to keys and values, (1, H, S, K) each, in the order of `cross_kv_names`.

        states: (1, any, D); S is the next multiple of PADDING.
        """
        missing = -states.shape()[1] % PADDING
        padded = np.pad(states.numpy(), ((0, 0), (0, missing), (0, 0)))
        feeds = {runtime.STATES: ort_value(padded)}
        return list(self.cross_kv.run_with_ort_values(self.cross_kv_names, feeds))


@dataclass
class _StepBuffers:
    """Memory for N new tokens of each answer, and for what follows them, as it is bound."""

    tokens: Array  # (O, N)
    logits: Array  # (O, N, V)
    bound: tuple[onnxruntime.OrtValue, onnxruntime.OrtValue]


class GreedyDecoder(ABC):
    """decoding.DecoderBackend and speculative.DraftableDecoder: KV caches over a session's weights.

    eos_ids: each ends a draft. Going back is free: a pass puts its keys and values at
    their positions and attends to none behind them.
    """

    def __init__(self, start: int, vocabulary: int, eos_ids: Collection[int]) -> None:
        self.start, self.vocabulary, self._eos_ids = start, vocabulary, eos_ids
        self._batch = 0  # answers
        self._rows: list[int] = []  # which answer stands at each place of the caches' B, the open ones only

    @abstractmethod
    def prefill(self, states: EncodedPrompts, capacity: int) -> None:
        """Take new prompts. capacity: of generated tokens."""

    @abstractmethod
    def run(self, tokens: Sequence[Sequence[int]], position: int) -> Array:
        """Give (O, N, V) logits after each of the new tokens, the first of which stand at `position`.

        They hold until the next run.
        """

    @abstractmethod
    def _compact(self, open_rows: Collection[int], position: int) -> None:
        """Let the caches' first places be those of the open answers, of `position` ids each."""

    def extend(
        self, tokens: Mapping[int, int], position: int, count: int, stop: Collection[int]
    ) -> dict[int, list[int]]:
        """Give the next ids of each open answer: of a single prompt's up to CHUNK, of several one each."""
        if self._batch == 1:
            return {0: self._decode(tokens[0], position, min(count, CHUNK), stop)}
        if len(tokens) < len(self._rows):
            self._compact(tokens, position)
        logits = self.run([[tokens[row]] for row in self._rows], position)
        ids = logits[:, 0].argmax(axis=1).tolist()
        return {row: [token] for row, token in zip(self._rows, ids, strict=True)}

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        """Give the greedy id after each of `tokens` of the only answer, in one pass."""
        ids: list[int] = self.run([tokens], position)[0].argmax(axis=1).tolist()
        return ids

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Draft up to `count` ids; the last one ends the answer, or makes the draft improbable."""
        drafted: list[int] = []
        probability = 1.0
        for current in range(position, position + count):
            logits = self.run(((token,),), current)[0, 0]
            token = int(logits.argmax())
            drafted.append(token)
            probability /= float(np.exp(logits - logits[token]).sum())  # times the id's probability
            if token in self._eos_ids or probability < MIN_DRAFT_PROBABILITY:
                break
        return drafted

    def _decode(self, token: int, position: int, count: int, stop: Collection[int]) -> list[int]:
        """Give up to `count` ids after `token`, at `position` of the only answer, none after a `stop`."""
        ids = []
        for current in range(position, position + count):
            token = int(self.run(((token,),), current).argmax())
            ids.append(token)
            if token in stop:
                break
        return ids


class CrossingDecoder(GreedyDecoder):
    """Decodes behind an encoder."""

    def __init__(self, decoder: CrossingSession, eos_ids: Collection[int]) -> None:
        super().__init__(decoder.start_id, decoder.vocabulary, eos_ids)
        self.session = decoder
        self._binding = decoder.step.io_binding()
        self._self_kv_cache = np.zeros(
            (2 * decoder.layers, 0, decoder.heads, 0, decoder.head_width), np.float32
        )
        self._cross_kv_cache = self._self_kv_cache  # (2L, B, H, S, K); of several prompts only
        self._mask = np.zeros((0, 0), np.int32)  # (B, S), 0 at padding
        self._last = np.zeros(0, np.int32)  # (O,) see decoder_graph
        self._total = np.zeros((), np.int32)
        self._bound: dict[str, onnxruntime.OrtValue] = {}  # a binding need not keep them alive
        self._bind(runtime.TOTAL, ort_value(self._total))
        self._biases: list[onnxruntime.OrtValue] = []  # of one new token, by its position
        self._buffers: dict[int, _StepBuffers] = {}  # by N, for the O at hand
        self._width = 0  # the N that is bound

    def prefill(self, states: EncodedPrompts, capacity: int) -> None:
        """Fill the cross-attention KV caches from new prompts; those of self-attention are empty."""
        batch = self._batch = len(states.hidden)
        self._reserve(batch, capacity)
        caches = [self.session.cross_kv_cache(prompt) for prompt in states.hidden]
        longest = max(layers[0].shape()[2] for layers in caches)
        lengths = np.array([prompt.shape()[1] for prompt in states.hidden])
        self._mask = (np.arange(longest) < lengths[:, np.newaxis]).astype(np.int32)
        if batch == 1:
            self._bind_prompts(caches[0])
            return
        shape = (len(self._self_kv_cache), batch, self.session.heads, longest, self.session.head_width)
        self._cross_kv_cache = np.zeros(shape, np.float32)
        for row, layers in enumerate(caches):
            for cache, keys_or_values in zip(self._cross_kv_cache, layers, strict=True):
                cache[row, :, : keys_or_values.shape()[2]] = keys_or_values.numpy()[0]
        self._bind_prompts([ort_value(cache) for cache in self._cross_kv_cache])

    def run(self, tokens: Sequence[Sequence[int]], position: int) -> Array:
        width = len(tokens[0])
        buffers = self._buffers.get(width) or self._allocate(width)
        if width != self._width:
            self._bind(runtime.TOKENS, buffers.bound[0])
            self._binding.bind_ortvalue_output(runtime.LOGITS, buffers.bound[1])
            self._width = width
        buffers.tokens[:] = tokens
        self._last[:] = position + width - 1
        self._total[...] = position + width
        self._bind(runtime.BIAS, self._position_bias(position, width))
        self.session.step.run_with_iobinding(self._binding)
        return buffers.logits

    def _position_bias(self, position: int, width: int) -> onnxruntime.OrtValue:
        if width > 1:
            return ort_value(self.session.position_bias(position, width, position + width))
        for current in range(len(self._biases), position + 1):
            self._biases.append(ort_value(self.session.position_bias(current, 1, current + 1)))
        return self._biases[position]

    def _allocate(self, width: int) -> _StepBuffers:
        tokens = np.zeros((len(self._rows), width), np.int64)
        logits = np.zeros((*tokens.shape, self.session.vocabulary), np.float32)
        self._buffers[width] = _StepBuffers(tokens, logits, (ort_value(tokens), ort_value(logits)))
        return self._buffers[width]

    def _reserve(self, batch: int, capacity: int) -> None:
        """Make room for `capacity` generated tokens of each of `batch` answers."""
        if batch != self._self_kv_cache.shape[1] or capacity > self._self_kv_cache.shape[3]:
            rounded = -(-capacity // CAPACITY) * CAPACITY
            shape = (len(self._self_kv_cache), batch, self.session.heads, rounded, self.session.head_width)
            self._self_kv_cache = np.zeros(shape, np.float32)
        elif len(self._rows) == batch:
            return  # all is bound still
        self._rows = list(range(batch))
        self._bind_answers()

    def _bind_answers(self) -> None:
        """Let the session see the self-attention KV caches of the open answers only."""
        count = len(self._rows)
        for name, cache in zip(self.session.self_kv_names, self._self_kv_cache, strict=True):
            bound = ort_value(cache[:count])
            self._bind(name, bound)
            self._binding.bind_ortvalue_output(runtime.updated(name), bound)
        self._last = np.zeros(count, np.int32)
        self._bind(runtime.LAST, ort_value(self._last))
        self._buffers, self._width = {}, 0

    def _bind_prompts(self, caches: Sequence[onnxruntime.OrtValue]) -> None:
        """Let the session see these cross-attention KV caches, (O, H, S, K) each."""
        for name, bound in zip(self.session.cross_kv_names, caches, strict=True):
            self._bind(name, bound)
        self._bind(runtime.MASK, ort_value(self._mask[: len(self._rows)]))

    def _bind(self, name: str, bound: onnxruntime.OrtValue) -> None:
        self._bound[name] = bound
        self._binding.bind_ortvalue_input(name, bound)

    def _compact(self, open_rows: Collection[int], position: int) -> None:
        for mover, gap in compact(self._rows, open_rows):
            self._self_kv_cache[:, gap, :, :position] = self._self_kv_cache[:, mover, :, :position]
            self._cross_kv_cache[:, gap] = self._cross_kv_cache[:, mover]
            self._mask[gap] = self._mask[mover]
        self._bind_answers()
        self._bind_prompts([ort_value(cache[: len(self._rows)]) for cache in self._cross_kv_cache])
