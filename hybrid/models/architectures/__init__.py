"""Which families of models are covered: one file and one row each.

A family's file has four functions: `sizes(config)`, `settings(config)`,
`encoder(config, weights)` and `decoder(config, weights)`. config: what a model's
config.json says, or a transformers configuration has; weights: its tensors, by the
names of the model's state dict. The third gives None for a decoder-only family.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

from hybrid.errors import EngineError

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel

    from hybrid.models.architectures.records import DecoderStack, Sizes, Stack
    from hybrid.models.fusion import ReadLayers

Config: TypeAlias = Mapping[str, Any]
Weights: TypeAlias = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Family:
    """What is known of a family without importing its file.

    label: as people call it. module: its file's name. traits: keys of a
    config.json, with a value, by which a model of another family is like it.
    """

    label: str
    module: str
    traits: tuple[str, ...]


_T5_TRAITS = ("is_encoder_decoder", "encoder_layers", "decoder_layers")
_BART_TRAITS = ("is_encoder_decoder", "encoder_ffn_dim", "decoder_ffn_dim", "max_position_embeddings")
_GEMMA_TRAITS = ("is_encoder_decoder", "encoder", "decoder")
_LLAMA_TRAITS = ("rms_norm_eps", "rope_theta", "hidden_act")
T5 = Family("T5, T5 v1.1, Flan-T5 and mT5", "t5", _T5_TRAITS)
T5GEMMA = Family("T5Gemma", "t5gemma", _GEMMA_TRAITS)
GEMMA3 = Family("Gemma 3", "gemma3", ("rms_norm_eps", "query_pre_attn_scalar", "hidden_activation"))

# By transformers' model_type.
ARCHITECTURES: Mapping[str, Family] = {
    "t5": T5,
    "mt5": T5,
    "bart": Family("BART", "bart", _BART_TRAITS),
    "marian": Family("Marian (OPUS-MT)", "marian", (*_BART_TRAITS, "share_encoder_decoder_embeddings")),
    "t5gemma": T5GEMMA,
    "t5_gemma_module": T5GEMMA,  # its encoder alone
    "gpt2": Family("GPT-2", "gpt2", ("activation_function", "n_positions", "n_embd")),
    "gpt_neox": Family("GPT-NeoX (Pythia)", "gpt_neox", ("rotary_pct", "layer_norm_eps")),
    "llama": Family("Llama, SmolLM2 and TinyLlama", "llama", _LLAMA_TRAITS),
    "qwen2": Family("Qwen2 and Qwen2.5", "qwen2", (*_LLAMA_TRAITS, "max_window_layers")),
    "qwen3": Family("Qwen3", "qwen3", (*_LLAMA_TRAITS, "head_dim", "max_window_layers")),
    "gemma3_text": GEMMA3,
    "gemma3": GEMMA3,  # which sees images, too: its text model
}


class Architecture(Protocol):
    """What a family's file offers."""

    def sizes(self, config: Config) -> "Sizes":
        """Read the sizes. Raises ValueError for a variant that is not covered."""

    def settings(self, config: Config) -> dict[str, Any]:
        """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""

    def encoder(self, config: Config, weights: Weights) -> "Stack | None":
        """Name the weights of the encoder; None in a decoder-only family."""

    def decoder(self, config: Config, weights: Weights) -> "DecoderStack":
        """Name the weights of the decoder."""


def architecture_of(config: Any) -> Architecture:
    """Find the family's file, by a transformers configuration or what a config.json says.

    Raises EngineError, with the nearest family that is covered, for another one.
    """
    settings = _settings(config)
    family = str(settings.get("model_type"))
    if family not in ARCHITECTURES:
        raise EngineError(
            f"No architecture here covers the family {family!r}; covered: {_covered()}; the nearest is "
            f"{_nearest(settings).label}. Use --engine transformers."
        )
    return cast(Architecture, import_module(f"{__name__}.{ARCHITECTURES[family].module}"))


def configuration(config: Config) -> "PretrainedConfig":
    """Make transformers' configuration of what a config.json says, which may be anybody's.

    What names code, and what a model of the family is not built from, never reaches
    transformers. Raises ValueError for a family that is not covered, and for a
    value out of its bounds.
    """
    from transformers import AutoConfig

    family = str(config.get("model_type"))
    if "auto_map" in config:
        raise ValueError("auto_map names code of the model's own, which is never run")
    if family not in ARCHITECTURES:
        raise ValueError(f"model_type is {family[:40]!r}; a pair's models are of {_covered()}")
    return AutoConfig.for_model(**architecture_of(config).settings(config))


def new_model(config: "PretrainedConfig") -> "PreTrainedModel":
    """Build a language model, encoder-decoder or decoder-only, with the first weights of its family."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    auto: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return cast("PreTrainedModel", auto.from_config(config))


