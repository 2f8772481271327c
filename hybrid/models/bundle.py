"""A bundle on disk: one tokenizer and the three models that are compared.

    <name>/pair.json                 tasks, sizes, limits, and the SHA-256 of every file
    <name>/tokenizer.json            shared by all three
    <name>/llm/   config.json, model*.safetensors, README.md (the card)
    <name>/slm/   the same, for the small model alone
    <name>/hybrid/ the same, for projector and fine-tuned SLM; its LLM is ../llm

Matrices are stored as int8 rows, one float32 scale a row, and turned back into floats
on loading. A row's scale is its largest magnitude over 127 (symmetric, round to
nearest), so the error of a weight is at most half a scale. Never pickled, never remote.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from hybrid.errors import PairError
from hybrid.models.manifest import FORMAT, checked, find_pair, write_manifest, zoo
from hybrid.models.pair import HybridConfig, HybridForConditionalGeneration
from hybrid.schema import MODELS, Model, Observer, Status, silent

M = TypeVar("M", bound=PreTrainedModel)

SHARD_BYTES = 15 * 2**20
SCALE_SUFFIX = ".int8_scale"


@dataclass(frozen=True)
class Bundle:
    """Loaded models over one tokenizer, ready for an engine. models: of the systems that were asked for."""

    name: str
    manifest: dict[str, Any]
    tokenizer: PreTrainedTokenizerFast
    models: Mapping[Model, PreTrainedModel]

    @property
    def max_prompt_tokens(self) -> int:
        return int(self.manifest["max_prompt_tokens"])

    @property
    def llm(self) -> T5ForConditionalGeneration:
        return cast(T5ForConditionalGeneration, self.model("llm"))

    @property
    def slm(self) -> T5ForConditionalGeneration:
        return cast(T5ForConditionalGeneration, self.model("slm"))

    @property
    def hybrid(self) -> HybridForConditionalGeneration:
        return cast(HybridForConditionalGeneration, self.model("hybrid"))

    def model(self, model: Model) -> PreTrainedModel:
        """Return the model of this name; KeyError when it was not loaded."""
        return self.models[model]


def load_bundle(
    name: str | None = None,
    root: Path | None = None,
    observer: Observer = silent,
    models: Collection[Model] = MODELS,
) -> Bundle:
    """Load a bundle in float32 on the CPU; the first one when no name is given.

    observer: told before each part is read.
    models: to load. The hybrid shares the LLM's encoder, or reads
    that part alone when the LLM is not wanted.
    Raises PairError, naming the file, when the bundle is unknown or damaged.
    """
    folder, manifest = find_pair(name, root or zoo())
    observer(Status(sentence="Reading the tokenizer"))
    tokenizer = load_tokenizer(checked(folder, "tokenizer.json", manifest))
    loaded: dict[Model, PreTrainedModel] = {}
    if "llm" in models:
        observer(Status(sentence="Reading the LLM"))
        loaded["llm"] = _load_t5(folder, "llm", manifest)
    if "slm" in models:
        observer(Status(sentence="Reading the SLM"))
        loaded["slm"] = _load_t5(folder, "slm", manifest)
    if "hybrid" in models:
        observer(Status(sentence="Reading the hybrid"))
        loaded["hybrid"] = _load_hybrid(folder, loaded.get("llm"), manifest)
    return Bundle(folder.name, manifest, tokenizer, loaded)


def save_bundle(
    folder: Path,
    tokenizer_file: Path,
    models: dict[Model, PreTrainedModel],
    max_prompt_tokens: int,
    tasks: tuple[str, ...],
    about: dict[str, Any],
) -> dict[str, Any]:
    """Write a bundle and return its manifest; `about` is stored beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
    for role in MODELS:
        model = models[role]
        (folder / role).mkdir(exist_ok=True)
        config = json.dumps(model.config.to_diff_dict(), indent=1, sort_keys=True, default=str)
        (folder / role / "config.json").write_text(config + "\n", "utf-8")
        _save_shards(folder / role, quantize(_own_weights(model)))
    manifest = {
        "format": FORMAT,
        "name": folder.name,
        "tasks": list(tasks),
        "max_prompt_tokens": max_prompt_tokens,
        "parameters": {s: sum(t.numel() for t in _own_weights(models[s]).values()) for s in MODELS},
        "about": about,
    }
    return write_manifest(folder, manifest)


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Load the shared tokenizer of a bundle from its tokenizer.json."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(path), pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def quantize(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Matrices as int8 rows and their scales; vectors as float32."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2:
            packed[name] = tensor.float().contiguous()
            continue
        scale = tensor.float().abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127  # (rows, 1)
        packed[name] = (tensor.float() / scale).round().clamp(-127, 127).to(torch.int8)
        packed[name + SCALE_SUFFIX] = scale.squeeze(1)
    return packed


