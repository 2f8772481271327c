"""A pair in memory.

On disk it is a folder, with tokenizers and the three models that are compared:

    <name>/pair.json                 tasks, sizes, limits, and the SHA-256 of every file
    <name>/tokenizer.json            shared by all three, or llm/tokenizer.json and slm/tokenizer.json
    <name>/llm/   config.json, model*.safetensors, README.md (the card)
    <name>/slm/   the same, for the small model alone
    <name>/hybrid/ the same, for projector and fine-tuned SLM; its LLM is ../llm

A pair of format 2 (see pair_format) may say where the weights of its LLM or SLM lie instead
of holding them, and be without a hybrid.

Matrices are stored in 8 bits and turned back into floats on loading, see pair_files.
Never pickled, never remote.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from hybrid.errors import PairError
from hybrid.format import printable
from hybrid.models.architectures import empty_model
from hybrid.models.manifest import find_pair, formats_of, models_of_pair, more_eos_ids, tasks_of
from hybrid.models.pair import Hybrid, HybridConfig
from hybrid.models.pair_files import read_configuration, read_tokenizers, read_weights
from hybrid.models.pair_format import Role
from hybrid.models.pair_summary import check_methods, check_models
from hybrid.models.prompts import TextCodec
from hybrid.models.reading import restore_buffers, spread
from hybrid.schema import METHODS, TASKS, Model, Observer, Status, silent

M = TypeVar("M", bound=PreTrainedModel)

# Of a model's settings: no part of what it computes when it reads.
MODES = ("is_encoder_decoder", "use_cache", "dtype", "architectures", "transformers_version", "_name_or_path")


@dataclass(frozen=True)
class Bundle:
    """Loaded models and their tokenizers, ready for an engine.

    tokenizers: of the LLM and of the SLM, maybe one for both. models: of the systems that were asked for.
    """

    name: str
    manifest: dict[str, Any]
    tokenizers: Mapping[Role, PreTrainedTokenizerFast]
    models: Mapping[Model, PreTrainedModel]
    _codecs: dict[tuple[Role, Role], TextCodec] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def max_prompt_tokens(self) -> int:
        return int(self.manifest["max_prompt_tokens"])

    def codec(self, method: str) -> TextCodec:
        """Give what makes prompts and texts for a method, of METHODS: its model's tokenizers and formats.

        Raises EngineError for a method whose models must have one tokenizer, and do not.
        """
        reads, writes = METHODS[method].reader, METHODS[method].writer
        check_methods(self.name, self.manifest, [method])
        if (reads, writes) not in self._codecs:
            reader, writer = self.tokenizers[reads], self.tokenizers[writes]
            formats = formats_of(self.manifest, reads)
            tasks = TASKS if formats is None else tasks_of(self.manifest)
            more = more_eos_ids(self.manifest, writes)
            self._codecs[reads, writes] = TextCodec(
                reader, self.max_prompt_tokens, writer, formats, tasks, more
            )
        return self._codecs[reads, writes]

    @property
    def llm(self) -> PreTrainedModel:
        return self.model("llm")

    @property
    def slm(self) -> PreTrainedModel:
        return self.model("slm")

    @property
    def hybrid(self) -> Hybrid:
        return cast(Hybrid, self.model("hybrid"))

    def model(self, model: Model) -> PreTrainedModel:
        """Return the model of this name; KeyError when it was not loaded."""
        return self.models[model]


@dataclass(frozen=True)
class Placement:
    """How an LLM is held. dtype: of one that is stored so elsewhere, or spread. spread: over several GPUs."""

    dtype: str = "float32"
    spread: bool = False


ON_CPU = Placement()


def load_bundle(
    name: str | None = None,
    root: Path | None = None,
    observer: Observer = silent,
    models: Collection[Model] | None = None,
    placement: Placement = ON_CPU,
) -> Bundle:
    """Load a bundle in float32 on the CPU; the first one when no name is given.

    observer: told before each part is read.
    models: to load, all when None. The hybrid shares what reads of the LLM, or holds
    that part alone when the LLM is not wanted.
    placement: of the LLM, see reading.
    Raises PairError, naming the file, when the bundle is unknown or damaged, or lacks a model.
    """
    folder, manifest = find_pair(name, root)
    models = models_of_pair(manifest) if models is None else models
    check_models(folder.name, manifest, models)
    observer(Status(sentence="Reading the tokenizer"))
    tokenizers = read_tokenizers(folder, manifest)
    loaded: dict[Model, PreTrainedModel] = {}
    if "llm" in models:
        observer(Status(sentence="Reading the LLM"))
        loaded["llm"] = _load_llm(folder, manifest, observer, placement)
    if "slm" in models:
        observer(Status(sentence="Reading the SLM"))
        loaded["slm"] = _load_model(folder, "slm", manifest, observer)
    if "hybrid" in models:
        observer(Status(sentence="Reading the hybrid"))
        llm = loaded.get("llm")
        if llm is None and (placement.spread or "llm" in manifest):
            llm = _load_llm(folder, manifest, observer, placement)
        loaded["hybrid"] = _load_hybrid(folder, llm, manifest, observer)
    return Bundle(folder.name, manifest, tokenizers, loaded)


def _load_llm(
    folder: Path, manifest: dict[str, Any], observer: Observer, placement: Placement
) -> PreTrainedModel:
    if about := manifest.get("llm"):
        return _referred(folder.name, "llm", about, observer, placement)
    model = _load_model(folder, "llm", manifest, observer)
    return spread(model, getattr(torch, placement.dtype)) if placement.spread else model


def _load_model(
    folder: Path, role: Model, manifest: dict[str, Any], observer: Observer = silent
) -> PreTrainedModel:
    if about := manifest.get(role):
        return _referred(folder.name, role, about, observer)
    model = _empty(folder, read_configuration(folder, role, manifest), role)
    return _filled(model, read_weights(folder, role, manifest, model.state_dict()), folder / role)


def _referred(
    pair: str, role: Model, about: dict[str, Any], observer: Observer, placement: Placement = ON_CPU
) -> PreTrainedModel:
    """Load a model that lies elsewhere. Raises PairError when it is not the one that the pair was made of."""
    from hybrid.models.references import load_model, resolve_referred

    checkpoint = resolve_referred(pair, cast(Role, role), about, observer)
    if placement.spread:
        return load_model(checkpoint, placement.dtype, "auto")
    stored = checkpoint.config.get("dtype", checkpoint.config.get("torch_dtype"))
    # What is stored in 16 bits stays as it is where it would be rounded to them anyway.
    return load_model(checkpoint, "bfloat16" if stored == placement.dtype == "bfloat16" else "float32")


def _load_hybrid(
    folder: Path, llm: PreTrainedModel | None, manifest: dict[str, Any], observer: Observer
) -> Hybrid:
    config, reader = (read_configuration(folder, role, manifest) for role in ("hybrid", "llm"))
    assert isinstance(config, HybridConfig)
    _check_same_llm(folder, config, reader)
    pair = cast(Hybrid, _empty(folder, config, "hybrid"))
    own = {name: tensor for name, tensor in pair.state_dict().items() if not name.startswith("llm.")}
    weights = read_weights(folder, "hybrid", manifest, own)
    names = pair.llm.state_dict().keys()
    like = {} if llm or "llm" in manifest else _empty(folder, reader, "llm").state_dict()
    if names <= like.keys():  # no more than is read of it comes into memory
        read = read_weights(folder, "llm", manifest, like, only=names)
        weights |= {f"llm.{name}": tensor for name, tensor in read.items()}
    else:
        try:
            pair.share_encoder(llm or _load_model(folder, "llm", manifest, observer))
        except ValueError as error:
            raise PairError(f"{folder / 'hybrid'} does not fit its LLM: {error}.") from error
    return _filled(pair, weights, folder / "hybrid")


def _check_same_llm(folder: Path, config: HybridConfig, reader: PretrainedConfig) -> None:
    inner, outer = config.llm.to_dict(), reader.to_dict()
    for key in sorted((inner.keys() | outer.keys()) - set(MODES)):
        if inner.get(key) != outer.get(key):
            values = (f"{value!r:.60}" for value in (inner.get(key), outer.get(key)))
            raise PairError(
                f"{folder / 'hybrid' / 'config.json'} describes another LLM than llm/config.json: {key} is "
                f"{', not '.join(values)}."
            )


def _empty(folder: Path, config: PretrainedConfig, role: Model) -> PreTrainedModel:
    try:
        return empty_model(config)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        reason = printable(str(error), 300).rstrip(".")
        path = folder / role / "config.json"
        raise PairError(f"{path} does not describe a model that can be built: {reason}.") from error


def _filled(model: M, weights: dict[str, torch.Tensor], where: Path) -> M:
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if empty:
        raise PairError(f"The weights in {where} lack {len(empty)} tensors, the first is {empty[0]}.")
    restore_buffers(model)
    model.train(False)
    return model
