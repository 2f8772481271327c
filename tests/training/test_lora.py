"""Adapters of a small rank: what is trained, what a checkpoint holds, and that a plain model comes out."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import RecipeError
from hybrid.models.bundle import load_bundle
from hybrid.schema import EncodedPrompt, Sampling
from hybrid.training import lora
from hybrid.training.models import build_model, trainable, trained
from hybrid.training.recipe import Recipe, load_recipe
from hybrid.training.train import train
from tests.models.tiny import tiny_model
from tests.training.any_pair import write_model, write_recipe

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])
ADAMW = 'optimizer = "adamw"\nlr = 0.01\n'


def recipe_of(tmp_path: Path, slm: str = "gpt2", rank: int | None = 4) -> Recipe:
    """An SLM alone that starts from a pretrained one, and a hybrid from it; adapters of both."""
    path = write_recipe(tmp_path, 'from = "{folder}/slm"')
    write_model(tmp_path / "slm", slm, 16, 2, seed=1)
    recipe = load_recipe(path)
    start, hybrid = recipe.stage("start"), recipe.stage("hybrid")
    changes = {"optimizer": "adamw", "lr": 0.01, "lora": rank}
    alone = dataclasses.replace(start, starts_from="pretrained", steps=20, warmup_steps=2, **changes)
    links = {"starts_from": "start", "reads_with": "pretrained", "answers_of": None, "answers": None}
    both = dataclasses.replace(hybrid, **changes, **links)
    bundle = {"llm": "pretrained", "slm": "start", "hybrid": "hybrid"}
    return dataclasses.replace(recipe, stages=(alone, both), bundle=bundle)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
def test_adapters_change_nothing_until_they_are_trained_and_nothing_once_they_are_merged(family):
    pytest.importorskip("peft")
    model = tiny_model(family)
    more = {"decoder_input_ids": IDS} if model.config.is_encoder_decoder else {}
    names = list(model.state_dict())

    def logits() -> torch.Tensor:
        with torch.inference_mode():
            return model(input_ids=IDS, **more).logits

    before = logits()
    lora.add_adapters(model, 4)
    torch.testing.assert_close(logits(), before)
    adapters = trainable(model)
    assert adapters
    assert all(lora.ADAPTER in name for name in adapters)
    with torch.no_grad():
        for weight in adapters.values():
            weight.normal_(std=0.1)
    changed = logits()
    assert not torch.allclose(changed, before, atol=1e-3)
    lora.merge_adapters(model)
    assert list(model.state_dict()) == names
    torch.testing.assert_close(logits(), changed, rtol=1e-4, atol=1e-4)
    assert trainable(model).keys() == dict(model.named_parameters()).keys()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    pytest.importorskip("peft")
    recipe = recipe_of(tmp_path_factory.mktemp("lora"))
    events = list(train(recipe))
    assert [e.stage for e in events if e.kind == "done"] == ["start", "hybrid"]
    dev = [e.values["cross_entropy"] for e in events if e.kind == "dev" and e.stage == "start"]
    assert dev[-1] < dev[0]
    return recipe, Path(events[-1].values["folder"])


def test_a_checkpoint_holds_the_adapters_alone(finished):
    recipe, _ = finished
    tensors = load_file(recipe.out / "start" / "checkpoint" / "model.safetensors")
    assert all(lora.ADAPTER in name for name in tensors)
    own = load_file(recipe.out / "hybrid" / "checkpoint" / "model.safetensors")
    others = {name.partition(".")[0] for name in own if lora.ADAPTER not in name}
    assert others == {"projector", "bridge"}


def test_the_bundle_is_of_plain_models_that_engines_run(finished):
    recipe, folder = finished
    manifest = json.loads((folder / "pair.json").read_text("utf-8"))
    bundle = load_bundle(folder.name, folder.parent)
    for name, stage in (("slm", "start"), ("hybrid", "hybrid")):
        plain = trained(recipe, stage)
        assert not any(lora.ADAPTER in key for key in plain.state_dict())
        parts = dict(bundle.model(name).named_parameters())
        for key, weight in plain.named_parameters():
            assert torch.allclose(parts[key], weight, atol=0.05), key  # int8 rows
        steps = TorchEngine(bundle, name).generate(
            [EncodedPrompt((40, 41, 42))], Sampling(4, ignore_eos=True)
        )
        assert sum(len(row) for step in steps for row in step.token_ids) == 4
    first = sum(weight.numel() for weight in trained(recipe, "start").parameters())
    assert manifest["parameters"]["slm"] == first


def test_a_later_stage_starts_from_the_merged_model(finished):
    recipe, _ = finished
    start, (student, _) = trained(recipe, "start"), build_model(recipe, recipe.stage("hybrid"))
    base = {name.replace(".base_layer", ""): weight for name, weight in student.slm.named_parameters()}
    for name, weight in start.named_parameters():
        assert torch.equal(base[name], weight)


def test_killed_it_goes_on_with_its_adapters(tmp_path, finished):
    recipe, _ = finished
    again = dataclasses.replace(recipe, output=str(tmp_path), stages=recipe.stages[:1], bundle={})
    while (events := list(train(again, stop_after=0))) and events[-1].kind == "stopped":
        pass
    weights = [trained(r, "start").state_dict() for r in (again, recipe)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name])


def test_without_the_package_it_is_a_sentence(tmp_path, monkeypatch):
    recipe = recipe_of(tmp_path)
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(
        RecipeError, match=r"'start' has lora = 4, and the package peft .*hybrid-bench\[lora\]"
    ):
        list(train(recipe))
    assert not (tmp_path / "out" / "data").exists()


def test_adapters_go_with_adamw(tmp_path):
    stage = recipe_of(tmp_path).stages[0]
    with pytest.raises(ValueError, match="lora goes with optimizer"):
        dataclasses.replace(stage, optimizer="muon")
