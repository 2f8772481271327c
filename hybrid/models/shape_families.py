"""The families of shapes: what their layers consist of beside matrices, and how transformers describes them.

Parameters are counted by the first; models whose weights do not matter are built of the second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from hybrid.models.architectures.records import Sizes

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from hybrid.models.shapes import Shape

BUCKETS = 32  # of distances, for the relative position bias of every published T5
LONGEST = 2**17  # tokens, where rotary positions set no limit


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One family.

    feed_forwards: its activations, gated or not. decoder_only: whether the prompt
    is the beginning of what the decoder writes. norms: of each part of a layer.
    vectors: of each norm, a gain and perhaps a bias. head_norms: of each head's
    queries and keys. biases: of which linears. final_norm: whether one stands
    behind the layers. positions: a bias by distance, a table, or neither, where
    queries and keys are turned. spare: rows of a table beyond its positions, and
    vectors of a norm of the embeddings. shared: whether encoder and decoder have
    one matrix of embeddings.
    """

    feed_forwards: tuple[str, ...]
    decoder_only: bool = False
    norms: int = 1
    vectors: int = 1
    head_norms: bool = False
    biases: Literal["", "qkv", "all"] = ""
    final_norm: bool = True
    positions: Literal["relative", "table", "rotary"] = "rotary"
    spare: int = 0
    shared: bool = True


_T5 = Kind(feed_forwards=("relu", "gated-gelu"), positions="relative")
_MARIAN = Kind(
    feed_forwards=("gelu", "relu", "swish"), vectors=2, biases="all", final_norm=False, positions="table"
)
_BART = Kind(**vars(_MARIAN) | {"spare": 2 + 2})
_LLAMA = Kind(feed_forwards=("gated-silu",), decoder_only=True)

# By transformers' model_type.
KINDS: Mapping[str, Kind] = {
    "t5": _T5,
    "mt5": _T5,
    "bart": _BART,
    "marian": _MARIAN,
    "t5gemma": Kind(feed_forwards=("gated-gelu",), norms=2, shared=False),
    "gpt2": Kind(
        feed_forwards=("gelu", "relu", "silu"), decoder_only=True, vectors=2, biases="all", positions="table"
    ),
    "gpt_neox": Kind(feed_forwards=("gelu", "relu", "silu"), decoder_only=True, vectors=2, biases="all"),
    "llama": _LLAMA,
    "qwen2": Kind(**vars(_LLAMA) | {"biases": "qkv"}),
    "qwen3": Kind(**vars(_LLAMA) | {"head_norms": True}),
    "gemma3_text": Kind(feed_forwards=("gated-gelu",), decoder_only=True, norms=2, head_norms=True),
}


def feed_forward_of(sizes: Sizes) -> str:
    """Name a feed-forward as shapes.csv does, which knows one GELU and calls BART's SiLU as BART does."""
    name = sizes.activation.removesuffix("-tanh")
    if name == "silu" and "swish" in KINDS[sizes.family].feed_forwards:
        name = "swish"
    return f"gated-{name}" if sizes.gated else name


def layer_parameters(shape: "Shape", attentions: int) -> int:
    """Count the parameters of a layer: attentions, feed-forward, and the norms of each."""
    kind, width = shape.kind, shape.d_model
    inner, grouped = shape.heads * shape.d_kv, shape.grouped_heads * shape.d_kv
    gates = 2 if shape.feed_forward.startswith("gated") else 1
    attention, feed_forward = 2 * width * (inner + grouped), (gates + 1) * width * shape.d_ff
    if kind.biases:
        attention += inner + 2 * grouped
    if kind.biases == "all":
        attention, feed_forward = attention + width, feed_forward + gates * shape.d_ff + width
    if kind.head_norms:
        attention += 2 * shape.d_kv
    wider = shape.reader.d_model - width  # are the hidden states that cross-attention reads
    crossed = (attentions - 1) * 2 * wider * grouped
    norms = (attentions + 1) * kind.norms * kind.vectors * width
    return attentions * attention + crossed + feed_forward + norms


