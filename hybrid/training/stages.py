"""A stage of a recipe: which model is trained, from where, on what, and by which rules."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from hybrid.schema import Model
from hybrid.training.corpora import Count

# A folder of the output has the name of a stage, one of the finished bundles that of the recipe.
FOLDER_NAME = re.compile(r"\w[\w.-]{0,63}")
PRETRAINED = "pretrained"  # in the place of a stage: the model as `from` has it, untrained
TAKEN = ("data", "bundle", PRETRAINED)  # by the output's other folders, and by other names
LINKS = ("starts_from", "reads_with", "teacher", "answers_of")  # of a stage to earlier ones

Share = Annotated[float, Meta(ge=0, le=1)]
PartialShare = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True)
class Stage:
    """One training run of one model.

    trains: which system's weights change.
    starts_from: an earlier stage whose weights are the starting point.
    reads_with: the stage whose LLM encodes the prompt (hybrid only).
    teacher: the stage whose LLM's token distribution is matched.
    kl_weight: weight of KL(teacher || student); cross-entropy has the rest.
    tokens_per_step: padded source and target tokens in one update.
    optimizer: `muon`, with matrix_lr and vector_lr, relative steps per update, see optim.py; or
        `adamw` with lr, an absolute one, and gradients clipped to a norm of `clip`.
    lora: rank of adapters that are trained in the place of an SLM's or LLM's own weights, see lora.py;
        for models above a billion parameters.
    dropout: in the place of the model's own.
    ema: decay of the running mean of the weights; it is what is evaluated and used afterwards.
    patience: evaluations without a better held-out loss after which the stage ends, with the best weights.
    max_seconds: of training, after which the stage ends; the rate falls to zero by then.
    answers_of: the stage whose LLM's greedy answers replace the references
        (sequence-level distillation); they are written before the stage begins.
    answers: examples that are answered, and trained on, at the most; drawn at random.
    references: whether all references are trained on, too, beside the answers.

    In the place of a stage, `pretrained` is the model as [llm] or [slm] names it.
    """

    name: str
    trains: Model
    steps: Count
    tokens_per_step: Count = 32768
    optimizer: Literal["muon", "adamw"] = "muon"
    matrix_lr: Share = 0.02
    vector_lr: Share = 0.01
    lr: Share = 1e-3
    clip: Annotated[float, Meta(gt=0, le=1e6)] = 1.0
    weight_decay: Share = 0.01
    warmup_steps: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 200
    label_smoothing: PartialShare = 0.1
    lora: Annotated[int, Meta(ge=1, le=4096)] | None = None
    dropout: PartialShare | None = None
    ema: PartialShare = 0.0
    patience: Count | None = None
    max_seconds: Annotated[float, Meta(gt=0, le=1e9)] | None = None
    starts_from: str | None = None
    reads_with: str | None = None
    teacher: str | None = None
    kl_weight: Share = 0.0
    answers_of: str | None = None
    answers: Count | None = None
    references: bool | None = None

    def __post_init__(self) -> None:
        check_folder_name("name", self.name)
        if self.name.lower() in TAKEN:
            raise ValueError(f"name is {self.name!r}, which is another folder of the output; take another")
        if (self.kl_weight > 0) != (self.teacher is not None):
            raise ValueError("kl_weight and teacher go together: give both or neither")
        if self.answers_of is None and (self.answers is not None or self.references is not None):
            raise ValueError("answers and references say what is made of answers_of, which is not given")
        if self.lora is not None and self.optimizer != "adamw":
            raise ValueError(
                'lora goes with optimizer = "adamw": adapters start from zero, which has no scale'
            )
        if (self.trains == "hybrid") != (self.reads_with is not None):
            raise ValueError("reads_with names the LLM's stage, for a hybrid and for nothing else")


def check_folder_name(key: str, value: str) -> None:
    """Raise ValueError for what cannot be a folder's name everywhere."""
    if not FOLDER_NAME.fullmatch(value):
        allowed = "a letter, digit or underscore first, then up to 63 of these, hyphens and dots"
        raise ValueError(f"{key} is {value[:80]!r}; it is a folder's name: {allowed}")
