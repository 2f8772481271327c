"""Every kind of T5 gives the ids of the torch engine: alone, in batches, by every method."""

from dataclasses import replace

import pytest

from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.schema import METHODS, MODELS
from tests.engines.families import FAMILIES, random_model
from tests.loaded import prompt_ids


@pytest.fixture(scope="module", params=FAMILIES)
def bundle(request, tiny_bundle):
    """A pair of one family; its hybrid replaces where the tiny one adds."""
    llm, slm = (random_model(width, seed, **FAMILIES[request.param]) for width, seed in ((48, 7), (32, 8)))
    hybrid = HybridForConditionalGeneration.from_parts(llm, slm, "replace").eval()
    return replace(tiny_bundle, models={"llm": llm, "slm": slm, "hybrid": hybrid})


def test_ids_equal_the_torch_engines(bundle, make, texts, answer, answers, same):
    engines, some = make(bundle), texts[5::20]
    prompts = [prompt_ids(bundle, text) for text in some]
    for model in MODELS:
        reference = TorchEngine(bundle, model)
        expected = [answer(reference, text).token_ids for text in some]
        together = answers(engines[model], some)
        for text, generation, prompt, ids in zip(some, together, prompts, expected, strict=True):
            assert same(bundle.model(model), prompt, generation.token_ids, ids)
            assert same(bundle.model(model), prompt, answer(engines[model], text).token_ids, ids)
        assert len(set(expected)) > 2
    for method in set(METHODS) - set(MODELS):
        for text in some[::2]:
            assert answer(engines[method], text).token_ids == answer(engines["llm"], text).token_ids


def test_heads_of_an_odd_width_give_the_same_ids(tiny_bundle, make, texts, answer, same):
    slm = random_model(16, 1, d_kv=12)
    bundle = replace(tiny_bundle, models={"slm": slm})
    engine, reference = make(bundle, "slm")["slm"], TorchEngine(bundle, "slm")
    for text in texts[::40]:
        ids, expected = (answer(each, text).token_ids for each in (engine, reference))
        assert same(slm, prompt_ids(bundle, text), ids, expected)


@pytest.mark.parametrize(("family", "refused"), [("bart", "norms behind"), ("t5", "gated-silu")])
def test_another_kind_is_refused_with_the_way_out(tiny_bundle, make, family, refused):
    from transformers import BartConfig, BartForConditionalGeneration

    if family == "bart":
        sizes = {"decoder_attention_heads": 2, "encoder_attention_heads": 2, "decoder_ffn_dim": 16}
        sizes |= {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "d_model": 16}
        slm = BartForConditionalGeneration(BartConfig(vocab_size=384, **sizes))
    else:
        slm = random_model(16, 1, feed_forward_proj="gated-silu")
    bundle = replace(tiny_bundle, models={"llm": tiny_bundle.llm, "slm": slm})
    for method in ("slm", "lossless-slm"):
        with pytest.raises(EngineError, match=rf"{refused}.*--engine transformers"):
            make(bundle, method)
