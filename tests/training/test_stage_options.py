"""A mean of the weights, patience and a limit of time: what ends a stage, and what it leaves behind."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid.errors import RecipeError
from hybrid.models.manifest import blocks_in
from hybrid.training.models import trained
from hybrid.training.recipe import Recipe, load_recipe
from hybrid.training.sources import check_fits
from hybrid.training.stage_run import StageRun
from hybrid.training.train import train
from tests.training.any_pair import write_recipe

Make = Callable[..., Recipe]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a recipe of the tiny LLM's stage alone, with these settings of the stage."""

    def build(name: str = "one", **settings: object) -> Recipe:
        recipe = load_recipe(write_recipe(tmp_path / name))
        stage = dataclasses.replace(recipe.stage("llm"), **{"steps": 12, "tokens_per_step": 320} | settings)
        return dataclasses.replace(recipe, stages=(stage,), bundle={}, dev_every=4, checkpoint_every=4)

    return build


def weights(recipe: Recipe, name: str) -> dict[str, torch.Tensor]:
    return load_file(recipe.out / "llm" / "checkpoint" / f"{name}.safetensors")


def test_a_killed_stage_goes_on_to_the_same_mean(make: Make) -> None:
    whole, killed = make("whole"), make("killed")
    events = list(train(whole))
    again = []
    while not again or again[-1].kind != "done":
        run = train(killed)
        for event in run:
            again.append(event)
            if event.kind == "checkpoint" and event.step < 12:
                run.close()
    assert [e.values["objective"] for e in again if e.kind == "dev"] == [
        e.values["objective"] for e in events if e.kind == "dev"
    ]
    for name in ("model", "mean"):
        expected, resumed = weights(whole, name), weights(killed, name)
        assert all(torch.equal(resumed[key], tensor) for key, tensor in expected.items())
    used = trained(whole, "llm").get_input_embeddings().weight
    assert torch.equal(used, weights(whole, "mean")["model.embed_tokens.weight"])


def test_a_stage_without_progress_ends_with_its_best_weights(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, objectives = make(patience=2, steps=100, ema=0.0), iter([3.0, 2.0, 2.5, 2.2])
    losses = StageRun.dev_losses

    def worse(run: StageRun) -> dict[str, float]:
        return losses(run) | {"objective": next(objectives)}

    monkeypatch.setattr(StageRun, "dev_losses", worse)
    events = list(train(recipe))
    assert (events[-1].kind, events[-1].step) == ("done", 16)
    best, last = weights(recipe, "best"), weights(recipe, "model")
    name = "model.embed_tokens.weight"
    assert not torch.equal(best[name], last[name])
    assert torch.equal(trained(recipe, "llm").get_input_embeddings().weight, best[name])


def test_a_limit_of_time_ends_a_stage_for_good(make: Make) -> None:
    recipe = make(max_seconds=0.01, steps=1000)
    events = list(train(recipe))
    assert [event.kind for event in events] == ["start", "progress", "dev", "checkpoint", "done"]
    assert events[-1].step == 1
    assert list(train(recipe)) == []


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("layer = 2", "layer = 9", "layer is 9; the LLM has blocks 1 to 3"),
        ("layer = [1, 3]", "layer = [1, 9]", "layer is 9; the LLM has blocks 1 to 3"),
        ("max_source = 96", "max_source = 500", "max_source is 500; the llm reads 256 tokens at the most"),
        ("row_tokens = 160", "row_tokens = 300", "row_tokens is 300; the llm reads 256 tokens at the most"),
        ("[96, 64]", "[96, 162]", "a prompt and its answer, is 257; the llm reads 256 tokens at the most"),
    ],
)
def test_what_does_not_fit_the_models_is_refused_before_anything_is_prepared(
    tmp_path: Path, before: str, after: str, says: str
) -> None:
    path = write_recipe(tmp_path)
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(RecipeError, match=says):
        list(train(load_recipe(path)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("family", "llm", "extra", "says"),
    [
        ("t5", "layers = 2", "layer = 3", "layer is 3; the LLM has blocks 1 to 2"),
        ("t5", "layers = 2\ndecoder_layers = 6", "layer = [1, 3]", "layer is 3; the LLM has blocks 1 to 2"),
        ("gpt2", "layers = 2", "layer = 3", "layer is 3; the LLM has blocks 1 to 2"),
        ("llama", "layers = 2\nd_kv = 8", "layer = 3", "layer is 3; the LLM has blocks 1 to 2"),
        ("llama", "layers = 2\nd_kv = 8", "layer = 2", ""),
    ],
)
def test_a_layer_that_a_new_llm_will_lack_is_refused_before_it_is_trained(
    tmp_path: Path, family: str, llm: str, extra: str, says: str
) -> None:
    sizes = f'family = "{family}"\nd_model = 16\nd_ff = 32\nheads = 2\n{llm}'
    path = write_recipe(tmp_path)
    text = path.read_text("utf-8").replace(f'from = "{tmp_path.as_posix()}/llm"', sizes)
    text = text.replace('name = "any"', 'name = "any"\nvocab_size = 300')
    text = text.replace("layer = [1, 3]", "").replace("layer = 2", extra)
    path.write_text(text, "utf-8")
    recipe = load_recipe(path)
    if not says:
        check_fits(recipe)
        return
    with pytest.raises(RecipeError, match=says):
        list(train(recipe))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("max_source = 96", "max_source = 1100", "max_source is 1100; the slm reads 1024"),
        ("[96, 64]", "[96, 1000]", "a prompt and its answer, is 1095; the slm reads 1024"),
        ("row_tokens = 160", "row_tokens = 2000", "row_tokens is 2000; the slm reads 1024"),
    ],
)
def test_texts_that_a_new_model_has_no_positions_for_are_refused(
    tmp_path: Path, before: str, after: str, says: str
) -> None:
    writer = 'family = "gpt2"\nvocab_size = 290\nd_model = 16\nd_ff = 32\nheads = 2\nlayers = 1'
    path = write_recipe(tmp_path, slm=writer, llm_family="t5")
    path.write_text(path.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(RecipeError, match=says):
        check_fits(load_recipe(path))


def test_the_blocks_of_a_config_are_those_of_what_reads() -> None:
    t5gemma = {"encoder": {"num_hidden_layers": 4}, "decoder": {"num_hidden_layers": 2}}
    assert blocks_in(t5gemma) == 4
    assert blocks_in({"encoder_layers": 3, "num_hidden_layers": 12, "decoder_layers": 12}) == 3
    assert blocks_in({"n_layer": 5}) == 5
