"""A pair of pretrained models in folders: tuned LLM, SLM alone, hybrid, and a bundle that the engines run."""

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid.engines.generation import until
from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import RecipeError
from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import file_sha256
from hybrid.models.pair_files import dequantize
from hybrid.models.reading import SpreadReader, read_states
from hybrid.schema import SYSTEMS, TASKS, Sampling
from hybrid.training.data import prepare
from hybrid.training.distillation import greedy_answers
from hybrid.training.evaluate import CONTROLS, quality, read_tables
from hybrid.training.export import stage_bundle
from hybrid.training.models import build_model, trained
from hybrid.training.recipe import Recipe, load_recipe
from hybrid.training.sources import check_fits
from hybrid.training.train import train
from tests.training.any_pair import T5_WRITER, write_model, write_recipe


def test_one_command_gives_all_stages_and_a_bundle(trained_pair) -> None:
    recipe, events = trained_pair
    done = [event.stage for event in events if event.kind == "done"]
    assert done == ["llm", "start", "slm", "hybrid"]
    dev = [e.values["cross_entropy"] for e in events if e.stage == "llm" and e.kind == "dev"]
    assert dev[-1] < dev[0]
    names = load_file(recipe.out / "hybrid" / "checkpoint" / "model.safetensors").keys()
    assert {"projector.shift", "projector.gain", "bridge.weight"} <= names
    assert not any(name.startswith("llm.") for name in names)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_engines_run_the_bundle(trained_pair, system) -> None:
    _, events = trained_pair
    bundle = load_bundle("any", Path(events[-1].values["folder"]).parent)
    assert list(bundle.manifest["tasks"]) == ["translate-en-de", "shorten"]
    if system in bundle.models:
        codec = bundle.codec(system)
        steps = TorchEngine(bundle, system).generate(codec.encode("shorten", ["one old house"]), Sampling(6))
        ids = [number for step in steps for row in step.token_ids for number in row]
        assert 1 <= len(ids) <= 6
        assert isinstance(codec.decode(ids), str)


def test_stages_and_controls_are_scored(trained_pair) -> None:
    recipe, _ = trained_pair
    bundle = stage_bundle(recipe, ["llm", "slm", "hybrid"])
    tables = read_tables([Path(recipe.data.dev[0].path)], limit=3)
    rows = list(
        quality(bundle, tables, TASKS["translate-en-de"], ["llm", "slm", "hybrid"], tuple(CONTROLS), 6)
    )
    assert [row.system for row in rows] == ["llm", "slm", "hybrid", *CONTROLS.values()]
    with pytest.raises(RecipeError, match="'start' trains the slm, as another one does"):
        stage_bundle(recipe, ["slm", "start"])


def test_kl_between_two_vocabularies_is_refused_with_both_sizes(trained_pair) -> None:
    recipe, _ = trained_pair
    stage = dataclasses.replace(recipe.stage("hybrid"), teacher="llm", kl_weight=0.5)
    with pytest.raises(RecipeError, match="teacher has 320 ids, the student 290") as caught:
        build_model(recipe, stage)
    assert "answers_of" in str(caught.value)


def test_a_stage_may_read_the_whole_llm_where_the_recipe_names_a_layer(trained_pair) -> None:
    recipe, _ = trained_pair
    assert recipe.hybrid.layer == 2
    path = recipe.out.parent / "whole.toml"
    text = (recipe.out.parent / "recipe.toml").read_text("utf-8")
    path.write_text(text.replace("layer = [1, 3]", 'layer = "whole"'), "utf-8")
    recipe = load_recipe(path)
    check_fits(recipe)
    pair = build_model(recipe, recipe.stage("hybrid"))[0]
    llm, ids = trained(recipe, "llm"), torch.tensor([[5, 6, 7, 8]])
    expected = llm.base_model(ids).last_hidden_state  # after its final norm
    assert torch.equal(read_states(pair.llm, pair.config.layer, input_ids=ids), expected)


