"""Weights of a model on disk: safetensors files, matrices as int8 rows with one float32 scale a row.

A row's scale is its largest magnitude over 127 (symmetric, round to nearest),
so the error of a weight is at most half a scale. What is read may be anybody's:
each tensor is checked against the model that it is for.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.manifest import checked

SHARD_BYTES = 15 * 2**20
POSITIONS = "embed_positions.weight"  # a Marian's are sines, which are computed
SCALE_SUFFIX = ".int8_scale"
LARGEST_INT8 = 127
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
HEADER_BYTES = 100_000_000  # what safetensors allows beside the tensors

Tensors = Mapping[str, torch.Tensor]


def quantize(state: Tensors) -> dict[str, torch.Tensor]:
    """Matrices as int8 rows and their scales; the rest as float32: vectors, a single row, positions."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2 or len(tensor) == 1 or name.endswith(POSITIONS):
            packed[name] = tensor.float().contiguous()
            continue
        scale = tensor.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / LARGEST_INT8  # (rows, 1)
        rounded = (tensor.float() / scale).round().clamp(-LARGEST_INT8, LARGEST_INT8)
        packed[name] = rounded.to(torch.int8)
        packed[name + SCALE_SUFFIX] = scale.squeeze(1)
    return packed


def dequantize(packed: Tensors) -> dict[str, torch.Tensor]:
    """Return the float32 weights of a quantized state; floats pass through."""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scale = packed.get(name + SCALE_SUFFIX)
        state[name] = tensor.float() if scale is None else tensor.float() * scale[:, None]
    return state


def save_weights(folder: Path, state: Tensors) -> None:
    """Write the weights of one model, quantized, in files of about SHARD_BYTES."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in quantize(state).items():
        if size + tensor.nbytes > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    for index, shard in enumerate(shards, start=1):
        label = "model" if len(shards) == 1 else f"model-{index:05d}-of-{len(shards):05d}"
        save_file(shard, folder / f"{label}.safetensors", metadata={"format": "pt"})


def read_weights(
    folder: Path, role: str, manifest: Mapping[str, Any], like: Tensors, only: Collection[str] | None = None
) -> dict[str, torch.Tensor]:
    """Read the float32 weights of one model of the pair in `folder`.

    like: all tensors that the model can have, on the meta device. only: the names
    to return, all when None. Raises PairError, naming file and tensor.
    """
    packed: dict[str, torch.Tensor] = {}
    files: dict[str, Path] = {}
    limit = HEADER_BYTES + sum(tensor.numel() for tensor in like.values()) * torch.float32.itemsize
    shards = [f for f in manifest["sha256"] if f.startswith(f"{role}/") and f.endswith(".safetensors")]
    for relative in sorted(shards):
        path = checked(folder, relative, manifest, limit)
        try:
            shard = load_file(path)
        except (SafetensorError, OSError) as error:
            reason = printable(str(error), 200)
            raise PairError(f"{path} is not a readable safetensors file: {reason}.") from error
        for name in shard.keys() & packed.keys():
            raise PairError(f"{path}: the tensor {name[:200]!r} is in {files[name].name}, too.")
        packed |= shard
        files |= dict.fromkeys(shard, path)
    for name in packed:
        if fault := _fault(name, packed, like):
            raise PairError(f"{files[name]}: the tensor {name[:200]!r} {fault}.")
    if only is not None:
        packed = {name: t for name, t in packed.items() if name.removesuffix(SCALE_SUFFIX) in only}
    return dequantize(packed)


def _fault(name: str, packed: Tensors, like: Tensors) -> str:
    """Say what is wrong with a stored tensor, after its name; nothing of a sound one."""
    matrix, tensor = name.removesuffix(SCALE_SUFFIX), packed[name]
    is_scale = matrix != name
    if matrix not in like:
        return "is no part of the model that config.json describes"
    shape = like[matrix].shape[:1] if is_scale else like[matrix].shape
    if tensor.shape != shape:
        return f"has the shape {tuple(tensor.shape)}, and config.json describes {tuple(shape)}"
    if is_scale and (matrix not in packed or packed[matrix].dtype != torch.int8):
        return "is the scale of no int8 matrix"
    if tensor.dtype == torch.int8 and not is_scale:
        return "" if tensor.ndim == 2 and name + SCALE_SUFFIX in packed else "is int8 without a scale a row"
    if tensor.dtype not in FLOATS:
        return f"is {str(tensor.dtype).removeprefix('torch.')}, neither int8 nor a float of 16 or 32 bits"
    largest = tensor.float() * LARGEST_INT8 if is_scale else tensor
    return "" if largest.isfinite().all() else "holds values that are no finite numbers"
