"""Loading: every family is the model that was saved; precision, and where a large model goes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hybrid.errors import PairError
from hybrid.models.references import load_model, loading, resolve
from tests.models.references.conftest import Make, logits, tiny_llama
from tests.models.tiny import FAMILIES, VOCABULARY, tiny_model

GB = 10**9


@pytest.mark.parametrize(
    ("free", "dtype", "place"),
    [
        ([], "auto", "cpu"),
        ([80 * GB], "auto", "cuda:0"),
        ([10 * GB, 40 * GB], "auto", "cuda:1"),
        ([10 * GB, 12 * GB], "auto", "auto"),  # several, by accelerate
        ([20 * GB], "float32", "cpu"),
        ([10 * GB], "auto", "cpu"),
    ],
)
def test_where_seven_billion_parameters_go(
    llama: Path, monkeypatch: pytest.MonkeyPatch, free: list[int], dtype: str, place: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: bool(free))
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(free))
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda n: (free[n], free[n]))
    checkpoint = replace(resolve(str(llama)), tensors={"all": (7 * GB,)})
    assert loading._place(checkpoint, dtype, "auto") == place


def test_a_model_may_be_spread_over_devices(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By accelerate, which here finds no more than the CPU."""
    monkeypatch.setattr(loading, "_place", lambda *_: "auto")
    loaded = load_model(resolve(str(llama)), "auto", "auto")
    assert (loaded.dtype, loaded.training) == (torch.bfloat16, False)
    assert torch.allclose(logits(loaded, True).float(), logits(tiny_llama(), True), atol=0.05)


def test_precision_and_place(llama: Path) -> None:
    with pytest.raises(PairError, match="dtype is 'int3'"):
        load_model(resolve(str(llama)), dtype="int3")
    with pytest.raises(PairError, match="placement is 'tpu'"):
        load_model(resolve(str(llama)), placement="tpu")
    assert load_model(resolve(str(llama)), "auto", "auto").dtype in (torch.float32, torch.bfloat16)


def word_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({f"w{n}": n for n in range(VOCABULARY)}, unk_token="w3")).save(str(path))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_the_one_that_was_saved(save: Make, family: str) -> None:
    model = tiny_model(family).eval()
    folder = save(model, tokenizer=False)
    word_tokenizer(folder / "tokenizer.json")
    decoder = not model.config.is_encoder_decoder
    assert torch.equal(logits(load_model(resolve(str(folder))), decoder), logits(model, decoder))


@pytest.mark.parametrize("older", [False, True], ids=["transformers 5", "as on the Hub"])
def test_the_text_model_of_one_that_sees_images(save: Make, older: bool) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = tiny_model("gemma3_text").eval()
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
              "image_size": 28, "patch_size": 14}  # fmt: skip
    images = {"image_token_index": 90, "boi_token_index": 91, "eoi_token_index": 92}
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=text.config.to_dict(), vision_config=vision, mm_tokens_per_image=4, **images)
    )
    model.model.language_model.load_state_dict(text.model.state_dict())
    folder = save(model, tokenizer=False)
    word_tokenizer(folder / "tokenizer.json")
    if older:
        weights = load_file(folder / "model.safetensors")
        names = {name: name.replace("model.language_model.", "language_model.model.") for name in weights}
        save_file({names[name]: weight for name, weight in weights.items()}, folder / "model.safetensors")
    assert torch.equal(logits(load_model(resolve(str(folder))), True), logits(text, True))
