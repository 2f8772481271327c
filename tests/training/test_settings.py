"""A folder belongs to one recipe, and to one training at a time: what has changed is named."""

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid.errors import RecipeError
from hybrid.training.parts import Part
from hybrid.training.recipe import Recipe
from hybrid.training.settings import SETTINGS, check_unchanged, record, stage_settings
from hybrid.training.train import train

Edit = Callable[[Recipe], Recipe]


def stage(name: str, **changes: object) -> Edit:
    def edit(recipe: Recipe) -> Recipe:
        edited = (dataclasses.replace(s, **changes) if s.name == name else s for s in recipe.stages)
        return dataclasses.replace(recipe, stages=tuple(edited))

    return edit


def data(**changes: object) -> Edit:
    return lambda recipe: dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **changes))


def whole(**changes: object) -> Edit:
    return lambda recipe: dataclasses.replace(recipe, **changes)


def refusal(recipe: Recipe) -> str:
    with pytest.raises(RecipeError) as caught:
        list(train(recipe))
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert "another output folder" in sentence
    return sentence


CHANGES: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "vocabulary": (whole(vocab_size=320), ("/out/data was", "vocab_size is 320, was 300", "delete")),
    "corpora": (lambda r: data(train=r.data.dev)(r), ("/out/data was", "data.train[0].path", "more")),
    "held-out data": (lambda r: data(dev=r.data.train)(r), ("data.dev[0].exclude[0] is 'secret'",)),
    "lengths": (data(max_source=40), ("data.max_source is 40, was 48",)),
    "seed": (whole(seed=8), ("/out/first was", "seed is 8, was 7")),
    "wider": (
        whole(llm=Part(d_model=64, d_ff=64, heads=2, layers=2, d_kv=16)),
        ("/out/first was", "llm.d_model is 64, was 32"),
    ),
    "longer": (stage("first", steps=60), ("/out/first was", "stages.first.steps is 60, was 30")),
    "the last stage alone": (stage("third", kl_weight=0.25), ("/out/third was", "is 0.25, was 0.5")),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_an_edited_recipe_is_refused_and_the_change_named(finished, name: str) -> None:
    edit, says = CHANGES[name]
    sentence = refusal(edit(finished[0]))
    for part in says:
        assert part in sentence


def test_what_no_weight_follows_from_may_change(finished) -> None:
    recipe, _ = finished
    check_unchanged(recipe)
    check_unchanged(dataclasses.replace(recipe, log_every=1, dev_every=7, checkpoint_every=9, compile=True))
    check_unchanged(dataclasses.replace(recipe, stages=recipe.stages[:1], bundle={}))  # fewer stages, or more


def test_a_corpus_that_was_edited_is_noticed(prepared_recipe: Recipe, tmp_path: Path) -> None:
    recipe = copy_of(prepared_recipe, tmp_path)
    path = Path(recipe.data.dev[0].path)
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"made\tone red boat\tein rotes Boot\n")
        assert f"sha256.{path} is" in refusal(recipe)
        path.unlink()  # a corpus that is prepared may go
        check_unchanged(recipe)
    finally:
        path.write_bytes(before)


def test_a_stage_builds_on_what_an_earlier_one_was_made_with(finished, tmp_path: Path) -> None:
    recipe = copy_of(finished[0], tmp_path)
    shutil.rmtree(recipe.out / "first")  # to train it anew, otherwise
    assert "/out/third was" in (sentence := refusal(stage("first", steps=60)(recipe)))
    assert "stages.first.steps is 60, was 30" in sentence


def test_settings_that_are_damaged_are_named(finished, tmp_path: Path) -> None:
    recipe = copy_of(finished[0], tmp_path)
    (recipe.out / "second" / SETTINGS).write_text("{", "utf-8")
    with pytest.raises(RecipeError, match=r"second/settings\.json is damaged"):
        check_unchanged(recipe)


def test_an_output_of_before_settings_were_kept_goes_on(finished, tmp_path: Path) -> None:
    recipe = copy_of(finished[0], tmp_path)
    for path in recipe.out.rglob(SETTINGS):
        path.unlink()
    check_unchanged(stage("first", steps=60)(recipe))


def test_a_stage_that_has_not_begun_may_be_edited(prepared_recipe: Recipe) -> None:
    check_unchanged(stage("first", steps=60)(prepared_recipe))
    assert json.loads((prepared_recipe.out / "data" / SETTINGS).read_text("utf-8"))["vocab_size"] == 300


# What [hybrid] and the stage say of the layers, by what is read.
READ = {
    "one": [(2, None), ((2,), None), (None, 2), (None, (2,)), (1, 2), ((1, 2), (2,))],
    "two": [((1, 2), None), (None, (1, 2)), (2, (1, 2))],
    "all": [(None, None), ("whole", None), (None, "whole"), (2, "whole"), ((1, 2), "whole")],
}


def reads(recipe: Recipe, layers: tuple[object, object]) -> Recipe:
    of_recipe, of_stage = layers
    hybrid = dataclasses.replace(recipe.hybrid, layer=of_recipe)
    return stage("third", layer=of_stage)(dataclasses.replace(recipe, hybrid=hybrid))


@pytest.mark.parametrize(("begun", "edited"), list(itertools.product(READ, repeat=2)))
def test_the_same_layers_are_the_same_however_they_are_said(
    tiny_recipe, tmp_path: Path, begun: str, edited: str
) -> None:
    recipe = tiny_recipe(tmp_path)
    (recipe.out / "third").mkdir(parents=True)
    for before, after in itertools.product(READ[begun], READ[edited]):
        first, then = reads(recipe, before), reads(recipe, after)
        record(recipe.out / "third", stage_settings(first, first.stage("third")))
        if begun == edited:
            check_unchanged(then)
        else:
            with pytest.raises(RecipeError, match=r"with: layer(\[0\])? is .*, was "):
                check_unchanged(then)


def copy_of(recipe: Recipe, folder: Path) -> Recipe:
    """The same recipe over a copy of its output."""
    shutil.copytree(recipe.out, folder / "out")
    return dataclasses.replace(recipe, output=str(folder / "out"))


def test_a_folder_is_trained_into_by_one_at_a_time(
    tiny_recipe: Callable[[Path], Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(tmp_path)
    first = train(recipe)
    next(first)
    assert str(recipe.out) in refusal(recipe)
    first.close()
    assert next(train(recipe)).kind == "start"
