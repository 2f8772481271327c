"""Configurations, tokenizers and weights of a pair on disk.

They are anybody's: each is checked for being one, and for fitting the models that it is of.
Weights are safetensors files, matrices as int8 rows with one float32 scale a row: its largest
magnitude over 127 (symmetric, round to nearest), so the error of a weight is at most half a scale.
A matrix that is larger than a file should be lies in slices of rows: NAME.rows-00000 and so on.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoConfig, PretrainedConfig, PreTrainedTokenizerFast

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.architectures import ARCHITECTURES, configuration
from hybrid.models.fused_model import HybridConfig
from hybrid.models.manifest import ANY_PAIR, checked, more_eos_ids, read_config
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.references.configs import checked_config
from hybrid.schema import MODELS, Model

TRIAL = "Größe 12, naïve; 日本 🙂"  # some files are read, and fail in use
LARGEST_TOKENIZER = 64 * 2**20  # bytes; the largest in use, of 256,000 entries, has some 35 million
SHARED = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}  # of a pair of format 1
SHARD_BYTES = 15 * 2**20
POSITIONS = "embed_positions.weight"  # a Marian's are sines, which are computed
SCALE_SUFFIX = ".int8_scale"
SLICE = re.compile(r"(.+)\.rows-\d{5}")
LARGEST_INT8 = 127
FLOATS = (torch.float32, torch.float16, torch.bfloat16)
HEADER_BYTES = 100_000_000  # what safetensors allows beside the tensors
Tensors = Mapping[str, torch.Tensor]


def read_configuration(folder: Path, role: Model, manifest: dict[str, Any]) -> PretrainedConfig:
    """Read the configuration of one model. Raises PairError, naming the file."""
    path = f"{role}/config.json"
    settings = read_config(folder, path, manifest)
    any_family = manifest.get("format") == ANY_PAIR
    try:
        if role != "hybrid":
            return _configuration(settings, any_family, str(folder / path))
        return _hybrid_configuration(settings, any_family, str(folder / path))
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (ValueError, TypeError) as error:
        reason = printable(str(error), 400)
    raise PairError(f"{folder / path} does not describe a model of a pair: {reason}.")


def _hybrid_configuration(settings: Mapping[str, Any], any_family: bool, what: str) -> HybridConfig:
    if settings.get("model_type") != HybridConfig.model_type:
        kind = f"{settings.get('model_type')!r:.40}"
        raise ValueError(f"model_type is {kind}, not {HybridConfig.model_type!r}")
    llm, slm = (settings[part] for part in ("llm", "slm"))
    if not isinstance(llm, dict) or not isinstance(slm, dict):
        raise ValueError("llm or slm is no JSON object")
    layer, switches = settings.get("layer"), [settings.get(name, False) for name in ("bridge", "standardize")]
    numbers = layer if isinstance(layer, list) else [] if layer is None else [layer]
    if len(numbers) > 1000 or not all(type(number) is int and 1 <= number <= 1000 for number in numbers):
        raise ValueError(f"layer is {layer!r:.40}, no number of a block")
    for name, switch in zip(("bridge", "standardize"), switches, strict=True):
        if type(switch) is not bool:
            raise ValueError(f"{name} is {switch!r:.40}, neither true nor false")
    reader, writer = (_configuration(part, any_family, what) for part in (llm, slm))
    bridge, standardize = switches
    return HybridConfig(reader, writer, settings.get("fusion", "add"), layer, bridge, standardize)


def _configuration(settings: Mapping[str, Any], any_family: bool, what: str) -> PretrainedConfig:
    """Make transformers' configuration; of a family that no architecture file covers where any may be."""
    family = settings.get("model_type")
    if not any_family or (isinstance(family, str) and family in ARCHITECTURES):
        return configuration(settings)
    plain = checked_config(settings, what)
    config: PretrainedConfig = AutoConfig.for_model(plain.pop("model_type"), **plain)
    return config


def load_tokenizer(path: Path, tokens: Mapping[str, str] | None = None) -> PreTrainedTokenizerFast:
    """Load a tokenizer from its tokenizer.json. tokens: what ends an answer, and so on; SHARED when None.

    Raises PairError.
    """
    named = SHARED if tokens is None else tokens
    try:
        backend = Tokenizer.from_file(str(path))
        backend.no_truncation()  # a file may ask for either
        backend.no_padding()
        lacking = [token for token in (tokens or {}).values() if backend.token_to_id(token) is None]
        if lacking:
            raise ValueError(f"it has no token {lacking[0]!r}")
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend, clean_up_tokenization_spaces=False, **named
        )
        tokenizer.decode(tokenizer.encode(TRIAL, add_special_tokens=False))
        return tokenizer
    except BaseException as error:  # tokenizers raises no class of its own, and panics beside Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise PairError(f"{path} is no tokenizer that can be read: {printable(str(error), 200)}.") from error


