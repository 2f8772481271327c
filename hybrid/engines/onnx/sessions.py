"""One piece of an engine: a graph, its weights, and what runs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import onnxruntime
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

# How matrices are held and multiplied. blocks: 8 bits, exact to a block of inputs, fast for the one row of
# activations that a decoder has. rows: 7 bits, coarser, fast for the many rows that an encoder has.
Matrix = Literal["float32", "blocks", "rows"]


@dataclass(frozen=True)
class Part:
    """A graph ready for a session.

    model: serialized, without weights. weights: of the graph, by name.
    tables: what whoever runs it needs beside it, by name.
    """

    model: bytes
    weights: Mapping[str, Array]
    tables: Mapping[str, Array] = field(default_factory=dict)


def session(part: Part, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU. It keeps what it needs of the weights; matrices it holds in a form of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; a warning means nothing to whoever asked for an answer
    options.enable_mem_pattern = False  # one would be kept for each length of prompt and of answer
    values = [value(array) for array in part.weights.values()]
    options.add_external_initializers(list(part.weights), values)
    return onnxruntime.InferenceSession(part.model, options, providers=["CPUExecutionProvider"])


def value(array: Array) -> onnxruntime.OrtValue:
    """`array` as onnxruntime takes it, in the same memory; it must be contiguous."""
    assert array.flags.c_contiguous, f"an array of shape {array.shape} has strides {array.strides}"
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)
