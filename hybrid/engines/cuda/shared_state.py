"""What the engines of one pair share on a device: captured graphs, the memory for them, the LLM's encoder.

Work is captured for a few sizes, and a request is padded up to the next of each. A
CUDA graph replays the same kernels over the same memory, so every size is a graph
of its own. Few sizes mean few captures, many mean little padding: from 128 tokens
on, at most a fifth of a prompt is padding. Below that a prompt costs what its
launches cost, whatever its length.

Letters: B prompts, S tokens of the bucket.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar, cast
from weakref import WeakValueDictionary

import torch

from hybrid.engines.cuda.buffers import PromptBuffers
from hybrid.engines.cuda.capture import GraphCapturer
from hybrid.engines.cuda.drafting import DraftingGraph
from hybrid.engines.cuda.graphs import DecodeGraph, EmbeddingGraph, EncoderGraph, FusionGraph
from hybrid.engines.cuda.kernel_selector import KernelSelector
from hybrid.engines.cuda.weights import PackedEncoder, PackedLayer, Target, pack_encoder, pack_layer
from hybrid.engines.generation import GenerationGuard
from hybrid.models.architectures.records import Layer, Stack
from hybrid.schema import Model

P = TypeVar("P")
BATCHES = (1, 2, 4, 8, 16, 32)  # prompts at once
LENGTHS = (32, 64, 96, *range(128, 257, 32), *range(320, 513, 64), *range(640, 1025, 128))  # prompt tokens
CAPACITIES = (64, 128, 256, 512)  # generated tokens, the end included
CACHED_REQUESTS = 96  # sizes that stay captured: every bucket of lengths, twice over, for three models
MEMORY_SHARE = 0.5  # of the memory that is free at first, for what captured requests hold


def bucket(size: int, sizes: Sequence[int]) -> int | None:
    """Choose the smallest of `sizes` that holds `size`; None when none does."""
    return next((larger for larger in sizes if larger >= size), None)


@dataclass
class ModelGraphs:
    """All that is captured of one model for B prompts of up to S tokens.

    prompts: what reads them first. drafting: of one answer, where one is drafted or drafts are verified.
    """

    prompts: EmbeddingGraph
    fusion: FusionGraph | None
    decoder: DecodeGraph
    drafting: DraftingGraph | None = None

    @property
    def nbytes(self) -> int:
        """Bytes on the device that it alone may hold."""
        return self.prompts.nbytes + (self.fusion.nbytes if self.fusion else 0) + self.decoder.nbytes


class SharedGraphState:
    """One for all engines that are created together; they take turns, so memory in use is used by one.

    guard: the generation that is being answered, by any of them.
    """

    def __init__(self, target: Target, max_prompt_tokens: int) -> None:
        self.target = target
        self.reach = bucket(max_prompt_tokens, LENGTHS) or LENGTHS[-1]
        self.guard = GenerationGuard()
        self.capturer = GraphCapturer(target.device)
        self.capacities: dict[Model, int] = {}  # of the longest answer that was ever requested
        self._packed: dict[Hashable, object] = {}
        self._prompt_graphs: WeakValueDictionary[tuple[int, int, int], EmbeddingGraph] = WeakValueDictionary()

    @cached_property
    def requests(self) -> "LRUCache[tuple[Model, int, int], ModelGraphs]":
        """What is captured, by model, B and S. First used when the weights have taken their memory."""
        return LRUCache(CACHED_REQUESTS, _memory_share(self.target.device))

    def encoder(self, stack: Stack) -> PackedEncoder:
        """Pack what reads prompts, once for all models that share its weights.

        Only while the models are held may they be compared by where their weights are.
        """
        weights = [layer.self_attention.output.weight.data_ptr() for layer in stack.layers]
        return self._once(
            (stack.final_norm is None, stack.taps, *weights),
            lambda: pack_encoder(stack, self.target, self.reach, self.layer),
        )

    def layer(self, layer: Layer, target: Target) -> PackedLayer:
        """Pack a layer, once for reading and writing."""
        return self._once(layer.self_attention.output.weight.data_ptr(), lambda: pack_layer(layer, target))

    def model(self, name: Model, pack: Callable[[], P]) -> P:
        """Pack a model, once for all methods."""
        return self._once(name, pack)

    def _once(self, key: Hashable, pack: Callable[[], P]) -> P:
        if key not in self._packed:
            self._packed[key] = pack()
        return cast(P, self._packed[key])

    def forget_models(self) -> None:
        """Let the models go that weights were packed from: their memory can become another one's."""
        self._packed.clear()

    def prompt_graph(
        self,
        reads: PackedEncoder | torch.Tensor,
        kernels: KernelSelector,
        batch: int,
        length: int,
    ) -> EmbeddingGraph:
        """Capture what reads prompts of this size, layers or embeddings alone, once for all who use it."""
        key = id(reads), batch, length
        graph = self._prompt_graphs.get(key)
        if graph is None:
            prompts = PromptBuffers(batch, length, self.target.device)
            if isinstance(reads, torch.Tensor):
                graph = EmbeddingGraph(reads, prompts, self.capturer)
            else:
                graph = EncoderGraph(reads, prompts, self.capturer, kernels)
            self._prompt_graphs[key] = graph
        return graph


class Sized(Protocol):
    """What takes memory on the device, in bytes."""

    @property
    def nbytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


class LRUCache(Generic[K, V]):
    """Values up to a count and a number of bytes; the least recently used go first."""

    def __init__(self, count: int, nbytes: int) -> None:
        self._count, self._limit = count, nbytes
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, create: Callable[[], V]) -> V:
        """Give the value of this key, created if need be; it stays even when it alone is too large."""
        if key not in self._values:
            self._values[key] = create()
        self._values.move_to_end(key)
        while len(self._values) > 1 and (len(self._values) > self._count or self.nbytes > self._limit):
            self._values.popitem(last=False)
        return self._values[key]

    def drop(self, unwanted: Callable[[K], bool]) -> None:
        """Let go of all values with such keys."""
        for key in [key for key in self._values if unwanted(key)]:
            del self._values[key]

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(value.nbytes for value in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


def _memory_share(device: torch.device) -> int:
    """Count the bytes that captured requests may hold; on the CPU, where there are none, what tests need."""
    if device.type != "cuda":
        return 2**30
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * MEMORY_SHARE)
