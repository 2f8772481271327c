"""The writing half as recorded work: from a prompt's states to the ids of its answer."""

import torch

from hybrid.engines.cuda.buffers import Buffers
from hybrid.engines.cuda.reading import Prompts
from hybrid.engines.cuda.recorder import Recorder
from hybrid.engines.cuda.steps import Steps
from hybrid.engines.cuda.weights import Decoder

# Steps in one graph: between two graphs a GPU pauses.
BURST = 4
# Ids that are fetched together. While answers may end, what comes after the end was computed in vain, half
# a chunk on average. With a fetch of c microseconds, chunks of sqrt(2 * N * c / t) cost least for N ids of t
# microseconds each. Taking c as 40, that is 7 for N = 40 and t = 70, a small model, and 3 for t = 400.
CHUNK = 4
SHALLOW_CHUNK, SHALLOW = 8, 8  # of decoders with so many layers at the most
FIXED_CHUNK = 16  # where all answers are of a given length


class Writing:
    """Greedy decoding recorded for B prompts of a length and answers of up to `capacity` ids.

    states: where the encoder that goes before leaves its (B * S, D) states.
    """

    def __init__(
        self,
        weights: Decoder,
        steps: Steps,
        prompts: Prompts,
        states: torch.Tensor,
        capacity: int,
        recorder: Recorder,
    ) -> None:
        self._buffers = buffers = Buffers(weights, prompts, capacity)
        step = steps.fastest(buffers, recorder)

        def burst() -> None:
            for _ in range(BURST):
                step()

        self.capacity = capacity
        self.chunk = SHALLOW_CHUNK if len(weights.layers) <= SHALLOW else CHUNK
        self._read = recorder.record(lambda: buffers.read(states))
        self._step = recorder.record(step)
        self._burst = recorder.record(burst, warm_ups=0)
        self._written = 0

    @property
    def nbytes(self) -> int:
        return self._buffers.nbytes

    def first(self) -> list[list[int]]:
        """Read the states, and the first id of each of B answers."""
        self._read()
        self._written = 0
        return self.next(1)

    def next(self, count: int) -> list[list[int]]:
        """The next `count` ids of each of B answers; waits for them, once."""
        start, end = self._written, self._written + count
        assert end <= self.capacity, f"{end} ids do not fit into {self.capacity}"
        for _ in range(count // BURST):
            self._burst()
        for _ in range(count % BURST):
            self._step()
        self._written = end
        rows: list[list[int]] = self._buffers.ids[start:end].tolist()
        return [list(column) for column in zip(*rows, strict=True)]
