"""Every kind of T5 gives transformers' own ids, alone, in batches, as LLM, SLM and hybrid, and losslessly."""

from dataclasses import replace

import pytest
import torch

from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.schema import METHODS, MODELS
from tests.engines.families import FAMILIES, random_model
from tests.loaded import prompt_ids


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
    prompts = [prompt_ids(bundle, text) for text in some]
    expected = [reference(bundle.model(model), [prompt])[0] for prompt in prompts]
    for generation, prompt, ids in zip(answers(engine, some), prompts, expected, strict=True):
        assert same(bundle.model(model), prompt, generation.token_ids, ids)
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
    generation = answer(engine, texts[50], max_new_tokens=4, ignore_eos=True)
    prompt = prompt_ids(bundle, texts[50])
    with torch.no_grad():
        expected = bundle.llm(
            input_ids=torch.tensor([prompt]), decoder_input_ids=torch.tensor([[0, *generation.token_ids[:3]]])
        ).logits[0, -1]
    torch.testing.assert_close(engine.strategy.decoder.single.logits[0], expected, rtol=1e-4, atol=1e-4)


def test_families_differ_in_what_the_test_is_about(tiny_bundle):
    scaled = {name: random_model(32, 1, **settings).config for name, settings in FAMILIES.items()}
    assert {name: getattr(config, "scale_decoder_outputs", None) for name, config in scaled.items()} == {
        name: None if "mt5" in name else not name.startswith(("flan", "t5-v1.1")) for name in FAMILIES
    }
    assert scaled["t5, heads wider than the model"].d_kv * 3 > 48
    assert not scaled["t5"].is_gated_act


@pytest.mark.parametrize(("family", "refused"), [("pegasus", "pegasus"), ("t5", "gated-silu")])
def test_another_kind_is_refused_with_the_way_out(tiny_bundle, family, refused):
    from transformers import PegasusConfig, PegasusForConditionalGeneration

    if family == "pegasus":
        model = PegasusForConditionalGeneration(
            PegasusConfig(
                vocab_size=384, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
                decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
            )
        )  # fmt: skip
    else:
        model = random_model(16, 1, feed_forward_proj="gated-silu")
    for method in ("slm", "lossless-slm"):
        models = {"llm": tiny_bundle.llm, "slm": model}
        with pytest.raises(EngineError, match=rf"{refused}.*--engine transformers"):
            TorchEngine(replace(tiny_bundle, models=models), method)
