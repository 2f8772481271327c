"""Llama (Touvron et al. 2023, arXiv 2302.13971): decoder-only, rotary positions, RMSNorm, SwiGLU.

Key-value heads may serve several query heads each (Ainslie et al. 2023, arXiv 2305.13245).
"""

import math
from typing import TYPE_CHECKING, Any

from hybrid.models.architectures import Config, Weights, base_weights
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

if TYPE_CHECKING:
    import torch

ROPE_TYPES = ("default", "linear", "llama3")


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for another activation or kind of rotary positions."""
    activation, rope = str(config.get("hidden_act", "silu")), _rope(config)["rope_type"]
    if activation != "silu":
        raise ValueError(f"hidden_act is {activation!r}, not silu")
    if rope not in ROPE_TYPES:
        raise ValueError(f"rope_type is {rope!r}, not {' or '.join(ROPE_TYPES)}")
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    return Sizes(
        family="llama",
        d_model=width,
        d_ff=int(config["intermediate_size"]),
        heads=heads,
        key_value_heads=int(config.get("num_key_value_heads") or heads),
        head_width=int(config.get("head_dim") or width // heads),
        encoder_layers=0,
        decoder_layers=int(config["num_hidden_layers"]),
        vocabulary=int(config["vocab_size"]),
        activation="silu",
        gated=True,
        tied_head=bool(config.get("tie_word_embeddings", False)),
    )


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    about, weights = sizes(config), base_weights(weights, "model")
    embeddings = weights["embed_tokens.weight"]
    rotary = Rotary(frequencies=_frequencies(_rope(config), about.head_width))
    return DecoderStack(
        embeddings=embeddings,
        layers=tuple(_layer(config, weights, f"layers.{n}", rotary) for n in range(about.decoder_layers)),
        final_norm=_norm(config, weights, "norm") if "norm.weight" in weights else None,
        positions=None,
        causal=True,
        head=Linear(weight=weights.get("lm_head.weight", embeddings)),
        head_scale=about.head_scale,
        start=None,
    )


def _layer(config: Config, weights: Weights, name: str, rotary: Rotary) -> Layer:
    about = sizes(config)
    query, key, value, output = (_linear(weights, f"{name}.self_attn.{letter}_proj") for letter in "qkvo")
    gate, up, down = (_linear(weights, f"{name}.mlp.{part}_proj") for part in ("gate", "up", "down"))
    return Layer(
        self_attention=Attention(
            norm=_norm(config, weights, f"{name}.input_layernorm"),
            query=query,
            key=key,
            value=value,
            output=output,
            heads=about.heads,
            key_value_heads=about.key_value_heads,
            head_width=about.head_width,
            scale=about.head_width**-0.5,
            rotary=rotary,
        ),
        cross_attention=None,
        feed_forward=FeedForward(
            norm=_norm(config, weights, f"{name}.post_attention_layernorm"),
            gate=gate,
            up=up,
            down=down,
            activation=about.activation,
        ),
    )


def _linear(weights: Weights, name: str) -> Linear:
    return Linear(weight=weights[f"{name}.weight"], bias=weights.get(f"{name}.bias"))


def _norm(config: Config, weights: Weights, name: str) -> Norm:
    return Norm(kind="rms", eps=float(config.get("rms_norm_eps", 1e-6)), gain=weights[f"{name}.weight"])


def _rope(config: Config) -> dict[str, Any]:
    """Return the rotary positions' settings, named as by transformers 5 or as in config.json on the Hub."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_theta", config.get("rope_theta", 10000.0))
    rope.setdefault("rope_type", rope.get("type", "default"))
    return rope


def _frequencies(rope: Config, head_width: int) -> "torch.Tensor":
    """(K / 2,) radians a token, stretched for contexts longer than those of the first training."""
    import torch

    channels = torch.arange(0, head_width, 2, dtype=torch.float32)
    frequencies: torch.Tensor = 1.0 / rope["rope_theta"] ** (channels / head_width)
    if rope["rope_type"] == "linear":
        frequencies = frequencies / rope["factor"]
    if rope["rope_type"] == "llama3":  # long waves are stretched, short ones kept, a ramp between
        turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        ramp = ((turns - low) / (high - low)).clamp(0, 1)
        frequencies = (1 - ramp) * frequencies / rope["factor"] + ramp * frequencies
    return frequencies
