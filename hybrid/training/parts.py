"""The two models of a recipe: sizes of a new one, or a pretrained one by its reference."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from msgspec import Meta

from hybrid.models.fusion import Fusion
from hybrid.schema import TASKS, Task, task_named
from hybrid.training.corpora import Count
from hybrid.training.stages import PartialShare

# Entries that every tokenizer has: padding, end, unknown; bytes; a prefix a task. See texts.py.
SMALLEST_VOCABULARY = 3 + 256 + len(TASKS)
Vocabulary = Annotated[int, Meta(ge=SMALLEST_VOCABULARY, le=2**20)]
SIZES = ("d_model", "d_ff", "heads", "layers")


@dataclass(frozen=True)
class Shape:
    """A T5 v1.1 shape: gated GELU, tied embeddings, heads of 64."""

    d_model: Count
    d_ff: Count
    heads: Count
    layers: Count
    dropout: PartialShare = 0.1
    d_kv: Count = 64
    decoder_layers: Count | None = None

    def settings(self, vocabulary: int, pad: int = 0, eos: int = 1) -> dict[str, Any]:
        """Say this shape as a config.json does."""
        return {
            "model_type": "t5",
            "vocab_size": vocabulary,
            "d_model": self.d_model,
            "d_ff": self.d_ff,
            "d_kv": self.d_kv,
            "num_heads": self.heads,
            "num_layers": self.layers,
            "num_decoder_layers": self.decoder_layers or self.layers,
            "dropout_rate": self.dropout,
            "feed_forward_proj": "gated-gelu",
            "pad_token_id": pad,
            "eos_token_id": eos,
            "decoder_start_token_id": pad,
        }

    def parameters(self, vocabulary: int) -> int:
        """Count the weights, but for those of norms and positions."""
        attention, feed_forward = 4 * self.d_model * self.heads * self.d_kv, 3 * self.d_model * self.d_ff
        encoder = self.layers * (attention + feed_forward)
        decoder = (self.decoder_layers or self.layers) * (2 * attention + feed_forward)
        return encoder + decoder + vocabulary * self.d_model


@dataclass(frozen=True)
class Part:
    """One model of a recipe, [llm] or [slm].

    reference: in the file `from`: what models/references resolves, a folder, a Hub id or a GGUF
        file among them. Without it a new T5 of the sizes that follow, see Shape.
    vocab_size: entries of a tokenizer of its own, trained on the recipe's texts; an [slm] without
        one writes with the LLM's tokenizer.
    chat: whether a pretrained model is asked in its chat template, where it has one.
    """

    reference: str | None = None
    chat: bool | None = None
    vocab_size: Vocabulary | None = None
    d_model: Count | None = None
    d_ff: Count | None = None
    heads: Count | None = None
    layers: Count | None = None
    decoder_layers: Count | None = None
    dropout: PartialShare | None = None
    d_kv: Count | None = None

    def __post_init__(self) -> None:
        own = ("reference", "chat")
        given = [name for name, value in asdict(self).items() if value is not None and name not in own]
        if self.reference is not None:
            if given:
                raise ValueError(f"{given[0]} is given beside from, whose model has its own; give either")
            return
        for name in SIZES:
            if getattr(self, name) is None:
                raise ValueError(f"missing required field {name}, or from for a pretrained model")

    @property
    def shape(self) -> Shape | None:
        """The sizes of a new model."""
        if self.reference is not None:
            return None
        names = (*SIZES, "decoder_layers", "dropout", "d_kv")
        return Shape(**{name: value for name in names if (value := getattr(self, name)) is not None})


@dataclass(frozen=True)
class TaskTable:
    """A task of the recipe's own, or other words for a built-in one; what is not given is as before.

    prefix, suffix: words before and behind a text, in a chat template those of the user.
    languages: of source and target, as BCP 47 has them; a name translate-SOURCE-TARGET says them too.
    lines: whether line ends are part of its texts.
    """

    label: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    languages: Annotated[tuple[str, ...], Meta(min_length=2, max_length=2)] | None = None
    lines: bool | None = None

    def task(self, name: str) -> Task:
        """Return the task of this name."""
        given = {key: value for key, value in asdict(self).items() if value is not None}
        source_and_target = given.pop("languages", None)
        if source_and_target:
            given |= dict(zip(("source_language", "target_language"), source_and_target, strict=True))
        return replace(task_named(name), **given)


@dataclass(frozen=True)
class Reading:
    """How a hybrid is made of its two models, see models/pair.py.

    layer: whose raw output is read; None for the normed output of the last one.
    bridge: whether the SLM's embeddings of the prompt are the LLM's through a trained map; None for where
        the tokenizers differ. states_gb: memory for states of the frozen LLM that are kept, not read anew.
    """

    fusion: Fusion = "add"
    layer: Count | None = None
    bridge: bool | None = None
    standardize: bool = False
    states_gb: Annotated[float, Meta(ge=0, le=1e6)] | None = None
