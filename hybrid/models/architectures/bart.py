"""BART (Lewis et al. 2020, arXiv 1910.13461): a LayerNorm behind each part, learned positions, biases.

Each half has a table of positions, whose first two rows stand for none, and a
norm of embeddings and positions together; nothing stands behind its layers.
"""

from typing import Any, Literal, Required, TypedDict

from hybrid.models.architectures import Config, Weights
from hybrid.models.architectures.config_json import (
    Id,
    Layers,
    Rate,
    Scale,
    Tokens,
    Vocabulary,
    Width,
    checked,
)
from hybrid.models.architectures.records import (
    Activation,
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    LearnedPositions,
    Linear,
    Norm,
    Sizes,
    Stack,
)

Half = Literal["encoder", "decoder"]


class Settings(TypedDict, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    model_type: Required[str]
    vocab_size: Required[Vocabulary]
    max_position_embeddings: Required[Tokens]
    d_model: Required[Width]
    encoder_layers: Required[Layers]
    decoder_layers: Required[Layers]
    encoder_ffn_dim: Required[Width]
    decoder_ffn_dim: Required[Width]
    encoder_attention_heads: Required[Width]
    decoder_attention_heads: Required[Width]
    activation_function: Literal["gelu", "relu", "swish", "silu"]
    scale_embedding: bool
    tie_word_embeddings: bool
    is_encoder_decoder: bool
    use_cache: bool
    dropout: Rate
    attention_dropout: Rate
    activation_dropout: Rate
    init_std: Scale
    pad_token_id: Required[Id]
    bos_token_id: Id | None
    eos_token_id: Required[Id]
    decoder_start_token_id: Required[Id]


ACTIVATIONS: dict[str, Activation] = {"gelu": "gelu", "relu": "relu", "swish": "silu", "silu": "silu"}
UNUSED_ROWS = 2  # at the head of a table of positions
EPS = 1e-5  # of nn.LayerNorm, which no config.json names
# A config.json may put ids at both ends of every answer; decoding here is greedy and nothing else.
UNFORCED: dict[str, Any] = {"forced_bos_token_id": None, "forced_eos_token_id": None}


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for another activation, and for heads that do not fit the width."""
    return half_sizes(config, "decoder").read_by(half_sizes(config, "encoder"))


def half_sizes(config: Config, half: Half) -> Sizes:
    """Read the sizes as if both halves were like this one. Raises ValueError as sizes() does."""
    name = str(config.get("activation_function", "gelu"))
    if name not in ACTIVATIONS:
        raise ValueError(f"activation_function is {name!r}, not {' or '.join(ACTIVATIONS)}")
    width, heads = int(config["d_model"]), int(config[f"{half}_attention_heads"])
    if width % heads:
        raise ValueError(f"{half}_attention_heads is {heads}, which does not divide d_model, {width}")
    return Sizes(
        family=str(config["model_type"]),
        d_model=width,
        d_ff=int(config[f"{half}_ffn_dim"]),
        heads=heads,
        key_value_heads=heads,
        head_width=width // heads,
        encoder_layers=int(config["encoder_layers"]),
        decoder_layers=int(config["decoder_layers"]),
        vocabulary=int(config["vocab_size"]),
        activation=ACTIVATIONS[name],
        gated=False,
        tied_head=bool(config.get("tie_word_embeddings", True)),
        max_positions=int(config["max_position_embeddings"]),
    )


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(Settings, config, sizes) | UNFORCED


def encoder(config: Config, weights: Weights) -> Stack:
    """Name the weights of the encoder."""
    own = half_weights(weights, "encoder")
    return Stack(
        embeddings=own["embed_tokens.weight"],
        embedding_scale=embedding_scale(config),
        embedding_norm=norm(own, "layernorm_embedding"),
        layers=layers(config, own, "encoder"),
        final_norm=None,
        positions=LearnedPositions(table=own["embed_positions.weight"][UNUSED_ROWS:]),
    )


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    own = half_weights(weights, "decoder")
    return DecoderStack(
        embeddings=own["embed_tokens.weight"],
        embedding_scale=embedding_scale(config),
        embedding_norm=norm(own, "layernorm_embedding"),
        layers=layers(config, own, "decoder"),
        final_norm=None,
        positions=LearnedPositions(table=own["embed_positions.weight"][UNUSED_ROWS:]),
        causal=True,
        head=Linear(weight=weights["lm_head.weight"], bias=weights["final_logits_bias"][0]),
        head_scale=1.0,
        start=int(config["decoder_start_token_id"]),
    )


def half_weights(weights: Weights, half: Half) -> Weights:
    """Name the weights of one half without its place in the model, which may be that half alone."""
    places = (f"model.{half}.", f"{half}.", "")
    place = next(place for place in places if f"{place}embed_tokens.weight" in weights)
    return {name.removeprefix(place): t for name, t in weights.items() if name.startswith(place)}


def embedding_scale(config: Config) -> float:
    """Return what the embeddings of ids are multiplied by."""
    return float(config["d_model"]) ** 0.5 if config.get("scale_embedding") else 1.0


def layers(config: Config, own: Weights, half: Half) -> tuple[Layer, ...]:
    """Name the weights of one half's layers."""
    about = half_sizes(config, half)
    count = about.encoder_layers if half == "encoder" else about.decoder_layers
    return tuple(_layer(about, own, f"layers.{n}", crosses=half == "decoder") for n in range(count))


def norm(own: Weights, name: str) -> Norm:
    """Name the weights of a LayerNorm."""
    return Norm(kind="layer", eps=EPS, gain=own[f"{name}.weight"], bias=own[f"{name}.bias"])


def _layer(about: Sizes, own: Weights, name: str, crosses: bool) -> Layer:
    return Layer(
        self_attention=_attention(about, own, f"{name}.self_attn"),
        cross_attention=_attention(about, own, f"{name}.encoder_attn") if crosses else None,
        feed_forward=FeedForward(
            norm=None,
            gate=None,
            up=_linear(own, f"{name}.fc1"),
            down=_linear(own, f"{name}.fc2"),
            activation=about.activation,
            sum_norm=norm(own, f"{name}.final_layer_norm"),
        ),
    )


def _attention(about: Sizes, own: Weights, name: str) -> Attention:
    query, key, value, output = (_linear(own, f"{name}.{part}_proj") for part in ("q", "k", "v", "out"))
    return Attention(
        norm=None,
        query=query,
        key=key,
        value=value,
        output=output,
        heads=about.heads,
        key_value_heads=about.key_value_heads,
        head_width=about.head_width,
        scale=about.head_width**-0.5,
        sum_norm=norm(own, f"{name}_layer_norm"),
    )


def _linear(own: Weights, name: str) -> Linear:
    return Linear(weight=own[f"{name}.weight"], bias=own[f"{name}.bias"])
