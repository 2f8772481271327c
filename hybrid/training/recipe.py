"""A training recipe: one TOML file, checked field by field before anything runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from hybrid.errors import RecipeError
from hybrid.schema import MODELS, TASKS, Model
from hybrid.store.typed_json import check_keys, convert, parse_toml
from hybrid.suites.files import files_of

LARGEST_RECIPE = 2**20  # bytes
# Entries that every tokenizer has: padding, end, unknown; bytes; a prefix a task. See data.train_tokenizer.
SMALLEST_VOCABULARY = 3 + 256 + len(TASKS)
# A folder of the output has the name of a stage, one of the finished bundles that of the recipe.
FOLDER_NAME = re.compile(r"\w[\w.-]{0,63}")
TAKEN = ("data", "bundle")  # by the output's other folders
LINKS = ("starts_from", "reads_with", "teacher", "answers_of")  # of a stage to earlier ones

# Bounds keep a number within what it counts; train.check_memory() says what of that a machine holds.
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]  # what a tensor's dimension can be
Length = Annotated[int, Meta(ge=2, le=2**16 - 1)]  # tokens, the end included; 16 bits in the prepared data
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
PartialShare = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True)
class Corpus:
    """One table of examples.

    path: any that suites are read from, see suites/files.py; relative to the working
        directory. Files of a text a line stand side by side: SOURCES,TARGETS.
    exclude: domains whose rows are left out.
    columns: role to column name or number, where the table does not say them.
    """

    path: str
    task: str
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_path("path", self.path)
        if self.task not in TASKS:
            raise ValueError(f"task is {self.task!r}; available: {', '.join(TASKS)}")

    @property
    def files(self) -> tuple[Path, ...]:
        """Where it lies."""
        return tuple(files_of(self.path))


@dataclass(frozen=True)
class Data:
    """What is read, and the fixed shapes it is sorted into.

    buckets: (source, target) lengths in tokens, ends of sequence included; an
        example goes to the first it fits, and is left out where it fits none.
    max_source: longer sources are cut to this many tokens; it is also the
        longest prompt that the finished models accept.
    """

    train: Annotated[tuple[Corpus, ...], Meta(min_length=1)]
    dev: Annotated[tuple[Corpus, ...], Meta(min_length=1)]
    buckets: Annotated[tuple[tuple[Length, Length], ...], Meta(min_length=1)]
    max_source: Annotated[int, Meta(ge=3, le=2**16 - 1)] = 512  # a prefix, a word and the end


@dataclass(frozen=True)
class Shape:
    """A T5 v1.1 shape: gated GELU, tied embeddings, heads of 64."""

    d_model: Count
    d_ff: Count
    heads: Count
    layers: Count
    dropout: PartialShare = 0.1
    d_kv: Count = 64

    def settings(self, vocabulary: int) -> dict[str, Any]:
        """Say this shape as a config.json does."""
        return {
            "model_type": "t5",
            "vocab_size": vocabulary,
            "d_model": self.d_model,
            "d_ff": self.d_ff,
            "d_kv": self.d_kv,
            "num_heads": self.heads,
            "num_layers": self.layers,
            "num_decoder_layers": self.layers,
            "dropout_rate": self.dropout,
            "feed_forward_proj": "gated-gelu",
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
        }

    def parameters(self, vocabulary: int) -> int:
        """Count the weights, but for those of norms and positions."""
        attention, feed_forward = 4 * self.d_model * self.heads * self.d_kv, 3 * self.d_model * self.d_ff
        return self.layers * (3 * attention + 2 * feed_forward) + vocabulary * self.d_model


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
    steps: Count
    tokens_per_step: Count = 32768
    matrix_lr: Share = 0.02
    vector_lr: Share = 0.01
    weight_decay: Share = 0.01
    warmup_steps: Annotated[int, Meta(ge=0, le=2**31 - 1)] = 200
    label_smoothing: PartialShare = 0.1
    starts_from: str | None = None
    reads_with: str | None = None
    teacher: str | None = None
    kl_weight: Share = 0.0
    answers_of: str | None = None

    def __post_init__(self) -> None:
        _check_folder_name("name", self.name)
        if self.name.lower() in TAKEN:
            raise ValueError(f"name is {self.name!r}, which is another folder of the output; take another")
        if (self.kl_weight > 0) != (self.teacher is not None):
            raise ValueError("kl_weight and teacher go together: give both or neither")
        if (self.trains == "hybrid") != (self.reads_with is not None):
            raise ValueError("reads_with names the LLM's stage, for a hybrid and for nothing else")


@dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on, apart from the machine.

    output: folder of checkpoints, logs and the finished bundle, relative to
        the working directory.
    bundle: which stages become the bundle's three systems; all three, or none without a bundle.
    """

    name: str
    seed: Seed
    output: str
    vocab_size: Annotated[int, Meta(ge=SMALLEST_VOCABULARY, le=2**16)]  # 16 bits an id in the prepared data
    data: Data
    llm: Shape
    slm: Shape
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)]
    bundle: Mapping[str, str] = field(default_factory=dict)
    compile: bool = True
    log_every: Count = 50
    dev_every: Count = 2000
    checkpoint_every: Count = 2000

    def __post_init__(self) -> None:
        _check_folder_name("name", self.name)
        _check_path("output", self.output)
        earlier: dict[str, Model] = {}
        for stage in self.stages:
            for link in LINKS:
                self._check_link(stage, link, earlier)
            if stage.name.lower() in map(str.lower, earlier):  # one folder, where case makes no difference
                raise ValueError(f"two stages are called {stage.name!r}")
            earlier[stage.name] = stage.trains
        if self.bundle:
            self._check_bundle(earlier)

    @staticmethod
    def _check_link(stage: Stage, link: str, earlier: Mapping[str, Model]) -> None:
        """Check that links name earlier stages, of an LLM but for the SLM an SLM or hybrid starts from."""
        origin = getattr(stage, link)
        if origin is None:
            return
        if origin not in earlier:
            raise ValueError(f"stage {stage.name!r}: {link} names {origin!r}, which is no earlier stage")
        kind = "slm" if link == "starts_from" and stage.trains != "llm" else "llm"
        if earlier[origin] != kind:
            trains = f"which trains the {earlier[origin]}, not the {kind}"
            raise ValueError(f"stage {stage.name!r}: {link} names {origin!r}, {trains}")

    def _check_bundle(self, stages: Mapping[str, Model]) -> None:
        """Check that each system is a stage that trains it, and the hybrid's LLM the bundle's."""
        for system, name in self.bundle.items():
            if system not in MODELS:
                raise ValueError(f"bundle.{system} is {name!r}; a bundle has {', '.join(MODELS)}")
            if stages.get(name) != system:
                able = ", ".join(stage for stage, trains in stages.items() if trains == system) or "none"
                raise ValueError(f"bundle.{system} is {name!r}; stages that train the {system}: {able}")
        lacking = [system for system in MODELS if system not in self.bundle]
        if lacking:
            raise ValueError(f"bundle names no stage for {', '.join(lacking)}; give all three, or no bundle")
        reader, llm = self.stage(self.bundle["hybrid"]).reads_with, self.bundle["llm"]
        if reader != llm:
            raise ValueError(f"bundle.llm is {llm!r}, but the hybrid reads with {reader!r}; name that one")

    def stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise RecipeError(f"There is no stage {name!r}; available: {', '.join(s.name for s in self.stages)}.")

    @property
    def out(self) -> Path:
        return Path(self.output).expanduser()


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises RecipeError with one sentence."""
    table = _read(path)
    try:
        check_keys(Recipe, table)
        recipe = convert(Recipe, table)
    except ValueError as error:
        raise RecipeError(f"{path}: {error}.") from error
    for corpus in (*recipe.data.train, *recipe.data.dev):
        lacking = [file for file in corpus.files if not file.is_file()]
        if lacking and not prepared(recipe).is_file():
            raise RecipeError(f"{path} names {lacking[0]}, which is not there.")
    return recipe


def prepared(recipe: Recipe) -> Path:
    """Where the tokenized training data of a recipe is kept."""
    return recipe.out / "data" / "train.npz"


def _read(path: Path) -> dict[str, object]:
    if not path.is_file():
        raise RecipeError(f"There is no recipe {path}.")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_RECIPE + 1)
        if len(data) > LARGEST_RECIPE:
            raise RecipeError(f"{path} has more than {LARGEST_RECIPE:,} bytes, which is no recipe.")
        return parse_toml(data)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error


def _check_folder_name(key: str, value: str) -> None:
    if not FOLDER_NAME.fullmatch(value):
        allowed = "a letter, digit or underscore first, then up to 63 of these, hyphens and dots"
        raise ValueError(f"{key} is {value[:80]!r}; it is a folder's name: {allowed}")


def _check_path(key: str, value: str) -> None:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{key} is {value[:80]!r}; give a path without control characters")
    try:
        Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{key} is {value[:80]!r}, and there is no such home folder") from error
