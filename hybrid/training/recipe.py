"""A training recipe: one TOML file, checked field by field before anything runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from hybrid.errors import RecipeError
from hybrid.format import printable
from hybrid.models.pair_format import ROLES, Role
from hybrid.schema import MODELS, TASKS, Model, Task, check_own_task
from hybrid.store.typed_json import check_keys, convert, parse_toml
from hybrid.training.corpora import Count, Data, PartialShare, Share, check_path
from hybrid.training.parts import Layers, Part, Reading, TaskTable, Vocabulary, read_layers

LARGEST_RECIPE = 2**20  # bytes
# A folder of the output has the name of a stage, one of the finished bundles that of the recipe.
FOLDER_NAME = re.compile(r"\w[\w.-]{0,63}")
LICENCE_NAME = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)
PRETRAINED = "pretrained"  # in the place of a stage: the model as `from` has it, untrained
TAKEN = ("data", "bundle", PRETRAINED)  # by the output's other folders, and by other names
LINKS = ("starts_from", "reads_with", "teacher", "answers_of")  # of a stage to earlier ones

Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]


@dataclass(frozen=True)
class Stage:
    """One training run of one model.

    trains: which system's weights change.
    starts_from: an earlier stage whose weights are the starting point.
    reads_with: the stage whose LLM encodes the prompt (hybrid only).
    layer: of that LLM that is read, in the place of [hybrid] layer, to compare layers; "whole" for all of it.
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
    layer: Layers = None
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
        if self.layer is not None and self.trains != "hybrid":
            raise ValueError("layer is what a hybrid reads; leave it out of the others' stages")
        read_layers(self.layer)


