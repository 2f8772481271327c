"""GPT-NeoX (Black et al. 2022, arXiv 2204.06745), as Pythia (Biderman et al. 2023, arXiv 2304.01373) is.

Attention and feed-forward read the same rows, in parallel; LayerNorm, biases everywhere;
only the first channels of each head are turned. Queries, keys and values lie in one
matrix, head by head.
"""

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
from hybrid.models.architectures.gpt2 import ACTIVATIONS
from hybrid.models.architectures.llama import linear
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
    hidden_act: Literal["gelu_new", "gelu_pytorch_tanh", "gelu", "relu", "silu"]
    max_position_embeddings: Tokens
    layer_norm_eps: Epsilon
    rotary_pct: Annotated[float, Meta(gt=0, le=1)]
    rotary_emb_base: Theta
    rope_scaling: RopeSettings | None
    rope_parameters: RopeSettings | None
    use_parallel_residual: bool
    attention_bias: bool
    attention_dropout: Rate
    hidden_dropout: Rate
    classifier_dropout: Rate
    initializer_range: Deviation
    use_cache: bool
    tie_word_embeddings: bool
    bos_token_id: Id | None
    eos_token_id: Ids
    pad_token_id: Id | None


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for another activation or kind of rotary positions."""
    activation = str(config.get("hidden_act", "gelu"))
    if activation not in ACTIVATIONS:
        raise ValueError(f"hidden_act is {activation!r}, not {' or '.join(ACTIVATIONS)}")
    width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if width % heads:
        raise ValueError(f"hidden_size is {width}, and num_attention_heads {heads} does not divide it")
    _rope(config, width // heads)
    return Sizes(
        family="gpt_neox",
        d_model=width,
        d_ff=int(config["intermediate_size"]),
        heads=heads,
        key_value_heads=heads,
        head_width=width // heads,
        encoder_layers=0,
        decoder_layers=int(config["num_hidden_layers"]),
        vocabulary=int(config["vocab_size"]),
        activation=ACTIVATIONS[activation],
        gated=False,
        tied_head=bool(config.get("tie_word_embeddings", False)),
    )


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(Settings, config, sizes)


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    about, weights = sizes(config), base_weights(weights, "gpt_neox")
    embeddings = weights["embed_in.weight"]
    turned, last = rotary(_rope(config, about.head_width), about.head_width), "final_layer_norm"
    return DecoderStack(
        embeddings=embeddings,
        layers=tuple(_layer(config, weights, f"layers.{n}", turned) for n in range(about.decoder_layers)),
        final_norm=_norm(config, weights, last) if f"{last}.weight" in weights else None,
        positions=None,
        causal=True,
        head=Linear(weight=weights.get("lm_head.weight", embeddings)),
        head_scale=about.head_scale,
        start=None,
    )


def _layer(config: Config, weights: Weights, name: str, turned: Rotary) -> Layer:
    about = sizes(config)
    query, key, value = _by_head(weights, f"{name}.attention.query_key_value", about.heads)
    return Layer(
        self_attention=Attention(
            norm=_norm(config, weights, f"{name}.input_layernorm"),
            query=query,
            key=key,
            value=value,
            output=linear(weights, f"{name}.attention.dense"),
            heads=about.heads,
            key_value_heads=about.key_value_heads,
            head_width=about.head_width,
            scale=about.head_width**-0.5,
            rotary=turned,
        ),
        cross_attention=None,
        feed_forward=FeedForward(
            norm=_norm(config, weights, f"{name}.post_attention_layernorm"),
            gate=None,
            up=linear(weights, f"{name}.mlp.dense_h_to_4h"),
            down=linear(weights, f"{name}.mlp.dense_4h_to_h"),
            activation=about.activation,
        ),
        parallel=bool(config.get("use_parallel_residual", True)),
    )


def _by_head(weights: Weights, name: str, heads: int) -> list[Linear]:
    """Return queries, keys and values of all heads, which lie head by head: (H * 3 * K, D)."""
    matrix, bias = weights[f"{name}.weight"], weights.get(f"{name}.bias")
    matrices = matrix.view(heads, 3, -1, matrix.shape[1]).unbind(1)
    biases = [None] * 3 if bias is None else bias.view(heads, 3, -1).unbind(1)
    return [
        Linear(weight=part.flatten(0, 1), bias=None if shift is None else shift.flatten())
        for part, shift in zip(matrices, biases, strict=True)
    ]


def _norm(config: Config, weights: Weights, name: str) -> Norm:
    return Norm(
        kind="layer",
        eps=float(config.get("layer_norm_eps", 1e-5)),
        gain=weights[f"{name}.weight"],
        bias=weights[f"{name}.bias"],
    )


def _rope(config: Config, head_width: int) -> dict[str, Any]:
    """Return the rotary positions' settings, under this family's own names or transformers 5's."""
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("partial_rotary_factor", config.get("rotary_pct", 0.25))
    rope.setdefault("rope_theta", config.get("rotary_emb_base", 10000.0))
    return rope_settings({"rope_parameters": rope}, head_width)
