"""Models in folders: what is read of them, and every refusal in one sentence."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid.errors import PairError
from hybrid.models.references import check_unchanged, load_model, resolve
from hybrid.models.references import checkpoint as checkpoint_module
from tests.conftest import tiny_t5
from tests.models.references.conftest import Make, logits, tiny_llama


def refusal(reference: Path | str) -> str:
    """The one sentence with which a model is refused, on looking at it or on loading it."""
    with pytest.raises(PairError) as caught:
        load_model(resolve(str(reference)))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_known_without_the_weights(llama: Path) -> None:
    (llama / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\nlicense: other\n")
    (llama / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": {"content": "</s>"}, "chat_template": "{{ messages }}"})
    )
    checkpoint = resolve(str(llama))
    assert (checkpoint.family, checkpoint.licence, checkpoint.revision) == ("llama", "apache-2.0", "")
    assert checkpoint.parameters == sum(p.numel() for p in tiny_llama().parameters())
    assert checkpoint.special_tokens == {"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>"}
    assert (checkpoint.eos_ids, checkpoint.chat_template) == ((1,), "{{ messages }}")
    assert set(checkpoint.sha256) == {"config.json", "tokenizer.json", "model.safetensors"}


def test_looking_imports_no_torch(llama: Path) -> None:
    code = (
        "import sys; from hybrid.models.references import resolve\n"
        f"resolve({str(llama)!r}); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("shards", [False, True])
def test_a_decoder_only_model_is_the_one_that_was_saved(save: Make, shards: bool) -> None:
    model = tiny_llama(tie_word_embeddings=False)
    folder = save(model, max_shard_size="100KB") if shards else save(model)
    assert (folder / "model.safetensors.index.json").exists() == shards
    loaded = load_model(resolve(str(folder)))
    assert (loaded.dtype, loaded.training, loaded.device.type) == (torch.float32, False, "cpu")
    assert torch.equal(logits(loaded, True), logits(model, True))


def test_an_encoder_decoder_in_16_bits(save: Make) -> None:
    model = tiny_t5(32, 2, 2, seed=1)
    folder = save(model.bfloat16())
    loaded = load_model(resolve(str(folder)))
    assert torch.equal(logits(loaded, False), logits(model.float(), False))
    assert load_model(resolve(str(folder)), dtype="bfloat16").dtype == torch.bfloat16


def test_a_family_without_a_file_of_its_own(save: Make) -> None:
    from transformers import OPTConfig, OPTForCausalLM

    config = OPTConfig(
        vocab_size=384, hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=128, word_embed_proj_dim=32, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model = OPTForCausalLM(config).eval()
    assert torch.equal(logits(load_model(resolve(str(save(model)))), True), logits(model, True))


def test_an_encoder(save: Make) -> None:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=384, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    loaded = load_model(resolve(str(save(BertModel(config)))))
    assert type(loaded).__name__ == "BertModel"


@pytest.mark.parametrize("reference", ["tiny/slm", "tiny"])
def test_a_model_of_a_pair_here(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    checkpoint = resolve(reference, role="slm")
    model = load_model(checkpoint)
    assert checkpoint.parameters == sum(p.numel() for p in model.parameters())
    assert checkpoint.special_tokens == {"eos_token": "</s>", "pad_token": "<pad>"}
    assert checkpoint.config["d_model"] == 32


def test_older_tokenizers_are_turned_into_one_file(llama: Path, tiny_tokenizer_file: Path) -> None:
    (llama / "tokenizer.json").unlink()
    model = json.loads(tiny_tokenizer_file.read_text())["model"]
    (llama / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (llama / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (llama / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "GPT2Tokenizer",
                "unk_token": "<unk>",
                "eos_token": "</s>",
                "bos_token": "</s>",
            }
        )
    )
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(resolve(str(llama)).tokenizer_file))
    whole = Tokenizer.from_file(str(tiny_tokenizer_file))
    assert tokenizer.encode("Das Haus am Fluss").ids == whole.encode("Das Haus am Fluss").ids


def test_no_tokenizer(save: Make) -> None:
    folder = save(tiny_llama(), tokenizer=False)
    assert refusal(folder).startswith(f"{folder} has no tokenizer (tokenizer.json)")


def test_a_tokenizer_that_is_none(llama: Path) -> None:
    (llama / "tokenizer.json").write_text('{"version": 1}')
    assert "is no tokenizer that can be read" in refusal(llama)


def test_a_vocabulary_that_does_not_fit(save: Make) -> None:
    assert "its ids go up to 383, and the embeddings have 380 rows" in refusal(
        save(tiny_llama(vocab_size=380))
    )
    folder = save(tiny_llama(), "edited")
    edit(folder / "config.json", vocab_size=500)
    assert "vocab_size is 500, and the embeddings have 384 rows" in refusal(folder)


class _Poison:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("poisoned"),))


def test_a_poisoned_pickle_is_not_opened(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (llama / "model.safetensors").unlink()
    (llama / "pytorch_model.bin").write_bytes(pickle.dumps(_Poison()))
    assert "only as pickles (pytorch_model.bin), and reading a pickle can run any code" in refusal(llama)
    assert not (tmp_path / "poisoned").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_its_own(llama: Path, name: str) -> None:
    (llama / "tokenizer_config.json").write_text("{}")
    edit(llama / name, auto_map={"AutoModelForCausalLM": "org/name--modeling.Model"})
    (llama / "modeling.py").write_text("raise SystemExit('ran')")
    assert f"{llama / name} names code of the model's own (auto_map)" in refusal(llama)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000"),
        ({"hidden_size": 2**40}, "hidden_size is"),
        ({"intermediate_size": 2**19}, "does not fit its weights"),
        ({"num_attention_heads": 7}, ""),
        ({"model_type": "no-such-family"}, "no-such-family"),
        ({"model_type": 3}, "no model_type"),
        ({"model_type": "llm-to-slm"}, "a hybrid"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "'bitsandbytes'"),
        ({"rope_parameters": {"a": {"auto_map": 1}}}, "auto_map"),
        ({"num_hidden_layers": 3}, "lack"),
        ({"model_type": "mixtral", "num_local_experts": 10**8}, "num_local_experts is 100,000,000"),
        ({"model_type": "opt", "layer_types": ["a"] * 5000}, "layer_types has 5,000 values"),
        ({"model_type": "opt", "a": {"b": {"c": [[[[[[1]]]]]]}}}, "nested too deeply"),
        ({"num_hidden_layers": "2"}, ""),
    ],
)
def test_hostile_configurations(llama: Path, changes: dict[str, Any], named: str) -> None:
    edit(llama / "config.json", **changes)
    assert named in refusal(llama)


def test_what_steers_transformers_is_passed_over(llama: Path) -> None:
    edit(llama / "config.json", _attn_implementation="someone/kernel", kernel_config={"a": "b"})
    config = load_model(resolve(str(llama))).config
    assert config._attn_implementation != "someone/kernel"


@pytest.mark.parametrize("text", ["[]", "{", "[" * 10**5, "\x00"])
def test_config_files_that_are_none(llama: Path, text: str) -> None:
    (llama / "config.json").write_text(text)
    assert f"{llama / 'config.json'} cannot be read" in refusal(llama)


def test_weights_that_are_not_whole(llama: Path) -> None:
    path = llama / "model.safetensors"
    whole = path.read_bytes()
    for data in (whole[:-8], whole[:100], b"", b"\xff" * 64, whole + b"more"):
        path.write_bytes(data)
        assert f"{path} is not a readable safetensors file" in refusal(llama)
    path.unlink()
    assert "has no weights in safetensors; it needs model.safetensors" in refusal(llama)


def test_shards_outside_the_folder(save: Make) -> None:
    folder = save(tiny_llama(), max_shard_size="100KB")
    index = folder / "model.safetensors.index.json"
    edit(index, weight_map={"a": "../model/model-00001-of-00002.safetensors"})
    assert "which is no safetensors file in its folder" in refusal(folder)
    edit(index, weight_map={"a": "gone.safetensors"})
    assert f"{folder / 'gone.safetensors'} is missing" in refusal(folder)


def test_no_model_at_all(tmp_path: Path, tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    assert "has no config.json" in refusal(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "it is an adapter" in refusal(tmp_path)
    for name in ("nothing-here", str(tmp_path / "gone"), "", "a/b/c"):
        assert f"There is no model {name!r}" in refusal(name)
    assert "name a pair (tiny)" in refusal("tiny2")


def test_a_model_that_changed_since(llama: Path, tmp_path: Path) -> None:
    files = resolve(str(llama)).sha256
    check_unchanged(resolve(str(llama)), files)
    shutil.copytree(llama, tmp_path / "copy")
    data = bytearray((tmp_path / "copy" / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "copy" / "model.safetensors").write_bytes(data)
    with pytest.raises(PairError, match=r"^model.safetensors of .*/copy has changed since the pair was made"):
        check_unchanged(resolve(str(tmp_path / "copy")), files)
    with pytest.raises(PairError, match=r"has no gone\.safetensors any more"):
        check_unchanged(resolve(str(llama)), {"gone.safetensors": "0" * 64})


def test_hashes_of_large_files_are_noted_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_module, "NOTED_BYTES", 4)
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    path, read = tmp_path / "model.safetensors", []
    monkeypatch.setattr(checkpoint_module, "file_sha256", lambda path: read.append(path) or path.read_text())
    for text, times in (("weights", 1), ("weights", 1), ("changed", 2), ("changed", 2)):
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        assert checkpoint_module.noted_sha256(path) == text
        assert len(read) == times
    (note,) = (tmp_path / "cache" / "hashes").iterdir()
    note.write_text("[")
    assert checkpoint_module.noted_sha256(path) == "changed"
    (tmp_path / "cache" / "hashes").rename(tmp_path / "gone")
    (tmp_path / "cache" / "hashes").write_text("no folder")
    assert checkpoint_module.noted_sha256(path) == "changed"