@dataclass(frozen=True)
class Recipe:
    """Everything a training run depends on, apart from the machine.

    output: folder of checkpoints, logs and the finished bundle, relative to
        the working directory.
    vocab_size: entries of a new LLM's tokenizer, and of a new SLM's without one of its own.
    tasks: by name, those of the recipe's own, and other words for built-in ones.
    compile: whether layers are compiled on a GPU (a minute, then about twice as fast), or in which stages.
    store_llm: whether the bundle holds the weights of an LLM that no stage has trained, in the place of a
        reference to them: a pair that ships does.
    licence: of the pair's weights, as its cards state it: an SPDX identifier such as apache-2.0.
    bundle: which stages become the bundle's three systems; all three, or none without a bundle.
    """

    name: str
    seed: Seed
    output: str
    data: Data
    llm: Part
    slm: Part
    stages: Annotated[tuple[Stage, ...], Meta(min_length=1)]
    vocab_size: Vocabulary | None = None
    hybrid: Reading = field(default_factory=Reading)
    tasks: Mapping[str, TaskTable] = field(default_factory=dict)
    bundle: Mapping[str, str] = field(default_factory=dict)
    store_llm: bool = False
    licence: str = ""
    compile: bool | tuple[str, ...] = True
    log_every: Count = 50
    dev_every: Count = 2000
    checkpoint_every: Count = 2000

    def __post_init__(self) -> None:
        check_folder_name("name", self.name)
        check_path("output", self.output)
        if self.licence and not LICENCE_NAME.fullmatch(self.licence):
            raise ValueError(f"licence is {self.licence[:80]!r}; give an SPDX identifier such as apache-2.0")
        self._check_vocabularies()
        for task in self.known_tasks.values():
            check_own_task(task)
        for corpus in (*self.data.train, *self.data.dev):
            if corpus.task not in self.known_tasks:
                raise ValueError(f"task is {corpus.task!r}; available: {', '.join(self.known_tasks)}")
        earlier: dict[str, Model] = {}
        for stage in self.stages:
            for link in LINKS:
                self._check_link(stage, link, earlier)
            if stage.name.lower() in map(str.lower, earlier):  # one folder, where case makes no difference
                raise ValueError(f"two stages are called {stage.name!r}")
            earlier[stage.name] = stage.trains
        unknown = [] if isinstance(self.compile, bool) else [n for n in self.compile if n not in earlier]
        if unknown:
            raise ValueError(f"compile names {unknown[0]!r}, which is no stage; stages: {', '.join(earlier)}")
        if self.bundle:
            self._check_bundle(earlier)

    @cached_property
    def known_tasks(self) -> Mapping[str, Task]:
        """Tasks by name: the built-in ones and the recipe's own."""
        return {**TASKS, **{name: table.task(name) for name, table in self.tasks.items()}}

    @property
    def used_tasks(self) -> Mapping[str, Task]:
        """Tasks of the recipe's data, in their order."""
        corpora = (*self.data.train, *self.data.dev)
        return {corpus.task: self.known_tasks[corpus.task] for corpus in corpora}

    def _check_vocabularies(self) -> None:
        if self.llm.reference is None and (self.llm.vocab_size or self.vocab_size) is None:
            raise ValueError("missing required field vocab_size: a new LLM needs a tokenizer")
        if self.slm.dtype is not None:
            raise ValueError("slm.dtype is given, and what is trained is in float32; leave it out")

    def _check_link(self, stage: Stage, link: str, earlier: Mapping[str, Model]) -> None:
        """Check that links name earlier stages, of an LLM but for the SLM an SLM or hybrid starts from."""
        origin = getattr(stage, link)
        if origin is None:
            return
        kind: Role = "slm" if link == "starts_from" and stage.trains != "llm" else "llm"
        if origin == PRETRAINED and self.part(kind).reference is not None:
            return
        if origin not in earlier:
            raise ValueError(f"stage {stage.name!r}: {link} names {origin!r}, which is no earlier stage")
        if earlier[origin] != kind:
            trains = f"which trains the {earlier[origin]}, not the {kind}"
            raise ValueError(f"stage {stage.name!r}: {link} names {origin!r}, {trains}")

    def _check_bundle(self, stages: Mapping[str, Model]) -> None:
        """Check that each system is a stage that trains it, and the hybrid's LLM the bundle's."""
        able = dict(stages) | ({PRETRAINED: "llm"} if self.llm.reference is not None else {})
        for system, name in self.bundle.items():
            if system not in MODELS:
                raise ValueError(f"bundle.{system} is {name!r}; a bundle has {', '.join(MODELS)}")
            if able.get(name) != system:
                named = ", ".join(stage for stage, trains in able.items() if trains == system) or "none"
                raise ValueError(f"bundle.{system} is {name!r}; stages that train the {system}: {named}")
        lacking = [system for system in MODELS if system not in self.bundle]
        if lacking:
            raise ValueError(f"bundle names no stage for {', '.join(lacking)}; give all three, or no bundle")
        reader, llm = self.stage(self.bundle["hybrid"]).reads_with, self.bundle["llm"]
        if reader != llm:
            raise ValueError(f"bundle.llm is {llm!r}, but the hybrid reads with {reader!r}; name that one")

    def compiles(self, stage: Stage) -> bool:
        """Say whether the layers of `stage` are compiled on a GPU."""
        return self.compile if isinstance(self.compile, bool) else stage.name in self.compile

    def stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise RecipeError(f"There is no stage {name!r}; available: {', '.join(s.name for s in self.stages)}.")

    def reading(self, stage: Stage) -> Reading:
        """Return [hybrid], with the layer of a stage that has one of its own."""
        return self.hybrid if stage.layer is None else replace(self.hybrid, layer=stage.layer)

    def part(self, role: Role) -> Part:
        """Return [llm] or [slm]; the hybrid's own weights are an SLM's."""
        return self.llm if role == "llm" else self.slm

    @property
    def out(self) -> Path:
        return Path(self.output).expanduser()


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe. Raises RecipeError with one sentence."""
    table = _read(path)
    try:
        for role in ROLES:  # `from` is a word of Python's own
            if isinstance(part := table.get(role), dict) and "from" in part:
                part["reference"] = part.pop("from")
        check_keys(Recipe, table)
        recipe = convert(Recipe, table)
    except ValueError as error:
        raise RecipeError(f"{path}: {error}.") from error
    try:
        files = [file for corpus in (*recipe.data.train, *recipe.data.dev) for file in corpus.files]
        lacking = [file for file in files if not file.is_file()]
        if lacking and not prepared(recipe).is_file():
            raise RecipeError(f"{path} names {lacking[0]}, which is not there.")
    except OSError as error:
        raise RecipeError(f"{path} names {printable(str(error.filename))}: {error.strerror}.") from error
    return recipe


def prepared(recipe: Recipe) -> Path:
    """Where the tokenized training data of a recipe is kept."""
    return recipe.out / "data" / "train.npz"


def check_folder_name(key: str, value: str) -> None:
    """Raise ValueError for what cannot be a folder's name everywhere."""
    if not FOLDER_NAME.fullmatch(value):
        allowed = "a letter, digit or underscore first, then up to 63 of these, hyphens and dots"
        raise ValueError(f"{key} is {value[:80]!r}; it is a folder's name: {allowed}")


def _read(path: Path) -> dict[str, object]:
    try:
        if not path.is_file():
            raise RecipeError(f"There is no recipe {path}.")
        with path.open("rb") as file:
            data = file.read(LARGEST_RECIPE + 1)
        if len(data) > LARGEST_RECIPE:
            raise RecipeError(f"{path} has more than {LARGEST_RECIPE:,} bytes, which is no recipe.")
        return parse_toml(data)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise RecipeError(f"{path} is not valid TOML: {error}.") from error
