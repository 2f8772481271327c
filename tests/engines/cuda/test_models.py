"""Every T5 that the engine knows gives transformers' ids, also in 16 bits, where they mostly agree."""

import copy
import random
from dataclasses import replace

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from hybrid.errors import EngineError
from tests.loaded import prompt_ids


@pytest.fixture(scope="module")
def mixed(texts) -> list[str]:
    """All prompts in random order: short beside long ones."""
    return random.Random(2).sample(texts, len(texts))


def variant_of(bundle, kind: str):
    """The tiny bundle with another hybrid."""
    hybrid = copy.deepcopy(bundle.hybrid)
    if kind == "replace":
        hybrid.config.fusion = "replace"
    elif kind == "untied head":
        weight = torch.randn(hybrid.slm.lm_head.weight.shape, generator=torch.Generator().manual_seed(5))
        hybrid.slm.lm_head.weight = torch.nn.Parameter(weight)
    else:
        hybrid.slm.config.scale_decoder_outputs = not hybrid.slm.config.scale_decoder_outputs
    return replace(bundle, models={**bundle.models, "hybrid": hybrid})


@pytest.mark.parametrize("kind", ["replace", "untied head", "other scale"])
def test_variants_of_the_models_equal_generate(graph_engine, tiny_bundle, texts, answers, reference, kind):
    bundle = variant_of(tiny_bundle, kind)
    prompts = [prompt_ids(bundle, text) for text in texts[::20]]
    ids = [list(generation.token_ids) for generation in answers(graph_engine("hybrid", bundle), texts[::20])]
    assert ids == reference(bundle.hybrid, prompts)


def other_family(bundle, family: str):
    """The tiny bundle with a T5 v1.0 or an mT5 as its LLM; weights as lively as the tiny pair's."""
    sizes = {
        "vocab_size": 384, "d_model": 40, "d_ff": 72, "d_kv": 12, "num_heads": 4, "num_layers": 2,
        "num_decoder_layers": 2, "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
    }  # fmt: skip
    torch.manual_seed(7)
    if family == "t5":
        model = T5ForConditionalGeneration(T5Config(**sizes, feed_forward_proj="relu")).eval()
    else:
        model = MT5ForConditionalGeneration(MT5Config(**sizes, feed_forward_proj="gated-gelu")).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "layer_norm" in name:
                weight.uniform_(0.5, 1.5)
            elif "relative_attention_bias" in name:
                weight.normal_()
            else:
                weight.normal_(std=0.3 if "shared" in name else 2 * weight.shape[1] ** -0.5)
    return replace(bundle, models={**bundle.models, "llm": model})


@pytest.mark.parametrize("family", ["t5", "mt5"])
def test_other_models_of_the_family_equal_generate(
    graph_engine, tiny_bundle, texts, answers, reference, same, family
):
    """ReLU, heads whose widths do not add up to the model's, and mT5, which does not scale its outputs."""
    bundle = other_family(tiny_bundle, family)
    part = texts[::9]
    prompts = [prompt_ids(bundle, text) for text in part]
    generations = answers(graph_engine("llm", bundle), part)
    expected = reference(bundle.llm, prompts)
    assert len({tuple(ids) for ids in expected}) > 10
    for prompt, generation, ids in zip(prompts, generations, expected, strict=True):
        assert same(bundle.llm, prompt, generation.token_ids, ids)


def test_models_of_other_kinds_are_refused_with_what_runs_them(graph_engine, tiny_bundle):
    each = ("layers", "attention_heads", "ffn_dim")
    sizes = {f"{half}_{size}": 1 for half in ("encoder", "decoder") for size in each}
    config = BartConfig(vocab_size=384, d_model=8, **sizes)
    bundle = replace(tiny_bundle, models={"slm": BartForConditionalGeneration(config)})
    with pytest.raises(EngineError, match="--engine transformers"):
        graph_engine("slm", bundle)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_mostly_agree(graph_engine, engines, mixed, answers, dtype):
    engine = graph_engine("hybrid", dtype=dtype)
    assert engine.dtype == dtype
    for size in (1, 16):
        first_ids = [
            generation.token_ids[0] for part in parts(mixed, size) for generation in answers(engine, part)
        ]
        expected = [
            generation.token_ids[0]
            for part in parts(mixed, size)
            for generation in answers(engines["hybrid"], part)
        ]
        assert sum(a == b for a, b in zip(first_ids, expected, strict=True)) >= len(first_ids) * 0.7


def parts(texts: list[str], size: int, count: int = 24) -> list[list[str]]:
    return [texts[start : start + size] for start in range(0, count, size)]


def test_float16_survives_sums_and_hidden_values_beyond_its_largest_number(
    graph_engine, tiny_bundle, mixed, answers
):
    """Trained T5s leave 65,504 behind in their feed-forwards and in the sums from layer to layer."""
    llm = copy.deepcopy(tiny_bundle.llm)
    with torch.no_grad():
        for stack in (llm.encoder, llm.decoder):
            for block in stack.block:
                dense = block.layer[-1].DenseReluDense
                dense.wi_0.weight.mul_(40)
                dense.wi_1.weight.mul_(200)
                dense.wo.weight.mul_(3)
    seen = []
    hooks = [
        stack.block[-1].register_forward_hook(lambda _, __, output: seen.append(float(output[0].abs().max())))
        for stack in (llm.encoder, llm.decoder)
    ]
    prompt = torch.tensor([prompt_ids(tiny_bundle, mixed[0])])
    with torch.no_grad():
        llm(input_ids=prompt, decoder_input_ids=torch.tensor([[0]]))
    for hook in hooks:
        hook.remove()
    assert min(seen) > 4 * torch.finfo(torch.float16).max
    bundle = replace(tiny_bundle, models={**tiny_bundle.models, "llm": llm})
    engine, exact = (graph_engine("llm", bundle, dtype=dtype) for dtype in ("float16", "float32"))
    generations, expected = answers(engine, mixed[:16]), answers(exact, mixed[:16])
    graphs = next(iter(engine._shared.requests._values.values()))
    for tensor in (
        graphs.prompts.states,
        graphs.decoder.buffers.logits,
        graphs.decoder.buffers.self_kv_cache,
    ):
        assert tensor.isfinite().all()
    first = [a.token_ids[0] == b.token_ids[0] for a, b in zip(generations, expected, strict=True)]
    assert sum(first) >= 0.8 * len(first)


def test_logits_equal_transformers(graph_engine, tiny_bundle, texts, answer):
    """Closer than ids can tell: a leak of padding too small to change a word would show."""
    engine = graph_engine("hybrid")
    for text in texts[::40]:
        answer(engine, text, max_new_tokens=1)
        graphs = next(reversed(engine._shared.requests._values.values()))
        prompt = torch.tensor([prompt_ids(tiny_bundle, text)])
        with torch.no_grad():
            expected = tiny_bundle.hybrid(input_ids=prompt, decoder_input_ids=torch.tensor([[0]])).logits
        torch.testing.assert_close(graphs.decoder.buffers.logits, expected[0], rtol=1e-4, atol=1e-4)
