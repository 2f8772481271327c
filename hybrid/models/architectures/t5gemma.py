"""T5Gemma (Zhang et al. 2025, arXiv 2504.06225): an encoder and a decoder of Gemma 2, each of its own size.

RMS norms before and behind each part, whose gains are stored less 1; rotary
positions; attention scores and logits capped by a tanh; layers that see only
what is near in turn with layers that see all (Gemma 2, arXiv 2408.00118).
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Required, TypedDict

from msgspec import Meta

from hybrid.models.architectures import Config, Weights
from hybrid.models.architectures.bart import half_weights
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Layer,
    Linear,
    Norm,
    Rotary,
    Sizes,
    Stack,
)
from hybrid.store.typed_json import convert

if TYPE_CHECKING:
    pass

Vocabulary = Annotated[int, Meta(ge=1, le=2**24)]
Width = Annotated[int, Meta(ge=1, le=2**20)]
Layers = Annotated[int, Meta(ge=1, le=1000)]
Id = Annotated[int, Meta(ge=0, le=2**24)]
Rate = Annotated[float, Meta(ge=0, lt=1)]
Cap = Annotated[float, Meta(gt=0, le=1e6)]
Theta = Annotated[float, Meta(gt=1, le=1e12)]


class Rope(TypedDict, total=False):
    """Settings of rotary positions."""

    rope_type: Literal["default"]
    rope_theta: Required[Theta]


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
    max_position_embeddings: Annotated[int, Meta(ge=1, le=2**24)]
    rms_norm_eps: Annotated[float, Meta(gt=0, le=1)]
    rope_theta: Theta
    rope_parameters: Rope | None
    attention_bias: bool
    query_pre_attn_scalar: Annotated[int, Meta(ge=1, le=2**20)]
    sliding_window: Annotated[int, Meta(ge=1, le=2**24)] | None
    layer_types: list[Literal["sliding_attention", "full_attention"]] | None
    final_logit_softcapping: Cap | None
    attn_logit_softcapping: Cap | None
    initializer_range: Annotated[float, Meta(ge=0, le=1000)]
    pad_token_id: Required[Id]
    bos_token_id: Required[Id]
    eos_token_id: Required[Id | list[Id]]


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

    Raises ValueError for another activation or kind of rotary positions, for heads
    that share no keys evenly and for two vocabularies.
    """
    if "encoder" not in config:
        return _half_sizes(config, config)
    reads, writes = (_half_sizes(config, config[half]) for half in ("encoder", "decoder"))
    if reads.vocabulary != writes.vocabulary:
        raise ValueError(
            f"encoder.vocab_size is {reads.vocabulary} and decoder.vocab_size {writes.vocabulary}, and both "
            "must have one vocabulary"
        )
    return writes.read_by(reads)


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    checked: dict[str, Any] = dict(convert(Settings, dict(config)))
    vocabulary = sizes(checked).vocabulary
    for name in ("encoder", "decoder"):
        half = checked[name] = dict(checked[name])
        half["rope_parameters"] = {"rope_type": "default", "rope_theta": _theta(half)}
        half.pop("rope_theta", None)
        for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
            ids = half[key] if isinstance(half[key], list) else [half[key]]
            if max(ids, default=0) >= vocabulary:
                raise ValueError(f"{name}.{key} is {half[key]}, and vocab_size is {vocabulary}")
        if len(_kinds(half)) != half["num_hidden_layers"]:
            raise ValueError(
                f"{name}.layer_types has {len(_kinds(half))} entries for {half['num_hidden_layers']} layers"
            )
        if half["hidden_size"] % half["num_attention_heads"]:
            raise ValueError(f"{name}.num_attention_heads does not divide hidden_size, {half['hidden_size']}")
    return checked


def encoder(config: Config, weights: Weights) -> Stack:
    """Name the weights of the encoder, which multiplies whatever embeddings it is given."""
    half, own = config.get("encoder", config), half_weights(weights, "encoder")
    return Stack(
        embeddings=own["embed_tokens.weight"],
        input_scale=half["hidden_size"] ** 0.5,
        layers=_layers(half, own, crosses=False),
        final_norm=_norm(half, own, "norm") if "norm.weight" in own else None,
        positions=None,
    )


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    half, own = config["decoder"], half_weights(weights, "decoder")
    return DecoderStack(
        embeddings=own["embed_tokens.weight"],
        embedding_scale=half["hidden_size"] ** 0.5,
        layers=_layers(half, own, crosses=True),
        final_norm=_norm(half, own, "norm"),
        positions=None,
        causal=True,
        head=Linear(weight=weights["lm_head.out_proj.weight"]),
        head_scale=1.0,
        logit_softcap=half.get("final_logit_softcapping", 30.0),
        start=int(half["bos_token_id"]),
    )


