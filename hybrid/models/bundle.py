"""A bundle on disk: one tokenizer and the three models that are compared.

    <name>/pair.json                 tasks, sizes, limits, and the SHA-256 of every file
    <name>/tokenizer.json            shared by all three
    <name>/llm/   config.json, model*.safetensors, README.md (the card)
    <name>/slm/   the same, for the small model alone
    <name>/hybrid/ the same, for projector and fine-tuned SLM; its LLM is ../llm

Matrices are stored in 8 bits and turned back into floats on loading, see weight_files.
Never pickled, never remote.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.architectures import configuration, empty_model
from hybrid.models.manifest import FORMAT, checked, find_pair, read_config, write_manifest
from hybrid.models.pair import HybridConfig, HybridForConditionalGeneration
from hybrid.models.prompts import ROLES, Role, TextCodec
from hybrid.models.weight_files import read_weights, save_weights
from hybrid.schema import MODELS, Model, Observer, Status, silent
from hybrid.store.files import open_folder_atomic

M = TypeVar("M", bound=PreTrainedModel)

TRIAL = "Größe 12, naïve; 日本 🙂"  # some files are read, and fail in use
LARGEST_TOKENIZER = 64 * 2**20  # bytes; the largest in use, of 256,000 entries, has some 35 million
# Of an encoder-decoder's settings and its encoder's: no part of what the encoder computes.
MODES = ("is_encoder_decoder", "use_cache", "dtype")


@dataclass(frozen=True)
class Bundle:
    """Loaded models and their tokenizers, ready for an engine.

    tokenizers: of the LLM and of the SLM, maybe one for both. models: of the systems that were asked for.
    """

    name: str
    manifest: dict[str, Any]
    tokenizers: Mapping[Role, PreTrainedTokenizerFast]
    models: Mapping[Model, PreTrainedModel]

    @property
    def max_prompt_tokens(self) -> int:
        return int(self.manifest["max_prompt_tokens"])

    def codec(self, method: str) -> TextCodec:
        """Give what makes prompts and texts for a method, of METHODS."""
        return TextCodec(self.tokenizers["llm"], self.max_prompt_tokens)

    @property
    def llm(self) -> PreTrainedModel:
        return self.model("llm")

    @property
    def slm(self) -> PreTrainedModel:
        return self.model("slm")

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
    folder, manifest = find_pair(name, root)
    observer(Status(sentence="Reading the tokenizer"))
    tokenizers = read_tokenizers(folder, manifest)
    loaded: dict[Model, PreTrainedModel] = {}
    if "llm" in models:
        observer(Status(sentence="Reading the LLM"))
        loaded["llm"] = _load_model(folder, "llm", manifest)
    if "slm" in models:
        observer(Status(sentence="Reading the SLM"))
        loaded["slm"] = _load_model(folder, "slm", manifest)
    if "hybrid" in models:
        observer(Status(sentence="Reading the hybrid"))
        loaded["hybrid"] = _load_hybrid(folder, loaded.get("llm"), manifest)
    return Bundle(folder.name, manifest, tokenizers, loaded)


def save_bundle(
    folder: Path,
    tokenizer_file: Path,
    models: dict[Model, PreTrainedModel],
    max_prompt_tokens: int,
    tasks: tuple[str, ...],
    about: dict[str, Any],
) -> dict[str, Any]:
    """Write a bundle, in the place of an older one; return its manifest. `about` is stored beside it.

    Cards (README.md) of the older one stay. Raises OSError or SafetensorError; the older one then stays.
    """
    manifest = {
        "format": FORMAT,
        "name": folder.name,
        "tasks": list(tasks),
        "max_prompt_tokens": max_prompt_tokens,
        "parameters": {s: sum(t.numel() for t in _own_weights(models[s]).values()) for s in MODELS},
        "about": about,
    }
    with open_folder_atomic(folder) as new:
        (new / "tokenizer.json").write_bytes(tokenizer_file.read_bytes())
        for role in MODELS:
            (new / role).mkdir()
            config = json.dumps(models[role].config.to_diff_dict(), indent=1, sort_keys=True, default=str)
            (new / role / "config.json").write_text(config + "\n", "utf-8")
            save_weights(new / role, _own_weights(models[role]))
        for card in (place for name in (".", *MODELS) if (place := folder / name / "README.md").is_file()):
            shutil.copyfile(card, new / card.relative_to(folder))
        return write_manifest(new, manifest)


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Load the shared tokenizer of a bundle from its tokenizer.json. Raises PairError."""
    try:
        backend = Tokenizer.from_file(str(path))
        backend.no_truncation()  # a file may ask for either
        backend.no_padding()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
            clean_up_tokenization_spaces=False,
        )  # fmt: skip
        tokenizer.decode(tokenizer.encode(TRIAL, add_special_tokens=False))
        return tokenizer
    except BaseException as error:  # tokenizers raises no class of its own, and panics beside Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise PairError(f"{path} is no tokenizer that can be read: {printable(str(error), 200)}.") from error


