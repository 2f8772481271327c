"""A training recipe: one TOML file, checked field by field before anything runs."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hybrid.errors import RecipeError
from hybrid.schema import SYSTEMS, TASKS, Model
from hybrid.store.typed_json import check_keys, convert


@dataclass(frozen=True)
class Corpus:
    """One file of examples.

    path: TSV (domain, source, target) or JSONL (source, document, summary), plain,
        .xz or .zst; relative to the working directory.
    exclude: domains whose rows are left out.
    """

    path: str
    task: str
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; available: {', '.join(TASKS)}")


@dataclass(frozen=True)
class Data:
    """What is read, and the fixed shapes it is sorted into.

    buckets: (source, target) lengths in tokens, ends of sequence included; an
        example goes to the first it fits, and is left out where it fits none.
    max_source: longer sources are cut to this many tokens; it is also the
        longest prompt that the finished models accept.
    """

    train: tuple[Corpus, ...]
    dev: tuple[Corpus, ...]
    buckets: tuple[tuple[int, int], ...]
    max_source: int = 512


@dataclass(frozen=True)
class Shape:
    """A T5 v1.1 shape: gated GELU, tied embeddings, heads of 64."""

    d_model: int
    d_ff: int
    heads: int
    layers: int
    dropout: float = 0.1
    d_kv: int = 64


@dataclass(frozen=True)
class Stage:
    """One training run of one model.

    trains: which system's weights change.
    starts_from: an earlier stage whose SLM is the starting point.
    reads_with: the stage whose LLM encodes the prompt (hybrid only).
    teacher: the stage whose LLM's token distribution is matched.
    kl_weight: weight of KL(teacher || student); cross-entropy has the rest.
    tokens_per_step: padded source and target tokens in one update.
    matrix_lr, vector_lr: relative step per update, see optim.py.
    answers_of: the stage whose LLM's greedy answers replace the references
        (sequence-level distillation); they are written before the stage begins.
    """

    name: str
    trains: Model
    steps: int
    tokens_per_step: int = 32768
    matrix_lr: float = 0.02
    vector_lr: float = 0.01
    weight_decay: float = 0.01
    warmup_steps: int = 200
    label_smoothing: float = 0.1
    starts_from: str | None = None
    reads_with: str | None = None
    teacher: str | None = None
    kl_weight: float = 0.0
    answers_of: str | None = None

    def __post_init__(self) -> None:
        if self.steps < 1 or self.tokens_per_step < 1:
            raise ValueError("steps and tokens_per_step must be at least 1")
        if not 0 <= self.kl_weight <= 1:
            raise ValueError(f"kl_weight is {self.kl_weight}; it must lie between 0 and 1")
        if (self.kl_weight > 0) != (self.teacher is not None):
            raise ValueError("kl_weight and teacher go together: give both or neither")
        if (self.trains == "hybrid") != (self.reads_with is not None):
            raise ValueError("reads_with names the LLM's stage, for a hybrid and for nothing else")


@dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on, apart from the machine.

    output: folder of checkpoints, logs and the finished bundle, relative to
        the working directory.
    bundle: which stages become the bundle's three systems.
    """

    name: str
    seed: int
    output: str
    vocab_size: int
    data: Data
    llm: Shape
    slm: Shape
    stages: tuple[Stage, ...]
    bundle: Mapping[str, str] = field(default_factory=dict)
    compile: bool = True
    log_every: int = 50
    dev_every: int = 2000
    checkpoint_every: int = 2000

    def __post_init__(self) -> None:
        earlier: dict[str, Model] = {}
        for stage in self.stages:
            for link in ("starts_from", "reads_with", "teacher", "answers_of"):
                self._check_link(stage, link, earlier)
            if stage.name in earlier:
                raise ValueError(f"two stages are called {stage.name!r}")
            earlier[stage.name] = stage.trains
        for system, wanted in self.bundle.items():
            if system not in SYSTEMS or wanted not in earlier:
                raise ValueError(
                    f"bundle.{system} is {wanted!r}; it must give a stage for llm, slm or hybrid"
                )

    @staticmethod
    def _check_link(stage: Stage, link: str, earlier: Mapping[str, Model]) -> None:
        """Check that links name earlier stages, of an LLM but for the SLM an SLM or hybrid starts from."""
        wanted = getattr(stage, link)
        if wanted is None:
            return
        if wanted not in earlier:
            raise ValueError(f"stage {stage.name!r}: {link} names {wanted!r}, which is no earlier stage")
        kind = "slm" if link == "starts_from" and stage.trains != "llm" else "llm"
        if earlier[wanted] != kind:
            trains = f"which trains the {earlier[wanted]}, not the {kind}"
            raise ValueError(f"stage {stage.name!r}: {link} names {wanted!r}, {trains}")

    def stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise RecipeError(f"There is no stage {name!r}; available: {', '.join(s.name for s in self.stages)}.")

    @property
    def out(self) -> Path:
        return Path(self.output)


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises RecipeError with one sentence."""
    if not path.is_file():
        raise RecipeError(f"There is no recipe {path}.")
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error
    try:
        check_keys(Recipe, table)
        recipe = convert(Recipe, table)
    except ValueError as error:
        raise RecipeError(f"{path}: {error}.") from error
    for corpus in (*recipe.data.train, *recipe.data.dev):
        if not Path(corpus.path).is_file() and not prepared(recipe).is_file():
            raise RecipeError(f"{path} names {corpus.path}, which is not there.")
    return recipe


def prepared(recipe: Recipe) -> Path:
    """Where the tokenized training data of a recipe is kept."""
    return recipe.out / "data" / "train.npz"
