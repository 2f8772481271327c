"""Passes of one answer's decoder over several ids, and drafts, as captured work; see speculative.py.

A pass is captured for a few numbers of ids, and padded: what it puts into the
caches behind the last id is overwritten before anything looks at it. A few
steps of a draft are one piece of work, so that some may follow its end in vain.

Letters: n ids of a pass.
"""

from collections.abc import Collection, Sequence
from functools import partial

import torch

from hybrid.engines.cuda.buffers import DecodeBuffers
from hybrid.engines.cuda.capture import GraphCapturer, Work
from hybrid.engines.cuda.eager import placed, sum_type
from hybrid.engines.cuda.graphs import DecodeGraph
from hybrid.engines.cuda.kernel_selector import example_rows
from hybrid.engines.speculative import LONGEST_DRAFT, MIN_DRAFT_PROBABILITY

WIDTHS = (1, 2, 4, 8, LONGEST_DRAFT + 1)  # ids of a pass; a draft and the id before it
DRAFTED = 4  # ids that are drafted before anybody looks at them


class DraftingGraph:
    """speculative.DraftableDecoder: what `graph` decodes, for one answer; the first id comes with the prompt.

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
        # None of the work holds self, which holds it: else the caches would wait for the collector.
        self._passes = {width: capturer.capture(self._pass(width, capturer)) for width in WIDTHS}
        self._resume = capturer.capture(partial(_resume, graph.buffers, self._device))
        self._steps = capturer.capture(partial(_draft, graph, self._drafted))

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        """Give the greedy id after each of `tokens`, which stand at `position` and what follows it."""
        greedy: list[int] = []
        if position == 0:
            greedy, tokens, position = self._graph.buffers.ids[0].tolist(), tokens[1:], 1
        for start in range(0, len(tokens), WIDTHS[-1]):
            part = tokens[start : start + WIDTHS[-1]]
            self._put(part, position + start)
            self._passes[next(width for width in WIDTHS if width >= len(part))]()
            greedy += self._greedy[: len(part)].tolist()
        return greedy

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Give up to `count` ids one after another; the last one is of `eos`, or makes the draft unlikely.

        position: at least 1, see CapturedRequest.drafts_first.
        """
        self._put([token], position)
        self._resume()
        ids: list[int] = []
        probability = 1.0
        while len(ids) < count:
            self._steps()
            drafted, probabilities = self._drafted.tolist()
            for following, share in zip(drafted[: count - len(ids)], probabilities, strict=False):
                ids.append(int(following))
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
        weights, buffers, eager = self._graph.weights, self._graph.buffers, self._graph.eager
        ids, first, greedy = self._device[:width], self._device[-1:], self._greedy[:width]

        def places() -> torch.Tensor:
            return first + buffers.offsets + torch.arange(width, device=ids.device)

        def enter() -> torch.Tensor:
            rows = placed(weights.embeddings[ids].float(), weights, places())
            return rows.to(sum_type(weights.embeddings.dtype))

        def extend(rows: torch.Tensor) -> torch.Tensor:
            return eager.extend(rows, places().unsqueeze(0))

        caches = buffers.caches_at(first, buffers.offsets)
        rows = example_rows(weights, width).to(sum_type(weights.embeddings.dtype))
        layers = self._graph.kernels.fastest_pass(weights, caches, extend, rows, capturer)

        def work() -> None:
            greedy.copy_(eager.logits(layers(enter())).argmax(1))

        return work


def _resume(buffers: DecodeBuffers, put: torch.Tensor) -> None:
    """Let the first of the ids that were put in stand where it is said to, for the steps that follow."""
    buffers.positions.copy_(put[-1:])
    buffers.put_inputs(put[:1])


def _draft(graph: DecodeGraph, drafted: torch.Tensor) -> None:
    """Go on by a few steps; keep their ids and how probable each is."""
    buffers = graph.buffers
    for number in range(DRAFTED):
        graph.step()
        drafted[0, number : number + 1].copy_(buffers.ids.index_select(0, buffers.positions - 1)[0])
        drafted[1, number : number + 1].copy_(buffers.logits.softmax(1).amax(1))
