"""Runs the graphs of decoder-only models, whose answers stand behind the prompts in one cache.

Prompts, or a hybrid's fused ones, are read one by one, each into its own place of the
caches, all its tokens in one pass, so that there is no padding; then the answers grow
together. A row's answer stands right behind its prompt, whatever the others' lengths are.

Letters: B prompts, O answers still open, P rows of a prefix, N new tokens of each, M of them
whose logits are read, C capacity in tokens, L layers, G key-value heads, K head width, D model
width, V vocabulary.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from hybrid.engines.decoding import compact
from hybrid.engines.onnx import runtime
from hybrid.engines.onnx.decoder_runtime import CAPACITY, GreedyDecoder
from hybrid.engines.onnx.encoder_runtime import EncodedPrompts, Turns
from hybrid.engines.onnx.runtime import Array, BuiltGraph, create_session, ort_value


class CausalSession:
    """The session of a decoder-only model, which holds its weights; whoever decodes has KV caches of its own.

    step: of decoder_graphs.decoder_graph.
    """

    def __init__(self, step: BuiltGraph, threads: int) -> None:
        self.step = create_session(step, threads)
        self.turns = Turns(step.tables.get(runtime.FREQUENCIES))
        inputs = {node.name: node.shape for node in self.step.get_inputs()}
        outputs = {node.name: node.shape for node in self.step.get_outputs()}
        _, self.heads, _, self.head_width = inputs[runtime.self_kv_cache(0)[0]]
        self.width: int = inputs[runtime.PREFIX][2]
        self.learned = runtime.POSITIONS in inputs
        self.vocabulary: int = outputs.pop(runtime.LOGITS)[2]
        self.layers = len(outputs) // 2  # the others are updated caches
        self.self_kv_names = [name for layer in range(self.layers) for name in runtime.self_kv_cache(layer)]


@dataclass
class _PassBuffers:
    """Memory for new tokens of each answer and for what follows them, and all of it as it is bound."""

    tokens: Array  # (O, N)
    positions: Array  # (O, N) in each text; for learned positions
    logits: Array  # (O, M, V)
    bound: Mapping[str, onnxruntime.OrtValue]


class CausalDecoder(GreedyDecoder):
    """Decodes behind prompts that stand in its own caches; position 0 is that of a prompt's last token."""

    def __init__(self, decoder: CausalSession, eos_ids: Collection[int]) -> None:
        super().__init__(0, decoder.vocabulary, eos_ids)
        self.session = decoder
        self._binding = decoder.step.io_binding()
        self._cache = np.zeros((2 * decoder.layers, 0, decoder.heads, 0, decoder.head_width), np.float32)
        self._prompts = EncodedPrompts((), ())
        self._offsets = np.zeros(0, np.int32)  # (O,) where in the caches position 0 of each answer stands
        self._last = np.zeros(0, np.int32)  # (O,) see parts.through_causal_layers
        self._total = np.zeros((), np.int32)
        self._bound: dict[str, onnxruntime.OrtValue] = {}  # a binding need not keep them alive
        self._bind({runtime.TOTAL: ort_value(self._total)})
        self._buffers: dict[int, _PassBuffers] = {}  # by N, for the O at hand
        self._width = 0  # the N that is bound

    def prefill(self, states: EncodedPrompts, capacity: int) -> None:
        """Take new prompts, as ids or as rows; the work is done in the first pass."""
        self._prompts, self._batch = states, len(states.ids)
        lengths = [len(ids) for ids in states.ids]
        self._rows = list(range(self._batch))
        self._offsets = np.array(lengths, np.int32) - 1
        self._reserve(max(lengths) - 1 + capacity)
        self._bind_rows(0, self._batch)

    def run(self, tokens: Sequence[Sequence[int]], position: int) -> Array:
        """Give (O, N, V) logits after each of the new tokens; see GreedyDecoder."""
        if position == 0:
            return self._read_prompts(tokens)
        width = len(tokens[0])
        buffers = self._buffers.get(width) or self._allocate(width)
        if width != self._width:
            self._use(buffers)
            self._width = width
        buffers.tokens[:] = tokens
        first = self._offsets + position
        if self.session.learned:
            buffers.positions[:] = first[:, np.newaxis] + np.arange(width)
        self._pass(first + width - 1)
        return buffers.logits

    def _read_prompts(self, tokens: Sequence[Sequence[int]]) -> Array:
        """Give (B, N, V) logits; the first of the tokens stand for the prompts' last ones."""
        logits = []
        for row, (_, *drafts) in enumerate(tokens):
            self._bind_rows(row, row + 1)
            fused = bool(self._prompts.hidden)
            ids = drafts if fused else [*self._prompts.ids[row], *drafts]
            count = int(self._offsets[row]) + len(tokens[row])
            places = np.arange(count)[np.newaxis]
            prefix = self._prompts.hidden[row] if fused else None
            buffers = self._made(np.array([ids], np.int64), places, prefix, len(tokens[row]))
            self._use(buffers)
            self._pass(np.array([count - 1], np.int32))
            logits.append(buffers.logits)
        if len(logits) == 1:
            return logits[0]
        self._bind_rows(0, self._batch)
        return np.concatenate(logits)

    def _pass(self, last: Array) -> None:
        """Run what is bound. last: (O,) places in the caches of the last new tokens."""
        self._last[:] = last
        self._total[...] = int(last.max()) + 1
        self.session.step.run_with_iobinding(self._binding)

    def _allocate(self, width: int) -> _PassBuffers:
        shape = (len(self._rows), width)
        self._buffers[width] = self._made(np.zeros(shape, np.int64), np.zeros(shape, np.int64), None, width)
        return self._buffers[width]

    def _made(
        self, tokens: Array, positions: Array, prefix: onnxruntime.OrtValue | None, read: int
    ) -> _PassBuffers:
        """Make the buffers of a pass. prefix: (O, P, D) rows before the tokens. read: of the last ones."""
        count = positions.shape[1]
        if prefix is None:
            prefix = ort_value(np.zeros((len(tokens), 0, self.session.width), np.float32))
        logits = np.zeros((len(tokens), read, self.session.vocabulary), np.float32)
        bound = {
            runtime.TOKENS: ort_value(tokens),
            runtime.PREFIX: prefix,
            runtime.READ: ort_value(np.arange(count - read, count)),
            runtime.LOGITS: ort_value(logits),
        }
        if self.session.learned:
            bound[runtime.POSITIONS] = ort_value(positions)
        return _PassBuffers(tokens, positions, logits, bound)

    def _use(self, buffers: _PassBuffers) -> None:
        """Let the session see these buffers."""
        inputs = dict(buffers.bound)
        self._binding.bind_ortvalue_output(runtime.LOGITS, inputs.pop(runtime.LOGITS))
        self._bind(inputs)
        self._width = 0

    def _reserve(self, positions: int) -> None:
        """Make room for so many positions of each answer."""
        if self._cache.shape[1] != self._batch or self._cache.shape[3] < positions:
            rounded = -(-positions // CAPACITY) * CAPACITY
            shape = (len(self._cache), self._batch, self.session.heads, rounded, self.session.head_width)
            self._cache = np.zeros(shape, np.float32)
        self._bind(self.session.turns(self._cache.shape[3]))

    def _bind_rows(self, first: int, end: int) -> None:
        """Let the session see the caches of these rows only."""
        for name, cache in zip(self.session.self_kv_names, self._cache, strict=True):
            bound = ort_value(cache[first:end])
            self._bind({name: bound})
            self._binding.bind_ortvalue_output(runtime.updated(name), bound)
        self._last = np.zeros(end - first, np.int32)
        self._bind({runtime.LAST: ort_value(self._last)})
        self._buffers, self._width = {}, 0

    def _bind(self, values: Mapping[str, onnxruntime.OrtValue]) -> None:
        self._bound |= values
        for name, bound in values.items():
            self._binding.bind_ortvalue_input(name, bound)

    def _compact(self, open_rows: Collection[int], position: int) -> None:
        for mover, gap in compact(self._rows, open_rows):
            filled = self._offsets[mover] + position
            self._cache[:, gap, :, :filled] = self._cache[:, mover, :, :filled]
            self._offsets[gap] = self._offsets[mover]
        self._offsets = self._offsets[: len(self._rows)]
        self._bind_rows(0, len(self._rows))
