"""A recipe is checked before anything runs, and each mistake is one sentence that names it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid.errors import RecipeError
from hybrid.training.recipe import load_recipe, prepared

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
    assert recipe.llm.dropout == 0.1
    assert [stage.trains for stage in recipe.stages] == ["llm", "slm", "hybrid"]
    assert recipe.stage("third").kl_weight == 0.5
    assert recipe.out == tmp_path / "out"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("seed = 7", "sead = 7", ("sead is not a key", "available:", "seed", "vocab_size")),
        ("steps = 20", "stebs = 20", ("stebs is not a key of $.stages[2]", "steps")),
        ("seed = 7\n", "", ("missing required field seed",)),
        ("d_ff = 64\n", "", ("missing required field d_ff - at $.llm",)),
        ("seed = 7", 'seed = "7"', ("Expected int, got str - at $.seed",)),
        ("seed = 7", "seed = true", ("Expected int, got bool - at $.seed",)),
        ("[48, 32]]", "[48, 32, 8]]", ("length 2, got 3 - at $.data.buckets[1]",)),
        ("buckets = [[10, 10], [48, 32]]", "buckets = 16", ("got int - at $.data.buckets",)),
        ('task = "summarize"', 'task = "sing"', ("task is 'sing'", "available: translate-en-de, summarize")),
        ('trains = "slm"', 'trains = "tiny"', ("'tiny' - at $.stages[1].trains",)),
        ("kl_weight = 0.5\n", "", ("kl_weight and teacher go together",)),
        ('teacher = "first"\n', "", ("kl_weight and teacher go together",)),
        ("kl_weight = 0.5", "kl_weight = 1.5", ("kl_weight is 1.5", "between 0 and 1")),
        ('reads_with = "first"\n', "", ("reads_with",)),
        ("steps = 20", "steps = 0", ("steps", "at least 1")),
        ('starts_from = "second"', 'starts_from = "third"', ("'third'", "starts_from", "no earlier stage")),
        ('starts_from = "second"', 'starts_from = "first"', ("'first'", "trains the llm, not the slm")),
        ('reads_with = "first"', 'reads_with = "second"', ("'second'", "trains the slm, not the llm")),
        ('name = "second"', 'name = "first"', ("two stages are called 'first'",)),
        ('hybrid = "third"', 'hybrid = "fourth"', ("bundle.hybrid is 'fourth'",)),
        ('hybrid = "third"', 'pair = "third"', ("bundle.pair is 'third'",)),
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
    path = recipe_file(tmp_path)
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
