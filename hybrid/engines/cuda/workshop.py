"""What the engines of one pair share on a device: recordings, the memory for them, the LLM's encoder.

Letters: B prompts, S tokens of the bucket.
"""

from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch

from hybrid.engines.cuda.buckets import LENGTHS, Kept, bucket
from hybrid.engines.cuda.reading import Fusing, Prompts, Reading
from hybrid.engines.cuda.recorder import Recorder
from hybrid.engines.cuda.weights import Encoder, pack_encoder
from hybrid.engines.cuda.writing import Writing
from hybrid.engines.generation import Serving
from hybrid.engines.torch.layers import Target

KEPT_ROUTES = 96  # sizes that stay recorded: every bucket of lengths, twice over, for three engines
MEMORY_SHARE = 0.5  # of the memory that is free at first, for what recordings keep


class Route:
    """All that one engine has recorded for B prompts of up to S tokens."""

    def __init__(self, reading: Reading, fusing: Fusing | None, writing: Writing) -> None:
        self.reading, self.fusing, self.writing = reading, fusing, writing

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.reading, self.fusing, self.writing) if part is not None)


class Workshop:
    """One for all engines that are made together; they take turns, so memory in use is used by one.

    serving: the generation that is being answered, by any of them.
    """

    def __init__(self, target: Target, max_prompt_tokens: int) -> None:
        self.target = target
        self.reach = bucket(max_prompt_tokens, LENGTHS) or LENGTHS[-1]
        self.serving = Serving()
        self.recorder = Recorder(target.device)
        self._encoders: dict[int, Encoder] = {}
        self._readings: WeakValueDictionary[tuple[int, int, int], Reading] = WeakValueDictionary()

    @cached_property
    def routes(self) -> Kept[tuple[str, int, int], Route]:
        """What is recorded, by method, B and S. First asked for when the weights have taken their memory."""
        return Kept(KEPT_ROUTES, _share(self.target.device))

    def encoder(self, model: Any) -> Encoder:
        """The encoder of a transformers T5, packed once for all models that share its weights.

        Only while the models are held may they be compared by where their weights are.
        """
        key = model.encoder.block[0].layer[0].SelfAttention.q.weight.data_ptr()
        if key not in self._encoders:
            self._encoders[key] = pack_encoder(model, self.target, self.reach)
        return self._encoders[key]

    def forget_models(self) -> None:
        """The models that encoders were packed from may go: their memory can become another one's."""
        self._encoders.clear()

    def reading(self, weights: Encoder, batch: int, length: int) -> Reading:
        """The recorded encoder for this size, the same for all who use it."""
        key = id(weights), batch, length
        found = self._readings.get(key)
        if found is None:
            prompts = Prompts(batch, length, self.target.device)
            self._readings[key] = found = Reading(weights, prompts, self.recorder)
        return found


def _share(device: torch.device) -> int:
    """Bytes that recordings may keep; on the CPU, where there are none, what tests need."""
    if device.type != "cuda":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * MEMORY_SHARE)