def _half_sizes(config: Config, half: Config) -> Sizes:
    """Read the sizes as if encoder and decoder were both like this one."""
    activation = str(half.get("hidden_activation", "gelu_pytorch_tanh"))
    if activation != "gelu_pytorch_tanh":
        raise ValueError(f"hidden_activation is {activation!r}, not gelu_pytorch_tanh")
    rope = (half.get("rope_parameters") or half.get("rope_scaling") or {}).get("rope_type", "default")
    if rope != "default":
        raise ValueError(f"rope_type is {rope!r}, not default")
    heads, shared = int(half["num_attention_heads"]), int(half["num_key_value_heads"])
    if heads % shared:
        raise ValueError(
            f"num_key_value_heads is {shared}, which does not divide num_attention_heads, {heads}"
        )
    layers = [int(config[name]["num_hidden_layers"]) for name in ("encoder", "decoder") if name in config]
    return Sizes(
        family=str(config["model_type"]),
        d_model=int(half["hidden_size"]),
        d_ff=int(half["intermediate_size"]),
        heads=heads,
        key_value_heads=shared,
        head_width=int(half["head_dim"]),
        encoder_layers=layers[0] if layers else int(half["num_hidden_layers"]),
        decoder_layers=layers[1] if layers else 0,
        vocabulary=int(half["vocab_size"]),
        activation="gelu-tanh",
        gated=True,
        tied_head=bool(config.get("tie_word_embeddings", True)),
    )


def _theta(half: Config) -> float:
    """Return the base of the rotary positions, named as by transformers 5 or as in config.json on the Hub."""
    return float((half.get("rope_parameters") or half).get("rope_theta", 10000.0))


def _kinds(half: Config) -> list[str]:
    """Say of each layer whether it sees only what is near."""
    turns = ("sliding_attention", "full_attention")
    return half.get("layer_types") or [turns[n % 2] for n in range(half["num_hidden_layers"])]


def _layers(half: Config, own: Weights, crosses: bool) -> tuple[Layer, ...]:
    import torch

    channels = torch.arange(0, half["head_dim"], 2, dtype=torch.float32)
    rotary = Rotary(frequencies=1.0 / _theta(half) ** (channels / half["head_dim"]))
    return tuple(
        _layer(
            half,
            own,
            f"layers.{n}",
            rotary,
            half["sliding_window"] if kind.startswith("sliding") else None,
            crosses,
        )
        for n, kind in enumerate(_kinds(half))
    )


def _layer(half: Config, own: Weights, name: str, rotary: Rotary, window: int | None, crosses: bool) -> Layer:
    gate, up, down = (_linear(own, f"{name}.mlp.{part}_proj") for part in ("gate", "up", "down"))
    return Layer(
        self_attention=_attention(half, own, name, "self_attn", rotary, window),
        cross_attention=_attention(half, own, name, "cross_attn") if crosses else None,
        feed_forward=FeedForward(
            norm=_norm(half, own, f"{name}.pre_feedforward_layernorm"),
            gate=gate,
            up=up,
            down=down,
            activation="gelu-tanh",
            post_norm=_norm(half, own, f"{name}.post_feedforward_layernorm"),
        ),
    )


def _attention(
    half: Config, own: Weights, layer: str, part: str, rotary: Rotary | None = None, window: int | None = None
) -> Attention:
    query, key, value, output = (_linear(own, f"{layer}.{part}.{letter}_proj") for letter in "qkvo")
    return Attention(
        norm=_norm(half, own, f"{layer}.pre_{part}_layernorm"),
        query=query,
        key=key,
        value=value,
        output=output,
        heads=half["num_attention_heads"],
        key_value_heads=half["num_key_value_heads"],
        head_width=half["head_dim"],
        scale=half.get("query_pre_attn_scalar", 256) ** -0.5,
        rotary=rotary,
        window=window,
        softcap=half.get("attn_logit_softcapping", 50.0),
        post_norm=_norm(half, own, f"{layer}.post_{part}_layernorm"),
    )


def _linear(own: Weights, name: str) -> Linear:
    return Linear(weight=own[f"{name}.weight"], bias=own.get(f"{name}.bias"))


def _norm(half: Config, own: Weights, name: str) -> Norm:
    return Norm(
        kind="rms", eps=float(half.get("rms_norm_eps", 1e-6)), gain=1.0 + own[f"{name}.weight"].float()
    )
