"""Gemma 3 (Gemma Team 2025, arXiv 2503.19786), its text model: alone, or inside one that also sees images.

RMS norms before and after each part, and of each head's queries and keys; gains are stored
less 1; embeddings are scaled by the root of the width. Most layers see a window of tokens,
with rotary positions of their own; every sixth sees all.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Required, TypedDict

from msgspec import Meta

from hybrid.models.architectures import Config, Weights, base_weights
from hybrid.models.architectures.config_json import (
    Deviation,
    Epsilon,
    Id,
    Ids,
    Layers,
    Rate,
    RopeSettings,
    Theta,
    Tokens,
    Vocabulary,
    Width,
    checked,
    rope_settings,
    rotary,
)
from hybrid.models.architectures.llama import linear
from hybrid.models.architectures.qwen2 import LayerType, windows_of
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    Norm,
    Rotary,
    Sizes,
)

# What a config.json on the Hub leaves out.
DEFAULTS: Config = {
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "sliding_window_pattern": 6,
}
IDS = ("bos_token_id", "eos_token_id", "pad_token_id")  # said of the whole model
THETAS = {"sliding_attention": 10_000.0, "full_attention": 1_000_000.0}


class LayerRopes(TypedDict, total=False):
    """Rotary positions of each type of layer."""

    sliding_attention: RopeSettings
    full_attention: RopeSettings


class Settings(TypedDict, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    model_type: Required[str]
    vocab_size: Vocabulary
    hidden_size: Required[Width]
    intermediate_size: Required[Width]
    num_hidden_layers: Required[Layers]
    attn_logit_softcapping: float | None
    final_logit_softcapping: float | None
    use_bidirectional_attention: bool | None
    num_attention_heads: Width
    num_key_value_heads: Width
    head_dim: Width
    hidden_activation: Literal["gelu_pytorch_tanh"]
    max_position_embeddings: Tokens
    rms_norm_eps: Epsilon
    query_pre_attn_scalar: Annotated[int, Meta(ge=1, le=2**20)]
    sliding_window: Tokens
    sliding_window_pattern: Annotated[int, Meta(ge=1, le=1000)]
    layer_types: list[LayerType] | None
    rope_theta: Theta
    rope_local_base_freq: Theta
    rope_scaling: RopeSettings | None
    rope_parameters: LayerRopes | None
    attention_bias: bool
    attention_dropout: Rate | None
    initializer_range: Deviation
    use_cache: bool
    tie_word_embeddings: bool
    bos_token_id: Id | None
    eos_token_id: Ids
    pad_token_id: Id | None


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for what is capped, sees ahead, or is described otherwise."""
    config = _text(config)
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"):
        if config.get(key):
            raise ValueError(f"{key} is {config[key]!r}")
    activation = str(config.get("hidden_activation", "gelu_pytorch_tanh"))
    if activation != "gelu_pytorch_tanh":
        raise ValueError(f"hidden_activation is {activation!r}, not gelu_pytorch_tanh")
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if width % heads:
        raise ValueError(f"hidden_size is {width}, and num_attention_heads {heads} does not divide it")
    _windows(config)
    _ropes(config)
    return Sizes(
        family=str(config["model_type"]),
        d_model=width,
        d_ff=int(config["intermediate_size"]),
        heads=heads,
        key_value_heads=int(config["num_key_value_heads"]),
        head_width=int(config["head_dim"]),
        encoder_layers=0,
        decoder_layers=int(config["num_hidden_layers"]),
        vocabulary=int(config["vocab_size"]),
        activation="gelu-tanh",
        gated=True,
        tied_head=bool(config.get("tie_word_embeddings", True)),
    )


