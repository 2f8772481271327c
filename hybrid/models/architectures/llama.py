"""Llama (Touvron et al. 2023, arXiv 2302.13971): decoder-only, rotary positions, RMSNorm, SwiGLU.

Key-value heads may serve several query heads each (Ainslie et al. 2023, arXiv 2305.13245).
"""

from typing import Any, Literal, Required, TypedDict

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
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    Linear,
    Norm,
    Rotary,
    Sizes,
)


class Settings(TypedDict, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    model_type: Required[str]
    vocab_size: Required[Vocabulary]
    hidden_size: Required[Width]
    intermediate_size: Required[Width]
    num_hidden_layers: Required[Layers]
    num_attention_heads: Required[Width]
    num_key_value_heads: Width | None
    head_dim: Width | None
    hidden_act: Literal["silu"]
    max_position_embeddings: Tokens
    rms_norm_eps: Epsilon
    rope_theta: Theta
    rope_scaling: RopeSettings | None
    rope_parameters: RopeSettings | None
    attention_bias: bool
    mlp_bias: bool
    attention_dropout: Rate | None
    initializer_range: Deviation
    use_cache: bool
    tie_word_embeddings: bool
    bos_token_id: Id | None
    eos_token_id: Ids
    pad_token_id: Id | None


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for another activation or kind of rotary positions."""
    activation = str(config.get("hidden_act", "silu"))
    if activation != "silu":
        raise ValueError(f"hidden_act is {activation!r}, not silu")
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if width % heads:
        raise ValueError(f"hidden_size is {width}, and num_attention_heads {heads} does not divide it")
    head_width = int(config.get("head_dim") or width // heads)
    rope_settings(config, head_width)
    return Sizes(
        family=str(config["model_type"]),
        d_model=width,
        d_ff=int(config["intermediate_size"]),
        heads=heads,
        key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_width=head_width,
        encoder_layers=0,
        decoder_layers=int(config["num_hidden_layers"]),
        vocabulary=int(config["vocab_size"]),
        activation="silu",
        gated=True,
        tied_head=bool(config.get("tie_word_embeddings", False)),
    )


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(Settings, config, sizes)


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    about, weights = sizes(config), base_weights(weights, "model")
    embeddings = weights["embed_tokens.weight"]
    turned = rotary(rope_settings(config, about.head_width), about.head_width)
    return DecoderStack(
        embeddings=embeddings,
        layers=tuple(_layer(config, weights, f"layers.{n}", turned) for n in range(about.decoder_layers)),
        final_norm=norm(config, weights, "norm") if "norm.weight" in weights else None,
        positions=None,
        causal=True,
        head=Linear(weight=weights.get("lm_head.weight", embeddings)),
        head_scale=about.head_scale,
        start=None,
    )


def _layer(config: Config, weights: Weights, name: str, turned: Rotary) -> Layer:
    about = sizes(config)
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
            scale=about.head_width**-0.5,
            rotary=turned,
        ),
        cross_attention=None,
        feed_forward=FeedForward(
            norm=norm(config, weights, f"{name}.post_attention_layernorm"),
            gate=gate,
            up=up,
            down=down,
            activation=about.activation,
        ),
    )


def linear(weights: Weights, name: str) -> Linear:
    """Name a matrix and its bias, if it has one."""
    return Linear(weight=weights[f"{name}.weight"], bias=weights.get(f"{name}.bias"))


def norm(config: Config, weights: Weights, name: str) -> Norm:
    """Name an RMS norm's gain."""
    return Norm(kind="rms", eps=float(config.get("rms_norm_eps", 1e-6)), gain=weights[f"{name}.weight"])
