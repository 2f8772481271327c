"""T5Gemma (Zhang et al. 2025, arXiv 2504.06225): an encoder and a decoder of Gemma 2, each of its own size.

RMS norms before and behind each part, whose gains are stored less 1; rotary
positions; attention scores and logits capped by a tanh; layers that see only
what is near in turn with layers that see all (Gemma 2, arXiv 2408.00118).
"""

from typing import Annotated, Any, Literal, Required, TypedDict

from msgspec import Meta

from hybrid.models.architectures import Config, Weights
from hybrid.models.architectures.bart import half_weights
from hybrid.models.architectures.config_json import (
    Epsilon,
    Id,
    Ids,
    Layers,
    Rate,
    RopeSettings,
    Scale,
    Theta,
    Tokens,
    Vocabulary,
    Width,
    checked,
    rope_settings,
    rotary,
)
from hybrid.models.architectures.gemma3 import norm
from hybrid.models.architectures.llama import linear
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    Linear,
    Rotary,
    Sizes,
    Stack,
)

Cap = Annotated[float, Meta(gt=0, le=1e6)] | None


class HalfSettings(TypedDict, total=False):
    """Keys that the encoder or the decoder is built from; every other one is passed over."""

    vocab_size: Required[Vocabulary]
    hidden_size: Required[Width]
    intermediate_size: Required[Width]
    num_hidden_layers: Required[Layers]
    num_attention_heads: Required[Width]
    num_key_value_heads: Required[Width]
    head_dim: Required[Width]
    hidden_activation: Literal["gelu_pytorch_tanh"]
    max_position_embeddings: Tokens
    rms_norm_eps: Epsilon
    rope_theta: Theta
    rope_scaling: RopeSettings | None
    rope_parameters: RopeSettings | None
    attention_bias: bool
    query_pre_attn_scalar: Width
    sliding_window: Tokens | None
    layer_types: list[Literal["sliding_attention", "full_attention"]] | None
    final_logit_softcapping: Cap
    attn_logit_softcapping: Cap
    initializer_range: Scale
    pad_token_id: Required[Id]
    bos_token_id: Required[Id]
    eos_token_id: Required[Ids]


