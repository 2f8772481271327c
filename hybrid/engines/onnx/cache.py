"""Parts on disk, built once for each pair: safetensors files, which hold numbers and no code.

    <cache folder>/onnx/<name>-<hash of the weights>-<FORMAT>.safetensors

A file holds the part's model, weights and tables as tensors, and their SHA-256.
It is written beside its place and renamed, so that a half-written one is never
found under its name. A file that is damaged all the same is built anew; where
the folder cannot be written, parts live in memory only.
"""

import hashlib
import json
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from hybrid.engines.config import Progress
from hybrid.engines.onnx.sessions import Array, Part
from hybrid.store.files import open_atomic
from hybrid.store.folders import cache_folder

FORMAT = 1  # counts what changes the graphs or the packing of weights
MODEL, WEIGHT, TABLE = "model", "weight/", "table/"  # tensors by name
DTYPES: Mapping[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
ALIGNMENT = 64  # of the numbers in a file, in bytes


def cached(name: str, weights_sha256: str | None, build: Callable[[], Part], progress: Progress) -> Part:
    """The part of this name, from the cache where it is there and whole.

    weights_sha256: of the model that it is built from; None for one that will
    not come again, which is not kept. progress: told when it cannot be kept.
    """
    if weights_sha256 is None:
        return build()
    path = cache_folder() / "onnx" / f"{name}-{weights_sha256}-{FORMAT}.safetensors"
    part = _load(path)
    if part is None:
        part = build()
        try:
            _save(part, path)
        except OSError as error:
            reason = error.strerror or str(error)
            progress(f"Not kept for next time, since {path.parent} cannot be written: {reason}")
    return part


def _save(part: Part, path: Path) -> None:
    """Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_atomic(path, durable=False) as stream:
        _write(stream, _tensors(part))


def _load(path: Path) -> Part | None:
    """The part in a file; None when there is none, or not all of it."""
    try:
        with path.open("rb") as stream:
            mapped = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        tensors, sha256 = _read(mapped)
    except (OSError, ValueError, KeyError, TypeError):  # not there, or not what _save wrote
        return None
    if _sha256(tensors) != sha256:
        return None
    tables = {name: table.copy() for name, table in _named(tensors, TABLE).items()}  # they outlive the rest
    return Part(tensors[MODEL].tobytes(), _named(tensors, WEIGHT), tables)


def _write(stream: IO[bytes], tensors: Mapping[str, Array]) -> None:
    """A safetensors file: 8 bytes with the size of the header, the header as JSON, the numbers.

    See github.com/huggingface/safetensors. Raises OSError.
    """
    kinds = {dtype: kind for kind, dtype in DTYPES.items()}
    header: dict[str, object] = {"__metadata__": {"sha256": _sha256(tensors)}}
    end = 0
    for name, array in tensors.items():
        first, end = end, end + array.nbytes
        header[name] = {"dtype": kinds[array.dtype], "shape": array.shape, "data_offsets": (first, end)}
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    stream.write(len(text).to_bytes(8, "little") + text)
    for array in tensors.values():
        stream.write(array.data)


def _read(mapped: Array) -> tuple[dict[str, Array], str]:
    """The tensors of such a file, in its own memory, and the hash that it has of them.

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


def _tensors(part: Part) -> dict[str, Array]:
    """All arrays of a part, the widest numbers first, so that each stands where its kind may stand."""
    named = {MODEL: np.frombuffer(part.model, np.uint8)}
    named |= {WEIGHT + name: array for name, array in part.weights.items()}
    named |= {TABLE + name: array for name, array in part.tables.items()}
    return dict(sorted(named.items(), key=lambda item: -item[1].itemsize))


def _sha256(tensors: Mapping[str, Array]) -> str:
    """One hash over names, types, shapes and numbers."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(repr((name, array.dtype.str, array.shape)).encode())
        total.update(array.data)
    return total.hexdigest()


def _named(tensors: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}