def test_a_teachers_answers_end_with_any_of_its_ends(trained_pair) -> None:
    recipe, _ = trained_pair
    sources = [list(range(3, n)) for n in (8, 12, 20)]
    bundle, references = stage_bundle(recipe, ["pretrained"]), [[5] * 12] * 3
    generate = partial(bundle.model("llm").generate, max_new_tokens=12, do_sample=False)
    alone = [generate(torch.tensor([ids]))[0, len(ids) :] for ids in sources]
    ends = (0, int(alone[0][4]), int(alone[1][2]))
    tokenizers = bundle.manifest["tokenizers"]
    manifest = {
        **bundle.manifest,
        "tokenizers": tokenizers | {"llm": tokenizers["llm"] | {"more_eos_ids": ends[1:]}},
    }
    answers = greedy_answers(
        dataclasses.replace(bundle, manifest=manifest), sources, references, 12, torch.device("cpu")
    )
    for ids, answer in zip(alone, answers, strict=True):
        until_end = until(ends, ids.tolist())
        assert answer == ([*until_end[:-1], 0] if until_end[-1] in ends else [])


@pytest.mark.parametrize("llm_family", ["llama", "opt"])
def test_a_family_without_a_file_answers_too(tmp_path: Path, llm_family: str) -> None:
    recipe = load_recipe(write_recipe(tmp_path, llm_family=llm_family))
    prepare(recipe)
    bundle, sources = stage_bundle(recipe, ["pretrained"]), [list(range(3, n)) for n in (8, 12, 12)]
    answers = greedy_answers(bundle, sources, [[5] * 40] * 3, 60, torch.device("cpu"))
    for ids, answer in zip(sources, answers, strict=True):
        whole = bundle.model("llm").generate(torch.tensor([ids]), max_new_tokens=60, do_sample=False)
        new = whole[0, len(ids) :].tolist()
        assert answer == (new[: new.index(0) + 1] if 0 in new else [])


@pytest.mark.parametrize(
    ("slm", "family"),
    [
        (T5_WRITER.replace("d_kv = 8\n", "") + '\nfamily = "gpt2"', "gpt2"),
        (T5_WRITER + '\nfamily = "llama"', "llama"),
    ],
)
def test_a_new_decoder_only_slm_of_sizes(tmp_path: Path, slm: str, family: str) -> None:
    recipe = load_recipe(write_recipe(tmp_path, slm))
    events = list(train(recipe, ["llm", "start", "hybrid"]))
    assert [event.stage for event in events if event.kind == "done"] == ["llm", "start", "hybrid"]
    pair = build_model(recipe, recipe.stage("hybrid"))[0]
    assert pair.slm.config.model_type == family
    weights = sum(w.numel() for name, w in pair.slm.named_parameters() if w.ndim == 2 and "wpe" not in name)
    assert weights == recipe.slm.shape.parameters(290)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_llm_that_is_only_read_may_be_spread_or_of_16_bits(tmp_path, monkeypatch, dtype) -> None:
    """What is trained beside it is the same where it is spread, here over the CPU and the disk."""
    recipe = load_recipe(untouched(tmp_path))
    assert recipe.llm.reference is not None
    trained_weights = []
    for name, spread in (("one", False), ("several", True)):
        llm = dataclasses.replace(recipe.llm, dtype=dtype)
        own = dataclasses.replace(recipe, llm=llm, output=str(tmp_path / name), bundle={})
        bytes_of = sum(file.stat().st_size for file in (tmp_path / "llm").glob("*.safetensors"))
        room = bytes_of * (1 if dtype == "bfloat16" else 2) // 3
        monkeypatch.setattr("hybrid.training.models.spreads", lambda *_, spread=spread: spread)
        monkeypatch.setattr(
            "hybrid.models.references.loading._place", lambda *a: "auto" if a[2] == "auto" else "cpu"
        )
        monkeypatch.setattr(
            "hybrid.models.references.loading.free_gpu_bytes", lambda room=room: {"cpu": room}
        )
        list(train(own))
        pair = trained(own, "hybrid")
        assert isinstance(pair.llm, SpreadReader) is spread
        if not spread:
            assert pair.llm.dtype == getattr(torch, dtype)
        trained_weights.append(pair.trainable())
    one, several = trained_weights
    assert {str(weight.dtype) for weight in one.values()} == {"torch.float32"}
    for key, weight in one.items():
        torch.testing.assert_close(weight, several[key], rtol=1e-3, atol=1e-4)


