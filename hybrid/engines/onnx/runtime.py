"""A built graph, what runs it, and the names of its inputs and outputs, which building and running share."""

import ctypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import onnxruntime
from numpy.typing import NDArray

onnxruntime.disable_telemetry_events()  # hybrid/__init__.py came too late where this was imported before

Array: TypeAlias = NDArray[Any]
HUGE_PAGE = 2**21
MADV_COLLAPSE = 25  # of Linux's madvise(2), since 6.1

# How matrices are held and multiplied. blocks: 8 bits, exact to a block of inputs, fast for the one row of
# activations that a decoder has. rows: 7 bits, coarser, fast for the many rows that an encoder has.
Matrix = Literal["float32", "blocks", "rows"]

# Of the graphs of encoders: prompt ids, position bias, the LLM's hidden states, hidden states.
IDS, BIAS, LATENT, STATES = "ids", "bias", "latent", "states"
# Of those of decoders.
TOKENS, LAST, TOTAL, MASK, LOGITS, START = "tokens", "last", "total", "mask", "logits", "start"
# Of decoder-only models, with LAST and TOTAL where they only read, too.
PREFIX, READ, POSITIONS, COSINES, SINES = "prefix", "read", "positions", "cosines", "sines"
FREQUENCIES = "frequencies"


def self_kv_cache(layer: int) -> tuple[str, str]:
    """Name a layer's self-attention KV cache: keys and values of the answers."""
    return f"keys_{layer}", f"values_{layer}"


def cross_kv_cache(layer: int) -> tuple[str, str]:
    """Name a layer's cross-attention KV cache: keys and values of the prompts."""
    return f"cross_keys_{layer}", f"cross_values_{layer}"


def updated(cache: str) -> str:
    """Name the output that is a cache with the new tokens in it; to be bound to the cache's own memory."""
    return f"written_{cache}"


@dataclass(frozen=True)
class BuiltGraph:
    """A graph ready for a session.

    model: serialized, without weights. weights: of the graph, by name.
    tables: what whoever runs it needs beside it, by name.
    """

    model: bytes
    weights: Mapping[str, Array]
    tables: Mapping[str, Array] = field(default_factory=dict)


def create_session(graph: BuiltGraph, threads: int) -> onnxruntime.InferenceSession:
    """Create a session on the CPU; it keeps what it needs of the weights, matrices in a form of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; a warning means nothing to whoever waits for an answer
    options.enable_mem_pattern = False  # one would be kept for each length of prompt and of answer
    values = [ort_value(array) for array in graph.weights.values()]
    options.add_external_initializers(list(graph.weights), values)
    before = list(_anonymous_memory())
    session = onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
    for first, end in _outside(_anonymous_memory(), before):
        _use_huge_pages(first, end)
    return session


def _anonymous_memory() -> Iterator[tuple[int, int]]:
    """Give addresses of this process's memory that is of no file, where Linux lists it."""
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    for line in lines:
        addresses, access, _, _, inode, *name = line.split()
        if access == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
            first, end = (int(address, 16) for address in addresses.split("-"))
            yield first, end


def _outside(areas: Iterable[tuple[int, int]], known: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Give the parts of `areas` that no known one covers, both in the order of their addresses.

    An area that was there may have grown, and what was in it is not the session's.
    """
    for first, end in areas:
        for known_first, known_end in known:
            if known_end <= first or known_first >= end:
                continue
            if first < known_first:
                yield first, known_first
            first = known_end
        if first < end:
            yield first, end


def _use_huge_pages(first: int, end: int) -> None:
    """Let memory lie in pages of 2 MB, as far as it fills them; where Linux cannot, it stays as it is.

    All weights are read for each token: in pages of 4 KB, finding these took a
    quarter of the time of SmolLM2-135M (14.1 ms a token became 10.6).
    """
    first, end = -(-first // HUGE_PAGE) * HUGE_PAGE, end // HUGE_PAGE * HUGE_PAGE
    if end > first:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), MADV_COLLAPSE)


def ort_value(array: Array) -> onnxruntime.OrtValue:
    """Wrap `array` as onnxruntime takes it, in the same memory; it must be contiguous."""
    assert array.flags.c_contiguous, f"an array of shape {array.shape} has strides {array.strides}"
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
