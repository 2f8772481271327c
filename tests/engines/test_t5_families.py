"""Every kind of T5 gives transformers' own ids, alone, in batches, as LLM, SLM and hybrid, and losslessly."""

from dataclasses import replace

import pytest
import torch
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration

from hybrid.engines.torch_engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.model.pair import HybridForConditionalGeneration
from hybrid.model.prompt import encode_prompt
from hybrid.schema import METHODS, MODELS

# Each unlike the tiny pair: ReLU, a head with a matrix of its own, no scale, other sizes and depths.
FAMILIES = {
    "t5": {"feed_forward_proj": "relu"},
    "t5, more decoder than encoder layers": {"feed_forward_proj": "relu", "num_decoder_layers": 4},
    "t5, heads wider than the model": {"feed_forward_proj": "relu", "d_kv": 24, "num_heads": 3},
    "flan-t5": {"tie_word_embeddings": False},
    "t5-v1.1, heads narrower than the model": {"tie_word_embeddings": False, "d_kv": 8, "num_heads": 2},
    "mt5": {"model": MT5ForConditionalGeneration},
    "mt5, relu": {"model": MT5ForConditionalGeneration, "feed_forward_proj": "relu"},
}


def random_model(width: int, seed: int, **settings):
    """A small model whose answers vary, with a head's matrix of its own where it is not tied."""
    kind = settings.pop("model", T5ForConditionalGeneration)
    sizes = {
        "vocab_size": 384, "d_model": width, "d_ff": 2 * width, "d_kv": width // 2, "num_heads": 2,
        "num_layers": 2, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(seed)
    model = kind((MT5Config if kind is MT5ForConditionalGeneration else T5Config)(**sizes | settings)).eval()
    # Its caches have as many layers as the encoder, in transformers 5.23.
    model.generation_config.use_cache = model.config.num_layers >= model.config.num_decoder_layers
    with torch.no_grad():
        if settings.get("tie_word_embeddings") is False:
            model.lm_head.weight = torch.nn.Parameter(torch.randn(384, width))
        for name, weight in model.named_parameters():
            if "layer_norm" in name:
                weight.uniform_(0.5, 1.5)
            elif "relative_attention_bias" in name:
                weight.normal_()
            elif "shared" in name:
                weight.normal_(std=0.3)
            elif ".q.weight" in name:
                weight.mul_(0.5 * model.config.d_kv**0.5)
            elif "lm_head" not in name:
                weight.mul_(2.0)
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def bundle(request, tiny_bundle):
    """A pair of one family."""
    llm, slm = (random_model(width, seed, **FAMILIES[request.param]) for width, seed in ((48, 7), (32, 8)))
    hybrid = HybridForConditionalGeneration.from_parts(llm, slm).eval()
    hybrid.generation_config.use_cache = slm.generation_config.use_cache
    return replace(tiny_bundle, models={"llm": llm, "slm": slm, "hybrid": hybrid})


@pytest.mark.parametrize("model", MODELS)
def test_single_prompts_and_batches_equal_generate(bundle, texts, answer, answers, reference, same, model):
    engine, some = TorchEngine(bundle, model), texts[5::20]
    prompts = [encode_prompt(bundle.tokenizer, "summarize", text, 160).ids for text in some]
    expected = [reference(bundle.model(model), [prompt])[0] for prompt in prompts]
    for made, prompt, ids in zip(answers(engine, some), prompts, expected, strict=True):
        assert same(bundle.model(model), prompt, made.token_ids, ids)
    for text, ids in zip(some, expected, strict=True):
        assert list(answer(engine, text).token_ids) == ids
    assert len({tuple(ids) for ids in expected}) > 2


def test_lossless_methods_equal_the_llm(bundle, texts, answer):
    llm = TorchEngine(bundle, "llm")
    for method in METHODS:
        if method in MODELS:
            continue
        engine = TorchEngine(bundle, method)
        for text in texts[5::40]:
            assert answer(engine, text).token_ids == answer(llm, text).token_ids


def test_logits_equal_transformers(bundle, texts, answer):
    """Not only their order: the head is scaled where the family scales it."""
    engine = TorchEngine(bundle, "llm")
    made = answer(engine, texts[50], max_new_tokens=4, ignore_eos=True)
    prompt = encode_prompt(bundle.tokenizer, "summarize", texts[50], 160).ids
    with torch.no_grad():
        expected = bundle.llm(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *made.token_ids[:3]]])
        ).logits[0, -1]
    torch.testing.assert_close(engine._writer.decoder.logits[0], expected, rtol=1e-4, atol=1e-4)


def test_families_differ_in_what_the_test_is_about(tiny_bundle):
    scaled = {name: random_model(32, 1, **settings).config for name, settings in FAMILIES.items()}
    assert {name: getattr(config, "scale_decoder_outputs", None) for name, config in scaled.items()} == {
        name: None if "mt5" in name else not name.startswith(("flan", "t5-v1.1")) for name in FAMILIES
    }
    assert scaled["t5, heads wider than the model"].d_kv * 3 > 48
    assert not scaled["t5"].is_gated_act


@pytest.mark.parametrize("family", ["bart", "t5 with gated-silu"])
def test_another_kind_is_refused_with_the_way_out(tiny_bundle, family):
    from transformers import BartConfig, BartForConditionalGeneration

    if family == "bart":
        model = BartForConditionalGeneration(
            BartConfig(
                vocab_size=384, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
                decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
            )
        )  # fmt: skip
    else:
        model = random_model(16, 1, feed_forward_proj="gated-silu")
    for method in ("slm", "lossless-slm"):
        models = {"llm": tiny_bundle.llm, "slm": model}
        with pytest.raises(EngineError, match=rf"runs T5, Flan-T5 and mT5 .*{family}.*--engine transformers"):
            TorchEngine(replace(tiny_bundle, models=models), method)