def test_an_untouched_llm_and_a_decoder_only_slm(tmp_path: Path) -> None:
    recipe: Recipe = load_recipe(untouched(tmp_path))
    events = list(train(recipe))
    assert [e.stage for e in events if e.kind == "done"] == ["start", "hybrid"]
    folder = Path(events[-1].values["folder"])
    about = json.loads((folder / "pair.json").read_text("utf-8"))["llm"]
    assert about["reference"].endswith("/llm")
    assert "model.safetensors" in about["files"]
    pair = load_bundle("any", folder.parent).hybrid
    ids = torch.tensor([[40, 41, 42]])
    assert pair.generate(ids, torch.ones_like(ids), max_new_tokens=3, do_sample=False).shape[1] <= 3


def test_a_pair_that_ships_holds_an_llm_that_no_stage_has_trained(tmp_path: Path) -> None:
    """Its weights are those of the base, as rows of 8 bits; where they are from stands in pair.json."""
    path = untouched(tmp_path)
    weights = tmp_path / "llm" / "model.safetensors"
    digest, text = file_sha256(weights), path.read_text("utf-8")
    text = text.replace('/llm"\n', f'/llm"\nsha256 = "{digest}"\n', 1)
    path.write_text(f"store_llm = true\n{text}", "utf-8")
    *_, last = train(load_recipe(path))
    folder = Path(last.values["folder"])
    shutil.rmtree(tmp_path / "llm")
    manifest = json.loads((folder / "pair.json").read_text("utf-8"))
    assert "llm" not in manifest
    base = manifest["about"]["bases"]["llm"]
    assert (base["from"].endswith("/llm"), base["sha256"]) == (True, {"model.safetensors": digest})
    pair = load_bundle("any", folder.parent)
    stored = load_file(folder / "llm" / "model.safetensors")
    for name, tensor in dequantize(stored).items():
        assert torch.equal(pair.model("llm").state_dict()[name], tensor)


def test_a_base_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    path, pin = write_recipe(tmp_path), "ab" * 32
    text = path.read_text("utf-8").replace('/llm"\n', f'/llm"\nsha256 = "{pin}"\n', 1)
    path.write_text(text, "utf-8")
    digest = file_sha256(tmp_path / "llm" / "model.safetensors")
    with pytest.raises(RecipeError) as caught:
        list(train(load_recipe(path)))
    assert f"the SHA-256 of model.safetensors is {digest[:12]}…, the recipe has {pin[:12]}…; " in str(
        caught.value
    )
    assert not (tmp_path / "out").exists()


def untouched(tmp_path: Path) -> Path:
    """A recipe whose LLM is only read, with a decoder-only SLM."""
    path = write_recipe(tmp_path, 'from = "{folder}/slm"')
    write_model(tmp_path / "slm", "gpt2", 16, 2, seed=1)
    head, _, rest = path.read_text("utf-8").partition("[[stages]]")
    stages = [f"[[stages]]{part}" for part in rest.split("[bundle]")[0].split("[[stages]]")]
    hybrid = stages[3].replace('"llm"', '"pretrained"').replace("answers = 16\n", "").replace(
        'answers_of = "pretrained"\n', "")  # fmt: skip
    bundle = '[bundle]\nllm = "pretrained"\nslm = "start"\nhybrid = "hybrid"\n'
    alone = stages[1] + 'starts_from = "pretrained"\n'
    path.write_text(head + alone + hybrid + bundle, "utf-8")
    return path


def test_a_reference_that_is_none_is_named(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    path.write_text(path.read_text("utf-8").replace('/llm"', '/nothing"'), "utf-8")
    with pytest.raises(RecipeError, match=r"\[llm\] from = '.*/nothing'"):
        list(train(load_recipe(path)))
