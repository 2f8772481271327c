"""GGUF files: written with the package gguf, read back, and compared with the model they were made of."""

import json
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hybrid.errors import PairError
from hybrid.models.references import load_model, resolve
from hybrid.models.references.gguf_file import PLACES, TOP
from tests.models.references.conftest import tiny_llama

gguf = pytest.importorskip("gguf")
Q = gguf.GGMLQuantizationType
WHOLE = (Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0)  # those that the package can also write


def tiny_qwen2(**changes: Any) -> Any:
    """A random Qwen2: biases at queries, keys and values."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(4)
    sizes = {
        "vocab_size": 384, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0, "tie_word_embeddings": False,
    }  # fmt: skip
    model = Qwen2ForCausalLM(Qwen2Config(**(sizes | changes))).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.normal_()
    return model


def tiny_qwen3() -> Any:
    """A random Qwen3: norms of queries and keys, heads wider than their share."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=384, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=256, bos_token_id=1, eos_token_id=1,
        pad_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return Qwen3ForCausalLM(config).eval()


def ggml_name(name: str) -> str:
    """The name that llama.cpp gives a tensor of transformers."""
    stem, kind = name.rsplit(".", 1)
    back = {place: ours for ours, place in {**PLACES, **TOP}.items()}
    if not stem.startswith("model.layers."):
        return f"{back[stem]}.{kind}"
    number, place = stem.removeprefix("model.layers.").split(".", 1)
    return f"blk.{number}.{back[place]}.{kind}"


def permuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Queries or keys of a Llama, channels that turn together as neighbours."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)


def write(path: Path, model: Any, kind: Any, tokenizer: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """Write a model as GGUF; return its weights as the file can hold them."""
    config, family = model.config, model.config.model_type
    writer = gguf.GGUFWriter(path, changes.pop("family", family))
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if getattr(config, "head_dim", None):
        writer.add_key_length(config.head_dim)
    writer.add_license("mit")
    write_tokenizer(writer, tokenizer)
    for key, value in changes.items():
        writer.add_string(key.replace("__", "."), value)
    weights = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        rows = weight
        if family == "llama" and ".q_proj." in name:
            rows = permuted(weight, config.num_attention_heads)
        elif family == "llama" and ".k_proj." in name:
            rows = permuted(weight, config.num_key_value_heads)
        as_kind = kind if weight.ndim == 2 else Q.F32
        packed = gguf.quants.quantize(rows.numpy(), as_kind)
        writer.add_tensor(ggml_name(name), packed, raw_dtype=as_kind)
        weights[name] = torch.from_numpy(
            np.array(gguf.quants.dequantize(gguf.quants.quantize(weight.numpy(), as_kind), as_kind))
        ).reshape(weight.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


def write_tokenizer(writer: Any, tokenizer: Path) -> None:
    model = json.loads(tokenizer.read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in ("<pad>", "</s>", "<unk>") else 1 for token in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(2)
    writer.add_chat_template("{{ messages }}")


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[5, 6, 7, 8, 9, 1]])).logits


@pytest.mark.parametrize("make", [tiny_llama, tiny_qwen2, tiny_qwen3])
def test_round_trip(tmp_path: Path, tiny_tokenizer_file: Path, make: Any) -> None:
    model = make()
    write(tmp_path / "model.gguf", model, Q.F32, tiny_tokenizer_file)
    checkpoint = resolve(str(tmp_path / "model.gguf"))
    loaded = load_model(checkpoint)
    assert torch.allclose(logits(loaded), logits(model), atol=1e-6)
    assert type(loaded) is type(model)
    assert (checkpoint.kind, checkpoint.licence, checkpoint.chat_template) == (
        "gguf",
        "mit",
        "{{ messages }}",
    )
    assert checkpoint.special_tokens == {
        "bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"
    }  # fmt: skip
    assert checkpoint.eos_ids == (1,)
    assert set(checkpoint.sha256) == {"model.gguf"}
    assert checkpoint.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("kind", WHOLE, ids=lambda kind: kind.name)
def test_quantizations(tmp_path: Path, tiny_tokenizer_file: Path, kind: Any) -> None:
    model = tiny_llama()
    weights = write(tmp_path / "model.gguf", model, kind, tiny_tokenizer_file)
    model.load_state_dict(weights, strict=False)
    assert torch.allclose(logits(load_model(resolve(str(tmp_path / "model.gguf")))), logits(model), atol=1e-6)


