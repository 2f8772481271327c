"""A tiny corpus, a recipe over it with all three stages, and one finished run of that recipe."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hybrid.training.recipe import Recipe, load_recipe

WORDS = {"one": "ein", "old": "altes", "red": "rotes", "big": "großes", "house": "Haus", "boat": "Boot"}

RECIPE = """
name = "tiny"
seed = 7
output = "{folder}/out"
vocab_size = 300
compile = false
log_every = 5
dev_every = 10
checkpoint_every = 10

[llm]
d_model = 32
d_ff = 64
heads = 2
d_kv = 16
layers = 2

[slm]
d_model = 16
d_ff = 32
heads = 2
d_kv = 8
layers = 1

[data]
max_source = 48
buckets = [[10, 10], [48, 32]]
train = [
  {{ path = "{folder}/train.tsv", task = "translate-en-de", exclude = ["secret"] }},
  {{ path = "{folder}/train.jsonl", task = "summarize" }},
]
dev = [{{ path = "{folder}/dev.tsv", task = "translate-en-de" }}]

[[stages]]
name = "first"
trains = "llm"
steps = 30
tokens_per_step = 512
warmup_steps = 5

[[stages]]
name = "second"
trains = "slm"
steps = 30
tokens_per_step = 512
warmup_steps = 5

[[stages]]
name = "third"
trains = "hybrid"
steps = 20
tokens_per_step = 512
warmup_steps = 5
starts_from = "second"
reads_with = "first"
teacher = "first"
kl_weight = 0.5

[bundle]
llm = "first"
slm = "second"
hybrid = "third"
"""


@pytest.fixture(scope="session", autouse=True)
def _on_cpu() -> Iterator[None]:
    """Train on the CPU, also where there is a GPU: the tests compare losses bit by bit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        patch.setattr("torch.cuda.is_available", lambda: False)
        yield


def translations(rows: int, seed: int, tag: str = "made") -> str:
    chance = random.Random(seed)
    picked = [chance.choices(list(WORDS), k=chance.randint(3, 7)) for _ in range(rows)]
    return "".join(f"{tag}\t{' '.join(p)}\t{' '.join(WORDS[w] for w in p)}\n" for p in picked)


def summaries(rows: int, seed: int) -> str:
    chance = random.Random(seed)
    picked = [chance.choices(list(WORDS), k=10) for _ in range(rows)]
    return "".join(
        json.dumps({"source": "made", "document": " ".join(p), "summary": " ".join(p[:3])}) + "\n"
        for p in picked
    )


@pytest.fixture(scope="session")
def recipe_file() -> Callable[[Path], Path]:
    """Writes corpus and recipe to a folder; the recipe's path. Its output is <folder>/out."""

    def write(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        unusable = "made\t \tleer\nmade\tone two three four\tone two three four\n"
        train = translations(150, 1) + translations(5, 2, "secret") + unusable
        (folder / "train.tsv").write_text(train, "utf-8")
        (folder / "train.jsonl").write_text(summaries(60, 3), "utf-8")
        (folder / "dev.tsv").write_text(translations(30, 4), "utf-8")
        path = folder / "recipe.toml"
        path.write_text(RECIPE.format(folder=folder.as_posix()), "utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def tiny_recipe(recipe_file: Callable[[Path], Path]) -> Callable[[Path], Recipe]:
    """Writes corpus and recipe to a folder and loads the recipe."""
    return lambda folder: load_recipe(recipe_file(folder))


@pytest.fixture(scope="session")
def prepared_recipe(
    tiny_recipe: Callable[[Path], Recipe], tmp_path_factory: pytest.TempPathFactory
) -> Recipe:
    """A recipe whose data are tokenized and nothing is trained; do not write to its folder."""
    from hybrid.training.data import prepare

    recipe = tiny_recipe(tmp_path_factory.mktemp("prepared"))
    prepare(recipe)
    return recipe


@pytest.fixture(scope="session")
def finished(tiny_recipe: Callable[[Path], Recipe], tmp_path_factory: pytest.TempPathFactory):
    """(recipe, events) of one uninterrupted run of everything; do not write to its folder."""
    from hybrid.training.train import train

    recipe = tiny_recipe(tmp_path_factory.mktemp("finished"))
    return recipe, list(train(recipe))


@pytest.fixture(scope="session")
def trained_pair(tmp_path_factory: pytest.TempPathFactory):
    """(recipe, events) of a Llama that reads and a T5 with its own tokenizer; do not write to its folder."""
    from hybrid.training.train import train
    from tests.training.any_pair import write_recipe

    recipe = load_recipe(write_recipe(tmp_path_factory.mktemp("any")))
    return recipe, list(train(recipe))
