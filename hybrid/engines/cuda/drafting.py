"""Passes of one answer's decoder over several ids, and drafts, as captured work; see speculative.py.

A pass is captured for a few numbers of ids, and padded: what it puts into the
caches behind the last id is overwritten before anything looks at it. A few
steps of a draft are one piece of work, so that some may follow its end in vain.

Letters: n ids of a pass, V vocabulary.
"""

from collections.abc import Collection, Sequence

import torch

from hybrid.engines.cuda.capture import GraphCapturer, Work
from hybrid.engines.cuda.eager import placed, sum_type
from hybrid.engines.cuda.graphs import DecodeGraph
from hybrid.engines.speculative import LONGEST_DRAFT, MIN_DRAFT_PROBABILITY

WIDTHS = (1, 2, 4, 8, LONGEST_DRAFT + 1)  # ids of a pass; a draft and the id before it
DRAFTED = 4  # ids that are drafted before anybody looks at them


class DraftingGraph:
    """speculative.DraftableDecoder: what `graph` decodes, for one answer.

    start, vocabulary: see there. eos: ids that end a draft.
    """

    def __init__(self, graph: DecodeGraph, eos: Collection[int], capturer: GraphCapturer) -> None:
        self._graph, self._eos = graph, eos
        self.start, self.prefill = graph.start, graph.prefill
        self.vocabulary = graph.buffers.logits.shape[1]
        device = graph.buffers.positions.device
        self._host = torch.zeros(WIDTHS[-1] + 1, dtype=torch.int64)  # ids, and where the first stands
        if device.type == "cuda":
            self._host = self._host.pin_memory()
        self._device = self._host.to(device)
        self._greedy = torch.zeros_like(self._device)
        self._drafted = torch.zeros(2, DRAFTED, dtype=torch.float64, device=device)  # it holds every id
        self._passes = {width: capturer.capture(self._pass(width, capturer)) for width in WIDTHS}
        self._resume = capturer.capture(self._take)
        self._steps = capturer.capture(self._draft)

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        """Give the greedy id after each of `tokens`, which stand at `position` and what follows it."""
        if position == 0:  # the first id came with the prompt
            first: list[int] = self._graph.buffers.ids[0].tolist()
            return first + (self.verify(tokens[1:], 1) if tokens[1:] else [])
        count = min(len(tokens), WIDTHS[-1])
        self._put(tokens[:count], position)
        self._passes[next(width for width in WIDTHS if width >= count)]()
        ids: list[int] = self._greedy[:count].tolist()
        return ids + (self.verify(tokens[count:], position + count) if tokens[count:] else [])

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Give up to `count` ids one after another; the last one is of `eos`, or makes the draft unlikely."""
        ids: list[int] = []
        if position == 0:
            ids, position = self.verify([token], 0), 1
            token = ids[0]
        self._put([token], position)
        self._resume()
        probability = 1.0
        while len(ids) < count and not (ids and ids[-1] in self._eos):
            self._steps()
            drafted, sure = self._drafted.tolist()
            for number, share in zip(drafted[: count - len(ids)], sure, strict=False):
                ids.append(int(number))
                probability *= share
                if ids[-1] in self._eos or probability < MIN_DRAFT_PROBABILITY:
                    return ids
        return ids

    def _put(self, tokens: Sequence[int], position: int) -> None:
        self._host[: len(tokens)] = torch.tensor(tokens)
        self._host[-1] = position
        self._device.copy_(self._host, non_blocking=True)

    def _pass(self, width: int, capturer: GraphCapturer) -> Work:
        """Make the work that takes n ids, (n,), and gives the id after each."""
        graph, weights, (ids, first) = (
            self._graph,
            self._graph.weights,
            (self._device[:width], self._device[-1:]),
        )
        buffers, eager = graph.buffers, graph.eager

        def places() -> torch.Tensor:
            return first + buffers.offsets + torch.arange(width, device=ids.device)

        def enter() -> torch.Tensor:
            rows = placed(weights.embeddings[ids].float(), weights, places())
            return rows.to(sum_type(weights.embeddings.dtype))

        def extend(rows: torch.Tensor) -> torch.Tensor:
            return eager.extend(rows, places().unsqueeze(0))

        caches = buffers.caches_at(first, buffers.offsets)
        layers = graph.kernels.fastest_pass(weights, caches, extend, enter(), capturer)

        def work() -> None:
            self._greedy[:width].copy_(eager.logits(layers(enter())).argmax(1))

        return work

    def _take(self) -> None:
        """Let the first id stand where it is said to, for the steps that follow."""
        buffers = self._graph.buffers
        buffers.positions.copy_(self._device[-1:])
        buffers.put_inputs(self._device[:1])

    def _draft(self) -> None:
        """Go on by a few steps; keep their ids and how probable each is."""
        buffers = self._graph.buffers
        for number in range(DRAFTED):
            self._graph.step()
            self._drafted[0, number : number + 1].copy_(buffers.ids.index_select(0, buffers.positions - 1)[0])
            self._drafted[1, number : number + 1].copy_(buffers.logits.softmax(1).amax(1))
