"""Runs the graphs of decoder.py: greedy decoding of B answers at once, with caches that stay in place.

The new keys and values of a step are written into the caches by the graph
itself, since each cache is bound as input and output with the same memory; per
token remain one call of the session and the search for the largest logit. ONNX's
Loop was tried in its place: it copies every cache for every token, and was
slower by 3 % with caches for 64 tokens and by 20 to 90 % with caches for 512.

Letters: B prompts, O answers still open, N new tokens of each, C capacity in
generated tokens, S prompt tokens with padding, L layers, H heads, K head width, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime

from hybrid.engines.onnx import names
from hybrid.engines.onnx.bias import PositionBias
from hybrid.engines.onnx.reading import States
from hybrid.engines.onnx.sessions import Array, Part, session, value

CAPACITY = 128  # generated tokens; caches are made for multiples of it

# Prompt tokens; a prompt is filled up to a multiple of it, and a mask hides what is not its own. Sums over a
# prompt then take their terms in the same order however much more padding a batch brings, and in 8 bits the
# last digit of a sum can decide how an activation is rounded.
PADDING = 16


class Writer:
    """The sessions of one decoder, which hold its weights; whoever decodes has caches of its own.

    crossing: of crossing_part, step: decoder_part.
    """

    def __init__(self, crossing: onnxruntime.InferenceSession, step: Part, threads: int) -> None:
        self.crossing, self.step = crossing, session(step, threads)
        self.start = int(step.tables[names.START][0])
        self.bias = PositionBias(step.tables[names.BIAS])
        inputs = {one.name: one.shape for one in self.step.get_inputs()}
        outputs = {one.name: one.shape for one in self.step.get_outputs()}
        _, self.heads, _, self.head_width = inputs[names.own(0)[0]]
        self.ids: int = outputs.pop(names.LOGITS)[2]
        self.layers = len(outputs) // 2  # the others are written caches
        self.own = [name for layer in range(self.layers) for name in names.own(layer)]
        self.crossed = [name for layer in range(self.layers) for name in names.crossed(layer)]

    def cross(self, states: States) -> list[onnxruntime.OrtValue]:
        """What every layer crosses with, (1, H, S, K) each, in the order of `crossed`.

        states: (1, any, D); S is the next multiple of PADDING.
        """
        missing = -states.shape()[1] % PADDING
        filled = np.pad(states.numpy(), ((0, 0), (0, missing), (0, 0)))
        return list(self.crossing.run_with_ort_values(self.crossed, {names.STATES: value(filled)}))


@dataclass
class _New:
    """Room for N new tokens of each answer, and for what follows them, in memory that is bound."""

    tokens: Array  # (O, N)
    logits: Array  # (O, N, V)
    bound: tuple[onnxruntime.OrtValue, onnxruntime.OrtValue]


class Decoder:
    """Greedy decoding with a writer; one generation at a time."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._binding = writer.step.io_binding()
        self._places: list[int] = []  # which answer stands at each place of the caches' B, the open ones only
        self._own = np.zeros((2 * writer.layers, 0, writer.heads, 0, writer.head_width), np.float32)
        self._crossed = self._own  # (2L, B, H, S, K); of several prompts only
        self._mask = np.zeros((0, 0), np.int32)  # (B, S), 0 at padding
        self._last = np.zeros(0, np.int32)  # (O,) see decoder_part
        self._total = np.zeros((), np.int32)
        self._bound: dict[str, onnxruntime.OrtValue] = {}  # a binding need not keep them alive
        self._bind(names.TOTAL, value(self._total))
        self._biases: list[onnxruntime.OrtValue] = []  # of one new token, by its position
        self._news: dict[int, _New] = {}  # by N, for the O at hand
        self._width = 0  # the N that is bound

    def read(self, states: Sequence[States], capacity: int) -> None:
        """New prompts: what their answers cross with; the answers' caches are empty.

        states: (1, S, D) each. capacity: of generated tokens.
        """
        batch = len(states)
        self._reserve(batch, capacity)
        crossed = [self.writer.cross(one) for one in states]
        longest = max(layers[0].shape()[2] for layers in crossed)
        lengths = np.array([one.shape()[1] for one in states])
        self._mask = (np.arange(longest) < lengths[:, np.newaxis]).astype(np.int32)
        if batch == 1:
            self._bind_prompts(crossed[0])
            return
        shape = (len(self._own), batch, self.writer.heads, longest, self.writer.head_width)
        self._crossed = np.zeros(shape, np.float32)
        for row, layers in enumerate(crossed):
            for place, one in zip(self._crossed, layers, strict=True):
                place[row, :, : one.shape()[2]] = one.numpy()[0]
        self._bind_prompts([value(place) for place in self._crossed])

    def step(self, tokens: Mapping[int, int], position: int) -> dict[int, int]:
        """The ids after `tokens`, by row, which stand at `position` (the start token at 0).

        A row that is left out has ended; it cannot come back.
        """
        if len(tokens) < len(self._places):
            self._drop([place for place, row in enumerate(self._places) if row not in tokens], position)
        logits = self.run([[tokens[row]] for row in self._places], position)
        return dict(zip(self._places, logits[:, 0].argmax(axis=1).tolist(), strict=True))

    def follow(self, token: int, position: int, count: int, stop: int | None) -> list[int]:
        """Up to `count` ids after `token`, at `position` of the only answer; none after `stop`."""
        ids = []
        for place in range(position, position + count):
            token = int(self.run(((token,),), place).argmax())
            ids.append(token)
            if token == stop:
                break
        return ids

    def run(self, tokens: Sequence[Sequence[int]], position: int) -> Array:
        """(O, N, V) logits after each of the new tokens, the first of which stand at `position`.

        They hold until the next run.
        """
        width = len(tokens[0])
        new = self._news.get(width) or self._make_room(width)
        if width != self._width:
            self._bind(names.TOKENS, new.bound[0])
            self._binding.bind_ortvalue_output(names.LOGITS, new.bound[1])
            self._width = width
        new.tokens[:] = tokens
        self._last[:] = position + width - 1
        self._total[...] = position + width
        self._bind(names.BIAS, self._bias(position, width))
        self.writer.step.run_with_iobinding(self._binding)
        return new.logits

    def _bias(self, position: int, width: int) -> onnxruntime.OrtValue:
        if width > 1:
            return value(self.writer.bias(position, width, position + width))
        for place in range(len(self._biases), position + 1):
            self._biases.append(value(self.writer.bias(place, 1, place + 1)))
        return self._biases[position]

    def _make_room(self, width: int) -> _New:
        tokens = np.zeros((len(self._places), width), np.int64)
        logits = np.zeros((*tokens.shape, self.writer.ids), np.float32)
        self._news[width] = _New(tokens, logits, (value(tokens), value(logits)))
        return self._news[width]

    def _reserve(self, batch: int, capacity: int) -> None:
        """Room for `capacity` generated tokens of each of `batch` answers."""
        if batch != self._own.shape[1] or capacity > self._own.shape[3]:
            rounded = -(-capacity // CAPACITY) * CAPACITY
            shape = (len(self._own), batch, self.writer.heads, rounded, self.writer.head_width)
            self._own = np.zeros(shape, np.float32)
        elif len(self._places) == batch:
            return  # all is bound still
        self._places = list(range(batch))
        self._bind_answers()

    def _bind_answers(self) -> None:
        """Let the session see the caches of the open answers only."""
        count = len(self._places)
        for name, cache in zip(self.writer.own, self._own, strict=True):
            bound = value(cache[:count])
            self._bind(name, bound)
            self._binding.bind_ortvalue_output(names.written(name), bound)
        self._last = np.zeros(count, np.int32)
        self._bind(names.LAST, value(self._last))
        self._news, self._width = {}, 0

    def _bind_prompts(self, crossed: Sequence[onnxruntime.OrtValue]) -> None:
        """crossed: (O, H, S, K) each."""
        for name, bound in zip(self.writer.crossed, crossed, strict=True):
            self._bind(name, bound)
        self._bind(names.MASK, value(self._mask[: len(self._places)]))

    def _bind(self, name: str, bound: onnxruntime.OrtValue) -> None:
        self._bound[name] = bound
        self._binding.bind_ortvalue_input(name, bound)

    def _drop(self, ended: Sequence[int], position: int) -> None:
        """Fill the places in `ended` with the last ones of the open answers, of `position` ids each."""
        count = len(self._places) - len(ended)
        gaps = [place for place in ended if place < count]
        movers = [place for place in range(count, len(self._places)) if place not in ended]
        for gap, mover in zip(gaps, movers, strict=True):
            self._own[:, gap, :, :position] = self._own[:, mover, :, :position]
            self._crossed[:, gap] = self._crossed[:, mover]
            self._mask[gap] = self._mask[mover]
            self._places[gap] = self._places[mover]
        del self._places[count:]
        self._bind_answers()
        self._bind_prompts([value(place[:count]) for place in self._crossed])
