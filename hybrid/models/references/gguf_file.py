"""A GGUF file (the format of llama.cpp): its header read with bounds, its weights turned into floats.

Format: docs/gguf.md of ggml. The families are those whose tensors need no more
than other names; the blocks of a quantization are unpacked by the package gguf.
"""

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.errors import PairError
from hybrid.format import listed, printable
from hybrid.models.references.checkpoint import Checkpoint, eos_ids, read_tokenizer, special_tokens
from hybrid.models.references.configs import checked_config
from hybrid.models.references.tokenizer_json import cached_tokenizer

if TYPE_CHECKING:
    import torch

ARCHITECTURES = ("llama", "qwen2", "qwen3")  # as general.architecture says; SmolLM2 and TinyLlama are llama
# Types of tensors by ggml's number: name, values a block, bytes a block.
TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210),
}  # fmt: skip
MOST_TENSORS, MOST_VALUES, MOST_ITEMS = 100_000, 10_000, 2**24
NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
TOKENS = "tokenizer.ggml.tokens"
LONGEST_KEPT = 64  # items of an array whose values are kept; of longer ones the length


@dataclass(frozen=True)
class Tensor:
    """A tensor in the file. shape: as torch has it. offset: in the file, bytes."""

    name: str
    type: int
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """Measure it in bytes."""
        _, values, size = TYPES[self.type]
        return prod(self.shape) // values * size


@dataclass(frozen=True)
class Header:
    """What a file says before its weights. values: by key; of a long array its length. sha256: of this."""

    values: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    sha256: str


def read_gguf(path: Path, reference: str) -> Checkpoint:
    """Look at a GGUF file. Raises PairError, naming the file and what is wrong."""
    if find_spec("gguf") is None:
        raise PairError(f"{reference} needs the package gguf: pip install 'hybrid-bench[gguf]'.")
    header = read_header(path)
    config = checked_config(_config(header, path), str(path))
    shapes = {tensor.name: tensor.shape for tensor in header.tensors}
    rows = shapes["token_embd.weight"][0]
    tokens = header.values.get(TOKENS, 0)
    count = len(tokens) if isinstance(tokens, list) else int(tokens)
    if not count:
        raise PairError(f"{path} has no tokenizer, so that no text can be given to it.")
    what = f"{path} has a tokenizer"
    tokenizer_file = cached_tokenizer(header.sha256, path.parent, what, gguf=path.name, count=count)
    tokenizer, values = read_tokenizer(tokenizer_file, rows, reference), header.values
    ids = config | {"unk_token_id": values.get("tokenizer.ggml.unknown_token_id")}
    return Checkpoint(
        reference=reference,
        kind="gguf",
        folder=path.parent,
        config=config,
        weight_files=(path.name,),
        tensors=shapes,
        tokenizer_file=tokenizer_file,
        special_tokens=special_tokens(tokenizer, ids),
        chat_template=str(values.get("tokenizer.chat_template") or ""),
        eos_ids=eos_ids(config),
        licence=printable(str(values.get("general.license") or "")),
    )


def read_weights(checkpoint: Checkpoint) -> "dict[str, torch.Tensor]":
    """Read the float32 weights under transformers' names. Raises PairError."""
    import gguf
    import numpy as np
    import torch

    path = checkpoint.folder / checkpoint.weight_files[0]
    data = np.memmap(path, mode="r", dtype=np.uint8)
    weights = {}
    for tensor in read_header(path).tensors:
        raw = np.array(data[tensor.offset : tensor.offset + tensor.size])
        kind = gguf.GGMLQuantizationType(tensor.type)
        values = gguf.quants.dequantize(raw.reshape(prod(tensor.shape[:-1]), -1), kind)
        matrix = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).reshape(tensor.shape)
        if not matrix.isfinite().all():
            raise PairError(f"{path}: the tensor {tensor.name!r} holds values that are no finite numbers.")
        weights[_torch_name(tensor.name)] = _unpermuted(tensor.name, matrix, checkpoint.config, path)
    return weights


