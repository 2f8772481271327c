"""From a checkpoint to a transformers model in memory: no code of its own, no pickle, no network."""

import warnings
from collections.abc import Mapping
from math import prod
from typing import Any, cast

import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    PretrainedConfig,
    PreTrainedModel,
)

from hybrid.errors import PairError
from hybrid.format import listed, printable
from hybrid.models.architectures import ARCHITECTURES, configuration
from hybrid.models.reading import free_gpu_bytes, spread, weight_bytes
from hybrid.models.references.checkpoint import Checkpoint
from hybrid.models.references.tokenizer_json import quiet

AUTO = "auto"
DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16,
}  # fmt: skip
# Where the text model of one that sees images, too, has its weights (Gemma 3); the rest is passed over.
TEXT_PART = {
    r"^(?:model\.)?language_model\.lm_head\.": "lm_head.",
    r"^(?:model\.)?language_model\.(?:model\.)?(?!lm_head)": "model.",
}


def load_model(checkpoint: Checkpoint, dtype: str = "float32", placement: str = "cpu") -> PreTrainedModel:
    """Load a model, with everything that it has, ready to read and write.

    dtype: float32, bfloat16, float16 or auto, which is float32 on the CPU and
    bfloat16 on a GPU. placement: cpu, cuda, cuda:N, or auto, which is one GPU where the model
    fits on it, several (by accelerate) where it fits on them together, else the CPU.
    Raises PairError when the weights are not those that config.json describes.
    """
    if dtype not in (AUTO, *DTYPES):
        raise PairError(f"dtype is {dtype!r}; available: auto, {', '.join(DTYPES)}.")
    where = _place(checkpoint, dtype, placement)
    on_cpu = isinstance(where, str) and where == "cpu"
    precision = DTYPES["float32" if dtype == AUTO and on_cpu else "bfloat16" if dtype == AUTO else dtype]
    if checkpoint.kind == "bundle":
        model = _of_bundle(checkpoint).to(precision)  # type: ignore[arg-type]
        if where == AUTO:
            return spread(model, precision)
        return cast(PreTrainedModel, model if on_cpu else cast(Any, model).to(where))
    config = _config(checkpoint)
    kind = _fitting_class(checkpoint, config)
    more: dict[str, Any] = {} if on_cpu else {"device_map": {"": where}}
    if where == AUTO:
        more = {"device_map": AUTO, "max_memory": free_gpu_bytes() or None}
    model = _loaded(checkpoint, kind, config, dtype=precision, **more)
    model.train(False)
    return model


def model_class(config: PretrainedConfig) -> Any:
    """Return the class of transformers that builds the whole model: with what writes, where it has one."""
    if config.is_encoder_decoder and type(config) in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING:
        return AutoModelForSeq2SeqLM
    names = getattr(config, "architectures", None) or ()
    encoder = any(name.endswith(("Model", "ForMaskedLM", "ForPreTraining")) for name in names)
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and not encoder:
        return AutoModelForCausalLM
    return AutoModel


def _config(checkpoint: Checkpoint) -> PretrainedConfig:
    settings = dict(checkpoint.config)
    try:
        if checkpoint.family in ARCHITECTURES:
            return configuration(settings)
        config: PretrainedConfig = AutoConfig.for_model(settings.pop("model_type"), **settings)
    except Exception as error:  # transformers checks by what it likes
        reason = _reason(error)
        raise PairError(f"{checkpoint.reference} describes no model that can be built: {reason}.") from error
    return config


def _fitting_class(checkpoint: Checkpoint, config: PretrainedConfig) -> Any:
    """Return the model's class. Raises PairError, before memory is taken, when the files do not fit it."""
    try:
        with torch.device("meta"), quiet():
            model = model_class(config).from_config(config)
    except Exception as error:
        reason = _reason(error)
        raise PairError(f"{checkpoint.reference} describes no model that can be built: {reason}.") from error
    described = sum(p.numel() for p in model.parameters())
    if described > 2 * checkpoint.parameters + 2**20:
        raise PairError(
            f"The configuration of {checkpoint.reference} does not fit its weights: it describes "
            f"{described:,} parameters, and the files have {checkpoint.parameters:,}."
        )
    for name, like in model.state_dict().items():
        shape = checkpoint.tensors.get(name)
        if shape is not None and prod(shape) != like.numel():
            raise PairError(
                f"The configuration of {checkpoint.reference} does not fit its weights: the tensor {name} "
                f"has the shape {shape}, and config.json describes {tuple(like.shape)}."
            )
    return type(model)


def _loaded(checkpoint: Checkpoint, kind: Any, config: PretrainedConfig, **how: Any) -> PreTrainedModel:
    folder: str | None = str(checkpoint.folder)
    if checkpoint.kind == "gguf":
        from hybrid.models.references.gguf_file import read_weights

        folder, how = None, how | {"state_dict": read_weights(checkpoint)}
    else:
        how |= {"use_safetensors": True, "local_files_only": True}
        if checkpoint.config.get("text_config"):
            how["key_mapping"] = TEXT_PART
    try:
        with quiet(), warnings.catch_warnings():
            # A BART's bias of logits, which is no module.
            warnings.filterwarnings("ignore", "The following device_map keys do not match", UserWarning)
            model, about = kind.from_pretrained(folder, config=config, output_loading_info=True, **how)
    except MemoryError as error:
        raise PairError(f"{checkpoint.reference} does not fit into the memory here.") from error
    except Exception as error:  # safetensors, accelerate and transformers raise what they like
        reason = _reason(error)
        raise PairError(f"{checkpoint.reference} cannot be loaded: {reason}.") from error
    missing = sorted(about.get("missing_keys", ()))
    if missing:
        raise PairError(
            f"The weights of {checkpoint.reference} lack {len(missing)} tensors that its configuration "
            f"describes: {listed(missing, 3)}."
        )
    return cast(PreTrainedModel, model)


def _of_bundle(checkpoint: Checkpoint) -> PreTrainedModel:
    from hybrid.models.bundle import load_bundle

    role = cast(Any, checkpoint.folder.name)
    pair = checkpoint.folder.parent
    return load_bundle(pair.name, pair.parent, models=(role,)).model(role)


def _place(checkpoint: Checkpoint, dtype: str, placement: str) -> str:
    """Return cpu, a GPU, or auto where accelerate is to spread the model over several."""
    if placement != AUTO:
        if placement != "cpu" and not (placement.startswith("cuda") and torch.cuda.is_available()):
            raise PairError(f"placement is {placement!r}, which is not here; take auto or cpu.")
        return "cuda:0" if placement == "cuda" else placement
    if not torch.cuda.is_available():
        return "cpu"
    needed, free = weight_bytes(checkpoint.parameters, dtype), [*free_gpu_bytes().values()]
    if max(free) >= needed:
        return f"cuda:{free.index(max(free))}"
    return AUTO if sum(free) >= needed else "cpu"


def _reason(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return printable(first, 300).rstrip(".")