class Settings(TypedDict, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    model_type: Required[str]
    encoder: Required[HalfSettings]
    decoder: Required[HalfSettings]
    is_encoder_decoder: bool
    tie_word_embeddings: bool
    vocab_size: Vocabulary
    dropout_rate: Rate
    attention_dropout: Rate


def sizes(config: Config) -> Sizes:
    """Read the sizes, of an encoder alone as well.

    Raises ValueError for another activation, kind of rotary positions or number of
    kinds of layers, for heads that do not fit and for two vocabularies.
    """
    if "encoder" not in config:
        return _half_sizes(config, config, "")
    reads, writes = (_half_sizes(config, config[half], f"{half}.") for half in ("encoder", "decoder"))
    if reads.vocabulary != writes.vocabulary:
        raise ValueError(
            f"encoder.vocab_size is {reads.vocabulary} and decoder.vocab_size {writes.vocabulary}"
        )
    return writes.read_by(reads)


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    whole: dict[str, Any] = checked(Settings, config, sizes)
    for name in ("encoder", "decoder"):
        half = checked(HalfSettings, whole[name], lambda half: _half_sizes(whole, half, ""))
        half["rope_parameters"] = rope_settings(half, half["head_dim"])
        whole[name] = {key: half[key] for key in half if key not in ("rope_theta", "rope_scaling")}
    return whole


def encoder(config: Config, weights: Weights) -> Stack:
    """Name the weights of the encoder, which multiplies whatever embeddings it is given."""
    half, own = config.get("encoder", config), half_weights(weights, "encoder")
    return Stack(
        embeddings=own["embed_tokens.weight"],
        input_scale=half["hidden_size"] ** 0.5,
        layers=_layers(half, own, crosses=False),
        final_norm=norm(half, own, "norm") if "norm.weight" in own else None,
        positions=None,
    )


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    half, own = config["decoder"], half_weights(weights, "decoder")
    return DecoderStack(
        embeddings=own["embed_tokens.weight"],
        embedding_scale=half["hidden_size"] ** 0.5,
        layers=_layers(half, own, crosses=True),
        final_norm=norm(half, own, "norm"),
        positions=None,
        causal=True,
        head=Linear(weight=weights["lm_head.out_proj.weight"]),
        head_scale=1.0,
        logit_softcap=half.get("final_logit_softcapping", 30.0),
        start=int(half["bos_token_id"]),
    )


def _half_sizes(config: Config, half: Config, name: str) -> Sizes:
    """Read the sizes as if encoder and decoder were both like this one, which errors call `name`."""
    activation = str(half.get("hidden_activation", "gelu_pytorch_tanh"))
    if activation != "gelu_pytorch_tanh":
        raise ValueError(f"{name}hidden_activation is {activation!r}, not gelu_pytorch_tanh")
    rope_settings(half, half["head_dim"])
    width, heads, layers = (half[k] for k in ("hidden_size", "num_attention_heads", "num_hidden_layers"))
    if width % heads or heads % half["num_key_value_heads"]:
        raise ValueError(
            f"{name}num_attention_heads is {heads}, which does not go with {half['num_key_value_heads']} "
            f"key-value heads and a hidden_size of {width}"
        )
    if len(_kinds(half)) != layers:
        raise ValueError(f"{name}layer_types names {len(_kinds(half))} layers and there are {layers}")
    halves = [config[key]["num_hidden_layers"] for key in ("encoder", "decoder") if key in config]
    return Sizes(
        family=str(config["model_type"]),
        d_model=width,
        d_ff=half["intermediate_size"],
        heads=heads,
        key_value_heads=half["num_key_value_heads"],
        head_width=half["head_dim"],
        encoder_layers=halves[0] if halves else layers,
        decoder_layers=halves[1] if halves else 0,
        vocabulary=half["vocab_size"],
        activation="gelu-tanh",
        gated=True,
        tied_head=bool(config.get("tie_word_embeddings", True)),
    )


def _kinds(half: Config) -> list[str]:
    """Say of each layer whether it sees only what is near."""
    turns = ("sliding_attention", "full_attention")
    return half.get("layer_types") or [turns[n % 2] for n in range(half["num_hidden_layers"])]


def _layers(half: Config, own: Weights, crosses: bool) -> tuple[Layer, ...]:
    turns, near = rotary(rope_settings(half, half["head_dim"]), half["head_dim"]), half.get("sliding_window")
    windows = [near if kind == "sliding_attention" else None for kind in _kinds(half)]
    return tuple(_layer(half, own, f"layers.{n}", turns, window, crosses) for n, window in enumerate(windows))


def _layer(half: Config, own: Weights, name: str, turns: Rotary, window: int | None, crosses: bool) -> Layer:
    gate, up, down = (linear(own, f"{name}.mlp.{part}_proj") for part in ("gate", "up", "down"))
    return Layer(
        self_attention=_attention(half, own, name, "self_attn", turns, window),
        cross_attention=_attention(half, own, name, "cross_attn") if crosses else None,
        feed_forward=FeedForward(
            norm=norm(half, own, f"{name}.pre_feedforward_layernorm"),
            gate=gate,
            up=up,
            down=down,
            activation="gelu-tanh",
            post_norm=norm(half, own, f"{name}.post_feedforward_layernorm"),
        ),
    )


def _attention(
    half: Config, own: Weights, layer: str, part: str, turns: Rotary | None = None, window: int | None = None
) -> Attention:
    query, key, value, output = (linear(own, f"{layer}.{part}.{letter}_proj") for letter in "qkvo")
    return Attention(
        norm=norm(half, own, f"{layer}.pre_{part}_layernorm"),
        query=query,
        key=key,
        value=value,
        output=output,
        heads=half["num_attention_heads"],
        key_value_heads=half["num_key_value_heads"],
        head_width=half["head_dim"],
        scale=half.get("query_pre_attn_scalar", 256) ** -0.5,
        rotary=turns,
        window=window,
        softcap=half.get("attn_logit_softcapping", 50.0),
        post_norm=norm(half, own, f"{layer}.post_{part}_layernorm"),
    )
