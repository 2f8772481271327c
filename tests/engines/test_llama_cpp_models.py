"""The GGUF files that llama.cpp is given hold what the product reads from GGUF files, bit by bit."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hybrid.models.references.gguf_file import read_header, read_weights
from tests.models.tiny import tiny_model

pytest.importorskip("cyllama")

from hybrid.engines.llama_cpp_models import write_gguf


def weights_of(path: Path, model) -> dict[str, torch.Tensor]:
    about = SimpleNamespace(folder=path.parent, weight_files=(path.name,), config=model.config.to_dict())
    return read_weights(about)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "int4"])
def test_a_model_that_came_from_a_file_is_written_as_it_was(tmp_path, family, dtype):
    model, first, second = tiny_model(family, 64), tmp_path / "first.gguf", tmp_path / "second.gguf"
    exact = {name: weight.clone() for name, weight in model.state_dict().items()}
    write_gguf(model, first, dtype)
    weights = weights_of(first, model)
    assert weights.keys() == exact.keys()
    allowed = {"float32": 0.0, "int8": 0.02, "int4": 0.3}[dtype]  # of weights around 0.25
    assert all((weights[name] - exact[name]).abs().max() <= allowed for name in exact)
    assert all(torch.equal(model.state_dict()[name], exact[name]) for name in exact)
    model.load_state_dict(weights)
    write_gguf(model, second, dtype)
    assert first.read_bytes() == second.read_bytes()


def test_embeddings_and_head_keep_8_bits_and_no_words_are_in_it(tmp_path):
    write_gguf(tiny_model("llama", 64), tmp_path / "model.gguf", "int4")
    header = read_header(tmp_path / "model.gguf")
    kinds = {tensor.name: tensor.type for tensor in header.tensors}
    assert (kinds["token_embd.weight"], kinds["output.weight"], kinds["blk.0.ffn_up.weight"]) == (8, 8, 3)
    assert (kinds["output_norm.weight"], kinds["blk.2.attn_norm.weight"]) == (0, 0)
    assert header.values["tokenizer.ggml.model"] == "none"
    assert header.values["llama.vocab_size"] == 96
