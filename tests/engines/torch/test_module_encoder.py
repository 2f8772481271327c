"""Encoders without a file of their own read for a hybrid through transformers: writing stays torch's own."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModel

from hybrid.engines.contract import EngineConfig
from hybrid.engines.torch.engine import create_engines
from hybrid.engines.torch.module_encoder import ModuleEncoder
from hybrid.engines.torch.operations import Target
from hybrid.errors import EngineError
from hybrid.models.pair import Hybrid
from hybrid.schema import Notice
from tests.engines.any_pairs import LONGEST, PROMPTS, answers, codec_of, expected
from tests.models.tiny import EOS, PAD, VOCABULARY, tiny_model

TARGET = Target(torch.device("cpu"), torch.float32)
SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3,
    "num_attention_heads": 2, "max_position_embeddings": 64, "pad_token_id": PAD,
}  # fmt: skip


def encoder(family: str):
    torch.manual_seed(5)
    model = AutoModel.from_config(AutoConfig.for_model(family, **SIZES))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(std=2.0 * weight.shape[1] ** -0.5)
    return model.eval()


def source(family: str, slm: str, **settings):
    torch.manual_seed(3)
    hybrid = Hybrid.from_parts(encoder(family), tiny_model(slm, 32, layers=2, seed=2), **settings).eval()
    pair = SimpleNamespace(
        hybrid=hybrid, models={"hybrid": hybrid}, max_prompt_tokens=LONGEST, name="any",
        model={"hybrid": hybrid}.get,
        codec=lambda method: codec_of((EOS,)), weights_sha256=lambda model: None,
    )  # fmt: skip
    pair.bundle = lambda models: pair
    return pair


@pytest.mark.parametrize(
    ("family", "slm", "settings"),
    [
        ("bert", "bart", {}),
        ("bert", "gpt2", {"bridge": True, "layer": 2}),
        ("xlm-roberta", "t5", {"bridge": True, "standardize": False}),
    ],
)
def test_a_hybrid_with_any_encoder_equals_generate(family, slm, settings):
    pair, events = source(family, slm, **settings), []
    engine = create_engines(EngineConfig(pair, ("hybrid",), observer=events.append))["hybrid"]
    written = [expected(pair.hybrid, prompt) for prompt in PROMPTS]
    assert [answers(engine, [prompt])[0] for prompt in PROMPTS] == written
    assert answers(engine, PROMPTS) == written
    assert len({tuple(ids) for ids in written}) > 1
    kind = type(pair.hybrid.llm).__name__
    assert engine.options == {"reader": f"{kind} of transformers"}
    (sentence,) = (event.sentence for event in events if isinstance(event, Notice))
    how = f"The engine torch reads the hybrid's prompts through transformers' own {kind}"
    assert sentence.startswith(how)


@pytest.mark.parametrize(("family", "positions"), [("bert", 64), ("xlm-roberta", 63)])
def test_a_prompt_beyond_its_positions_is_refused_with_both_numbers(family, positions):
    reader = ModuleEncoder(encoder(family), TARGET)
    assert reader([[5] * positions]).rows.shape == (positions, 48)
    with pytest.raises(
        EngineError, match=rf"positions for {positions} tokens and a prompt has {positions + 1}"
    ):
        reader([[5] * (positions + 1)])
