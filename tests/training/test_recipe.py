"""A recipe is checked before anything runs, and each mistake is one sentence that names it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import hybrid.training
from hybrid.errors import RecipeError
from hybrid.training.recipe import load_recipe, prepared

RECIPES = Path(str(hybrid.training.__file__)).with_name("recipes")

Write = Callable[[Path], Path]


def refusal(path: Path) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    return sentence


def test_a_recipe_is_read_with_its_types(recipe_file: Write, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path))
    assert recipe.data.buckets == ((10, 10), (48, 32))
    assert recipe.data.train[0].exclude == ("secret",)
    assert recipe.llm.shape.dropout == 0.1
    assert recipe.slm.shape.d_kv == 8
    assert [stage.trains for stage in recipe.stages] == ["llm", "slm", "hybrid"]
    assert recipe.stage("third").kl_weight == 0.5
    assert recipe.out == tmp_path / "out"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("seed = 7", "sead = 7", ("sead is not a key", "available:", "seed", "vocab_size")),
        ("steps = 20", "stebs = 20", ("stebs is not a key of $.stages[2]", "steps")),
        ("seed = 7\n", "", ("missing required field seed",)),
        ("d_ff = 64\n", "", ("missing required field d_ff, or from", "at $.llm")),
        ("seed = 7", 'seed = "7"', ("Expected int, got str - at $.seed",)),
        ("seed = 7", "seed = true", ("Expected int, got bool - at $.seed",)),
        ("[48, 32]]", "[48, 32, 8]]", ("length 2, got 3 - at $.data.buckets[1]",)),
        ("buckets = [[10, 10], [48, 32]]", "buckets = 16", ("got int - at $.data.buckets",)),
        ('task = "summarize"', 'task = "sing"', ("task is 'sing'", "available: translate-en-de, summarize")),
        ('trains = "slm"', 'trains = "tiny"', ("'tiny' - at $.stages[1].trains",)),
        ("kl_weight = 0.5\n", "", ("kl_weight and teacher go together",)),
        ('teacher = "first"\n', "", ("kl_weight and teacher go together",)),
        ("kl_weight = 0.5", "kl_weight = 1.5", ("<= 1.0, got 1.5", "stages[2].kl_weight")),
        ("kl_weight = 0.5", "kl_weight = nan", ("got nan", "stages[2].kl_weight")),
        ('reads_with = "first"\n', "", ("reads_with",)),
        ("steps = 20", "steps = 0", (">= 1, got 0", "stages[2].steps")),
        ("steps = 20", "steps = 20\nmatrix_lr = nan", ("got nan", "stages[2].matrix_lr")),
        ("steps = 20", "steps = 20\nvector_lr = inf", ("<= 1.0, got inf", "stages[2].vector_lr")),
        ("steps = 20", "steps = 20\nweight_decay = -0.1", (">= 0.0, got -0.1", "stages[2].weight_decay")),
        ("steps = 20", "steps = 20\nlabel_smoothing = 1", ("< 1.0, got 1", "stages[2].label_smoothing")),
        ("warmup_steps = 5", "warmup_steps = -1", (">= 0, got -1", "stages[0].warmup_steps")),
        ("tokens_per_step = 512", "tokens_per_step = 0", (">= 1, got 0", "stages[0].tokens_per_step")),
        ("vocab_size = 300", "vocab_size = -5", (">= 261, got -5", "$.vocab_size")),
        ("vocab_size = 300", "vocab_size = 2000000", ("<= 1048576, got 2000000", "$.vocab_size")),
        ("vocab_size = 300", "", ("missing required field vocab_size", "tokenizer")),
        ("d_ff = 64", 'd_ff = 64\nfrom = "x"', ("d_model is given beside from", "at $.llm")),
        ("steps = 20", 'steps = 20\noptimizer = "sgd"', ("'sgd'", "stages[2].optimizer")),
        ("steps = 20", "steps = 20\nema = 1.0", ("< 1.0, got 1.0", "stages[2].ema")),
        ("steps = 20", "steps = 20\nmax_seconds = 0", ("> 0.0, got 0", "stages[2].max_seconds")),
        ("steps = 20", "steps = 20\npatience = 0", (">= 1, got 0", "stages[2].patience")),
        ("max_source = 48", "temperature = 0.5", (">= 1.0, got 0.5", "$.data.temperature")),
        ("[slm]", "[slm]\nsha256 = 'XYZ'", ("sha256 is 'XYZ', not 64 hexadecimal digits", "at $.slm")),
        ("[slm]", f"[slm]\nsha256 = '{'a' * 64}'", ("sha256 is given without from", "at $.slm")),
        ('reads_with = "first"', 'reads_with = "first"\nlayer = [2, 1]', ("layer is [2, 1]", "stages[2]")),
        ("steps = 20", "steps = 20\nlayer = []", ("layer is []",)),
        ('reads_with = "first"', 'reads_with = "first"\nlayer = "all"', ("'all'", "whole", "stages[2]")),
        ('name = "first"', 'name = "first"\nlayer = "whole"', ("layer is what a hybrid reads", "stages[0]")),
        ('name = "first"', 'name = "first"\nlayer = 1', ("layer is what a hybrid reads", "stages[0]")),
        ("[slm]", "[slm]\ndtype = 'bfloat16'", ("dtype is given without from", "at $.slm")),
        ("max_source = 48", "row_tokens = 4", (">= 16, got 4", "$.data.row_tokens")),
        ('exclude = ["secret"]', "weight = 0.0", ("> 0.0, got 0.0", "$.data.train[0].weight")),
        ('exclude = ["secret"]', "limit = 0", (">= 1, got 0", "$.data.train[0].limit")),
        ('reads_with = "first"', 'reads_with = "pretrained"', ("'pretrained'", "no earlier stage")),
        ("seed = 7", "seed = -1", (">= 0, got -1", "$.seed")),
        ("log_every = 5", "log_every = 0", (">= 1, got 0", "$.log_every")),
        ("dev_every = 10", "dev_every = 0", (">= 1, got 0", "$.dev_every")),
        ("checkpoint_every = 10", "checkpoint_every = -1", (">= 1, got -1", "$.checkpoint_every")),
        ("heads = 2", "heads = 0", (">= 1, got 0", "$.llm.heads")),
        ("layers = 2", "layers = 9_000_000_000", ("<= 2147483647, got 9000000000", "$.llm.layers")),
        ("d_kv = 8", 'd_kv = 8\nfamily = "gpt2"', ("d_kv is given", "$.slm")),
        ("d_kv = 8", 'd_kv = 8\nfamily = "llama"\ndecoder_layers = 1', ("decoder_layers", "llama", "$.slm")),
        ("d_kv = 8", 'd_kv = 8\nfamily = "rnn"', ("rnn", "$.slm.family")),
        ("d_kv = 8", "d_kv = 8\ndropout = 1.0", ("< 1.0, got 1.0", "$.slm.dropout")),
        ("max_source = 48", "max_source = 1", (">= 3, got 1", "$.data.max_source")),
        ("[[10, 10], [48, 32]]", "[]", ("length >= 1, got []", "$.data.buckets")),
        ("[[10, 10], [48, 32]]", "[[10, 0]]", (">= 2, got 0", "$.data.buckets[0][1]")),
        ("[[10, 10], [48, 32]]", "[[99999, 9]]", ("<= 65535, got 99999", "$.data.buckets[0][0]")),
        ('name = "tiny"', 'name = "../tiny"', ("name is '../tiny'", "folder's name")),
        ('name = "tiny"', 'name = ""', ("name is ''", "folder's name")),
        ('name = "first"', 'name = "/first"', ("name is '/first'", "folder's name")),
        ('name = "first"', 'name = ".."', ("name is '..'", "folder's name")),
        ('name = "first"', 'name = "a\\nb"', (r"name is 'a\nb'", "folder's name")),
        ('name = "first"', 'name = "Data"', ("name is 'Data'", "another folder")),
        ('name = "second"', 'name = "FIRST"', ("two stages are called 'FIRST'",)),
        ('/out"', '/o\\u001but"', (r"\x1but", "control characters")),
        ('llm = "first"', 'llm = "second"', ("bundle.llm is 'second'", "train the llm: first")),
        ('llm = "first"\n', "", ("names no stage for llm",)),
        ("compile = false", 'compile = ["first", "fourth"]', ("compile names 'fourth'", "stages: first")),
        ('starts_from = "second"', 'starts_from = "third"', ("'third'", "starts_from", "no earlier stage")),
        ('starts_from = "second"', 'starts_from = "first"', ("'first'", "trains the llm, not the slm")),
        ('reads_with = "first"', 'reads_with = "second"', ("'second'", "trains the slm, not the llm")),
        ('name = "second"', 'name = "first"', ("two stages are called 'first'",)),
        ('hybrid = "third"', 'hybrid = "fourth"', ("bundle.hybrid is 'fourth'",)),
        ('hybrid = "third"', 'pair = "third"', ("bundle.pair is 'third'", "llm, slm, hybrid")),
    ],
)
def test_a_mistake_is_named(
    recipe_file: Write, tmp_path: Path, before: str, after: str, says: tuple[str, ...]
) -> None:
    path = recipe_file(tmp_path)
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), "utf-8")
    sentence = refusal(path)
    assert str(path) in sentence
    for part in says:
        assert part in sentence


def test_the_hybrid_of_a_bundle_reads_with_its_llm(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    other = '[[stages]]\nname = "other"\ntrains = "llm"\nsteps = 1\n\n[bundle]'
    text = path.read_text("utf-8").replace("[bundle]", other).replace('llm = "first"', 'llm = "other"')
    path.write_text(text, "utf-8")
    assert "bundle.llm is 'other', but the hybrid reads with 'first'" in refusal(path)


def test_a_corpus_of_two_plain_files_with_its_columns(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    text = path.read_text("utf-8").replace("/dev.tsv", "/a.en,b.de").replace(
        'task = "translate-en-de" }]', 'task = "translate-en-de", columns = { source = "1" } }]'
    )  # fmt: skip
    path.write_text(text, "utf-8")
    assert "a.en, which is not there" in refusal(path)
    (tmp_path / "a.en").touch()
    assert "names b.de, which is not there" in refusal(path)


def test_a_byte_order_mark_is_no_part_of_a_recipe(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_recipe(path).name == "tiny"


def test_a_stage_links_only_to_earlier_ones(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    head, first, second, third = path.read_text("utf-8").split("[[stages]]")
    third, bundle = third.split("[bundle]")
    text = "[[stages]]".join([head, first, third, second]) + "[bundle]" + bundle
    path.write_text(text, "utf-8")
    assert "stage 'third': starts_from names 'second', which is no earlier stage" in refusal(path)


def test_missing_and_unreadable_files(recipe_file: Write, tmp_path: Path) -> None:
    assert "There is no recipe" in refusal(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("seed = = 7", "utf-8")
    assert "not valid TOML" in refusal(path)
    path.write_bytes(b'name = "\xff"')
    assert "not valid TOML" in refusal(path)
    path.write_text("a = " + "[" * 100_000, "utf-8")
    assert "nested too deeply" in refusal(path)
    path.write_text("#" * 2_000_000, "utf-8")
    assert "more than 1,048,576 bytes" in refusal(path)
    path = recipe_file(tmp_path)
    long = path.read_text("utf-8").replace("dev.tsv", f"{'d' * 5000}.tsv")
    (tmp_path / "long.toml").write_text(long, "utf-8")
    assert "File name too long" in refusal(tmp_path / "long.toml")
    (tmp_path / "dev.tsv").unlink()
    assert f"names {tmp_path / 'dev.tsv'}, which is not there" in refusal(path)


def test_a_corpus_may_go_once_it_is_prepared(recipe_file: Write, tmp_path: Path) -> None:
    path = recipe_file(tmp_path)
    target = prepared(load_recipe(path))
    target.parent.mkdir(parents=True)
    target.touch()
    (tmp_path / "train.tsv").unlink()
    assert load_recipe(path).name == "tiny"


def test_an_unknown_stage_is_refused(recipe_file: Write, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(tmp_path))
    with pytest.raises(RecipeError, match="no stage 'fourth'; available: first, second, third"):
        recipe.stage("fourth")


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_each_recipe_that_ships_is_valid(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r'"((?:data|hybrid)/[^"]+)"', path.read_text("utf-8")):  # relative to a clone
        corpus = Path(name)
        corpus.parent.mkdir(parents=True, exist_ok=True)
        corpus.touch()
    assert load_recipe(path).stages