def read_header(path: Path) -> Header:
    """Read what stands before the weights. Raises PairError for a file that is not whole, or not covered."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data).header()
    except FileNotFoundError as error:
        raise PairError(f"There is no file {path}.") from error
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, struct.error, UnicodeDecodeError) as error:  # ValueError of mmap: an empty file
        raise PairError(f"{path} is no GGUF file that can be read: {printable(str(error), 200)}.") from error


class _Reader:
    """A place in the bytes of a file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._place = data, 0

    def header(self) -> Header:
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._place = 4
        version, tensors, values = self._take("I"), self._take("Q"), self._take("Q")
        if version not in (2, 3):
            raise ValueError(f"it is of version {version}, and 2 and 3 are read")
        if tensors > MOST_TENSORS or values > MOST_VALUES:
            raise ValueError(f"it claims {tensors:,} tensors and {values:,} settings")
        about = {self._text(): self._value(self._take("I")) for _ in range(values)}
        rows = [self._tensor() for _ in range(tensors)]
        step = about.get("general.alignment", 32)
        if type(step) is not int or not 0 < step <= 2**20:
            raise ValueError("its alignment is none")
        start = -(-self._place // step) * step
        digest = hashlib.sha256(self._data[: self._place]).hexdigest()
        return Header(about, tuple(self._placed(*row, start) for row in rows), digest)

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name, dimensions = self._text(), self._take("I")
        if dimensions > 4:
            raise ValueError(f"the tensor {name[:80]!r} has {dimensions} dimensions")
        shape = tuple(self._take("Q") for _ in range(dimensions))[::-1]  # ggml has the fastest one first
        return name, shape, self._take("I"), self._take("Q")

    def _placed(self, name: str, shape: tuple[int, ...], kind: int, offset: int, start: int) -> Tensor:
        if kind not in TYPES:
            known = listed([row[0] for row in TYPES.values()])
            raise ValueError(
                f"the tensor {name[:80]!r} has the quantization {kind}, and those read are {known}"
            )
        if not shape or not all(shape) or shape[-1] % TYPES[kind][1]:
            raise ValueError(f"the tensor {name[:80]!r} has the shape {shape}")
        tensor = Tensor(name, kind, shape, start + offset)
        if tensor.offset + tensor.size > len(self._data):
            raise ValueError(f"it ends before the tensor {name[:80]!r} does")
        return tensor

    def _take(self, letter: str) -> Any:
        (value,) = struct.unpack_from(f"<{letter}", self._data, self._place)
        self._place += struct.calcsize(f"<{letter}")
        return value

    def _text(self) -> str:
        length = self._take("Q")
        if length > len(self._data) - self._place:
            raise ValueError("a text in it is longer than the file")
        self._place += length
        return self._data[self._place - length : self._place].decode("utf-8")

    def _value(self, kind: int) -> Any:
        if kind in NUMBERS:
            number = self._take(NUMBERS[kind])
            return float(f"{number:.7g}") if NUMBERS[kind] == "f" else number  # 1e-05, as it was written
        if kind == STRING:
            return self._text()
        if kind != ARRAY:
            raise ValueError(f"a setting in it is of type {kind}")
        inner, count = self._take("I"), self._take("Q")
        if count > MOST_ITEMS or inner == ARRAY:
            raise ValueError(f"an array in it has {count:,} items of type {inner}")
        if inner in NUMBERS and count > LONGEST_KEPT:
            self._place += count * struct.calcsize(f"<{NUMBERS[inner]}")
            return count
        items = [self._value(inner) for _ in range(count)]
        return items if count <= LONGEST_KEPT else count


def _config(header: Header, path: Path) -> dict[str, Any]:
    """Make of the header what a config.json would say. Raises PairError for what is not covered."""
    values, names = header.values, {tensor.name: tensor.shape for tensor in header.tensors}
    family = str(values.get("general.architecture"))
    if family not in ARCHITECTURES:
        raise PairError(
            f"{path} is of the architecture {family!r:.40}; GGUF files are read of {listed(ARCHITECTURES)}."
        )
    scaling = values.get(f"{family}.rope.scaling.type", "none")
    if scaling != "none" or "rope_freqs.weight" in names:
        raise PairError(
            f"{path} scales its rotary positions, which is not read from a GGUF; take safetensors."
        )
    for name in names:
        _torch_name(name, path)
    try:
        return _settings(family, values, names)
    except (KeyError, TypeError, ZeroDivisionError) as error:
        raise PairError(f"{path} does not describe a model: {error} is missing or no number.") from error


def _settings(family: str, values: Mapping[str, Any], names: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    def of(key: str, *otherwise: Any) -> Any:
        return values.get(f"{family}.{key}", *otherwise) if otherwise else values[f"{family}.{key}"]

    heads, width = of("attention.head_count"), of("embedding_length")
    settings = {
        "model_type": family,
        "vocab_size": names["token_embd.weight"][0],
        "hidden_size": width,
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": of("attention.head_count_kv", heads),
        "hidden_act": "silu",
        "rms_norm_eps": of("attention.layer_norm_rms_epsilon"),
        "rope_theta": of("rope.freq_base", 10000.0),
        "max_position_embeddings": of("context_length"),
        "tie_word_embeddings": "output.weight" not in names,
    }
    if family != "qwen2":  # whose heads always share its width
        settings["head_dim"] = of("attention.key_length", of("rope.dimension_count", width // heads))
    ids = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    known = {key: values.get(f"tokenizer.ggml.{name}_token_id") for key, name in ids.items()}
    return settings | {key: number for key, number in known.items() if number is not None}


PLACES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def _torch_name(name: str, path: Path | str = "The file") -> str:
    """Give a tensor's name in transformers. Raises PairError for one that these families do not have."""
    block, _, rest = name.removeprefix("blk.").partition(".") if name.startswith("blk.") else ("", "", name)
    place, _, kind = rest.rpartition(".")
    table = PLACES if block else TOP
    if place not in table or kind not in ("weight", "bias") or (block and not block.isdecimal()):
        raise PairError(f"{path} has a tensor {name[:80]!r}, which no model of its architecture here has.")
    return f"model.layers.{block}.{table[place]}.{kind}" if block else f"{table[place]}.{kind}"


def _unpermuted(name: str, matrix: "torch.Tensor", config: Mapping[str, Any], path: Path) -> "torch.Tensor":
    """Undo the order of Llama's queries and keys: channels that turn together are neighbours in the file."""
    part = name.split(".")[-2]
    if config["model_type"] != "llama" or part not in ("attn_q", "attn_k"):
        return matrix
    heads = config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"]
    if matrix.shape[0] % (2 * heads):
        raise PairError(f"{path}: the tensor {name!r} has {matrix.shape[0]} rows for {heads} heads.")
    return matrix.reshape(heads, -1, 2, *matrix.shape[1:]).transpose(1, 2).reshape(matrix.shape)
