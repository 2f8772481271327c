"""Built graphs on disk, built once for each pair: safetensors files, which hold numbers and no code.

    <cache folder>/onnx/<name>-<hash of the weights>-<FORMAT>.safetensors

A file holds a graph's model, weights and tables as tensors, and their SHA-256.
It is written beside its place and renamed, so that a half-written one is never
found under its name. A file that is damaged all the same is replaced; where the
folder cannot be written, graphs live in memory only.

The safetensors package could read and write the same files, but its numpy
reader copies every array, and its writer wants all bytes at once. Here arrays
are views of the mapped file, which onnxruntime takes as they are.
"""

import hashlib
import json
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from hybrid.engines.onnx.runtime import Array, BuiltGraph
from hybrid.schema import Observer, Status
from hybrid.store.files import clear_stale, make_private, open_atomic
from hybrid.store.folders import cache_folder

FORMAT = 4  # counts what changes the graphs or the packing of weights
MODEL, WEIGHT, TABLE = "model", "weight/", "table/"  # tensors by name
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
ALIGNMENT = 64  # of the numbers in a file, in bytes


def load_or_build(
    name: str, weights_sha256: str | None, build: Callable[[], BuiltGraph], observer: Observer
) -> BuiltGraph:
    """Load the graph of this name from the cache, or build and keep it where it is not there and whole.

    weights_sha256: of the model that it is built from; None for one that will
    not come again, which is not kept. observer: told when it cannot be kept.
    """
    if weights_sha256 is None:
        return build()
    path = cache_folder() / "onnx" / f"{name}-{weights_sha256}-{FORMAT}.safetensors"
    graph = _load(path)
    if graph is None:
        graph = build()
        try:
            _save(graph, path)
        except OSError as error:
            reason = error.strerror or str(error)
            sentence = f"Not kept for next time, since {path.parent} cannot be written: {reason}"
            observer(Status(sentence=sentence))
    return graph


def _save(graph: BuiltGraph, path: Path) -> None:
    """Write a graph. Raises OSError."""
    make_private(path.parent)
    clear_stale(path.parent)
    with open_atomic(path, durable=False) as stream:
        _write(stream, _tensors(graph))


def _load(path: Path) -> BuiltGraph | None:
    """Read the graph in a file; None when there is none, or not all of it."""
    try:
        with path.open("rb") as stream:
            mapped = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        tensors, sha256 = _read(mapped)
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what _save wrote
        return None
    if _sha256(tensors) != sha256:
        return None
    tables = {name: table.copy() for name, table in _named(tensors, TABLE).items()}  # they outlive the rest
    return BuiltGraph(tensors[MODEL].tobytes(), _named(tensors, WEIGHT), tables)


def _write(stream: IO[bytes], tensors: Mapping[str, Array]) -> None:
    """Write a safetensors file: 8 bytes with the size of the header, the header as JSON, the numbers.

    See github.com/huggingface/safetensors. Raises OSError.
    """
    names = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, object] = {"__metadata__": {"sha256": _sha256(tensors)}}
    end = 0
    for name, array in tensors.items():
        first, end = end, end + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": array.shape, "data_offsets": (first, end)}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    stream.write(len(text).to_bytes(8, "little") + text)
    for array in tensors.values():
        stream.write(array.data)


def _read(mapped: Array) -> tuple[dict[str, Array], str]:
    """Read the tensors of such a file, in its own memory, and the hash that it has of them.

    Raises ValueError, KeyError or TypeError when the file is something else.
    """
    start = 8 + int.from_bytes(mapped[:8].tobytes(), "little")
    header = json.loads(mapped[8:start].tobytes())
    sha256 = str(header.pop("__metadata__")["sha256"])
    tensors = {}
    for name, tensor in header.items():
        first, end = tensor["data_offsets"]
        numbers = mapped[start + first : start + end]
        tensors[name] = numbers.view(DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return tensors, sha256


def _tensors(graph: BuiltGraph) -> dict[str, Array]:
    """Collect all arrays of a graph, the widest numbers first, so that each is aligned."""
    named = {MODEL: np.frombuffer(graph.model, np.uint8)}
    named |= {WEIGHT + name: array for name, array in graph.weights.items()}
    named |= {TABLE + name: array for name, array in graph.tables.items()}
    return dict(sorted(named.items(), key=lambda item: -item[1].itemsize))


def _sha256(tensors: Mapping[str, Array]) -> str:
    """Hash names, types, shapes and numbers."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(repr((name, array.dtype.str, array.shape)).encode())
        total.update(array.data)
    return total.hexdigest()


def _named(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}