def read_tokenizers(folder: Path, manifest: dict[str, Any]) -> Mapping[Role, PreTrainedTokenizerFast]:
    """Load the tokenizers of the pair in `folder`: one for both where they have one file.

    Raises PairError, also when one of the models does not know its ids.
    """
    stated = manifest.get("tokenizers")
    if stated is None:
        return dict.fromkeys(ROLES, _shared_tokenizer(folder, manifest))
    loaded: dict[tuple[str, ...], PreTrainedTokenizerFast] = {}
    tokenizers: dict[Role, PreTrainedTokenizerFast] = {}
    for role in ROLES:
        file, eos, pad = (stated[role][key] for key in ("file", "eos", "pad"))
        path = checked(folder, file, manifest, LARGEST_TOKENIZER)
        key = (manifest["sha256"][file], eos, pad)
        if key not in loaded:
            loaded[key] = load_tokenizer(path, {"eos_token": eos, "pad_token": pad})
        tokenizers[role] = loaded[key]
        _check_size(
            path, loaded[key], role, read_configuration(folder, role, manifest), more_eos_ids(manifest, role)
        )
    return tokenizers


def _shared_tokenizer(folder: Path, manifest: dict[str, Any]) -> PreTrainedTokenizerFast:
    path = checked(folder, "tokenizer.json", manifest, LARGEST_TOKENIZER)
    tokenizer = load_tokenizer(path)
    largest = max(tokenizer.get_vocab().values())
    for role in MODELS:
        config = read_configuration(folder, role, manifest).get_text_config()
        known, vocabulary = (config.pad_token_id, config.eos_token_id), config.vocab_size
        if largest >= vocabulary or (tokenizer.pad_token_id, tokenizer.eos_token_id) != known:
            ids = f"up to {largest}, <pad> {tokenizer.pad_token_id}, </s> {tokenizer.eos_token_id}"
            raise PairError(
                f"{path} does not fit {role}/config.json: its ids are {ids}; the model's are up to "
                f"{vocabulary - 1}, <pad> {known[0]}, </s> {known[1]}."
            )
    return tokenizer


def _check_size(
    path: Path,
    tokenizer: PreTrainedTokenizerFast,
    role: Role,
    config: PretrainedConfig,
    more: Collection[int],
) -> None:
    ids, vocabulary = tokenizer.get_vocab().values(), config.get_text_config().vocab_size
    largest = max(*ids, *more)
    if largest >= vocabulary:
        raise PairError(
            f"{path} does not fit {role}/config.json: its ids are up to {largest}; the model's are up to "
            f"{vocabulary - 1}."
        )


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
    for name, tensor in _slices(quantize(state)):
        if size + tensor.nbytes > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    for index, shard in enumerate(shards, start=1):
        label = "model" if len(shards) == 1 else f"model-{index:05d}-of-{len(shards):05d}"
        save_file(shard, folder / f"{label}.safetensors", metadata={"format": "pt"})


def _slices(packed: Tensors) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors, of one that is larger than a file should be slices of its rows."""
    for name, tensor in packed.items():
        if tensor.ndim != 2 or tensor.nbytes <= SHARD_BYTES:
            yield name, tensor
            continue
        rows = max(SHARD_BYTES * len(tensor) // tensor.nbytes, 1)
        for number, rows_of_it in enumerate(tensor.split(rows)):
            yield f"{name}.rows-{number:05d}", rows_of_it.clone()


def _join_slices(packed: dict[str, torch.Tensor], files: dict[str, Path]) -> None:
    """Put slices of rows together again, in place; those that do not fit each other stay as they are."""
    slices: dict[str, list[str]] = {}
    for name in sorted(packed):
        if match := SLICE.fullmatch(name):
            slices.setdefault(match[1], []).append(name)
    for whole, names in slices.items():
        alike = {(packed[name].dtype, packed[name].shape[1:], packed[name].ndim) for name in names}
        if whole in packed or len(alike) > 1 or packed[names[0]].ndim != 2:
            continue
        files[whole] = files[names[0]]
        packed[whole] = torch.cat([packed.pop(name) for name in names])


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
    _join_slices(packed, files)
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
