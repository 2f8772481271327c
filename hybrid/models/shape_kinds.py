"""What the layers of each family consist of beside their matrices, for whoever counts parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hybrid.models.architectures.records import Sizes


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