def test_blocks_that_only_llama_cpp_writes(tmp_path: Path, tiny_tokenizer_file: Path) -> None:
    """Q4_K: any bits are weights, as long as each block's two scales are numbers."""
    model = tiny_llama(hidden_size=256, intermediate_size=256, num_hidden_layers=1)
    rng = np.random.default_rng(0)
    raw_blocks = {}

    def blocks(rows: np.ndarray, kind: Any) -> np.ndarray:
        if kind is not Q.Q4_K:
            return rows
        raw = rng.integers(0, 256, (rows.shape[0], rows.shape[1] // 256 * 144), dtype=np.uint8)
        raw.reshape(-1, 144)[:, :4] = np.frombuffer(np.array([1e-3, 1e-3], np.float16).tobytes(), np.uint8)
        raw_blocks.setdefault(rows.shape, raw)
        return raw

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gguf.quants, "quantize", blocks)
        write(tmp_path / "model.gguf", model, Q.Q4_K, tiny_tokenizer_file)
    loaded = load_model(resolve(str(tmp_path / "model.gguf")))
    table = gguf.quants.dequantize(raw_blocks[(384, 256)], Q.Q4_K)
    assert np.array_equal(loaded.get_input_embeddings().weight.detach().numpy(), table)


def test_a_full_disk_of_the_cache_is_one_sentence(
    tmp_path: Path, tiny_tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    write(tmp_path / "model.gguf", tiny_llama(), Q.Q8_0, tiny_tokenizer_file)
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    try:
        with pytest.raises(PairError, match=r"tokenizer\.json cannot be written: .*; make room, or name"):
            resolve(str(tmp_path / "model.gguf"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert resolve(str(tmp_path / "model.gguf")).tokenizer_file.is_file()


def test_the_tokenizer_of_the_file(tmp_path: Path, tiny_tokenizer_file: Path) -> None:
    from tokenizers import Tokenizer

    write(tmp_path / "model.gguf", tiny_llama(), Q.Q8_0, tiny_tokenizer_file)
    path = resolve(str(tmp_path / "model.gguf")).tokenizer_file
    tokenizer, whole = Tokenizer.from_file(str(path)), Tokenizer.from_file(str(tiny_tokenizer_file))
    for text in ("The committee agreed; größe 🙂 日本", "  two  spaces\n"):
        assert tokenizer.encode(text).ids == whole.encode(text).ids
    assert tokenizer.encode("a</s>").ids[-1] == 1
    assert resolve(str(tmp_path / "model.gguf")).tokenizer_file == path  # made once


def refusal(path: Path) -> str:
    with pytest.raises(PairError) as caught:
        load_model(resolve(str(path)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_architectures(tmp_path: Path, tiny_tokenizer_file: Path) -> None:
    write(tmp_path / "model.gguf", tiny_llama(), Q.F16, tiny_tokenizer_file, family="mamba")
    assert "is of the architecture 'mamba'; GGUF files are read of llama, qwen2 and qwen3" in refusal(
        tmp_path / "model.gguf"
    )


def test_scaled_positions(tmp_path: Path, tiny_tokenizer_file: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, tiny_llama(), Q.F16, tiny_tokenizer_file, llama__rope__scaling__type="yarn")
    assert "scales its rotary positions" in refusal(path)


def test_unknown_quantizations_and_damage(tmp_path: Path, tiny_tokenizer_file: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, tiny_llama(), Q.Q8_0, tiny_tokenizer_file)
    whole = path.read_bytes()
    name = b"blk.0.attn_q.weight"
    at = whole.index(name) + len(name) + 4 + 16  # dimensions and their number stand before the type
    path.write_bytes(whole[:at] + struct.pack("<I", 23) + whole[at + 4 :])
    assert "the tensor 'blk.0.attn_q.weight' has the quantization 23" in refusal(path)
    for data in (
        whole[:-64],
        whole[:200],
        whole[:20],
        b"",
        b"PK\x03\x04" + whole[4:],
        b"GGUF" + b"\xff" * 60,
    ):
        path.write_bytes(data)
        assert "is no GGUF file that can be read" in refusal(path)
    path.write_bytes(whole.replace(b"ffn_gate", b"ffn_gato"))
    assert "has a tensor 'blk.0.ffn_gato.weight'" in refusal(path)
    path.unlink()
    assert f"There is no file {path}" in refusal(path)


def test_a_file_that_is_missing_is_no_id_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As data/model.gguf of a recipe: nobody is asked for it; on the Hub a file lies in an org's model."""
    monkeypatch.chdir(tmp_path)
    assert refusal(Path("data/model.gguf")) == "There is no file data/model.gguf."


def test_weights_that_are_no_numbers(tmp_path: Path, tiny_tokenizer_file: Path) -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    write(tmp_path / "model.gguf", model, Q.F32, tiny_tokenizer_file)
    assert "'output_norm.weight' holds values that are no finite numbers" in refusal(tmp_path / "model.gguf")


def test_without_the_package(
    tmp_path: Path, tiny_tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "model.gguf", tiny_llama(), Q.F32, tiny_tokenizer_file)
    monkeypatch.setattr("hybrid.models.references.gguf_file.find_spec", lambda _: None)
    assert refusal(tmp_path / "model.gguf").endswith(
        "needs the package gguf: pip install 'hybrid-bench[gguf]'."
    )
