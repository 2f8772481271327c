"""The two models of a recipe: sizes of a new one, or a pretrained one by its reference."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from hybrid.models.fusion import Fusion, ReadLayers, layer_numbers
from hybrid.models.pair_format import WHOLE
from hybrid.schema import TASKS, Task, TaskKind, task_named
from hybrid.training.corpora import Count, PartialShare

# Entries that every tokenizer has: padding, end, unknown; bytes; a prefix a task. See data.py.
SMALLEST_VOCABULARY = 3 + 256 + len(TASKS)
Vocabulary = Annotated[int, Meta(ge=SMALLEST_VOCABULARY, le=2**20)]
DIGEST = re.compile("[0-9a-f]{64}")
SIZES = ("d_model", "d_ff", "heads", "layers")


Family = Literal["t5", "gpt2", "llama"]
POSITIONS = 1024  # of a new decoder-only model: its prompt and answer together


@dataclass(frozen=True)
class Shape:
    """Sizes of a new model, embeddings tied.

    family: T5 v1.1, with a gated GELU; GPT-2, whose heads share d_model; or Llama, with SwiGLU.
    """

    d_model: Count
    d_ff: Count
    heads: Count
    layers: Count
    dropout: PartialShare = 0.1
    d_kv: Count = 64
    decoder_layers: Count | None = None
    family: Family = "t5"

    def settings(self, vocabulary: int, pad: int = 0, eos: int = 1) -> dict[str, Any]:
        """Say this shape as a config.json does."""
        ids = {"vocab_size": vocabulary, "pad_token_id": pad, "eos_token_id": eos}
        return {"model_type": self.family, **SETTINGS[self.family](self), **ids}

    def parameters(self, vocabulary: int) -> int:
        """Count the weights, but for those of norms and positions."""
        inner = self.d_model if self.family == "gpt2" else self.heads * self.d_kv
        attention = 4 * self.d_model * inner
        feed_forward = (2 if self.family == "gpt2" else 3) * self.d_model * self.d_ff
        weights = self.layers * (attention + feed_forward) + vocabulary * self.d_model
        if self.family == "t5":
            weights += (self.decoder_layers or self.layers) * (2 * attention + feed_forward)
        return weights


def _t5(shape: Shape) -> dict[str, Any]:
    return {
        "d_model": shape.d_model,
        "d_ff": shape.d_ff,
        "d_kv": shape.d_kv,
        "num_heads": shape.heads,
        "num_layers": shape.layers,
        "num_decoder_layers": shape.decoder_layers or shape.layers,
        "dropout_rate": shape.dropout,
        "feed_forward_proj": "gated-gelu",
        "decoder_start_token_id": 0,
    }


def _gpt2(shape: Shape) -> dict[str, Any]:
    return {
        "n_embd": shape.d_model,
        "n_inner": shape.d_ff,
        "n_head": shape.heads,
        "n_layer": shape.layers,
        "n_positions": POSITIONS,
        "bos_token_id": None,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), shape.dropout),
    }


def _llama(shape: Shape) -> dict[str, Any]:
    return {
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "head_dim": shape.d_kv,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "max_position_embeddings": POSITIONS,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "attention_dropout": shape.dropout,
    }


SETTINGS = {"t5": _t5, "gpt2": _gpt2, "llama": _llama}


@dataclass(frozen=True)
class Part:
    """One model of a recipe, [llm] or [slm].

    reference: in the file `from`: what models/references resolves, a folder, a Hub id or a GGUF
        file among them. Without it a new model of the sizes that follow, see Shape.
    vocab_size: entries of a tokenizer of its own, trained on the recipe's texts; an [slm] without
        one writes with the LLM's tokenizer.
    sha256: of its file of weights, which is refused where it is another one.
    chat: whether a pretrained model is asked in its chat template, where it has one.
    dtype: of a pretrained LLM that is only read; on several GPUs, where it fits on none alone, bfloat16.
    """

    reference: str | None = None
    sha256: str | None = None
    chat: bool | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    vocab_size: Vocabulary | None = None
    d_model: Count | None = None
    d_ff: Count | None = None
    heads: Count | None = None
    layers: Count | None = None
    decoder_layers: Count | None = None
    dropout: PartialShare | None = None
    d_kv: Count | None = None
    family: Family | None = None

    def __post_init__(self) -> None:
        own = ("reference", "sha256", "chat", "dtype")
        given = [name for name, value in asdict(self).items() if value is not None and name not in own]
        if self.sha256 is not None and not DIGEST.fullmatch(self.sha256):
            raise ValueError(f"sha256 is {self.sha256[:80]!r}, not 64 hexadecimal digits in lower case")
        if self.reference is not None:
            if given:
                raise ValueError(f"{given[0]} is given beside from, whose model has its own; give either")
            return
        if self.sha256 is not None:
            raise ValueError("sha256 is given without from; it is of the weights of a pretrained model")
        if self.dtype is not None:
            raise ValueError("dtype is given without from; it is of a pretrained LLM that is only read")
        for name in SIZES:
            if getattr(self, name) is None:
                raise ValueError(f"missing required field {name}, or from for a pretrained model")
        if self.family == "gpt2" and self.d_kv is not None:
            raise ValueError("d_kv is given, but the heads of a gpt2 share d_model; leave it out")
        if self.family not in (None, "t5") and self.decoder_layers is not None:
            raise ValueError(f"decoder_layers is given, but a {self.family} has layers alone; leave it out")

    @property
    def shape(self) -> Shape | None:
        """The sizes of a new model."""
        if self.reference is not None:
            return None
        names = (*SIZES, "decoder_layers", "dropout", "d_kv", "family")
        return Shape(**{name: value for name in names if (value := getattr(self, name)) is not None})


@dataclass(frozen=True)
class TaskTable:
    """A task of the recipe's own, or other words for a built-in one; what is not given is as before.

    prefix, suffix: words before and behind a text, in a chat template those of the user.
    languages: of source and target, as BCP 47 has them; a name translate-SOURCE-TARGET says them too.
    lines: whether line ends are part of its texts. kind: "translation" or "summary", what it is scored
        as; by its name when left out.
    """

    label: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    languages: Annotated[tuple[str, ...], Meta(min_length=2, max_length=2)] | None = None
    lines: bool | None = None
    kind: TaskKind | None = None

    def task(self, name: str) -> Task:
        """Return the task of this name."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        source_and_target = given.pop("languages", None)
        if source_and_target:
            given |= dict(zip(("source_language", "target_language"), source_and_target, strict=True))
        return replace(task_named(name), **given)


Layers = Count | tuple[Count, ...] | str | None


def read_layers(layer: Layers) -> ReadLayers:
    """Return the numbers of blocks as a hybrid's configuration has them.

    Raises ValueError for another word, and for several in no rising order.
    """
    if isinstance(layer, str):
        if layer != WHOLE:
            raise ValueError(
                f"layer is {layer[:40]!r}; give numbers of blocks, or {WHOLE!r} for all of the LLM"
            )
        return None
    layer_numbers(layer)
    return layer


@dataclass(frozen=True)
class Reading:
    """How a hybrid is made of its two models, see models/pair.py.

    layer: whose raw output is read, or several whose raw outputs are; "whole" or None for the normed output
        of the last one.
    bridge: whether the SLM's embeddings of the prompt are the LLM's through a trained map; None for where
        the tokenizers differ. states_gb: memory for states of the frozen LLM that are kept, not read anew.
    """

    fusion: Fusion = "add"
    layer: Layers = None
    bridge: bool | None = None
    standardize: bool = False
    states_gb: Annotated[float, Meta(ge=0, le=1e6)] | None = None

    def __post_init__(self) -> None:
        read_layers(self.layer)
