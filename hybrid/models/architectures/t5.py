"""T5 (Raffel et al. 2020, arXiv 1910.10683), T5 v1.1 and Flan-T5, mT5 (Xue et al. 2021).

RMS norms and no biases; attention scores are not scaled; one relative position
bias a stack, which its first layer owns; a feed-forward with ReLU (T5) or with
a gated GELU (T5 v1.1, Flan-T5, mT5).
"""

from typing import Annotated, Any, Literal, Required, TypedDict

from msgspec import Meta

from hybrid.models.architectures import Config, Weights
from hybrid.models.architectures.config_json import (
    Epsilon,
    Id,
    Layers,
    Rate,
    Scale,
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
    Linear,
    Norm,
    RelativeBias,
    Sizes,
    Stack,
)


class Settings(TypedDict, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    model_type: Required[str]
    vocab_size: Required[Vocabulary]
    d_model: Required[Width]
    d_ff: Required[Width]
    d_kv: Required[Width]
    num_heads: Required[Width]
    num_layers: Required[Layers]
    num_decoder_layers: Layers | None
    feed_forward_proj: Literal["relu", "gated-gelu"]
    relative_attention_num_buckets: Annotated[int, Meta(ge=4, le=2**16)]
    relative_attention_max_distance: Annotated[int, Meta(ge=4, le=2**24)]
    layer_norm_epsilon: Epsilon
    dropout_rate: Rate
    initializer_factor: Scale
    is_encoder_decoder: bool
    use_cache: bool
    tie_word_embeddings: bool
    scale_decoder_outputs: bool
    pad_token_id: Id
    eos_token_id: Id
    decoder_start_token_id: Required[Id]


FEED_FORWARDS: dict[str, tuple[Activation, bool]] = {
    "relu": ("relu", False),
    "gated-gelu": ("gelu-tanh", True),
}


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for another feed-forward."""
    name = str(config.get("feed_forward_proj", "relu"))
    if name not in FEED_FORWARDS:
        raise ValueError(f"feed_forward_proj is {name!r}, not {' or '.join(FEED_FORWARDS)}")
    activation, gated = FEED_FORWARDS[name]
    width, layers = int(config["d_model"]), int(config["num_layers"])
    return Sizes(
        family=str(config["model_type"]),
        d_model=width,
        d_ff=int(config["d_ff"]),
        heads=int(config["num_heads"]),
        key_value_heads=int(config["num_heads"]),
        head_width=int(config["d_kv"]),
        encoder_layers=layers,
        decoder_layers=int(config.get("num_decoder_layers") or layers),
        vocabulary=int(config["vocab_size"]),
        activation=activation,
        gated=gated,
        tied_head=bool(config.get("tie_word_embeddings", True)),
        head_scale=width**-0.5 if _scales_head(config) else 1.0,
    )


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    known = checked(Settings, config, sizes)
    buckets = known.get("relative_attention_num_buckets", 32)
    farthest = known.get("relative_attention_max_distance", 128)
    if farthest <= buckets // 2:  # of which the first half stand for one distance each
        raise ValueError(f"relative_attention_max_distance is {farthest}, for {buckets} buckets")
    return known


def encoder(config: Config, weights: Weights) -> Stack:
    """Name the weights of the encoder; one cut off behind a middle layer has no norm there."""
    name = "encoder.final_layer_norm"
    return Stack(
        embeddings=weights["shared.weight"],
        layers=tuple(_layer(config, weights, "encoder", n) for n in range(sizes(config).encoder_layers)),
        final_norm=_norm(config, weights, name) if f"{name}.weight" in weights else None,
        positions=_positions(config, weights, "encoder"),
    )


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    about = sizes(config)
    return DecoderStack(
        embeddings=weights["shared.weight"],
        layers=tuple(_layer(config, weights, "decoder", n) for n in range(about.decoder_layers)),
        final_norm=_norm(config, weights, "decoder.final_layer_norm"),
        positions=_positions(config, weights, "decoder"),
        causal=True,
        head=Linear(weight=weights.get("lm_head.weight", weights["shared.weight"])),
        head_scale=about.head_scale,
        start=int(config["decoder_start_token_id"]),
    )


def _scales_head(config: Config) -> bool:
    """T5 scales unless its config.json unties the head, which transformers notes down; mT5 never does."""
    untied = config.get("tie_word_embeddings") is False
    return config["model_type"] == "t5" and bool(config.get("scale_decoder_outputs", not untied))


def _layer(config: Config, weights: Weights, stack: str, number: int) -> Layer:
    name = f"{stack}.block.{number}.layer"
    crosses = stack == "decoder"
    return Layer(
        self_attention=_attention(config, weights, f"{name}.0", "SelfAttention"),
        cross_attention=_attention(config, weights, f"{name}.1", "EncDecAttention") if crosses else None,
        feed_forward=_feed_forward(config, weights, f"{name}.{1 + crosses}"),
    )


def _attention(config: Config, weights: Weights, name: str, kind: str) -> Attention:
    about = sizes(config)
    query, key, value, output = (
        Linear(weight=weights[f"{name}.{kind}.{letter}.weight"]) for letter in "qkvo"
    )
    return Attention(
        norm=_norm(config, weights, f"{name}.layer_norm"),
        query=query,
        key=key,
        value=value,
        output=output,
        heads=about.heads,
        key_value_heads=about.key_value_heads,
        head_width=about.head_width,
        scale=1.0,
    )


def _feed_forward(config: Config, weights: Weights, name: str) -> FeedForward:
    about, dense = sizes(config), f"{name}.DenseReluDense"
    gate, up = ("wi_0", "wi_1") if about.gated else (None, "wi")
    return FeedForward(
        norm=_norm(config, weights, f"{name}.layer_norm"),
        gate=Linear(weight=weights[f"{dense}.{gate}.weight"]) if gate else None,
        up=Linear(weight=weights[f"{dense}.{up}.weight"]),
        down=Linear(weight=weights[f"{dense}.wo.weight"]),
        activation=about.activation,
    )


def _norm(config: Config, weights: Weights, name: str) -> Norm:
    eps = float(config.get("layer_norm_epsilon", 1e-6))
    return Norm(kind="rms", eps=eps, gain=weights[f"{name}.weight"])


def _positions(config: Config, weights: Weights, stack: str) -> RelativeBias:
    return RelativeBias(
        table=weights[f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"],
        max_distance=int(config.get("relative_attention_max_distance", 128)),
        bidirectional=stack == "encoder",
    )
