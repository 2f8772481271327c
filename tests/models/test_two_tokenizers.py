"""Pairs of two tokenizers on disk: what is written comes back, and reads and writes with the right one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from hybrid.errors import EngineError, InputError, PairError
from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import available_pairs, models_of_pair, one_tokenizer, tasks_of, write_manifest
from hybrid.models.pair import Hybrid
from hybrid.models.references import Checkpoint, load_model, resolve
from hybrid.models.sources import ZooSource
from hybrid.models.writing import ModelTexts, save_pair, texts_of
from hybrid.schema import PromptFormat, Task
from tests.models.two_tokenizers import (
    ABOUT,
    CHAT,
    KINDS,
    LIMIT,
    OWN,
    TASKS_OF_PAIR,
    model_for,
    save_any_pair,
    texts_for,
)

TEXT = "Das alte Haus."
HYBRIDS = [
    ("llama", "gpt2", {"layer": 1, "standardize": True}),
    ("llama", "t5", {"layer": None}),
    ("t5", "gpt2", {"fusion": "replace"}),
]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("zoo")
    for llm, slm, hybrid in HYBRIDS:
        save_any_pair(root / f"{llm}-{slm}", llm, slm, **hybrid)
    return root


@pytest.mark.parametrize(("llm", "slm", "hybrid"), HYBRIDS)
def test_a_pair_comes_back(zoo, llm, slm, hybrid):
    name = f"{llm}-{slm}"
    bundle = load_bundle(name, zoo)
    assert bundle.models.keys() == {"llm", "slm", "hybrid"}
    config = bundle.hybrid.config
    settings = {"layer": None, "fusion": "add", "standardize": False, "bridge": True} | hybrid
    assert {key: getattr(config, key) for key in settings} == settings
    assert (type(bundle.hybrid).__name__ == "HybridForCausalLM") == (slm == "gpt2")
    (prompt,) = bundle.codec("hybrid").encode(OWN, [TEXT])
    ids = torch.tensor([prompt.token_ids])
    for role, model in bundle.models.items():
        assert not model.training
        if role == "hybrid":
            alone = load_bundle(name, zoo, models=["hybrid"]).hybrid
            with torch.inference_mode():
                torch.testing.assert_close(
                    alone.read(ids, torch.ones_like(ids)), model.read(ids, torch.ones_like(ids))
                )
                written = [
                    pair.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
                    for pair in (alone, model)
                ]
            assert torch.equal(*written)


def test_each_method_reads_and_writes_with_its_own_tokenizer(zoo):
    bundle = load_bundle("llama-gpt2", zoo, models=())
    llm, slm = (bundle.tokenizers[role] for role in ("llm", "slm"))
    for method, reader, writer in (("llm", llm, llm), ("slm", slm, slm), ("hybrid", llm, slm)):
        codec = bundle.codec(method)
        assert (codec.reader, codec.writer) == (reader, writer)
        assert codec.eos_id == writer.eos_token_id
        known = CHAT if reader is llm else PromptFormat("Into French: ")
        whole = known.before + TEXT + known.after
        (prompt,) = codec.encode(OWN, [TEXT])
        assert list(prompt.token_ids) == reader.encode(whole, add_special_tokens=False)
        assert bundle.codec(method) is codec
    with pytest.raises(InputError, match=f"available: {OWN}, simplify"):
        bundle.codec("llm").encode("summarize", [TEXT])
    source = ZooSource("llama-gpt2", zoo)
    assert source.codec("hybrid").encode(OWN, [TEXT]) == bundle.codec("hybrid").encode(OWN, [TEXT])
    assert source.codec("hybrid").reader_pad_id == llm.pad_token_id
    assert source.codec("hybrid").pad_id == slm.pad_token_id


def test_an_llm_does_not_verify_the_ids_of_another_tokenizer(zoo, tmp_path):
    bundle = load_bundle("llama-gpt2", zoo, models=())
    for method in ("lossless", "lossless-slm"):
        with pytest.raises(EngineError, match=r"needs one tokenizer.*llama-gpt2.*: llm, slm, hybrid"):
            bundle.codec(method)
    assert bundle.codec("lossless-lookup") is bundle.codec("llm")
    manifest = save_any_pair(tmp_path / "same", "llama", "llama")
    assert one_tokenizer(manifest)
    assert manifest["tokenizers"]["llm"]["file"] == "tokenizer.json"
    same = load_bundle("same", tmp_path, models=())
    assert same.tokenizers["llm"] is same.tokenizers["slm"]
    assert same.codec("lossless").reader is same.tokenizers["llm"]


def test_its_tasks_are_its_own(zoo):
    (manifest, *_) = available_pairs(zoo).values()
    assert tasks_of(manifest) == {task.name: task for task in TASKS_OF_PAIR}
    assert list(manifest["tasks"]) == [task.name for task in TASKS_OF_PAIR]
    assert manifest["about"] == ABOUT
    assert manifest["max_prompt_tokens"] == LIMIT


def test_what_a_kill_in_the_midst_of_an_export_leaves_is_the_older_pair(tmp_path, monkeypatch):
    zoo, killed = tmp_path / "zoo", tmp_path / "killed"
    zoo.mkdir()
    older = save_any_pair(zoo / "any")

    def copied(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        written = write_manifest(
            folder, manifest
        )  # all of the pair is there, and has not yet taken its place
        shutil.copytree(zoo, killed)
        return written

    monkeypatch.setattr("hybrid.models.writing.write_manifest", copied)
    save_any_pair(zoo / "any")
    monkeypatch.undo()
    assert len([path for path in killed.iterdir() if path.is_dir()]) == 2
    assert available_pairs(killed) == {"any": older}
    load_bundle("any", killed)
    manifest = save_any_pair(killed / "any")
    assert available_pairs(killed) == {"any": manifest}
    assert [path.name for path in killed.iterdir() if path.is_dir()] == ["any"]


def test_a_hybrid_may_not_be_trained_yet(tmp_path):
    texts = {"llm": texts_for("llama", tmp_path), "slm": texts_for("gpt2", tmp_path)}
    models = {
        "llm": model_for("llama", KINDS["llama"][0](), 32, 1),
        "slm": model_for("gpt2", KINDS["gpt2"][0](), 16, 2),
    }
    manifest = save_pair(tmp_path / "zoo" / "new", texts, TASKS_OF_PAIR, models, LIMIT, {})
    assert models_of_pair(manifest) == ("llm", "slm")
    assert load_bundle("new", tmp_path / "zoo").models.keys() == {"llm", "slm"}
    with pytest.raises(PairError, match=r"hybrid of new does not exist yet.*there is its llm and slm"):
        load_bundle("new", tmp_path / "zoo", models=["hybrid"])


def test_a_task_has_any_name_but_one_that_says_another_translation(tmp_path):
    def save(task: Task) -> None:
        formats = {task.name: PromptFormat("x ")}
        path = texts_for("gpt2", tmp_path).tokenizer
        texts = ModelTexts(tokenizer=path, eos="<|endoftext|>", pad="<|endoftext|>", formats=formats)
        models = dict.fromkeys(("llm", "slm"), model_for("gpt2", KINDS["gpt2"][0](), 16, 2))
        save_pair(tmp_path / "zoo" / "p", {"llm": texts, "slm": texts}, [task], models, LIMIT, {})

    for name, target, kind, right in (
        ("translate-en-de", "fr", "translation", "call it translate-en-fr"),
        ("translate-en-fr", "en", "summary", "without translate-"),
        ("translate-en-fr", "fr", "summary", "without translate-"),
        ("../up", "en", "summary", "no name"),
    ):
        with pytest.raises(PairError, match=right):
            save(Task(name, "label", "x ", "en", target, kind=kind))
    assert not (tmp_path / "zoo").exists()
    for name, target, kind in (
        ("translate-en-fr-formal", "fr", "translation"),
        ("translate-en-en", "en", "translation"),
        ("to-french", "fr", "translation"),
        ("brief", "zh", "summary"),
        ("summarize", "de", "summary"),
    ):
        save(task := Task(name, "label", "x ", "en", target, kind=kind))
        bundle = load_bundle("p", tmp_path / "zoo", models=())
        assert bundle.codec("llm").tasks == {name: task}


def test_a_task_of_an_older_pair_is_what_its_name_says(zoo):
    (manifest, *_) = available_pairs(zoo).values()
    older = {name: {k: v for k, v in own.items() if k != "kind"} for name, own in manifest["tasks"].items()}
    kinds = {name: task.kind for name, task in tasks_of(manifest | {"tasks": older}).items()}
    assert kinds == {OWN: "translation", "simplify": "summary", "brief": "summary"}


@pytest.fixture
def elsewhere(tmp_path) -> dict[str, Checkpoint]:
    """A Llama and a GPT-2 in folders of their own."""
    for family in ("llama", "gpt2"):
        folder = tmp_path / family
        folder.mkdir()
        KINDS[family][0]().save(str(folder / "tokenizer.json"))
        eos = KINDS[family][0]().token_to_id(KINDS[family][1])
        model_for(family, KINDS[family][0](), 32, 1, eos_token_id=eos).save_pretrained(folder)
    return {role: resolve(str(tmp_path / name)) for role, name in (("llm", "llama"), ("slm", "gpt2"))}


def test_models_that_lie_elsewhere_are_referred_to(tmp_path, elsewhere):
    models = elsewhere
    texts = {role: texts_of(checkpoint, TASKS_OF_PAIR) for role, checkpoint in models.items()}
    assert (texts["llm"].eos, texts["slm"].pad) == ("<|im_end|>", "<|endoftext|>")
    manifest = save_pair(tmp_path / "zoo" / "far", texts, TASKS_OF_PAIR, models, LIMIT, {})
    assert manifest["llm"]["files"] == models["llm"].sha256
    assert not list((tmp_path / "zoo").rglob("*.safetensors"))
    bundle = load_bundle("far", tmp_path / "zoo")
    (prompt,) = bundle.codec("slm").encode(OWN, [TEXT])
    assert (
        bundle.slm.generate(torch.tensor([prompt.token_ids]), max_new_tokens=3, do_sample=False).shape[1] > 3
    )
    hashes = {role: ZooSource("far", tmp_path / "zoo").weights_sha256(role) for role in ("llm", "slm")}
    weights = next((tmp_path / "llama").glob("*.safetensors"))
    eos = models["llm"].config["eos_token_id"]
    model_for("llama", KINDS["llama"][0](), 32, 9, eos_token_id=eos).save_pretrained(tmp_path / "llama")
    with pytest.raises(PairError, match=r"model\.safetensors.*changed"):
        load_bundle("far", tmp_path / "zoo", models=["llm"])
    path = tmp_path / "zoo" / "far" / "pair.json"
    changed = json.loads(path.read_text("utf-8"))
    changed["llm"]["files"][weights.name] = "0" * 64
    write_manifest(path.parent, changed)
    again = ZooSource("far", tmp_path / "zoo")
    assert again.weights_sha256("llm") != hashes["llm"]
    assert again.weights_sha256("slm") == hashes["slm"]


def test_all_ids_that_end_an_answer_are_kept(tmp_path, elsewhere):
    """A chat model ends a turn with one id and a text with another; an older pair.json knows one alone."""
    folder = elsewhere["llm"].folder
    end, pad = (
        Tokenizer.from_file(str(folder / "tokenizer.json")).token_to_id(t) for t in KINDS["llama"][1:]
    )
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [pad, end]}), "utf-8")
    models = elsewhere | {"llm": resolve(str(folder))}
    texts = {role: texts_of(checkpoint, TASKS_OF_PAIR) for role, checkpoint in models.items()}
    assert (texts["llm"].eos, texts["llm"].more_eos_ids) == ("<|im_end|>", (pad,))
    manifest = save_pair(tmp_path / "zoo" / "far", texts, TASKS_OF_PAIR, models, LIMIT, {})
    assert "more_eos_ids" not in manifest["tokenizers"]["slm"]
    codec = load_bundle("far", tmp_path / "zoo", models=()).codec("llm")
    assert codec.eos_ids == (end, pad)
    assert codec.decode([pad, end]) == ""
    path = tmp_path / "zoo" / "far" / "pair.json"
    del manifest["tokenizers"]["llm"]["more_eos_ids"]
    path.write_text(json.dumps(manifest), "utf-8")
    assert load_bundle("far", tmp_path / "zoo", models=()).codec("llm").eos_ids == (end,)


def test_a_hybrid_reads_with_an_llm_that_lies_elsewhere(tmp_path, elsewhere):
    texts = {role: texts_of(checkpoint, TASKS_OF_PAIR) for role, checkpoint in elsewhere.items()}
    slm = model_for("gpt2", KINDS["gpt2"][0](), 32, 5)
    hybrid = Hybrid.from_parts(
        load_model(elsewhere["llm"]), slm, layer=1, bridge=True, standardize=True
    ).eval()
    models = elsewhere | {"hybrid": hybrid}
    manifest = save_pair(tmp_path / "zoo" / "far", texts, TASKS_OF_PAIR, models, LIMIT, {})
    assert models_of_pair(manifest) == ("llm", "slm", "hybrid")
    bundle = load_bundle("far", tmp_path / "zoo", models=["hybrid"])
    (prompt,) = bundle.codec("hybrid").encode(OWN, [TEXT])
    ids = torch.tensor([prompt.token_ids])
    with torch.inference_mode():
        states = [pair.read(ids, torch.ones_like(ids)) for pair in (bundle.hybrid, hybrid)]
    torch.testing.assert_close(*states)
    weights = bundle.hybrid.state_dict()
    for name, tensor in hybrid.projector.state_dict().items():
        torch.testing.assert_close(weights[f"projector.{name}"], tensor, rtol=0.01, atol=0.01)
