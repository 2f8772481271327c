"""GPT-2 (Radford et al. 2019): decoder-only, learned absolute positions, LayerNorm, GELU, biases everywhere.

Its matrices lie as Conv1D holds them, (d_in, d_out), queries, keys and values side by side.
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
)


class Settings(TypedDict, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    model_type: Required[str]
    vocab_size: Required[Vocabulary]
    n_positions: Required[Tokens]
    n_embd: Required[Width]
    n_layer: Required[Layers]
    n_head: Required[Width]
    n_inner: Width | None
    activation_function: Literal["gelu_new", "gelu_pytorch_tanh", "gelu", "relu", "silu"]
    layer_norm_epsilon: Epsilon
    scale_attn_weights: bool
    scale_attn_by_inverse_layer_idx: bool
    reorder_and_upcast_attn: bool
    add_cross_attention: bool
    resid_pdrop: Rate
    embd_pdrop: Rate
    attn_pdrop: Rate
    initializer_range: Deviation
    use_cache: bool
    tie_word_embeddings: bool
    bos_token_id: Id | None
    eos_token_id: Ids
    pad_token_id: Id | None


ACTIVATIONS: dict[str, Activation] = {
    "gelu_new": "gelu-tanh",
    "gelu_pytorch_tanh": "gelu-tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
}


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for attention that crosses or is scaled otherwise."""
    for setting in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if config.get(setting):
            raise ValueError(f"{setting} is {config[setting]!r}")
    if not config.get("scale_attn_weights", True):
        raise ValueError(f"scale_attn_weights is {config['scale_attn_weights']!r}")
    activation = str(config.get("activation_function", "gelu_new"))
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation_function is {activation!r}, not {' or '.join(ACTIVATIONS)}")
    width, heads = int(config["n_embd"]), int(config["n_head"])
    if width % heads:
        raise ValueError(f"n_embd is {width}, and n_head {heads} does not divide it")
    return Sizes(
        family="gpt2",
        d_model=width,
        d_ff=int(config.get("n_inner") or 4 * width),
        heads=heads,
        key_value_heads=heads,
        head_width=width // heads,
        encoder_layers=0,
        decoder_layers=int(config["n_layer"]),
        vocabulary=int(config["vocab_size"]),
        activation=ACTIVATIONS[activation],
        gated=False,
        tied_head=bool(config.get("tie_word_embeddings", True)),
        max_positions=int(config.get("n_positions", 1024)),
    )


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(Settings, config, sizes)


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    about, weights = sizes(config), base_weights(weights, "transformer")
    embeddings = weights["wte.weight"]
    return DecoderStack(
        embeddings=embeddings,
        layers=tuple(_layer(config, weights, f"h.{n}") for n in range(about.decoder_layers)),
        final_norm=_norm(config, weights, "ln_f") if "ln_f.weight" in weights else None,
        positions=LearnedPositions(table=weights["wpe.weight"]),
        causal=True,
        head=Linear(weight=weights.get("lm_head.weight", embeddings)),
        head_scale=about.head_scale,
        start=None,
    )


def _layer(config: Config, weights: Weights, name: str) -> Layer:
    about = sizes(config)
    query, key, value = _conv(weights, f"{name}.attn.c_attn", parts=3)
    (output,), (up,), (down,) = (
        _conv(weights, f"{name}.{part}") for part in ("attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    )
    return Layer(
        self_attention=Attention(
            norm=_norm(config, weights, f"{name}.ln_1"),
            query=query,
            key=key,
            value=value,
            output=output,
            heads=about.heads,
            key_value_heads=about.key_value_heads,
            head_width=about.head_width,
            scale=about.head_width**-0.5,
        ),
        cross_attention=None,
        feed_forward=FeedForward(
            norm=_norm(config, weights, f"{name}.ln_2"),
            gate=None,
            up=up,
            down=down,
            activation=about.activation,
        ),
    )


def _conv(weights: Weights, name: str, parts: int = 1) -> list[Linear]:
    """Return the linears that lie side by side in one Conv1D."""
    matrices = weights[f"{name}.weight"].t().chunk(parts)
    biases = weights[f"{name}.bias"].chunk(parts)
    return [Linear(weight=weight, bias=bias) for weight, bias in zip(matrices, biases, strict=True)]


def _norm(config: Config, weights: Weights, name: str) -> Norm:
    return Norm(
        kind="layer",
        eps=float(config.get("layer_norm_epsilon", 1e-5)),
        gain=weights[f"{name}.weight"],
        bias=weights[f"{name}.bias"],
    )
