"""A model in a folder in transformers' layout (config.json, tokenizer.json, safetensors), or of a pair here.

Imports no torch.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from hybrid.errors import PairError
from hybrid.format import listed, printable
from hybrid.models.manifest import available_pairs, checked, find_pair, formats_of, read_config, tasks_of
from hybrid.models.pair_format import ROLES, Role
from hybrid.models.references.checkpoint import (
    CONFIG,
    GENERATION,
    LARGEST_TOKENIZER,
    TOKENIZER,
    TOKENIZER_CONFIG,
    Checkpoint,
    chat_template,
    eos_ids,
    json_object,
    optional_object,
    read_tokenizer,
    special_tokens,
    stated_licence,
)
from hybrid.models.references.configs import checked_config, refuse_code
from hybrid.schema import Observer, PromptFormat
from hybrid.store.files import open_regular
from hybrid.store.typed_json import convert

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
OTHERS = (".h5", ".msgpack", ".onnx", ".gguf", ".npz")
PLAIN = re.compile(r"(?!\.)[\w.-]+")  # the name of a file, and nothing of another folder
HEADER_BYTES = 100_000_000  # what safetensors allows beside the tensors
FLOATS = ("F64", "F32", "F16", "BF16")  # weights; the integers are positions and masks
# Bytes of a value; other types belong to some quantization.
BYTES: Mapping[str, int] = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
                            "U8": 1, "BOOL": 1}  # fmt: skip
# How the embeddings of ids are called, in the families that transformers has.
EMBEDDINGS = ("embed_tokens.weight", "shared.weight", "wte.weight", "embed_in.weight",
              "word_embeddings.weight", "tok_embeddings.weight")  # fmt: skip

Number = Annotated[int, Meta(ge=0, le=2**48)]
SCALE = ".int8_scale"  # as pair_files.SCALE_SUFFIX, which needs torch


@dataclass(frozen=True)
class _Tensor:
    """What the header of a safetensors file says of a tensor."""

    dtype: str
    shape: Annotated[tuple[Number, ...], Meta(max_length=8)]
    data_offsets: tuple[Number, Number]


def read_folder(folder: Path, reference: str, revision: str = "", licence: str = "") -> Checkpoint:
    """Look at a model in a folder. Raises PairError, naming the file and what is wrong."""
    if not (folder / CONFIG).is_file():
        adapter = (folder / "adapter_config.json").is_file()
        hint = "; it is an adapter: merge it into its model and save that" if adapter else ""
        raise PairError(f"{folder} has no {CONFIG}, so it is no model in transformers' layout{hint}.")
    config = checked_config(json_object(folder / CONFIG), str(folder / CONFIG))
    settings = optional_object(folder / TOKENIZER_CONFIG)
    refuse_code(settings, str(folder / TOKENIZER_CONFIG))
    files = _weight_files(folder, reference)
    tensors = _tensors(folder, files)
    path = _tokenizer(folder, reference)
    tokenizer = read_tokenizer(path, _embedding_rows(config, tensors, folder), reference)
    tokens = (settings, optional_object(folder / "special_tokens_map.json"))
    return Checkpoint(
        reference=reference,
        revision=revision,
        folder=folder,
        config=config,
        weight_files=files,
        tensors=tensors,
        tokenizer_file=path,
        tokenizer_config=settings,
        special_tokens=special_tokens(tokenizer, config, *tokens),
        chat_template=chat_template(folder, settings),
        eos_ids=eos_ids(optional_object(folder / GENERATION), config),
        licence=licence or stated_licence(folder / "README.md"),
    )


def refuse_other_weights(names: list[str], what: str) -> None:
    """Raise PairError for a model whose weights are none that are read here, by what there is."""
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    if pickles:
        raise PairError(
            f"{what} has its weights only as pickles ({listed(pickles, 3)}), and reading a pickle can run "
            "any code; save the model as safetensors, by save_pretrained."
        )
    others = sorted(name for name in names if name.endswith(OTHERS))
    ggufs = [name for name in others if name.endswith(".gguf")]
    if ggufs:
        own = f"{what.partition('@')[0]}/{ggufs[0]}" if what.startswith("hub:") else ggufs[0]
        raise PairError(f"{what} has its weights as {listed(ggufs, 3)}; name one of these files, as {own}.")
    seen = f" but {listed(others, 3)}" if others else ""
    raise PairError(f"{what} has no weights in safetensors{seen}; it needs {WEIGHTS}, or shards and {INDEX}.")


def shard_names(index: dict[str, Any], what: str) -> tuple[str, ...]:
    """Return the files that an index of shards names. Raises PairError for what is no plain name."""
    table = index.get("weight_map")
    if not isinstance(table, dict) or not table:
        raise PairError(f"{what} cannot be read: it has no weight_map.")
    names = sorted({str(name) for name in table.values()})
    for name in names:
        if not PLAIN.fullmatch(name) or not name.endswith(".safetensors"):
            raise PairError(f"{what} names {name[:80]!r}, which is no safetensors file in its folder.")
    return tuple(names)


def read_header(path: Path, dtypes: Collection[str] = FLOATS) -> dict[str, tuple[int, ...]]:
    """Read the shapes of a safetensors file, of tensors of these types and no weights. Raises PairError."""
    try:
        with open_regular(path.resolve()) as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if not 0 < length <= min(HEADER_BYTES, size - 8):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        shapes, ends = _shapes(header, dtypes)
        if max(ends, default=0) != size - 8 - length:
            raise ValueError("it is cut short, or longer than its tensors")
    except FileNotFoundError as error:
        raise PairError(f"{path} is missing.") from error
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = printable(str(error), 200)
        raise PairError(f"{path} is not a readable safetensors file: {reason}.") from error
    return shapes


def _shapes(header: Any, dtypes: Collection[str]) -> tuple[dict[str, tuple[int, ...]], list[int]]:
    """Return shapes by tensor, and where each ends, in bytes from the header. Raises ValueError."""
    shapes: dict[str, tuple[int, ...]] = {}
    ends: list[int] = []
    for name, row in header.items():
        if name == "__metadata__":
            continue
        about = convert(_Tensor, row)
        size = BYTES.get(about.dtype)
        if size is None:
            raise ValueError(f"the tensor {name[:80]!r} is {about.dtype!r:.20}, no float of 16 or 32 bits")
        start, end = about.data_offsets
        if end - start != prod(about.shape) * size:
            raise ValueError(f"the tensor {name[:80]!r} has {end - start} bytes for the shape {about.shape}")
        if about.dtype in dtypes:
            shapes[name] = about.shape
        ends.append(end)
    return shapes, ends


def _weight_files(folder: Path, reference: str) -> tuple[str, ...]:
    if (folder / INDEX).is_file():
        return shard_names(json_object(folder / INDEX, HEADER_BYTES), str(folder / INDEX))
    if (folder / WEIGHTS).is_file():
        return (WEIGHTS,)
    refuse_other_weights([path.name for path in folder.iterdir()], reference)
    raise AssertionError  # it always refuses


def _tensors(folder: Path, files: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    tensors: dict[str, tuple[int, ...]] = {}
    for name in files:
        header = read_header(folder / name)
        for tensor in header.keys() & tensors.keys():
            raise PairError(f"{folder / name}: the tensor {tensor[:200]!r} is in another file, too.")
        tensors |= header
    return tensors


def _embedding_rows(config: dict[str, Any], tensors: dict[str, tuple[int, ...]], folder: Path) -> int:
    """Count the rows of the embeddings of ids. Raises PairError when config.json says another number."""
    rows = [shape[0] for name, shape in tensors.items() if name.endswith(EMBEDDINGS) and len(shape) == 2]
    vocabulary = next((v for v in _vocabularies(config)), None)
    if not rows:
        return vocabulary or 0
    if vocabulary is not None and vocabulary not in rows:
        raise PairError(
            f"{folder / CONFIG} does not fit its weights: vocab_size is {vocabulary:,}, and the embeddings "
            f"have {rows[0]:,} rows."
        )
    return vocabulary or max(rows)


def _vocabularies(config: dict[str, Any]) -> list[int]:
    """Vocabulary sizes, of the model or of the parts that its configuration is made of."""
    parts = [config, *(part for part in config.values() if isinstance(part, dict))]
    return [part["vocab_size"] for part in parts if type(part.get("vocab_size")) is int]


def _tokenizer(folder: Path, reference: str) -> Path:
    if (folder / TOKENIZER).is_file():
        return folder / TOKENIZER
    from hybrid.models.references.tokenizer_json import converted

    return converted(folder, reference)


def read_pair_model(name: str, role: Role, observer: Observer) -> Checkpoint:
    """Look at a model of a pair. Raises PairError, naming the file."""
    folder, manifest = find_pair(name)
    about = manifest.get(role)
    if isinstance(about, dict) and "reference" in about:
        return _referred(name, role, about, observer)
    config = checked_config(
        read_config(folder, f"{role}/config.json", manifest), f"{folder / role}/config.json"
    )
    files = sorted(
        file for file in manifest["sha256"] if file.startswith(f"{role}/") and file.endswith(".safetensors")
    )
    tensors = {
        tensor: shape
        for file in files
        for tensor, shape in read_header(folder / file, (*FLOATS, "I8")).items()
        if not tensor.endswith(SCALE)
    }
    own = manifest.get("tokenizers", {}).get(role, {"file": TOKENIZER})
    path = checked(folder, own["file"], manifest, LARGEST_TOKENIZER)
    named = {f"{token}_token": own.get(token) for token in ("eos", "pad")}
    tokenizer = read_tokenizer(path, int(config.get("vocab_size", 0)), f"{name}/{role}")
    texts = special_tokens(tokenizer, config, named)
    return Checkpoint(
        reference=f"{name}/{role}",
        kind="bundle",
        folder=folder / role,
        config=config,
        weight_files=tuple(Path(file).name for file in files),
        tensors=tensors,
        tokenizer_file=path,
        special_tokens=texts,
        eos_ids=eos_ids(config),
        licence=stated_licence(folder / role / "README.md"),
        formats=formats_of(manifest, role) or _plain_formats(manifest, texts.get("eos_token", "")),
        longest_prompt=int(manifest["max_prompt_tokens"]),
    )


def _plain_formats(manifest: Mapping[str, Any], eos: str) -> dict[str, PromptFormat]:
    """Give the formats of a pair of the first format: a task's words, the text, and the end-of-sequence."""
    tasks = tasks_of(manifest).values()
    return {task.name: PromptFormat(task.prefix, task.suffix, eos=eos) for task in tasks}


def _referred(name: str, role: Role, about: Mapping[str, Any], observer: Observer) -> Checkpoint:
    from hybrid.models.references import resolve_referred

    reference = str(about["reference"])
    pair, _, part = reference.partition("/")
    if part in (*ROLES, "") and pair in available_pairs() and find_pair(pair)[1].get(part or role):
        raise PairError(  # never written so: a circle would have no end
            f"The {role} of {name} refers to {reference}, which itself only refers to a model; make the pair "
            "anew."
        )
    return resolve_referred(name, role, about, observer)