def settings(config: Config) -> dict[str, Any]:
    """Take what the text model is built from, checked. Raises ValueError, with key, value and bound."""
    text = config.get("text_config") or config
    if not isinstance(text, Mapping):
        raise ValueError(f"text_config is {text!r:.40}, no JSON object")
    ids = {key: config[key] for key in IDS if config.get(key) is not None}
    return checked(Settings, {**text, **ids, "model_type": "gemma3_text"}, sizes)


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    about, config = sizes(config), _text(config)
    weights = base_weights(base_weights(weights, "model"), "language_model")
    embeddings = weights["embed_tokens.weight"]
    turned = {kind: rotary(rope, about.head_width) for kind, rope in _ropes(config).items()}
    layers = [
        _layer(config, weights, n, window, turned["sliding_attention" if window else "full_attention"])
        for n, window in enumerate(_windows(config))
    ]
    return DecoderStack(
        embeddings=embeddings,
        embedding_scale=about.d_model**0.5,
        layers=tuple(layers),
        final_norm=norm(config, weights, "norm") if "norm.weight" in weights else None,
        positions=None,
        causal=True,
        head=linear(weights if "lm_head.weight" in weights else {"lm_head.weight": embeddings}, "lm_head"),
        head_scale=about.head_scale,
        start=None,
    )


def _layer(config: Config, weights: Weights, number: int, window: int | None, turned: Rotary) -> Layer:
    about, name = sizes(config), f"layers.{number}"
    query, key, value, output = (linear(weights, f"{name}.self_attn.{letter}_proj") for letter in "qkvo")
    gate, up, down = (linear(weights, f"{name}.mlp.{part}_proj") for part in ("gate", "up", "down"))
    return Layer(
        self_attention=Attention(
            norm=norm(config, weights, f"{name}.input_layernorm"),
            query=query,
            key=key,
            value=value,
            output=output,
            heads=about.heads,
            key_value_heads=about.key_value_heads,
            head_width=about.head_width,
            scale=float(config["query_pre_attn_scalar"]) ** -0.5,
            rotary=turned,
            window=window,
            query_norm=norm(config, weights, f"{name}.self_attn.q_norm"),
            key_norm=norm(config, weights, f"{name}.self_attn.k_norm"),
            post_norm=norm(config, weights, f"{name}.post_attention_layernorm"),
        ),
        cross_attention=None,
        feed_forward=FeedForward(
            norm=norm(config, weights, f"{name}.pre_feedforward_layernorm"),
            gate=gate,
            up=up,
            down=down,
            activation=about.activation,
            post_norm=norm(config, weights, f"{name}.post_feedforward_layernorm"),
        ),
    )


def norm(config: Config, weights: Weights, name: str) -> Norm:
    """Name an RMS norm's gain, which is stored less 1."""
    gain = 1.0 + weights[f"{name}.weight"].detach().float()
    return Norm(kind="rms", eps=float(config.get("rms_norm_eps", 1e-6)), gain=gain)


def _text(config: Config) -> dict[str, Any]:
    """Return what is said of the text model, with what is left out."""
    return {**DEFAULTS, "model_type": config["model_type"], **(config.get("text_config") or config)}


def _windows(config: Config) -> list[int | None]:
    """Say how many tokens each layer sees; None: all. Raises ValueError."""
    layers, pattern = int(config["num_hidden_layers"]), int(config["sliding_window_pattern"])
    types = config.get("layer_types") or [
        "sliding_attention" if (n + 1) % pattern else "full_attention" for n in range(layers)
    ]
    return windows_of(types, config.get("sliding_window"), layers)


def _ropes(config: Config) -> dict[str, dict[str, Any]]:
    """Return the rotary positions' settings by type of layer; on the Hub only full ones are stretched."""
    given = config.get("rope_parameters") or {
        "sliding_attention": {"rope_theta": config.get("rope_local_base_freq")},
        "full_attention": {"rope_theta": config.get("rope_theta")} | (config.get("rope_scaling") or {}),
    }
    ropes = {}
    for kind, theta in THETAS.items():
        rope = {key: value for key, value in (given.get(kind) or {}).items() if value is not None}
        ropes[kind] = rope_settings({"rope_parameters": rope}, int(config["head_dim"]), theta)
    return ropes