def stack_parameters(shape: "Shape", layers: int, layer: int) -> int:
    """Count the parameters of so many layers of `layer` each, and of what stands before and after them."""
    kind = shape.kind
    count = layers * layer + kind.final_norm * kind.vectors * shape.d_model
    if kind.positions == "relative":
        return count + BUCKETS * shape.heads
    if kind.positions == "table":
        return count + ((shape.positions or 0) + kind.spare) * shape.d_model
    return count


def shape_config(shape: "Shape", pad: int, eos: int) -> "PretrainedConfig":
    """Describe a model of these sizes; an answer begins with `pad` and ends with `eos`."""
    from transformers import AutoConfig

    ids = {"pad_token_id": pad, "bos_token_id": pad, "eos_token_id": eos}
    if not (shape.decoder_only or shape.family == "t5gemma"):
        ids["decoder_start_token_id"] = pad
    sizes = {"t5": _t5, "mt5": _t5, "bart": _bart, "marian": _bart, "t5gemma": _t5gemma, "gpt2": _gpt2}
    settings = sizes.get(shape.family, _llama)(shape)
    for half in ("encoder", "decoder"):
        if half in settings:
            settings[half] |= ids
    # In transformers 5 a T5's only scales its outputs.
    return AutoConfig.for_model(shape.family, **settings, **ids, tie_word_embeddings=shape.tied_head)


def _t5(shape: "Shape") -> dict[str, Any]:
    return {
        "vocab_size": shape.vocabulary, "d_model": shape.d_model, "d_ff": shape.d_ff, "d_kv": shape.d_kv,
        "num_heads": shape.heads, "num_layers": shape.encoder_layers,
        "num_decoder_layers": shape.decoder_layers, "feed_forward_proj": shape.feed_forward,
    }  # fmt: skip


def _bart(shape: "Shape") -> dict[str, Any]:
    sizes = {"ffn_dim": shape.d_ff, "attention_heads": shape.heads}
    return {f"{half}_{size}": value for half in ("encoder", "decoder") for size, value in sizes.items()} | {
        "vocab_size": shape.vocabulary, "d_model": shape.d_model, "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers, "activation_function": shape.feed_forward,
        "max_position_embeddings": shape.positions, "scale_embedding": shape.family == "marian",
        "forced_bos_token_id": None, "forced_eos_token_id": None,
    }  # fmt: skip


def _gpt2(shape: "Shape") -> dict[str, Any]:
    activation = "gelu_new" if shape.feed_forward == "gelu" else shape.feed_forward
    return {
        "vocab_size": shape.vocabulary, "n_embd": shape.d_model, "n_inner": shape.d_ff,
        "n_head": shape.heads, "n_layer": shape.decoder_layers, "n_positions": shape.positions,
        "activation_function": activation,
    }  # fmt: skip


def _llama(shape: "Shape") -> dict[str, Any]:
    """Name the sizes of a Llama, and of the families that call theirs alike."""
    sizes = {
        "vocab_size": shape.vocabulary, "hidden_size": shape.d_model, "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.decoder_layers, "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.grouped_heads, "head_dim": shape.d_kv,
        "max_position_embeddings": LONGEST,
    }  # fmt: skip
    activation = shape.feed_forward.removeprefix("gated-")
    if shape.family == "gpt_neox":
        del sizes["num_key_value_heads"], sizes["head_dim"]
        return sizes | {"hidden_act": activation}
    return sizes | ({"query_pre_attn_scalar": shape.d_kv} if activation == "gelu" else {})


def _t5gemma(shape: "Shape") -> dict[str, Any]:
    return {
        "encoder": _llama(shape.reader) | {"num_hidden_layers": shape.encoder_layers},
        "decoder": _llama(shape) | {"cross_attention_hidden_size": shape.reader.d_model},
    }