def read_tokenizers(folder: Path, manifest: dict[str, Any]) -> Mapping[Role, PreTrainedTokenizerFast]:
    """Load the tokenizers of the pair in `folder`.

    Raises PairError, also when one of the models does not know its ids.
    """
    path = checked(folder, "tokenizer.json", manifest, LARGEST_TOKENIZER)
    tokenizer = load_tokenizer(path)
    largest = max(tokenizer.get_vocab().values())
    for role in MODELS:
        config = _config(folder, role, manifest).get_text_config()
        known, vocabulary = (config.pad_token_id, config.eos_token_id), config.vocab_size
        if largest >= vocabulary or (tokenizer.pad_token_id, tokenizer.eos_token_id) != known:
            ids = f"up to {largest}, <pad> {tokenizer.pad_token_id}, </s> {tokenizer.eos_token_id}"
            raise PairError(
                f"{path} does not fit {role}/config.json: its ids are {ids}; the model's are up to "
                f"{vocabulary - 1}, <pad> {known[0]}, </s> {known[1]}."
            )
    return dict.fromkeys(ROLES, tokenizer)


def _config(folder: Path, role: Model, manifest: dict[str, Any]) -> PretrainedConfig:
    """Read the configuration of one model. Raises PairError, naming the file."""
    path = f"{role}/config.json"
    settings = read_config(folder, path, manifest)
    try:
        if role != "hybrid":
            return configuration(settings)
        if settings.get("model_type") != HybridConfig.model_type:
            kind = f"{settings.get('model_type')!r:.40}"
            raise ValueError(f"model_type is {kind}, not {HybridConfig.model_type!r}")
        llm, slm = (settings[part] for part in ("llm", "slm"))
        if not isinstance(llm, dict) or not isinstance(slm, dict):
            raise ValueError("llm or slm is no JSON object")
        return HybridConfig(configuration(llm), configuration(slm), settings.get("fusion", "add"))
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except ValueError as error:
        reason = printable(str(error), 400)
    raise PairError(f"{folder / path} does not describe a model of a pair: {reason}.")


def _load_model(folder: Path, role: Model, manifest: dict[str, Any]) -> PreTrainedModel:
    model = empty_model(_config(folder, role, manifest))
    return _filled(model, read_weights(folder, role, manifest, model.state_dict()), folder / role)


def _load_hybrid(
    folder: Path, llm: PreTrainedModel | None, manifest: dict[str, Any]
) -> HybridForConditionalGeneration:
    config, reader = _config(folder, "hybrid", manifest), _config(folder, "llm", manifest)
    assert isinstance(config, HybridConfig)
    inner, outer = config.llm.to_dict(), reader.to_dict()
    for key in sorted((inner.keys() | outer.keys()) - set(MODES)):
        if inner.get(key) != outer.get(key):
            raise PairError(
                f"{folder / 'hybrid' / 'config.json'} describes another LLM than llm/config.json: {key} is "
                f"{inner.get(key)!r}, not {outer.get(key)!r}."
            )
    with torch.device("meta"):
        pair = HybridForConditionalGeneration(config)
    own = {name: tensor for name, tensor in pair.state_dict().items() if not name.startswith("llm.")}
    weights = read_weights(folder, "hybrid", manifest, own)
    if llm is not None:
        pair.share_encoder(llm)
    else:
        like, encoder = empty_model(reader).state_dict(), pair.llm.state_dict().keys()
        read = read_weights(folder, "llm", manifest, like, only=encoder)
        weights |= {f"llm.{name}": tensor for name, tensor in read.items()}
    return _filled(pair, weights, folder / "hybrid")


def _filled(model: M, weights: dict[str, torch.Tensor], where: Path) -> M:
    model.load_state_dict(weights, strict=False, assign=True)
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