def dequantize(packed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the float32 weights of a quantized state; floats pass through."""
    state: dict[str, torch.Tensor] = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE_SUFFIX):
            continue
        scale = packed.get(name + SCALE_SUFFIX)
        state[name] = tensor.float() if scale is None else tensor.float() * scale[:, None]
    return state


def _read_weights(
    folder: Path, role: Model, manifest: dict[str, Any], without: str | None = None
) -> dict[str, torch.Tensor]:
    """Read the float32 weights of one model; `without`: leave out those whose names begin so."""
    packed: dict[str, torch.Tensor] = {}
    shards = [f for f in manifest["sha256"] if f.startswith(f"{role}/") and f.endswith(".safetensors")]
    for relative in sorted(shards):
        path = checked(folder, relative, manifest)
        try:
            shard = load_file(path)
        except SafetensorError as error:
            raise PairError(f"{path} is not a readable safetensors file: {error}.") from error
        packed |= {name: t for name, t in shard.items() if without is None or not name.startswith(without)}
    return dequantize(packed)


def _load_t5(folder: Path, role: Model, manifest: dict[str, Any]) -> T5ForConditionalGeneration:
    config = T5Config.from_json_file(str(checked(folder, f"{role}/config.json", manifest)))
    with torch.device("meta"):
        model = T5ForConditionalGeneration(config)
    return _filled(model, _read_weights(folder, role, manifest), f"{folder / role}")


def _load_hybrid(
    folder: Path, llm: PreTrainedModel | None, manifest: dict[str, Any]
) -> HybridForConditionalGeneration:
    config = HybridConfig.from_json_file(str(checked(folder, "hybrid/config.json", manifest)))
    with torch.device("meta"):
        pair = HybridForConditionalGeneration(config)
    weights = _read_weights(folder, "hybrid", manifest)
    if llm is not None:
        pair.share_encoder(llm)
    else:
        reader = _read_weights(folder, "llm", manifest, without="decoder.")
        weights |= {f"llm.{name}": tensor for name, tensor in reader.items()}
    return _filled(pair, weights, f"{folder / 'hybrid'}")


def _filled(model: M, weights: dict[str, torch.Tensor], where: str) -> M:
    try:
        model.load_state_dict(weights, strict=False, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [
            str(error)
        ]  # line 0 names the class, each further one a tensor
        raise PairError(f"The weights in {where} do not fit its config.json: {first[0].strip()}") from error
    model.tie_weights()
    empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if empty:
        raise PairError(f"The weights in {where} lack {len(empty)} tensors, the first is {empty[0]}.")
    model.train(False)
    return model


def _own_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the weights to store: tied copies once, and never the LLM inside a hybrid."""
    own: dict[str, torch.Tensor] = {}
    seen: set[int] = set()
    for name, parameter in model.named_parameters():  # yields tied parameters once
        if not name.startswith("llm.") and id(parameter) not in seen:
            seen.add(id(parameter))
            own[name] = parameter.detach().cpu()
    return own


def _save_shards(folder: Path, packed: dict[str, torch.Tensor]) -> None:
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in packed.items():
        if size + tensor.nbytes > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    for index, shard in enumerate(shards, start=1):
        label = "model" if len(shards) == 1 else f"model-{index:05d}-of-{len(shards):05d}"
        save_file(shard, folder / f"{label}.safetensors", metadata={"format": "pt"})