def empty_model(config: "PretrainedConfig") -> "PreTrainedModel":
    """Build a model on the meta device: names and shapes of all weights, and no memory."""
    import torch

    with torch.device("meta"):
        return new_model(config)


def check_supported(config: Any) -> None:
    """Raise EngineError when no family covers the model, or not this variant of its family."""
    sizes_of(config)


def sizes_of(config: Any) -> "Sizes":
    """Read a model's sizes. Raises EngineError when no family covers it, or not this variant."""
    settings = _settings(config)
    architecture = architecture_of(settings)
    try:
        return architecture.sizes(settings)
    except ValueError as error:
        family = ARCHITECTURES[settings["model_type"]]
        raise EngineError(
            f"The architecture of {family.label} does not cover this {settings['model_type']}: {error}. "
            "Use --engine transformers."
        ) from error


def encoder_of(model: Any) -> "Stack | None":
    """Name the encoder's weights of a transformers model; None when it has none of its own.

    Raises EngineError when no family covers it.
    """
    check_supported(model.config)
    return architecture_of(model.config).encoder(_settings(model.config), model.state_dict())


def decoder_of(model: Any) -> "DecoderStack":
    """Name the decoder's weights of a transformers model. Raises EngineError when no family covers it."""
    check_supported(model.config)
    return architecture_of(model.config).decoder(_settings(model.config), model.state_dict())


def reader_of(model: Any, layer: "ReadLayers" = None) -> "Stack":
    """Name the weights of what reads a prompt: a model's encoder, or the layers of a decoder-only one.

    model: a transformers model, its base model, or one cut off behind the layers that are read.
    layer: the one whose output is taken as it is, counted from 1, or several; after
    the last one and the final norm when None. Raises EngineError when no family
    covers the model, and when it has fewer layers.
    """
    decoder_only = sizes_of(model.config).decoder_only
    stack = decoder_of(model) if decoder_only else encoder_of(model)
    assert stack is not None
    last = layer[-1] if isinstance(layer, tuple) else layer
    count = len(stack.layers) if last is None else last
    if not 1 <= count <= len(stack.layers):
        raise EngineError(f"There is no layer {count} to read; the model has {len(stack.layers)} of them.")
    norm = stack.final_norm if layer is None else None
    taps = layer if isinstance(layer, tuple) else ()
    return replace(stack, layers=stack.layers[:count], final_norm=norm, taps=taps)


def base_weights(weights: Weights, prefix: str) -> Weights:
    """Name a causal model's weights as its base model does, which it holds as `prefix`."""
    return {name.removeprefix(f"{prefix}."): weight for name, weight in weights.items()}


def _settings(config: Any) -> Config:
    return config if isinstance(config, Mapping) else cast(Config, config.to_dict())


def _covered() -> str:
    return "; ".join(dict.fromkeys(family.label for family in ARCHITECTURES.values()))


def _nearest(config: Config) -> Family:
    """Return the family with the most traits in common, the first of several."""
    return max(ARCHITECTURES.values(), key=lambda family: sum(bool(config.get(t)) for t in family.traits))
