"""Bundles on disk: what is saved is loaded, and damage is named in one sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid.errors import PairError
from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import write_manifest
from hybrid.models.pair_files import dequantize, quantize
from hybrid.schema import SYSTEMS, Event, Status
from tests.shared_tokenizer import save_shared_pair


@pytest.fixture
def root(tiny_zoo, tmp_path) -> Path:
    """A copy of the tiny zoo that a test may damage."""
    return Path(shutil.copytree(tiny_zoo, tmp_path / "zoo"))


def failure(root: Path, name: str | None = "tiny") -> str:
    with pytest.raises(PairError) as caught:
        load_bundle(name, root)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_three_models_and_their_tokenizer_are_loaded(tiny_bundle):
    assert tiny_bundle.name == "tiny"
    assert tiny_bundle.max_prompt_tokens == 160
    assert tiny_bundle.manifest["tasks"] == ["translate-en-de", "summarize"]
    assert [tiny_bundle.model(system) for system in SYSTEMS] == [
        tiny_bundle.llm,
        tiny_bundle.slm,
        tiny_bundle.hybrid,
    ]
    for system in SYSTEMS:
        model = tiny_bundle.model(system)
        assert not model.training
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    tokenizer = tiny_bundle.tokenizers["llm"]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert (
        tokenizer.decode(tokenizer.encode("Größe, naïve 日本", add_special_tokens=False))
        == "Größe, naïve 日本"
    )


def test_parameters_are_counted_once_and_without_the_llm(tiny_bundle):
    counts = tiny_bundle.manifest["parameters"]
    llm = sum(parameter.numel() for parameter in tiny_bundle.llm.parameters())  # the tied head counts once
    assert counts["llm"] == llm
    assert counts["hybrid"] == sum(p.numel() for p in tiny_bundle.hybrid.trainable().values())


def test_the_hybrid_shares_the_llms_encoder_in_memory(tiny_bundle):
    shared = tiny_bundle.hybrid.llm.state_dict()
    own = tiny_bundle.llm.state_dict()
    assert shared
    assert all(tensor.data_ptr() == own[name].data_ptr() for name, tensor in shared.items())
    assert not any(parameter.requires_grad for parameter in tiny_bundle.hybrid.llm.parameters())


def test_ties_are_kept(tiny_bundle):
    for model in (tiny_bundle.llm, tiny_bundle.slm, tiny_bundle.hybrid.slm):
        assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_weights_are_what_int8_storage_makes_of_them(tiny_bundle, tiny_zoo):
    from safetensors.torch import load_file

    stored = load_file(tiny_zoo / "tiny" / "slm" / "model.safetensors")
    weights = {name: tensor.detach() for name, tensor in tiny_bundle.slm.named_parameters()}
    assert all(torch.equal(tensor, weights[name]) for name, tensor in dequantize(stored).items())
    assert all(
        torch.equal(tensor, stored[name]) for name, tensor in quantize(weights).items() if tensor.ndim == 2
    )


def test_only_json_and_safetensors_are_written(tiny_zoo):
    files = [path for path in (tiny_zoo / "tiny").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors"}
    listed = json.loads((tiny_zoo / "tiny" / "pair.json").read_text("utf-8"))["sha256"]
    assert len(listed) == len(files) - 1


@pytest.mark.parametrize("most", [20_000, 3_000])
def test_large_models_are_stored_in_shards(tiny_bundle, tiny_tokenizer_file, tmp_path, monkeypatch, most):
    """No file holds more tensors than that: a matrix that is larger, as embeddings are, lies in slices."""
    from hybrid.models import pair_files

    monkeypatch.setattr(pair_files, "SHARD_BYTES", most)
    models = {system: tiny_bundle.model(system) for system in SYSTEMS}
    save_shared_pair(tmp_path / "again", tiny_tokenizer_file, models, 160, {})
    shards = [load_file(path) for path in (tmp_path / "again" / "llm").glob("model-*.safetensors")]
    assert len(shards) > 2
    assert max(sum(tensor.nbytes for tensor in shard.values()) for shard in shards) <= most
    again = load_bundle("again", tmp_path).llm.state_dict()
    for name, tensor in tiny_bundle.llm.state_dict().items():
        torch.testing.assert_close(again[name], tensor)


def test_a_bundle_that_cannot_be_written_leaves_the_one_before(
    tiny_bundle, root, tiny_tokenizer_file, monkeypatch
):
    from hybrid.models import writing

    def full(folder: Path, state: dict[str, torch.Tensor]) -> None:
        save_weights(folder, state)
        if folder.name == "hybrid":
            raise OSError(28, "No space left on device")

    save_weights = writing.save_weights
    models = {system: tiny_bundle.model(system) for system in SYSTEMS}
    (root / "tiny" / "llm" / "README.md").write_text("A card.", "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(writing, "save_weights", full)
        with pytest.raises(OSError, match="No space left"):
            save_shared_pair(root / "tiny", tiny_tokenizer_file, models, 99, {})
    assert load_bundle("tiny", root).max_prompt_tokens == 160
    save_shared_pair(root / "tiny", tiny_tokenizer_file, models, 99, {})
    assert load_bundle("tiny", root).max_prompt_tokens == 99
    assert (root / "tiny" / "llm" / "README.md").read_text("utf-8") == "A card."
    assert [path.name for path in root.iterdir()] == ["tiny"]


def test_the_first_pair_is_the_default_and_progress_is_told(tiny_zoo):
    events: list[Event] = []
    assert load_bundle(root=tiny_zoo, observer=events.append).name == "tiny"
    parts = ("tokenizer", "LLM", "SLM", "hybrid")
    assert events == [Status(sentence=f"Reading the {part}") for part in parts]


@pytest.mark.parametrize("system", SYSTEMS)
def test_only_the_wanted_systems_are_loaded(system, tiny_zoo, tiny_bundle):
    alone = load_bundle(root=tiny_zoo, models=[system])
    assert list(alone.models) == [system]
    expected = tiny_bundle.model(system).state_dict()
    weights = alone.model(system).state_dict()
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], tensor) for name, tensor in expected.items())
    with pytest.raises(KeyError):
        _ = alone.model("slm" if system == "llm" else "llm")


def test_the_hybrid_alone_reads_the_encoder_of_the_llm_and_not_its_decoder(tiny_zoo, monkeypatch):
    from hybrid.models import pair_files

    read: list[str] = []
    dequantize = pair_files.dequantize
    monkeypatch.setattr(pair_files, "dequantize", lambda packed: read.extend(packed) or dequantize(packed))
    alone = load_bundle(root=tiny_zoo, models=["hybrid"])
    assert any(name.startswith("encoder.") for name in read)
    assert not any(name.startswith("decoder.") for name in read)
    assert not any(parameter.requires_grad for parameter in alone.hybrid.llm.parameters())


def test_an_unknown_pair_lists_the_available(root, tmp_path):
    assert failure(root, "huge") == "There is no pair 'huge'; available: tiny."
    nowhere = tmp_path / "nowhere"
    assert failure(nowhere, None) == f"There are no pairs in {nowhere}."


@pytest.mark.parametrize(
    "file", ["tokenizer.json", "llm/config.json", "slm/model.safetensors", "hybrid/model.safetensors"]
)
def test_a_changed_file_is_named(root, file):
    path = root / "tiny" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    message = failure(root)
    assert f"tiny/{file} is damaged" in message
    assert "SHA-256" in message


@pytest.mark.parametrize("length", [0, 5, 1000])
def test_a_truncated_file_is_named(root, length):
    path = root / "tiny" / "llm" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    assert "tiny/llm/model.safetensors is damaged" in failure(root)


@pytest.mark.parametrize("file", ["tokenizer.json", "slm/config.json", "hybrid/model.safetensors"])
def test_a_missing_file_is_named(root, file):
    (root / "tiny" / file).unlink()
    assert f"tiny/{file} is missing" in failure(root)


def test_a_damaged_manifest_is_named(root):
    manifest = root / "tiny" / "pair.json"
    manifest.write_text(manifest.read_text("utf-8")[:100], "utf-8")
    assert "tiny/pair.json is damaged" in failure(root)


def test_a_file_without_a_hash_is_named(root):
    path = root / "tiny" / "pair.json"
    manifest = json.loads(path.read_text("utf-8"))
    del manifest["sha256"]["tokenizer.json"]
    path.write_text(json.dumps(manifest), "utf-8")
    assert "tokenizer.json" in failure(root)


def test_another_format_is_refused(root):
    path = root / "tiny" / "pair.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"format": 3}), "utf-8")
    assert "has format 3; this version reads 1 and 2" in failure(root)


def rewritten(root: Path) -> None:
    """The manifest of a bundle changed on purpose: the hashes fit again."""
    folder = root / "tiny"
    write_manifest(folder, json.loads((folder / "pair.json").read_text("utf-8")))


def test_weights_that_are_not_safetensors_are_refused(root):
    (root / "tiny" / "slm" / "model.safetensors").write_bytes(b"\x80\x04 a pickle")
    rewritten(root)
    assert "slm/model.safetensors is not a readable safetensors file" in failure(root)


def test_weights_that_lack_tensors_are_refused(root):
    from safetensors.torch import load_file, save_file

    path = root / "tiny" / "hybrid" / "model.safetensors"
    weights = load_file(path)
    del weights["projector.up.bias"]
    save_file(weights, path)
    rewritten(root)
    assert "hybrid lack 1 tensors, the first is projector.up.bias" in failure(root)


def test_weights_of_another_size_are_refused(root):
    shutil.copy(root / "tiny" / "slm" / "model.safetensors", root / "tiny" / "llm" / "model.safetensors")
    rewritten(root)
    message = failure(root)
    assert "llm/model.safetensors: the tensor" in message
    assert "has the shape" in message
