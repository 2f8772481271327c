"""Tiny random models in transformers' layout, saved as anybody saves theirs."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hybrid.errors import PairError
from hybrid.models.references import resolve
from tests.models.references.fake_hub import FakeHub, serving

VOCABULARY = 384  # of the tokenizer of the tests
IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
NAME = "someone/tiny-llama"  # on the fake Hub
Make = Callable[..., Path]


def tiny_llama(**changes: Any) -> Any:
    """A random Llama with heads that share keys and values."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(3)
    sizes = {
        "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**(sizes | IDS | changes))).eval()


def logits(model: Any, decoder: bool) -> Any:
    """What a model makes of a few ids."""
    import torch

    ids = torch.tensor([[5, 6, 7, 8, 9, 1]])
    more = {} if decoder else {"decoder_input_ids": ids}
    with torch.inference_mode():
        return model(input_ids=ids, **more).logits


@pytest.fixture
def save(tmp_path: Path, tiny_tokenizer_file: Path) -> Make:
    """save(model, name="model", tokenizer=True, **how): a folder with the model and the tests' tokenizer."""

    def write(model: Any, name: str = "model", tokenizer: bool = True, **how: Any) -> Path:
        folder = tmp_path / name
        model.save_pretrained(folder, **how)
        if tokenizer:
            shutil.copyfile(tiny_tokenizer_file, folder / "tokenizer.json")
        return folder

    return write


@pytest.fixture
def llama(save: Make) -> Path:
    """A folder with a tiny Llama."""
    return save(tiny_llama())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache, of this test alone."""
    from huggingface_hub import constants

    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def hub(cache: Path, llama: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with one tiny Llama."""
    from huggingface_hub import constants

    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        server.models[NAME] = llama
        yield server


def refusal(reference: str = f"hub:{NAME}") -> str:
    with pytest.raises(PairError) as caught:
        resolve(reference)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def half_written(cache: Path) -> list[Path]:
    return list(cache.rglob("*.incomplete"))


def weights(hub: FakeHub, method: str = "GET") -> list[str]:
    return [path for path in hub.paths() if path.startswith(method) and "safetensors" in path]
